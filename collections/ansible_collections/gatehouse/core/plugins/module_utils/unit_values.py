"""Names, versions and paths that become a systemd unit, an account and files of an application's host.

Roles name these filters in their specs (`Format: unit_name.`), so that preflight refuses what a module or systemd
would refuse later, on a host. Sources: systemd.exec(5) (ReadWritePaths), useradd(8) (names of accounts).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils import commands
from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
# An application gets /var/lib/<name>, /run/<name> and an account of its name: these have another owner, or are root.
_TAKEN = {
    "apt", "backup", "bin", "certbot", "containers", "credentials", "cryptsetup", "daemon", "dbus", "dhcp",
    "dpkg", "games", "gatehouse", "initctl", "initramfs", "lock", "log", "logrotate", "mail", "man", "misc",
    "mount", "network", "news", "nftables", "nginx", "nobody", "pam", "polkit-1", "private", "proxy",
    "python", "python3", "root", "shm", "ssh", "sshd", "sudo", "sync", "sys", "systemd", "tmpfiles", "ucf",
    "udev", "user", "utmp", "vim",
}  # fmt: skip
# How the units are called that an application has beside its own, for a while.
_BESIDE = ("-migrate", "-prepare", "-run", "-standby")
_PROCESS = re.compile(r"[a-z][a-z0-9-]{0,30}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Variables by which ld.so(8) and iconv load code, and folders that are root's on every host.
_LOADER = re.compile(r"LD_.*|GCONV_PATH")
_OF_THE_HOST = re.compile(r"/(usr|lib|lib32|lib64|opt)(/|$)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,63}")
_INSIDE = re.compile(r"[0-9A-Za-z._+~@-]+(/[0-9A-Za-z._+~@-]+)*")
# systemd.resource-control(5): MemoryMax and CPUQuota.
_SIZE = re.compile(r"([1-9][0-9]*[KMGT]|[1-9][0-9]?%|100%)?")
_PERCENT = re.compile(r"([1-9][0-9]*%)?")
# The unit has the path as it is: a blank would end it there, and %, quotes and backslashes have a meaning.
_PATH = re.compile(r"/[0-9A-Za-z._+~@:=,/-]*")


def unit_name(value: Any) -> str:
    """Return the name of an application or account: it names a unit, a folder and a Linux user."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InputError(
            f"{json.dumps(value, default=str)} is no name of an application or account",
            "at most 31 lower-case letters, digits or -, beginning with a letter",
        )
    if value in _TAKEN or value.startswith(("gatehouse-", "systemd-")):
        raise InputError(
            f"{json.dumps(value)} is a part of the system, whose folders or account the application would get",
            f"another, such as {value}-app",
        )
    if value.endswith(_BESIDE):
        raise InputError(
            f"{json.dumps(value)} is what a unit of the application {value.rpartition('-')[0]} would be called",
            f"another, such as {value}s",
        )
    return str(value)


def process_name(value: Any) -> str:
    """Return the name of a process or schedule of an application, a part of its units' names."""
    if not isinstance(value, str) or not _PROCESS.fullmatch(value):
        raise InputError(
            f"{json.dumps(value, default=str)} is no name of a process",
            "at most 31 lower-case letters, digits or -, beginning with a letter",
        )
    if value in ("web", "release"):
        raise InputError(
            f"{json.dumps(value)} is the application's own start, or what runs before it",
            "another, such as worker, or the start in the runtime's keys and the migration in migrate_command",
        )
    return str(value)


def command_line(value: Any) -> str:
    """Return a command in one line, which no shell reads."""
    if not isinstance(value, str):
        raise InputError(f"{json.dumps(value, default=str)} is no command", "one line, such as python worker.py")
    try:
        commands.words(value)
    except commands.CommandError as error:
        raise InputError(f"{json.dumps(value)} {error.problem}", error.remedy) from None
    return str(value)


def release_version(value: Any) -> str:
    """Return the version of a release: it names an archive and a folder."""
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        raise InputError(
            f"{json.dumps(value, default=str)} is no version of a release",
            "at most 64 letters, digits or . _ + ~ -, beginning with a letter or digit",
        )
    return str(value)


def unit_path(value: Any) -> str:
    """Return an absolute path that is in a unit as it is."""
    if not isinstance(value, str) or not _PATH.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise InputError(
            f"{json.dumps(value, default=str)} is no path for a unit",
            "it from / on, without . and .., in letters, digits and ._+~@:=,- such as /var/cache/shop",
        )
    return str(value)


def release_path(value: Any) -> str:
    """Return a path inside a release, such as storage/uploads."""
    if not isinstance(value, str) or not _INSIDE.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise InputError(
            f"{json.dumps(value, default=str)} is no path inside a release",
            "it without a / at its ends and without . and .., such as storage/uploads",
        )
    return str(value)


def unit_size(value: Any) -> str:
    """Return an amount of memory as a unit names it; '' for no limit."""
    if not isinstance(value, str) or not _SIZE.fullmatch(value):
        raise InputError(f"{json.dumps(value, default=str)} is no amount of memory for a unit", '512M, 2G, 40% or ""')
    return str(value)


def unit_percent(value: Any) -> str:
    """Return a share of processor time as a unit names it; '' for no limit."""
    if not isinstance(value, str) or not _PERCENT.fullmatch(value):
        raise InputError(f"{json.dumps(value, default=str)} is no share of processor time", '150% or ""')
    return str(value)


def _of_the_host(name: str, content: str) -> bool:
    """Return whether a variable of the loader names only what root installed: paths, or names that it looks up."""
    words = re.split(r"[:;\s]", content)
    bare = name not in ("GCONV_PATH", "LD_LIBRARY_PATH")
    return all(
        (bare and "/" not in word) or (_OF_THE_HOST.match(word) and ".." not in word.split("/")) for word in words
    )


def environment_variable(value: Any) -> dict[str, Any]:
    """Return {name: value} of one environment variable, as its file can hold it: text or an integer.

    What YAML makes a boolean or a decimal number of (`yes`, `1.10`) was written as something else. The value is never
    shown.
    """
    [(name, content)] = value.items()
    if not _VARIABLE.fullmatch(str(name)):
        raise InputError(f"{json.dumps(str(name))} is no name of an environment variable", "letters, digits and _")
    if isinstance(content, bool) or not isinstance(content, (str, int)):
        raise InputError("the value is no text and no integer", "it in quotes, as the program expects it")
    if isinstance(content, str) and _CONTROL.search(content):
        raise InputError("the value has a control character", "it without, beside newlines and tabs")
    if _LOADER.fullmatch(str(name)) and not _of_the_host(str(name), str(content)):
        raise InputError(
            "it has the loader of root's own command in the unit take what the application may have written",
            "libraries of the host, such as libjemalloc.so.2 or /usr/lib/x.so, or set it in a script that starts the "
            "application",
        )
    return dict(value)
