"""The account that an application runs as: what it should be, and whether it is."""

from __future__ import annotations

import grp
import pwd
from pathlib import Path

# Nobody logs in as it, and it has no home (shadow(5): `!` matches no password).
HOME, SHELL, PASSWORD = "/nonexistent", "/usr/sbin/nologin", "!"
SHADOW = Path("/etc/shadow")


def is_right(user: str) -> bool:
    """Return whether an account is there as it should be."""
    try:
        found = pwd.getpwnam(user)
        grp.getgrnam(user)
    except KeyError:
        return False
    lines = (line.split(":") for line in SHADOW.read_text().splitlines())
    password = next((fields[1] for fields in lines if fields[0] == user), "")
    return (found.pw_dir, found.pw_shell, password) == (HOME, SHELL, PASSWORD)


def is_member(user: str, group: str) -> bool:
    """Return whether an account is in a group; a release is its group's to read, and so is the application's socket."""
    try:
        return user in grp.getgrnam(group).gr_mem
    except KeyError:
        return False
