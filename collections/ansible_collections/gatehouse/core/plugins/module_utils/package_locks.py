"""Who else uses apt or dpkg on a host: cloud-init at a first boot, unattended-upgrades, a colleague."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
# `struct flock` (fcntl(2)): type, whence, start, length, process.
_FLOCK = "hhqqi"
_CLOUD_INIT = Path("/run/cloud-init")


def holder(path: str) -> int:
    """Return the process that holds a lock as apt and dpkg take it; 0 for none."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return 0
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_GETLK, asked))
    finally:
        os.close(handle)
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def busy(cloud_init: Path = _CLOUD_INIT) -> str:
    """Return who uses apt or dpkg, or will; '' for nobody."""
    for path in LOCKS:
        if pid := holder(path):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                command = ""
            return f"{path} is held by process {pid}{f' ({command.strip()[:120]})' if command.strip() else ''}"
    # It installs packages, and changes apt's sources, until it has written this file (cloud-init status).
    if (cloud_init / "enabled").exists() and not (cloud_init / "result.json").exists():
        return "cloud-init has not finished its first boot"
    return ""


def wait_for_packages(timeout: int) -> list[str]:
    """Wait until nobody else uses apt or dpkg; return a problem that names who still does."""
    end = time.monotonic() + timeout
    while said := busy():
        if time.monotonic() >= end:
            return [f"{said}, for {timeout} s now (base_apt_lock_timeout): wait until it ends, and run this again"]
        time.sleep(1)
    return []
