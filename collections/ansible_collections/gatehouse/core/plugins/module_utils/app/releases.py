"""The releases of one application on this host: unpacked side by side, one of them linked as `current`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import (
    ArchiveError,
    file_sha256,
    release_time,
    tree_digest,
    unpack,
)
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import (
    ManagedFile,
    ServiceError,
    environment_file,
)


@contextlib.contextmanager
def acting_as(account: pwd.struct_passwd) -> Iterator[None]:
    """Do what follows with the rights of an account: what it may not reach, root does not reach for it."""
    if os.geteuid() != 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def cleared(place: Path) -> Path:
    """Return a path at which there is nothing any more, whatever was there; no link is followed."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    return place


def explained(error: Exception, folder: str) -> str:
    """Return what an error says; of a full disk, where it is and what to do."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or folder
        return f"no space is left on this host for {where}: make room (`df -h {folder}`), and run this again"
    return str(error)


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

    def recorded(self, release: str) -> dict[str, Any]:
        """Give what was noted at unpacking; empty if the release is not here or was edited since."""
        try:
            record: dict[str, Any] = json.loads((self.folder / f"{release}.json").read_text())
            return record if record["tree"] == tree_digest(self.folder / release) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def fact(self, release: str, name: str) -> Any:
        """Give one fact that is recorded of a release, None if it is not."""
        try:
            return json.loads((self.folder / f"{release}.json").read_text()).get(name)
        except (OSError, ValueError):
            return None

    def note(self, release: str, **facts: Any) -> None:
        """Add to what is recorded of a release; None takes a fact away."""
        file = self.folder / f"{release}.json"
        record = {**json.loads(file.read_text()), **facts}
        kept = {name: value for name, value in record.items() if value is not None}
        ManagedFile(file, json.dumps(kept) + "\n", 0o644).write()

    def known(self) -> list[str]:
        """List the releases on this host: the good ones, newest first; then those that failed or never served."""
        return [one["release"] for one in self.listed()]

    def listed(self) -> list[dict[str, Any]]:
        """Give [{release, deployed, failed, gate, current}], in the order of `known`.

        `deployed` is when it was last found good, in seconds of the epoch (0: never), `failed` why it was put back,
        `gate` what it was found good by, {} if it never was.
        """
        found = []
        for file in self.folder.glob("*.json"):
            record = self.recorded(file.name[: -len(".json")])
            about = {
                "deployed": float(record.get("deployed", 0)),
                "failed": str(record.get("failed", "")),
                "gate": dict(record.get("gate", {})),
            }
            good = bool(about["deployed"]) and not about["failed"]
            found.append((good, file.stat().st_mtime_ns, file.name[: -len(".json")], about))
        current = self.linked("current")
        return [
            {"release": release, **about, "current": release == current}
            for _, _, release, about in sorted(found, key=lambda one: one[:2], reverse=True)
        ]

    def unpack(self, release: str, archive: Path, record: dict[str, Any], prepare: Callable[[Path], None]) -> None:
        """Check the archive, unpack it beside the others, and give the release its place in one rename.

        `record` has the SHA-256 that the archive must have, and what else to note about the release, as the paths that
        it shares with the others; `prepare` is given the folder of the release before it gets its place.
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
            for path in record.get("shared", []):
                self.share(fresh, path)
            prepare(fresh)
            # Whatever the archive or what prepared it has there: it is the environment of a unit whose first command is
            # root's, and the loader would take a library from it.
            cleared(fresh / "release.env").write_text(environment_file({"APP_RELEASE": release}))
            for path in record.get("shared", []):
                self.own(fresh, path)
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

    def share(self, fresh: Path, path: str) -> None:
        """Link a path of a release that is being unpacked to what all releases share, made if it is not there."""
        self.make_shared(path)
        place = cleared(fresh / path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(self.home / "shared" / path, self.folder / fresh.name / Path(path).parent))

    def make_shared(self, path: str) -> None:
        """Make a folder below `shared`, and those above it, as the application's account, which owns them.

        It may put a link in place of any of them, so root itself makes `shared` only. A link is a ServiceError.
        """
        account = pwd.getpwnam(self.user)
        place = self.home / "shared"
        if not place.exists():
            place.mkdir(mode=0o750)
            os.chown(place, account.pw_uid, account.pw_gid, follow_symlinks=False)
        handle = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            with acting_as(account):
                for name in Path(path).parts:
                    place = place / name
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, mode=0o750, dir_fd=handle)
                    inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                    os.close(handle)
                    handle = inner
        except OSError as error:
            raise ServiceError(
                f"{place} cannot be a folder of {self.user}'s for all releases ({error.strerror}): it is a link, "
                "a file or another account's folder. Look at it, move it away and deploy again"
            ) from error
        finally:
            os.close(handle)

    def own(self, fresh: Path, path: str) -> None:
        """Give the link of a shared path to the account: nginx follows one that belongs to whom it leads to.

        (disable_symlinks if_not_owner.) After the release was prepared, so a link in place of one of its folders may
        lead anywhere, and is not followed.
        """
        account = pwd.getpwnam(self.user)
        *folders, name = Path(path).parts
        handle = os.open(fresh, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for folder in folders:
                inner = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            os.readlink(name, dir_fd=handle)
            os.chown(name, account.pw_uid, account.pw_gid, dir_fd=handle, follow_symlinks=False)
        except OSError as error:
            raise ServiceError(
                f"what prepares {self.name} put something in place of {path}, which is shared"
            ) from error
        finally:
            os.close(handle)

    def shares(self, release: str, paths: list[str]) -> bool:
        """Return whether the links of these paths belong to the account, as those of older versions did not."""
        owner = pwd.getpwnam(self.user).pw_uid
        return all((self.folder / release / path).lstat().st_uid == owner for path in paths)

    def remove(self, release: str) -> None:
        """Remove one release."""
        (self.folder / f"{release}.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / release, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what an interrupted run left behind."""
        for left in self.folder.glob(".unpack-*"):
            shutil.rmtree(left, ignore_errors=True)
