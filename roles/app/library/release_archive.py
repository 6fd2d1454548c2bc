#!/usr/bin/python
"""Builds one release archive on the controller, unless the one that is there was built from the same inputs."""

from __future__ import annotations

import fcntl
import json
import os
import posixpath
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gatehouse_archive import (
    EPOCH,
    VERSION,
    ArchiveError,
    file_sha256,
    inner_target,
    left_out_lines,
    matches,
    matching,
    tree_files,
    write_archive,
)
from ansible.module_utils.gatehouse_build_log import Findings
from ansible.module_utils.gatehouse_secrets import BUILD_ONLY, refuse_secrets
from ansible.module_utils.gatehouse_sources import chosen_source, without_credentials
from ansible_collections.gatehouse.core.plugins.module_utils import sandbox

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
log: {description: Path of the log of the commands., type: str, returned: always}
inputs: {description: SHA-256 over everything the build depends on., type: str, returned: always}
origin:
  description: Where the source came from, C({archive, sha256}) or C({repository, ref, commit}); empty for a folder.
  type: dict
  returned: always
"""

LOCK_WAIT = 1800
# What a recipe says where it says nothing.
RECIPE: dict[str, Any] = {
    "fetch": [], "commands": [], "environment": {}, "path": [], "tools": {}, "files": {}, "exclude": [], "include": [],
    "strip": [], "own_exclude": [], "own_include": [],
}  # fmt: skip
# Why something of the source is not packed, where no pattern says it.
NOT_INCLUDED, FOR_THE_BUILD = "not what is packed of this runtime's releases", "read by the build only"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on `file`; another play that builds the same release waits, half an hour at most."""
    with private(file).open("w") as stream:
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ArchiveError(
                        f"another build has held {file} for {LOCK_WAIT} s: end it and try again"
                    ) from error
                time.sleep(0.5)
        yield


