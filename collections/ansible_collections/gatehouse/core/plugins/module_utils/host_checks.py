"""What a host has that Gatehouse cannot work with, found before anything is changed on it.

Each function returns sentences with what is wrong, where, and what to do. `root` is the host's root folder.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.package_locks import wait_for_packages
from ansible_collections.gatehouse.core.plugins.module_utils.web_servers import nginx_problems, port_problems

ROOT = Path("/")
TESTED = ("12", "13")
DOCUMENTED = "docs/hosts.md"
# How far a host's clock may be off, in seconds: certificates are valid from five minutes before they are made.
CLOCK = 240
# What a run may write at least, in bytes: releases and packages are larger, and what they lack they say themselves.
ROOM = 48 << 20


def clock_problems(now: float, controller: float) -> list[str]:
    """Compare the host's clock with the controller's; both in seconds of the epoch."""
    off = round(now - controller)
    if not controller or abs(off) <= CLOCK:
        return []
    way = "ahead of" if off > 0 else "behind"
    return [
        f"the clock of this host is {abs(off)} s {way} the controller's, so certificates would not be valid at both; "
        "set the wrong one right (`timedatectl` shows whether one is synchronised; Debian's package systemd-timesyncd "
        "keeps it so)"
    ]


def is_untested(about: dict[str, str]) -> bool:
    """Return whether a system, by its os-release(5), is one that Gatehouse is not tested on."""
    return about.get("ID") != "debian" or about.get("VERSION_ID", "").partition(".")[0] not in TESTED


def system_problems(about: dict[str, str], untested: bool, root: Path = ROOT) -> tuple[list[str], list[str]]:
    """Return (problems, warnings) of the system, by what it has; `about` is its os-release(5)."""
    name = about.get("PRETTY_NAME") or about.get("ID") or "of an unknown name"
    if not all((root / path).exists() for path in ("usr/bin/apt-get", "usr/bin/dpkg-query")):
        return [
            f"the system of this host, {name}, has no apt, and Gatehouse installs Debian's packages: use Debian"
        ], []
    if not (root / "run/systemd/system").is_dir():
        return [f"systemd does not run this host ({name}), and every service is a unit of it: boot it with systemd"], []
    if not is_untested(about):
        return [], []
    said = f"Gatehouse is tested on Debian {' and '.join(TESTED)} alone, and not on this host's system, {name}"
    if untested:
        return [], [f"{said}: {DOCUMENTED} lists what differs"]
    return [f"{said}: reinstall it, or try it all the same with base_untested_os: true ({DOCUMENTED})"], []


def _mount(path: Path, table: Path = Path("/proc/self/mounts")) -> Path:
    """Return where the file system of a path is mounted (proc(5)); of one that is not there, of the folder above it.

    A mount of a folder onto itself has the same device as before, so `os.path.ismount` does not see it.
    """
    while not path.exists():
        path = path.parent
    mounts = {line.split()[1].replace("\\040", " ") for line in table.read_text(errors="replace").splitlines()}
    real = path.resolve()
    return next((one for one in (real, *real.parents) if str(one) in mounts), ROOT)


def _remounts() -> bool:
    """Return whether apt is set up to make its folders executable while it works (apt.conf(5), DPkg::Pre-Invoke)."""
    argv = ["/usr/bin/apt-config", "dump", "DPkg::Pre-Invoke"]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)  # noqa: S603
    return "remount" in done.stdout


def noexec_problems(installs: bool, applications: Iterable[str]) -> list[str]:
    """Refuse file systems that run no programs, where dpkg's scripts and the releases of applications are."""
    found = []
    dpkg, releases = Path("/var/lib/dpkg"), Path("/srv")
    if installs and os.statvfs(dpkg).f_flag & os.ST_NOEXEC and not _remounts():
        found.append(
            f"{_mount(dpkg)} is mounted noexec, and dpkg runs the scripts of packages in {dpkg}: have apt remount it "
            f'(`DPkg::Pre-Invoke {{"mount -o remount,exec {_mount(dpkg)}";}};` and, with noexec, DPkg::Post-Invoke, '
            "in a file of /etc/apt/apt.conf.d), or mount it without noexec"
        )
    where = _mount(releases)
    if list(applications) and os.statvfs(where).f_flag & os.ST_NOEXEC:
        found.append(f"{where} is mounted noexec, and applications run from {releases}: mount it without noexec")
    return found


