"""What nginx needs of a host beside its configuration: settings of its unit, folders that its workers can read."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

SETTINGS = Path("/etc/systemd/system/nginx.service.d/gatehouse.conf")
# Through it the running nginx says which tree it serves.
SOCKET = Path("/run/nginx-identity.sock")
READERS = "www-data"


class RefusedError(Exception):
    """The tree is not served; the text says why."""


def served_tree() -> str:
    """Return the name of the tree that the running server answers with, or ''."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(SOCKET))
        client.sendall(b"GET / HTTP/1.0\r\nHost: identity\r\nUser-Agent: gatehouse\r\nAccept: */*\r\n\r\n")
        reply = b"".join(iter(lambda: client.recv(4096), b""))
        return reply.rpartition(b"\r\n\r\n")[2].decode(errors="replace")
    return ""


def unit_settings(open_files: int) -> str:
    """Return what the unit adds to Debian's (systemd.exec(5))."""
    return f"""# This file is written by Gatehouse.
[Unit]
# Never give up: a proxy that is down is worse than one that tries again.
StartLimitIntervalSec=0

[Service]
Restart=on-failure
RestartSec=1
LimitNOFILE={open_files}
LimitCORE=0
# A killed nginx leaves its socket, over which the next one would stumble.
ExecStartPre=-/bin/rm -f {SOCKET}

# What nginx never needs. The master stays root: it reads keys, binds low ports, opens logs that the workers own, gives
# folders of caches to them, becomes them, and sends them signals. RESOURCE lets worker_rlimit_nofile be raised.
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID
CapabilityBoundingSet=CAP_SYS_RESOURCE
NoNewPrivileges=true
ProtectSystem=full
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
# Without MemoryDenyWriteExecute, which pcre_jit could not work under.
SystemCallFilter=@system-service
SystemCallFilter=~@keyring
SystemCallErrorNumber=EPERM
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
"""


def unreadable(folders: list[str]) -> list[str]:
    """Return the folders that are not there, or that nginx's workers cannot read."""
    if not folders:
        return []
    argv = [
        "runuser",
        "-u",
        READERS,
        "--",
        "find",
        "-L",
        *folders,
        "-maxdepth",
        "0",
        "-type",
        "d",
        "-readable",
        "-executable",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)  # noqa: S603
    return sorted(set(folders) - set(done.stdout.splitlines()))


def settle_unit(open_files: int, check: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Make the unit's settings so; return ({path: text} before, after), both empty where nothing differs.

    They hold from the next start on, because a restart would drop connections.
    """
    found = SETTINGS.read_text(errors="replace") if SETTINGS.is_file() else None
    text = unit_settings(open_files)
    if found == text:
        return {}, {}
    if not check:
        SETTINGS.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = SETTINGS.with_name(".gatehouse.new")
        fresh.write_text(text)
        fresh.replace(SETTINGS)
    path = str(SETTINGS)
    return ({} if found is None else {path: found}), {path: text}
