#!/usr/bin/python
"""Builds one release archive on the controller, unless the one that is there was built from the same inputs."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils import sandbox
from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import (
    VERSION,
    ArchiveError,
    file_sha256,
    left_out_lines,
    tree_files,
    write_archive,
)
from ansible_collections.gatehouse.core.plugins.module_utils.app.build_command import execute
from ansible_collections.gatehouse.core.plugins.module_utils.app.build_files import (
    folder,
    locked,
    names,
    private,
    replace,
    scratch,
)
from ansible_collections.gatehouse.core.plugins.module_utils.app.declared import PACKAGE, other_version
from ansible_collections.gatehouse.core.plugins.module_utils.app.packing import chosen, refuse_broken, refuse_machine
from ansible_collections.gatehouse.core.plugins.module_utils.app.procfile import read_procfile
from ansible_collections.gatehouse.core.plugins.module_utils.app.secrets import BUILD_ONLY, refuse_secrets
from ansible_collections.gatehouse.core.plugins.module_utils.app.sources import chosen_source

DOCUMENTATION = r"""
module: release_archive
short_description: Ensure that an application's release archive is built
description:
  - Runs on the controller. Copies the source, runs the build commands in the copy and packs the result as
    C(<name>-<version>.tar.gz) with a C(.sha256) beside it. The same inputs give the same bytes.
  - Each command runs in a sandbox (bubblewrap), which sees the copy of the source, tools, and nothing else of the
    controller. Without one nothing is built.
  - What looks like a secret, in the source or in what was built, is refused by name; what was fetched is not looked at.
  - A build happens only when the inputs (source files, commands, extra files, patterns) differ from those recorded,
    or the archive is gone or damaged.
  - Two plays that build the same release wait for each other.
  - In check mode nothing is built; C(sha256) and C(release) are then empty if a build would be needed.