def room_problems(applications: Iterable[str]) -> list[str]:
    """Refuse file systems that are as good as full."""
    folders: dict[Path, list[str]] = {}
    for name in ("/etc", "/run", "/var/lib", *(["/srv"] if list(applications) else [])):
        folders.setdefault(_mount(Path(name)), []).append(name)
    found = []
    for mount, names in folders.items():
        state = os.statvfs(mount)
        left, room = state.f_bavail * state.f_frsize, min(ROOM, state.f_blocks * state.f_frsize // 4)
        if left < room or (state.f_files and not state.f_ffree):
            what = f"{left >> 20} MB are" if left < room else "no inode is"
            which = "" if names == [str(mount)] else f" ({', '.join(names)})"
            found.append(f"{what} left on {mount}{which}: make room (`du -xh {mount} | sort -h | tail` shows where)")
    return found


def firewall_problems(beside: bool, forwarding: bool, root: Path = ROOT) -> list[str]:
    """Refuse a firewall that filters what ours lets in, and guests or containers that ours would cut off."""
    found = []
    ufw = root / "etc/ufw/ufw.conf"
    others = ["ufw"] if (root / "usr/sbin/ufw").exists() and ufw.is_file() and _enabled(ufw) else []
    wanted = root / "etc/systemd/system/multi-user.target.wants/firewalld.service"
    others += ["firewalld"] if wanted.is_symlink() and (root / "usr/sbin/firewalld").exists() else []
    for other in others if not beside else []:
        remedy = "ufw disable" if other == "ufw" else "systemctl disable --now firewalld"
        found.append(
            f"{other} filters what comes in, beside Gatehouse's firewall, and a packet has to pass both: turn it off "
            f"(`{remedy}`), or have it let the same in and write base_firewall_beside: true"
        )
    forward = root / "proc/sys/net/ipv4/ip_forward"
    bridges = sorted(path.parent.name for path in root.glob("sys/class/net/*/bridge"))
    if bridges and not forwarding and forward.is_file() and forward.read_text().strip() == "1":
        found.append(
            f"containers or guests are behind {', '.join(bridges)}, and Gatehouse's firewall drops all that a host "
            "forwards: move them to another host, or write firewall_forwarding: true, which leaves what is forwarded, "
            "the ports that Docker publishes included, to the rules of the host's own"
        )
    return found


def _enabled(ufw: Path) -> bool:
    return any(line.strip().lower() == "enabled=yes" for line in ufw.read_text(errors="replace").splitlines())


def confined_warnings(root: Path = ROOT) -> list[str]:
    """Warn of an AppArmor profile that confines nginx."""
    profiles = root / "sys/kernel/security/apparmor/profiles"
    try:
        lines = profiles.read_text(errors="replace").splitlines()
    except OSError:
        return []
    names = sorted(name for name, _, mode in (line.partition(" (") for line in lines) if mode == "enforce)")
    return [
        f"AppArmor confines nginx here by the profile {name}: it has to allow /etc/nginx/trees, /etc/ssl/gatehouse, "
        "/run/nginx-identity.sock and the folders of sites"
        for name in names
        if name == "nginx" or name.endswith("/nginx")
    ]


def check(
    wants: dict[str, Any], missing: list[str], applications: list[str], wait: bool
) -> tuple[list[str], list[str]]:
    """Return (problems, warnings) of this host.

    `wants`: {clock, ports, take_over, untested_os, firewall_beside, forwarding, lock_timeout}; `missing`: packages that
    are to be installed; `applications`: those that belong here; `wait`: whether other users of dpkg are waited for.
    """
    problems, warnings = system_problems(platform.freedesktop_os_release(), wants["untested_os"])
    if problems:
        return problems, warnings
    problems += clock_problems(time.time(), wants["clock"])
    problems += noexec_problems(bool(missing), applications)
    problems += room_problems(applications)
    if wants["ports"]:
        problems += nginx_problems(wants["take_over"])
        problems += port_problems(wants["ports"], wants["take_over"])
    problems += firewall_problems(wants["firewall_beside"], wants["forwarding"])
    if missing and wait and not problems:
        problems += wait_for_packages(wants["lock_timeout"])
    return problems, warnings + confined_warnings()
