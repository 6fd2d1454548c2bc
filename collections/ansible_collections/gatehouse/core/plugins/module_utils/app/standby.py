"""What a second instance of an application has of the first one: texts to texts, and no I/O."""

from __future__ import annotations

import re
from pathlib import Path

MIB = 1 << 20


def standby_environment(text: str, port: int, standby_port: int) -> str:
    """Return the text of an environment file with the standby's port wherever a value is the port, or ends with it.

    `PORT="3000"` and `BIND="127.0.0.1:3000"` both name it.
    """
    return re.sub(rf'^(\w+="(?:[^"\n]*:)?){port}"$', rf'\g<1>{standby_port}"', text, flags=re.MULTILINE)


def standby_unit(text: str, name: str, home: Path, release: Path, ports: tuple[int, int]) -> str:
    """Return the text of the standby's unit, from that of the application's: another port, and a release that stays."""
    port, standby_port = ports
    text = text.replace(f"{home}/current", str(release))
    text = re.sub(rf"^SocketBindAllow=tcp:{port}$", f"SocketBindAllow=tcp:{standby_port}", text, flags=re.MULTILINE)
    description = f"Description=Standby of {name}, while Gatehouse changes it"
    text = re.sub(r"^Description=.*$", description, text, flags=re.MULTILINE)
    # Copies, because those of the application are what is going to be changed.
    for settings in ("env", "secrets.env"):
        text = text.replace(f"/etc/gatehouse/{name}.{settings}", f"/etc/gatehouse/{name}-standby.{settings}")
    return text


def standby_rules(text: str, port: int, standby_port: int) -> str:
    """Return the rules for nft(8) with the standby's port beside the application's, where they do not have it yet."""
    return re.sub(rf"port {port} accept", f"port {{ {port}, {standby_port} }} accept", text)


def lacking_memory(meminfo: str, used: str) -> str:
    """Say why there is not enough memory for a second one; '' if there is, or nothing says.

    `meminfo`: the text of /proc/meminfo; `used`: what the application uses, in bytes, as systemd says it.
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo, re.MULTILINE)
    if not found or not used.isdecimal():
        return ""
    available, wanted = int(found[1]) // 1024, int(used) // MIB
    if wanted < available:
        return ""
    return f"it uses {wanted} MiB and the host has {available} MiB left, so there is no room for a second one"
