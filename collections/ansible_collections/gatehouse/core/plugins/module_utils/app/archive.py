"""Release archives: what goes into one, in which order, and how one is opened without trusting it.

Used on the controller (to write) and on the hosts (to read), therefore plain Python 3.9+ and no dependencies.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import json
import os
import posixpath
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

# One fixed time for every member (1980-01-01, the oldest that zip also knows): the archive depends on content alone.
EPOCH = 315532800
# Raised when the way an archive is made changes, so that caches made before are not taken for current.
FORMAT = 3
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,63}")
RELEASE = re.compile(VERSION.pattern.replace("{0,63}", "{0,80}"))


class ArchiveError(Exception):
    """The archive, or what should become one, is not acceptable; the text says which member and why."""


def matching(path: str, patterns: Iterable[str]) -> str:
    """Give the first pattern that matches `path` (relative, with /) or a folder above it, '' if none does.

    `*.pyc` and `**/build/obj` match in any folder, `/dist` and `a/*/b` from the root.
    """
    parts = path.split("/")
    for pattern in patterns:
        words = pattern.lstrip("/").split("/")
        if words[0] == "**":
            words, starts = words[1:], range(len(parts))
        elif len(words) == 1 and not pattern.startswith("/"):
            starts = range(len(parts))
        else:
            starts = range(1)
        for start in starts:
            rest = parts[start : start + len(words)]
            if len(rest) == len(words) and all(map(fnmatch.fnmatchcase, rest, words)):
                return pattern
    return ""


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches `path` or a folder above it, see `matching`."""
    return bool(matching(path, patterns))


def leads_to(folder: str, patterns: Iterable[str]) -> bool:
    """Return whether something below `folder` may match one of the patterns, each of them from the root."""
    parts = folder.split("/")
    return any(
        pattern.startswith("**/") or all(map(fnmatch.fnmatchcase, parts, pattern.lstrip("/").split("/")))
        for pattern in patterns
    )


def inner_target(relative: str, target: str, roots: Iterable[str] = ()) -> str:
    """Give the target of the link at `relative`, relative and plain, or '' if it leaves the tree.

    An absolute target below one of `roots`, by which names the tree was known, is inside.
    """
    folder = posixpath.dirname(relative)
    if target.startswith("/"):
        root = next((root for root in roots if target == root or target.startswith(f"{root}/")), None)
        if root is None:
            return ""
        target = posixpath.relpath(target, posixpath.join(root, folder))
    target = posixpath.normpath(target)
    up = target.split("/").count("..")
    return target if up <= len(PurePosixPath(folder).parts) else ""


def tree_files(
    root: Path,
    exclude: Iterable[str] = (),
    include: Iterable[str] = (),
    left_out: dict[str, list[str]] | None = None,
    roots: Iterable[str] = (),
) -> Iterator[tuple[str, Path]]:
    """Give (relative path, file) of every plain file and inner link below `root`, sorted.

    What `exclude` matches and `include` does not is noted in `left_out`, pattern to paths, a folder as one. A link that
    leaves the tree (`roots`: its other names) and a device are an ArchiveError.
    """
    exclude, include, names = list(exclude), list(include), (str(root), *roots)
    found: list[tuple[str, Path]] = []
    for folder, folders, files in os.walk(root):
        base = Path(folder).relative_to(root)
        for name in sorted([*folders, *files]):
            relative, file = (base / name).as_posix(), Path(folder) / name
            plain_folder = file.is_dir() and not file.is_symlink()
            pattern = matching(relative, exclude)
            if pattern and not matches(relative, include):
                if plain_folder and leads_to(relative, include):
                    continue
                if plain_folder:
                    folders.remove(name)
                if left_out is not None:
                    left_out.setdefault(pattern, []).append(relative)
            elif file.is_symlink():
                if not inner_target(relative, str(file.readlink()), names):
                    raise ArchiveError(
                        f"{relative} is a link to {file.readlink()}, which is outside of the source: put the files "
                        "there, or name the link in app_exclude"
                    )
                found.append((relative, file))
            elif not plain_folder:
                if not file.is_file():
                    raise ArchiveError(f"{relative} is neither a file nor a link; remove it, or name it in app_exclude")
                found.append((relative, file))
    return iter(sorted(found))