options:
  name: {description: The application., type: str, required: true}
  version: {description: The version; part of file names., type: str, required: true}
  source:
    description: Folder with the application's source and lock files, used unless an archive or a commit is named.
    type: path
    default: ''
  source_archive:
    description:
      - A tar archive of the source instead. The one folder that holds everything in it is taken off.
      - It is fetched only when a build is due, and used only if it has the SHA-256.
    type: dict
    default: {}
    suboptions:
      location: {description: Path or address., type: str, default: ''}
      sha256: {description: Its SHA-256., type: str, default: ''}
  source_git:
    description: One commit of a git repository instead. What is not committed never gets in.
    type: dict
    default: {}
    suboptions:
      repository: {description: Path or address., type: str, default: ''}
      ref: {description: "A tag, or a commit's full id; a branch is refused.", type: str, default: ''}
      folder: {description: Folder in the repository that is the source; empty for all of it., type: str, default: ''}
  dir: {description: Folder that keeps the archives., type: path, required: true}
  fetch:
    description:
      - Commands that fetch dependencies by their lock file, each an argument list.
      - They run first, with the network, the settings of their tool's index (C(uv), C(pip), C(npm), C(composer),
        C(bundle)), and a cache that the application keeps.
      - They must run no code of what they fetch.
    type: list
    elements: list
    default: []
  commands:
    description:
      - Build commands, each an argument list; they run without the network, and only read the cache.
      - C(uv), C(node) and C(npm) are taken from beside Ansible's own Python.
    type: list
    elements: list
    default: []
  environment:
    description: Variables of O(commands), not of O(fetch). They are part of the inputs; the release has none of them.
    type: dict
    default: {}
  path:
    description: Folders of the sandbox in which programs are looked for first.
    type: list
    elements: str
    default: []
  tools:
    description: Files that commands find in C(/build/tools), name to content; they are no part of the release.
    type: dict
    default: {}
  versions:
    description: Files of the source that name a version of the runtime, each with those that the hosts have.
    type: dict
    default: {}
  files:
    description:
      - Extra files, path to content; one that starts with C(#!) becomes executable. They are there for O(commands).
    type: dict
    default: {}
  exclude:
    description: Patterns of source files that are neither copied nor part of the inputs.
    type: list
    elements: str
    default: []
  include:
    description: Top-level names to pack; empty packs all.
    type: list
    elements: str
    default: []
  strip:
    description: Patterns of built files that are not packed.
    type: list
    elements: str
    default: []
  own_exclude:
    description:
      - Patterns of the inventory's, of source files as O(exclude), and of built files too; one without a slash does not
        hold for what was fetched.
    type: list
    elements: str
    default: []
  own_include:
    description:
      - Patterns of the inventory's, from the source's folder, that are packed whatever O(exclude), O(include) and
        O(strip) say. One that is the whole path of a file says also that it is no secret.
    type: list
    elements: str
    default: []
  timeout: {description: Seconds that one command may take., type: int, default: 900}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Build the release of a Node application
  release_archive:
    name: dashboard
    version: 1.0.0
    source: apps/dashboard
    dir: build
    fetch: [[npm, ci, --ignore-scripts]]
    commands: [[npm, run, build]]
    include: [dist, server]
  delegate_to: localhost
"""

RETURN = r"""
changes: {description: What was done., type: list, elements: str, returned: always}
archive: {description: Path of the archive., type: str, returned: always}
sha256: {description: Its SHA-256; empty in check mode if it would have to be built., type: str, returned: always}
release: {description: The release's id, version and first 8 digits of the SHA-256., type: str, returned: always}
left_out:
  description: What of the source is not in the release, a line for each pattern that left it out.
  type: list
  elements: str
  returned: always
procfile:
  description: What the source's Procfile says, C({processes, release, web}); empty where there is none.
  type: dict
  returned: always
log: {description: Path of the log of the commands., type: str, returned: always}
inputs: {description: SHA-256 over everything the build depends on., type: str, returned: always}
origin:
  description: Where the source came from, C({archive, sha256}) or C({repository, ref, commit}); empty for a folder.
  type: dict
  returned: always
"""

# What a recipe says where it says nothing.
RECIPE: dict[str, Any] = {
    "fetch": [], "commands": [], "environment": {}, "path": [], "tools": {}, "files": {}, "exclude": [], "include": [],
    "strip": [], "own_exclude": [], "own_include": [],
}  # fmt: skip


class Build:
    """One archive: where it is, what it is made from, and how."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options = {**RECIPE, "versions": {}, **options}
        # From the root, or a name would also bring what an earlier installation left in a folder of dependencies.
        options["own_include"] = [one if "/" in one else f"/{one}" for one in options["own_include"]]
        for field in ("name", "version"):
            if not VERSION.fullmatch(options[field]):
                raise ArchiveError(
                    f"{field} is {options[field]!r}; it names files: use letters, digits and . _ + ~ - only"
                )
        self.source = chosen_source(
            options["source"], options["source_archive"], options["source_git"],
            [*options["exclude"], *options["own_exclude"]], options["own_include"],
        )  # fmt: skip
        if "PATH" in options["environment"]:
            raise ArchiveError("app_build_environment has PATH, which the build sets: name programs by their path")
        self.dir = Path(options["dir"])
        stem = f"{options['name']}-{options['version']}"
        self.archive = self.dir / f"{stem}.tar.gz"
        self.sidecar = self.dir / f"{stem}.tar.gz.sha256"
        self.record = self.dir / f"{stem}.json"
        self.log = self.dir / f"{stem}.log"
        # Pattern to paths of the source that are not in the release.
        self.left_out: dict[str, list[str]] = {}
        self.procfile: dict[str, Any] = {}
        self.inputs = self.source.inputs({key: options[key] for key in RECIPE})
        self.refuse_moved(self.recorded().get("origin") or {})

    def recorded(self) -> dict[str, Any]:
        """Give what is beside the archive; nothing where that cannot be read."""
        try:
            record = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def refuse_moved(self, before: dict[str, str]) -> None:
        """Refuse a tag that named another commit when this version was built: one version is one source."""
        now = self.source.origin
        if now.get("ref") and {**before, "commit": ""} == {**now, "commit": ""} and before["commit"] != now["commit"]:
            raise ArchiveError(
                f"{now['ref']} of {now['repository']} was commit {before['commit']} when {self.options['name']} "
                f"{self.options['version']} was built, and is {now['commit']} now: if that is meant, write a new "
                "app_version, or the commit's id as app_source_git.ref"
            )

    def built_sha256(self) -> str:
        """Give the SHA-256 of the archive that is there, or '' if it is missing, damaged or from other inputs."""
        record = self.recorded()
        if record.get("inputs") != self.inputs or not self.archive.is_file():
            return ""
        sha256: str = file_sha256(self.archive)
        line = f"{sha256}  {self.archive.name}\n"
        good = sha256 == record.get("sha256") and self.sidecar.is_file() and self.sidecar.read_text() == line
        return sha256 if good else ""

    def noted(self, sha256: str) -> dict[str, Any]:
        """Give what is beside the archive: what it was built from, and its sum."""
        named = {key: self.options[key] for key in ("name", "version")}
        built = {"inputs": self.inputs, "origin": self.source.origin, "sha256": sha256}
        return {**named, **built, "left_out": left_out_lines(self.left_out), "procfile": self.procfile}

    def run(self) -> str:
        """Build in a temporary copy, put archive, sidecar and record in place; give the archive's SHA-256."""
        name, fetch, commands = (self.options[key] for key in ("name", "fetch", "commands"))
        with scratch() as temporary:
            work = temporary / "src"
            self.left_out = self.source.copy_to(work)
            self.refuse_other_version(work)
            self.procfile = read_procfile(work)
            known = self.no_secrets()
            refuse_secrets(name, "the source", tree_files(work), known, BUILD_ONLY)
            own, fetched = names(work), set[str]()
            if fetch or commands:
                cache = folder(folder(self.dir / "cache") / name)
                private(self.log).write_text("")
                box = sandbox.Sandbox(work, temporary, cache)
                box.add_tools(self.options["tools"])
                for command in fetch:
                    execute(self.options, box, [str(word) for word in command], True, self.log)
                # Dependencies bring keys for their own tests.
                fetched = names(work) - own
                self.add_files(work)
                for command in commands:
                    execute(self.options, box, [str(word) for word in command], False, self.log)
            self.add_files(work)
            return self.pack(work, own, fetched)

    def refuse_other_version(self, work: Path) -> None:
        """Refuse a source that names another version of its runtime than the hosts have."""
        for name, known in self.options["versions"].items():
            if wanted := other_version(work / name, known):
                remedy = f", or name {name} in app_exclude" if name != PACKAGE else ""
                raise ArchiveError(
                    f"{name} of {self.options['name']} says {wanted}, and its hosts have {' and '.join(known)} "
                    f"by the inventory: correct what is wrong{remedy}"
                )

    def no_secrets(self) -> list[str]:
        """Give the paths of files that the inventory says are no secret; a pattern is no path."""
        return [one.lstrip("/") for one in self.options["own_include"]]

    def add_files(self, work: Path) -> None:
        """Write the recipe's own files; a link that a build has put in their way is not followed."""
        for relative, content in self.options["files"].items():
            file = work / relative
            for path in (file, *file.parents):
                if path == work:
                    break
                if path.is_symlink():
                    raise ArchiveError(
                        f"the build of {self.options['name']} left the link {path.relative_to(work)}, and {relative} "
                        "of the release would be written through it: nothing was packed"
                    )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            file.chmod(0o755 if content.startswith("#!") else 0o644)

    def pack(self, work: Path, own: set[str], fetched: set[str]) -> str:
        """Pack what belongs into the release; a secret is an error, and so is a file that names this machine."""
        name = self.options["name"]
        files, left = chosen(self.options, work, own, fetched)
        for why, found in left.items():
            if found:
                self.left_out[why] = sorted({*self.left_out.get(why, []), *found})
        if not files:
            raise ArchiveError(
                f"the build of {name} gave no files at all: name what belongs into the release in app_include"
            )
        refuse_broken(name, work, files)
        unknown = (file for file in files if file[0] not in fetched)
        refuse_secrets(name, "the release", unknown, self.no_secrets())
        refuse_machine(name, files)
        handle, temporary = tempfile.mkstemp(dir=self.dir, prefix=f".{self.archive.name}.")
        try:
            with os.fdopen(handle, "w+b") as stream:
                write_archive(files, stream, (sandbox.SOURCE,))
            Path(temporary).chmod(0o640)
            sha256: str = file_sha256(Path(temporary))
            Path(temporary).replace(self.archive)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        replace(self.sidecar, f"{sha256}  {self.archive.name}\n")
        replace(self.record, json.dumps(self.noted(sha256), indent=2) + "\n")
        return sha256


def texts(*names: str) -> dict[str, dict[str, str]]:
    """Give the options of a mapping of optional texts."""
    return {name: {"type": "str", "default": ""} for name in names}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "source": {"type": "path", "default": ""},
            "source_archive": {"type": "dict", "default": {}, "options": texts("location", "sha256")},
            "source_git": {"type": "dict", "default": {}, "options": texts("repository", "ref", "folder")},
            "dir": {"type": "path", "required": True},
            "fetch": {"type": "list", "elements": "list", "default": []},
            "commands": {"type": "list", "elements": "list", "default": []},
            "files": {"type": "dict", "default": {}},
            **{name: {"type": "dict", "default": {}} for name in ("environment", "tools", "versions")},
            **{
                name: {"type": "list", "elements": "str", "default": []}
                for name in ("path", "exclude", "include", "strip", "own_exclude", "own_include")
            },
            "timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    try:
        build = Build(module.params)
        sha256, changed = build.built_sha256(), False
        if not sha256:
            changed = True
            if not module.check_mode:
                folder(build.dir)
                with locked(build.dir / f".{build.archive.name}.lock"):
                    # Another play may have built it while this one waited.
                    sha256 = build.built_sha256()
                    changed = not sha256
                    sha256 = sha256 or build.run()
    except (ArchiveError, sandbox.SandboxError, OSError) as error:
        module.fail_json(msg=str(error))
    release = f"{module.params['version']}-{sha256[:8]}" if sha256 else ""
    record = build.recorded()
    left_out, procfile = record.get("left_out") or [], record.get("procfile") or {}
    changes = [f"{build.archive.name}: built"] if changed else []
    module.exit_json(
        changed=changed, archive=str(build.archive), sha256=sha256, release=release, inputs=build.inputs,
        origin=build.source.origin, left_out=left_out, procfile=procfile, log=str(build.log), changes=changes,
    )  # fmt: skip


if __name__ == "__main__":
    main()
