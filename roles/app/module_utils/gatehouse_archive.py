"""Release archives: what goes into one, in which order, and how one is opened without trusting it.

Used on the controller (to write) and on the hosts (to read), therefore plain Python 3.9+ and no dependencies.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

# One fixed time for every member (1980-01-01, the oldest that zip also knows): the archive depends on content alone.
EPOCH = 315532800
# Raised when the way an archive is made changes, so that caches made before are not taken for current.
FORMAT = 2
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,63}")
RELEASE = re.compile(VERSION.pattern.replace("{0,63}", "{0,80}"))


class ArchiveError(Exception):
    """The archive, or what should become one, is not acceptable; the text says which member and why."""


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether `path` (relative, with /) or a folder above it matches: `*.pyc` anywhere, `a/*/b` from the root."""
    parts = path.split("/")
    for pattern in patterns:
        words = pattern.split("/")
        if len(words) == 1:
            if any(fnmatch.fnmatchcase(part, pattern) for part in parts):
                return True
        elif len(words) <= len(parts) and all(map(fnmatch.fnmatchcase, parts, words)):
            return True
    return False


def tree_files(root: Path, exclude: Iterable[str] = ()) -> Iterator[tuple[str, Path]]:
    """Give (relative path, file) of every plain file below `root`, sorted; a link or device is an ArchiveError."""
    exclude = list(exclude)
    found: list[tuple[str, Path]] = []
    for folder, folders, files in os.walk(root):
        base = Path(folder).relative_to(root)
        for name in list(folders):
            relative = (base / name).as_posix()
            if matches(relative, exclude):
                folders.remove(name)
            elif (Path(folder) / name).is_symlink():
                raise ArchiveError(
                    f"{relative} is a link; a release holds plain files only: put the files there, or exclude it"
                )
        for name in files:
            relative, file = (base / name).as_posix(), Path(folder) / name
            if matches(relative, exclude):
                continue
            if file.is_symlink() or not file.is_file():
                raise ArchiveError(
                    f"{relative} is not a plain file; a release holds plain files only: replace or exclude it"
                )
            found.append((relative, file))
    return iter(sorted(found))


def file_sha256(file: Path) -> str:
    """Give the SHA-256 of a file, as hex."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def inputs_digest(files: Iterable[tuple[str, Path]], recipe: dict[str, Any]) -> str:
    """Give the SHA-256 over source files (path, executable bit, content) and over the recipe (any JSON value)."""
    digest = hashlib.sha256()
    digest.update(json.dumps({"format": FORMAT, **recipe}, sort_keys=True).encode())
    for relative, file in files:
        digest.update(f"\0{relative}\0{executable(file)}\0{file_sha256(file)}".encode())
    return digest.hexdigest()


def executable(file: Path) -> bool:
    """Tell whether the owner may execute the file."""
    return bool(file.stat().st_mode & 0o100)


def write_archive(files: Iterable[tuple[str, Path]], target: BinaryIO) -> None:
    """Write `files` (sorted) as tar.gz whose bytes depend on paths, executable bits and contents only.

    No folder members, owner 0:0, mode 0644 or 0755, one time; the gzip header has neither name nor time.
    """
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for relative, file in files:
            member = tarfile.TarInfo(relative)
            member.size = file.stat().st_size
            member.mtime = EPOCH
            member.mode = 0o755 if executable(file) else 0o644
            with file.open("rb") as stream:
                tar.addfile(member, stream)


def check_member(member: tarfile.TarInfo) -> None:
    """Refuse what a release archive never holds: links, devices, absolute paths, `..`, odd bits, control characters."""
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()):
        raise ArchiveError(f"archive member {member.name!r} is neither a file nor a folder")
    if path.is_absolute() or not path.parts or ".." in path.parts or any(ord(char) < 32 for char in member.name):
        raise ArchiveError(f"archive member {member.name!r} would leave the release's folder")
    if member.mode & 0o7000:
        raise ArchiveError(f"archive member {member.name!r} has a set-user, set-group or sticky bit")


def release_time(sha256: str) -> int:
    """Give the time of a release's files: the same on every host, and another for each release.

    Web servers tell versions of a file by its time and size (Last-Modified, ETag), and in archives all times are one.
    """
    return EPOCH + int(sha256[:7], 16)


def unpack(archive: Path, folder: Path, time: int) -> None:
    """Unpack into the new `folder`; every member is checked first, so a refused archive leaves nothing behind.

    Files become root's, 0644 or 0755, with the given time; nothing else of a member's metadata is taken over.
    """
    with tarfile.open(archive, mode="r:gz") as tar:
        members = tar.getmembers()
        for member in members:
            check_member(member)
        folder.mkdir(mode=0o755)
        for member in members:
            target = folder / member.name
            if member.isdir():
                target.mkdir(mode=0o755, parents=True, exist_ok=True)
                continue
            unpack_member(tar, member, target)
            os.utime(target, (time, time))


def unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one checked file, 0644 or 0755; a file that is there already is an error."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    stream = tar.extractfile(member)
    if stream is None:
        raise ArchiveError(f"archive member {member.name!r} has no content")
    # "x": a second member of the same name, or one below a file, is refused and not followed.
    with stream, target.open("xb") as out:
        shutil.copyfileobj(stream, out)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)


def tree_digest(root: Path) -> str:
    """Give the SHA-256 over what `stat` tells of every file and folder: cheap, and an edit by hand shows."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in [".", *sorted(files), *folders]:
            path = Path(folder, name)
            stat = path.lstat()
            size, time = (0, 0) if path.is_dir() else (stat.st_size, stat.st_mtime_ns)
            line = f"{path.relative_to(root)}\0{stat.st_mode}\0{stat.st_uid}\0{stat.st_gid}\0{size}\0{time}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def prune_choice(newest_first: list[str], keep: int, protected: Iterable[str]) -> list[str]:
    """Choose the releases to remove so that `keep` remain; protected ones always remain and count first."""
    kept = {name for name in protected if name}
    removed = []
    for name in newest_first:
        if name in kept:
            continue
        if len(kept) < keep:
            kept.add(name)
        else:
            removed.append(name)
    return removed