def replace(file: Path, text: str) -> None:
    """Write a small file in one step."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    private(temporary).write_text(text)
    temporary.replace(file)


def private(file: Path) -> Path:
    """Make an empty file unless it is there, for the account and its group; whatever the umask, it has 0640."""
    file.touch(mode=0o640)
    file.chmod(0o640)
    return file


def folder(path: Path) -> Path:
    """Make a folder that is the account's and its group's; others lose what they may do in one that is there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o750)
    about = path.stat()
    if about.st_uid == os.geteuid() and about.st_mode & 0o007:
        path.chmod(about.st_mode & 0o7770)
    return path


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a temporary folder, and remove it however a build left it; nothing is followed out of it."""
    path = Path(tempfile.mkdtemp(prefix="gatehouse-build-"))
    try:
        yield path
    finally:
        for _, folders, _, base in os.fwalk(path):
            for name in folders:
                # A folder that may not be entered; by descriptor, since what ran in it may still be about to end.
                with suppress(OSError):
                    inner = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=base)
                    try:
                        Path(f"/proc/self/fd/{inner}").chmod(0o700)
                    finally:
                        os.close(inner)
        shutil.rmtree(path)


def names(root: Path) -> set[str]:
    """Give the paths of all that is no folder below `root`, links among them."""
    found = set()
    for base, folders, files in os.walk(root):
        links = [name for name in folders if Path(base, name).is_symlink()]
        found |= {Path(base, name).relative_to(root).as_posix() for name in (*files, *links)}
    return found


def variable(name: str, value: Any) -> str:
    """Give the text of a variable of the environment; a boolean as in YAML."""
    if not isinstance(value, (str, int, float)):
        raise ArchiveError(f"app_build_environment.{name} must be text, a number or a boolean: write it as text")
    return str(value).lower() if isinstance(value, bool) else str(value)


class Build:
    """One archive: where it is, what it is made from, and how."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options = {**RECIPE, **options}
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
        return {**named, **built, "left_out": left_out_lines(self.left_out)}

    def run(self) -> str:
        """Build in a temporary copy, put archive, sidecar and record in place; give the archive's SHA-256."""
        name, fetch, commands = (self.options[key] for key in ("name", "fetch", "commands"))
        with scratch() as temporary:
            work = temporary / "src"
            self.left_out = self.source.copy_to(work)
            known = self.no_secrets()
            refuse_secrets(name, "the source", tree_files(work), known, BUILD_ONLY)
            own, fetched = names(work), set[str]()
            if fetch or commands:
                cache = folder(folder(self.dir / "cache") / name)
                private(self.log).write_text("")
                box = sandbox.Sandbox(work, temporary, cache)
                box.add_tools(self.options["tools"])
                for command in fetch:
                    self.execute(box, [str(word) for word in command], fetch=True)
                # Dependencies bring keys for their own tests.
                fetched = names(work) - own
                self.add_files(work)
                for command in commands:
                    self.execute(box, [str(word) for word in command], fetch=False)
            self.add_files(work)
            return self.pack(work, own, fetched)

    def no_secrets(self) -> list[str]:
        """Give the paths of files that the inventory says are no secret; a pattern is no path."""
        return [one.lstrip("/") for one in self.options["own_include"]]

    def execute(self, box: sandbox.Sandbox, command: list[str], fetch: bool) -> None:
        """Run one build command; its output goes to the log, without the credentials of an address.

        Where it fails, the lines that say why are shown, with what is missing and with the name of the log.
        """
        name, shown = self.options["name"], " ".join(command)
        environment = sandbox.environment(Path(command[0]).name if fetch else "", tuple(self.options["path"]))
        environment["SOURCE_DATE_EPOCH"] = str(EPOCH)
        if not fetch:
            environment |= {key: variable(key, value) for key, value in self.options["environment"].items()}
        where = environment["PATH"]
        # What is in the sandbox's own folders is not there yet.
        if "/" not in command[0] and not self.options["path"] and shutil.which(command[0], path=where) is None:
            raise ArchiveError(
                f"the build of {name} needs {command[0]}, which is not in {where}: install it there; uv, "
                "node and npm come with the toolchain's locked requirements"
            )
        # Into a file: whatever a command writes, it takes no memory here.
        with tempfile.TemporaryFile() as output:
            code: int | None = None
            with suppress(subprocess.TimeoutExpired):
                code = subprocess.run(  # noqa: S603 (an argument list from the role, never a shell)
                    box.words(command, fetch), env=environment, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, timeout=self.options["timeout"], check=False, umask=0o022,
                ).returncode  # fmt: skip
            output.seek(0)
            findings = Findings()
            with self.log.open("a") as log:
                log.write(without_credentials(f"$ {shown}\n"))
                for raw in output:
                    line = without_credentials(raw.decode(errors="replace"))
                    log.write(line)
                    findings.read([line])
        if code == 0:
            return
        took = f"took more than {self.options['timeout']} s"
        ran = ("failed" if code else took) + f" in the build of {name}" + ("" if fetch else " (which has no network)")
        reported = [*findings.reported(), f"The whole log: {self.log}"]
        raise ArchiveError(without_credentials(f"`{shown}` {ran}:\n") + "\n".join(reported))

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

    def chosen(self, work: Path, own: set[str], fetched: set[str]) -> list[tuple[str, Path]]:
        """Choose what is packed, and note what of the source (`own`) is not."""
        include, keep, unwanted = (self.options[key] for key in ("include", "own_include", "own_exclude"))
        rooted = [pattern for pattern in unwanted if "/" in pattern]
        files, top, stripped = [], dict[str, set[str]](), dict[str, list[str]]()
        strip = [*self.options["strip"], *rooted]
        for relative, file in tree_files(work, strip, keep, stripped, (sandbox.SOURCE,)):
            why = ""
            if not matches(relative, keep):
                if include and not matches(relative.split("/")[0], include):
                    why = NOT_INCLUDED
                elif relative not in fetched:
                    why = matching(relative, unwanted)
            # Never, whatever is written: it is a setting of the build.
            if matches(relative, BUILD_ONLY) and relative not in fetched:
                why = FOR_THE_BUILD
            if not why:
                files.append((relative, file))
            elif relative in own:
                top.setdefault(why, set()).add(relative.split("/")[0] if why == NOT_INCLUDED else relative)
        folders = own | {parent.as_posix() for relative in own for parent in Path(relative).parents}
        for why, paths in stripped.items():
            top.setdefault(why, set()).update(folders.intersection(paths))
        for why, found in top.items():
            if found:
                self.left_out[why] = sorted({*self.left_out.get(why, []), *found})
        return files

    def refuse_broken(self, work: Path, files: list[tuple[str, Path]]) -> None:
        """Refuse a link whose target was built and is not packed: the release would miss it."""
        packed = {relative for relative, _ in files}
        packed |= {parent.as_posix() for relative in packed for parent in Path(relative).parents}
        lost = []
        for relative, file in files:
            if file.is_symlink() and file.exists():
                inner = inner_target(relative, str(file.readlink()), (sandbox.SOURCE,))
                target = posixpath.normpath(posixpath.join(posixpath.dirname(relative), inner))
                # One that leads through another link is as good as that one.
                if target not in packed and not any(Path(work, parent).is_symlink() for parent in Path(target).parents):
                    lost.append(f"  {relative} -> {target}")
        if lost:
            raise ArchiveError(
                f"the release of {self.options['name']} has links to what is not packed:\n" + "\n".join(lost[:20])
                + "\nName what they lead to in app_include, or the links in app_exclude"
            )  # fmt: skip

    def pack(self, work: Path, own: set[str], fetched: set[str]) -> str:
        """Pack what belongs into the release; a secret is an error, and so is a file that names this machine."""
        files = self.chosen(work, own, fetched)
        if not files:
            raise ArchiveError(
                f"the build of {self.options['name']} gave no files at all: name what belongs into the release in "
                "app_include"
            )
        self.refuse_broken(work, files)
        unknown = (file for file in files if file[0] not in fetched)
        refuse_secrets(self.options["name"], "the release", unknown, self.no_secrets())
        # Only the tools stand at a place of this machine's own; the source is at the same on every controller.
        machine = str(sandbox.TOOLS).encode()
        named = [relative for relative, file in files if not file.is_symlink() and machine in file.read_bytes()]
        if named:
            raise ArchiveError(
                f"{', '.join(named[:5])} of the release of {self.options['name']} names a folder of this controller "
                f"({sandbox.TOOLS}), so the release would differ elsewhere: if the application does not need it, name "
                "it in app_exclude, with a slash before it"
            )
        handle, name = tempfile.mkstemp(dir=self.dir, prefix=f".{self.archive.name}.")
        try:
            with os.fdopen(handle, "w+b") as stream:
                write_archive(files, stream, (sandbox.SOURCE,))
            Path(name).chmod(0o640)
            sha256: str = file_sha256(Path(name))
            Path(name).replace(self.archive)
        except BaseException:
            Path(name).unlink(missing_ok=True)
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
            **{name: {"type": "dict", "default": {}} for name in ("environment", "tools")},
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
    left_out = build.recorded().get("left_out") or []
    changes = [f"{build.archive.name}: built"] if changed else []
    module.exit_json(
        changed=changed, archive=str(build.archive), sha256=sha256, release=release, inputs=build.inputs,
        origin=build.source.origin, left_out=left_out, log=str(build.log), changes=changes,
    )  # fmt: skip


if __name__ == "__main__":
    main()
