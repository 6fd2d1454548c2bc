"""Locks of a host that only root can take: whoever may open a file for reading may lock it, see flock(2)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.text import visible_line

FOLDER = Path("/run/gatehouse")
# As long as what holds a lock may take: a release that is given its time to answer, and then the one before it.
PATIENCE = 600.0
POLL = 0.1


class LockedError(Exception):
    """Another run holds the lock, and went on holding it; the text names it."""


@contextlib.contextmanager
def locked(name: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock `/run/gatehouse/<name>.lock`; LockedError if another run does after `patience` seconds.

    The kernel unlocks when the process ends. The folder is root's alone.
    """
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    found = FOLDER.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise LockedError(f"{FOLDER} must be a folder that root alone may enter: remove it, and run this again")
    path = FOLDER / f"{name}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _take(handle, path, patience)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        else:
            return
        if time.monotonic() >= deadline:
            raise LockedError(
                f"{path} is held by {holder(handle)} for more than {patience:.0f} s, so nothing was changed:"
                " wait for it or end it, and run this again"
            )
        time.sleep(POLL)


def holder(handle: int) -> str:
    """Name the process that holds a lock, by /proc/locks (proc(5))."""
    inode = os.fstat(handle).st_ino
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 1234 00:17:5678 0 EOF
            found = re.match(rf"\d+: FLOCK +ADVISORY +WRITE +(\d+) +[0-9a-f]+:[0-9a-f]+:{inode} ", line)
            if found:
                return f"process {found[1]} ({_command(found[1])})"
    return "another process"


def _command(pid: str) -> str:
    try:
        words = Path("/proc", pid, "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "which has ended"
    text = b" ".join(words).decode(errors="replace").strip()
    return visible_line(text[:120]) or "a kernel thread"