def left_out_lines(left_out: Mapping[str, list[str]], shown: int = 5) -> list[str]:
    """Give a line for each pattern with the first paths that it left out."""
    lines = []
    for pattern, paths in sorted(left_out.items()):
        more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
        lines.append(f"{', '.join(sorted(paths)[:shown])}{more} ({pattern})")
    return lines


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
        if file.is_symlink():
            digest.update(f"\0{relative}\0link\0{file.readlink()}".encode())
        else:
            digest.update(f"\0{relative}\0{executable(file)}\0{file_sha256(file)}".encode())
    return digest.hexdigest()


def executable(file: Path) -> bool:
    """Return whether the owner may execute the file."""
    return bool(file.stat().st_mode & 0o100)


def write_archive(files: Iterable[tuple[str, Path]], target: BinaryIO, roots: Iterable[str] = ()) -> None:
    """Write `files` (sorted) as tar.gz whose bytes depend on paths, executable bits and contents only.

    No folder members, owner 0:0, mode 0644 or 0755, one time; the gzip header has neither name nor time. A link becomes
    one with a relative target; `roots` are names of the tree that an absolute one may begin with.
    """
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for relative, file in files:
            member = tarfile.TarInfo(relative)
            member.mtime = EPOCH
            if file.is_symlink():
                member.type, member.mode = tarfile.SYMTYPE, 0o777
                member.linkname = inner_target(relative, str(file.readlink()), roots)
                tar.addfile(member)
                continue
            member.size = file.stat().st_size
            member.mode = 0o755 if executable(file) else 0o644
            with file.open("rb") as stream:
                tar.addfile(member, stream)


def check_members(members: Iterable[tuple[str, tarfile.TarInfo]]) -> None:
    """Refuse what a release archive never holds; `members`: (path in the release, member).

    That is devices, absolute paths, `..`, odd bits, control characters, links that leave the release, and anything at a
    path that leads through a link, so that what is written never follows one.
    """
    members = [(PurePosixPath(name).as_posix(), member) for name, member in members]
    links = {name for name, member in members if member.issym()}
    for name, member in members:
        check_member(name, member)
        above = {parent.as_posix() for parent in PurePosixPath(name).parents}
        if links & (above if member.issym() else above | {name}):
            raise ArchiveError(f"archive member {name!r} is written through a link")


def check_member(name: str, member: tarfile.TarInfo) -> None:
    """Refuse one member for what it is, see `check_members`."""
    path = PurePosixPath(name)
    if not (member.isreg() or member.isdir() or member.issym()):
        raise ArchiveError(f"archive member {name!r} is neither a file nor a folder nor a link")
    if path.is_absolute() or not path.parts or ".." in path.parts or any(ord(char) < 32 for char in name):
        raise ArchiveError(f"archive member {name!r} would leave the release's folder")
    if member.issym() and inner_target(name, member.linkname) != member.linkname.rstrip("/"):
        raise ArchiveError(
            f"archive member {name!r} is a link to {member.linkname!r}, which leaves the release's folder"
        )
    if not member.issym() and member.mode & 0o7000:
        raise ArchiveError(f"archive member {name!r} has a set-user, set-group or sticky bit")


def release_time(sha256: str) -> int:
    """Give the time of a release's files: the same on every host, and another for each release.

    Web servers know versions of a file by time and size (Last-Modified, ETag), and in archives all times are one.
    """
    return EPOCH + int(sha256[:7], 16)


def unpack(archive: Path, folder: Path, time: int) -> None:
    """Unpack into the new `folder`; every member is checked first, so a refused archive leaves nothing behind.

    Files become root's, 0644 or 0755, with the given time; nothing else of a member's metadata is taken over.
    """
    with tarfile.open(archive, mode="r:gz") as tar:
        members = tar.getmembers()
        check_members((member.name, member) for member in members)
        folder.mkdir(mode=0o755)
        for member in members:
            target = folder / member.name
            if member.isdir():
                target.mkdir(mode=0o755, parents=True, exist_ok=True)
                continue
            unpack_member(tar, member, target)
            os.utime(target, (time, time), follow_symlinks=False)


def unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one checked file, 0644 or 0755, or link; a file that is there already is an error."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
        return
    stream = tar.extractfile(member)
    if stream is None:
        raise ArchiveError(f"archive member {member.name!r} has no content")
    # "x": a second member of the same name, or one below a file, is refused and not followed.
    with stream, target.open("xb") as out:
        shutil.copyfileobj(stream, out)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)


def tree_digest(root: Path) -> str:
    """Give the SHA-256 over what `stat` says of every file and folder: cheap, and an edit by hand shows."""
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
