"""The releases of one application on this host: unpacked side by side, one of them linked as `current`."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.gatehouse_archive import (
    ArchiveError,
    file_sha256,
    release_time,
    tree_digest,
    unpack,
)
from ansible.module_utils.gatehouse_service import ManagedFile, ServiceError, environment_file, run


class Releases:
    """`<root>/<name>/releases/<id>`, a record `<id>.json` beside each, and the links `current` and `previous`."""

    def __init__(self, root: str, name: str, user: str) -> None:
        self.name = name
        self.user = user
        self.home = Path(root) / name
        self.folder = self.home / "releases"

    def linked(self, name: str) -> str:
        """Give the release that the link `current` or `previous` points at, '' if there is none."""
        try:
            return (self.home / name).readlink().name
        except OSError:
            return ""

    def link(self, name: str, release: str) -> None:
        """Point a link at a release in one step; an empty release removes it."""
        target = self.home / name
        if not release:
            target.unlink(missing_ok=True)
            return
        temporary = self.home / f".{name}.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(f"releases/{release}")
        temporary.replace(target)

    def recorded(self, release: str) -> dict[str, str]:
        """Give what was noted at unpacking; empty if the release is not here or was edited since."""
        try:
            record: dict[str, str] = json.loads((self.folder / f"{release}.json").read_text())
            return record if record["tree"] == tree_digest(self.folder / release) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def known(self) -> list[str]:
        """List the releases on this host, newest first."""
        records = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        return [file.name[: -len(".json")] for file in records]

    def unpack(self, release: str, archive: Path, record: dict[str, str], prepare: list[str]) -> None:
        """Check the archive, unpack it beside the others, and give the release its place in one rename.

        `record` has the SHA-256 that the archive must have, and what else to note about the release; `prepare` is a
        command that root runs in the release before it gets its place.
        """
        sha256 = record["sha256"]
        found = file_sha256(archive)
        if found != sha256:
            raise ArchiveError(
                f"the archive of {self.name} {release} has SHA-256 {found}, but {sha256} is expected: "
                "nothing was unpacked. Build it again, or put the right sum into the .sha256 file beside the archive "
                "on the controller."
            )
        try:
            group = pwd.getpwnam(self.user).pw_gid
        except KeyError as error:
            raise ServiceError(f"this host has no account {self.user}: create it before the release") from error
        for folder in (self.home, self.folder):
            folder.mkdir(mode=0o755, exist_ok=True)
            folder.chmod(0o755)
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=".unpack-"))
        try:
            fresh = temporary / "release"
            unpack(archive, fresh, release_time(sha256))
            (fresh / "release.env").write_text(environment_file({"APP_RELEASE": release}))
            if prepare:
                run(prepare, cwd=fresh)
            # Others than root and the application have no business in its code.
            os.chown(fresh, 0, group)
            fresh.chmod(0o750)
            target = self.folder / release
            if target.exists():
                target.replace(temporary / "former")
            fresh.replace(target)
            noted = {**record, "tree": tree_digest(target)}
            ManagedFile(self.folder / f"{release}.json", json.dumps(noted) + "\n", 0o644).write()
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def remove(self, release: str) -> None:
        """Remove one release."""
        (self.folder / f"{release}.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / release, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what an interrupted run left behind."""
        for left in self.folder.glob(".unpack-*"):
            shutil.rmtree(left, ignore_errors=True)
