#!/usr/bin/python
"""Builds one release archive on the controller, unless the one that is there was built from the same inputs."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gatehouse_archive import (
    EPOCH,
    VERSION,
    ArchiveError,
    file_sha256,
    matches,
    tree_files,
    write_archive,
)
from ansible.module_utils.gatehouse_sources import chosen_source, without_credentials

DOCUMENTATION = r"""
module: release_archive
short_description: Ensure that an application's release archive is built
description:
  - Runs on the controller. Copies the source, runs the build commands in the copy and packs the result as
    C(<name>-<version>.tar.gz) with a C(.sha256) beside it. The same inputs give the same bytes.
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
      ref: {description: 'Branch, tag or full commit id.', type: str, default: ''}
      folder: {description: Folder in the repository that is the source; empty for all of it., type: str, default: ''}
  dir: {description: Folder that keeps the archives., type: path, required: true}
  commands:
    description:
      - Build commands, each an argument list.
      - C(uv), C(node) and C(npm) are taken from beside Ansible's own Python.
    type: list
    elements: list
    default: []
  files:
    description: Extra files, path to content; one that starts with C(#!) becomes executable.
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
    commands: [[npm, ci], [npm, run, build]]
    include: [dist, server]
  delegate_to: localhost
"""

RETURN = r"""
archive: {description: Path of the archive., type: str, returned: always}
sha256: {description: Its SHA-256; empty in check mode if it would have to be built., type: str, returned: always}
release: {description: The release's id, version and first 8 digits of the SHA-256., type: str, returned: always}
inputs: {description: SHA-256 over everything the build depends on., type: str, returned: always}
origin:
  description: Where the source came from, C({archive, sha256}) or C({repository, ref, commit}); empty for a folder.
  type: dict
  returned: always
"""

# Left out of the build's environment: what a build would write into its result, or what belongs to this play.
PRIVATE = re.compile(
    r"(ANSIBLE_|VITE_|SSH_|VIRTUAL_ENV|PYTHON|NODE_ENV$|NODE_OPTIONS$|INIT_CWD$|npm_(lifecycle|package)_)"
)
LOCK_WAIT = 1800
# Not resolved: in a venv the tools stand beside the link and not beside the Python that it names.
TOOLS = Path(sys.executable).absolute().parent


def build_environment() -> dict[str, str]:
    """Give the user's environment (proxies, pip, uv and npm settings) without what would make the build differ."""
    kept = {name: value for name, value in os.environ.items() if not PRIVATE.match(name)}
    kept["PATH"] = str(TOOLS) + os.pathsep + kept.get("PATH", os.defpath)
    kept.update(CI="1", LC_ALL="C.UTF-8", TZ="UTC", SOURCE_DATE_EPOCH=str(EPOCH))
    return kept


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on `file`; another play that builds the same release waits, half an hour at most."""
    with file.open("w") as stream:
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
    temporary.write_text(text)
    temporary.replace(file)


class Build:
    """One archive: where it is, what it is made from, and how."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        for field in ("name", "version"):
            if not VERSION.fullmatch(options[field]):
                raise ArchiveError(
                    f"{field} is {options[field]!r}; it names files: use letters, digits and . _ + ~ - only"
                )
        self.source = chosen_source(
            options["source"], options["source_archive"], options["source_git"], options["exclude"]
        )
        self.dir = Path(options["dir"])
        stem = f"{options['name']}-{options['version']}"
        self.archive = self.dir / f"{stem}.tar.gz"
        self.sidecar = self.dir / f"{stem}.tar.gz.sha256"
        self.record = self.dir / f"{stem}.json"
        recipe = {key: options[key] for key in ("commands", "files", "exclude", "include", "strip")}
        self.inputs = self.source.inputs(recipe)

    def built_sha256(self) -> str:
        """Give the SHA-256 of the archive that is there, or '' if it is missing, damaged or from other inputs."""
        try:
            record = json.loads(self.record.read_text())
        except (OSError, ValueError):
            return ""
        if not isinstance(record, dict) or record.get("inputs") != self.inputs or not self.archive.is_file():
            return ""
        sha256: str = file_sha256(self.archive)
        line = f"{sha256}  {self.archive.name}\n"
        good = sha256 == record.get("sha256") and self.sidecar.is_file() and self.sidecar.read_text() == line
        return sha256 if good else ""

    def noted(self, sha256: str) -> dict[str, Any]:
        """Give what stands beside the archive: what it was built from, and its sum."""
        named = {key: self.options[key] for key in ("name", "version")}
        return {**named, "inputs": self.inputs, "origin": self.source.origin, "sha256": sha256}

    def run(self) -> str:
        """Build in a temporary copy, put archive, sidecar and record in place; give the archive's SHA-256."""
        with tempfile.TemporaryDirectory(prefix="gatehouse-build-") as temporary:
            work = Path(temporary) / "release"
            self.source.copy_to(work)
            for command in self.options["commands"]:
                self.execute([str(word) for word in command], work)
            for relative, content in self.options["files"].items():
                file = work / relative
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content)
                file.chmod(0o755 if content.startswith("#!") else 0o644)
            return self.pack(work, temporary)

    def execute(self, command: list[str], work: Path) -> None:
        """Run one build command; its output is shown only if it fails, without the credentials of an address."""
        environment = build_environment()
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise ArchiveError(
                f"the build of {self.options['name']} needs {command[0]}, which is neither in {TOOLS} nor in PATH: "
                "install the workshop's locked requirements again"
            )
        try:
            done = subprocess.run(  # noqa: S603 (an argument list from the role, never a shell)
                [program, *command[1:]], cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=self.options["timeout"], check=False, umask=0o022,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ArchiveError(f"`{' '.join(command)}` took more than {self.options['timeout']} s") from error
        if done.returncode:
            output = without_credentials(done.stdout.decode(errors="replace")).strip().splitlines()
            name = self.options["name"]
            raise ArchiveError(f"`{' '.join(command)}` failed in the build of {name}:\n" + "\n".join(output[-25:]))

    def pack(self, work: Path, temporary: str) -> str:
        """Pack what belongs into the release; a file that names a folder of this machine is an error."""
        include, strip = self.options["include"], self.options["strip"]
        files = [
            (relative, file)
            for relative, file in tree_files(work, strip)
            if not include or matches(relative.split("/")[0], include)
        ]
        if not files:
            raise ArchiveError(f"the build of {self.options['name']} gave no files at all: see `include` and `strip`")
        own = [path.encode() for path in (temporary, str(TOOLS))]
        for relative, file in files:
            content = file.read_bytes()
            if any(path in content for path in own):
                raise ArchiveError(
                    f"{relative} names a folder of this controller, so the release would differ elsewhere: "
                    "add it to app_build.strip"
                )
        handle, name = tempfile.mkstemp(dir=self.dir, prefix=f".{self.archive.name}.")
        try:
            with os.fdopen(handle, "w+b") as stream:
                write_archive(files, stream)
            Path(name).chmod(0o644)
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
            "commands": {"type": "list", "elements": "list", "default": []},
            "files": {"type": "dict", "default": {}},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "include": {"type": "list", "elements": "str", "default": []},
            "strip": {"type": "list", "elements": "str", "default": []},
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
                build.dir.mkdir(parents=True, exist_ok=True)
                with locked(build.dir / f".{build.archive.name}.lock"):
                    # Another play may have built it while this one waited.
                    sha256 = build.built_sha256()
                    changed = not sha256
                    sha256 = sha256 or build.run()
    except (ArchiveError, OSError) as error:
        module.fail_json(msg=str(error))
    release = f"{module.params['version']}-{sha256[:8]}" if sha256 else ""
    module.exit_json(
        changed=changed, archive=str(build.archive), sha256=sha256, release=release, inputs=build.inputs,
        origin=build.source.origin,
    )  # fmt: skip


if __name__ == "__main__":
    main()
