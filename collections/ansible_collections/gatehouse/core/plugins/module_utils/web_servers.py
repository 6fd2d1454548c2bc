"""Web servers that a host had before Gatehouse came: nginx with sites of its own, and who listens on our ports."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ansible_collections.gatehouse.core.plugins.module_utils.debian import shipped

NGINX = Path("/etc/nginx")
UNITS = Path("/etc/systemd/system")
# Whose place nginx takes if asked: their configuration stays as it is, and they are stopped and disabled.
REPLACED = ("apache2.service",)
_LISTEN = re.compile(r"^\s*listen\s+(?:\S*:)?(\d+)(?=[\s;])", re.MULTILINE)
_UNIT = re.compile(r" cgroup:\S*/([^/\s]+\.service)(?: |$)")
_USERS = re.compile(r'users:\(\("([^"]*)",pid=(\d+)')


def is_ours(nginx: Path = NGINX) -> bool:
    """Return whether nginx's configuration is Gatehouse's."""
    conf = nginx / "nginx.conf"
    return conf.is_symlink() and str(conf.readlink()) == "active/nginx.conf"


def own_sites(nginx: Path = NGINX) -> list[str]:
    """Return the files of nginx's configuration that are neither Gatehouse's nor as Debian ships them."""
    if is_ours(nginx):
        return []
    files = [nginx / "nginx.conf", *sorted(nginx.glob("sites-enabled/*")), *sorted(nginx.glob("conf.d/*.conf"))]
    sums = shipped("nginx-common")
    return [str(path) for path in files if path.is_file() and _sum(path) not in sums]


def _sum(path: Path) -> str:
    # dpkg records the shipped files' MD5 (deb-conffiles(5)): it is compared, not trusted.
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def nginx_problems(take_over: bool) -> list[str]:
    """Refuse to take the place of an nginx that serves something else."""
    files = [] if take_over else own_sites()
    if not files:
        return []
    return [
        f"nginx has a configuration of its own on this host ({', '.join(files)}), whose place Gatehouse's would take: "
        "move its sites to proxy_sites or to another host and remove these files, or write nginx_take_over: true; "
        f"they stay on the disk then, {NGINX}/nginx.conf as nginx.conf.before-gatehouse"
    ]


class Listener(NamedTuple):
    """Who listens on a port; the process is 0 where root may not see it, as in containers."""

    program: str
    process: int
    unit: str


def listeners(ports: Iterable[int]) -> dict[int, Listener]:
    """Return {port: who listens on it}, whatever the address; see ss(8)."""
    argv = ["ss", "-Htlnpe"]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)  # noqa: S603
    found: dict[int, Listener] = {}
    wanted = set(ports)
    for line in done.stdout.splitlines():
        words = line.split()
        port = words[3].rpartition(":")[2] if len(words) > 3 else ""
        if port.isdecimal() and int(port) in wanted:
            users, unit = _USERS.search(line), _UNIT.search(line)
            program, process = (users[1], int(users[2])) if users else ("another program", 0)
            found.setdefault(int(port), Listener(program, process, unit[1] if unit else ""))
    return found


def port_problems(ports: Iterable[int], take_over: bool, units: Path = UNITS) -> list[str]:
    """Refuse ports of ours on which somebody else listens."""
    held: dict[str, list[int]] = {}
    for port, (program, process, unit) in sorted(listeners(ports).items()):
        file = units / re.sub(r"@.*\.service$", "@.service", unit)
        ours = unit == "nginx.service" or (unit and file.is_file() and "Gatehouse" in file.read_text(errors="replace"))
        if not (ours or program == "nginx" or (take_over and unit in REPLACED)):
            where = ", ".join(filter(None, [unit, f"process {process}" if process else ""]))
            held.setdefault(f"{program} ({where})" if where else program, []).append(port)
    found = []
    for who, taken in held.items():
        asked = [unit for unit in REPLACED if unit in who]
        remedy = f"stop it (`systemctl disable --now {asked[0]}`)" if asked else "stop it, or have it listen elsewhere"
        also = ", or write nginx_take_over: true, which does so when nginx starts in its place" if asked else ""
        what = f"port {taken[0]} is" if len(taken) == 1 else f"ports {', '.join(map(str, taken))} are"
        found.append(f"{what} needed by Gatehouse and taken by {who} on this host: {remedy}{also}")
    return found


def displace(texts: Iterable[str]) -> list[str]:
    """Stop and disable the web servers that have a port of this nginx configuration; return their units."""
    ports = {int(port) for text in texts for port in _LISTEN.findall(text)}
    units = {one.unit for one in listeners(ports).values()}
    found = sorted(units.intersection(REPLACED))
    for unit in found:
        subprocess.run(["systemctl", "disable", "--now", unit], check=False, capture_output=True, timeout=90)  # noqa: S603, S607
    return found


def restore(units: Iterable[str]) -> None:
    """Start again what `displace` stopped, because nginx does not serve."""
    for unit in units:
        subprocess.run(["systemctl", "enable", "--now", unit], check=False, capture_output=True, timeout=90)  # noqa: S603, S607
