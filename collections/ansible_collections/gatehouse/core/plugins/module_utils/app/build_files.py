"""Files and folders of a build on the controller: whose they are, and how two builds keep out of each other's way."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import ArchiveError

LOCK_WAIT = 1800


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
