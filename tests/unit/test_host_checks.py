"""What a host is refused for, each with the sentence that says so and with its twin that is let through."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils import debian, host_checks, package_locks, web_servers

DEBIAN = {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"}
UBUNTU = {"ID": "ubuntu", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu 24.04.1 LTS"}
NGINX_SUM = "7f0f6bca6ed4f0bb5dd6b8d4c6f9d1e0"


def text(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return the root of a host that has apt and systemd."""
    text(tmp_path / "usr/bin/apt-get")
    text(tmp_path / "usr/bin/dpkg-query")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (761.0, ""),  # certificates are backdated by more than that
        (1239.0, ""),
        (700.0, "the clock of this host is 300 s behind the controller's, so certificates"),
        (5000.0, "the clock of this host is 4000 s ahead of the controller's, so certificates"),
    ],
)
def test_a_clock_that_is_wrong_is_named(now: float, said: str) -> None:
    found = host_checks.clock_problems(now, 1000.0)
    assert found[0].startswith(said) if said else not found


@pytest.mark.parametrize(
    ("about", "untested", "problem", "warning"),
    [
        (DEBIAN, False, "", ""),
        ({**DEBIAN, "VERSION_ID": "12"}, True, "", ""),
        (UBUNTU, False, "tested on Debian 12 and 13 alone, and not on this host's system, Ubuntu 24.04.1 LTS", ""),
        (UBUNTU, True, "", "Ubuntu 24.04.1 LTS: docs/hosts.md lists what differs"),
        ({**DEBIAN, "VERSION_ID": "11", "PRETTY_NAME": "Debian 11"}, False, "base_untested_os: true", ""),
        ({"ID": "debian"}, False, "this host's system, debian", ""),  # testing has no version
    ],
)
def test_a_system_is_tested_or_tried(
    host: Path, about: dict[str, str], untested: bool, problem: str, warning: str
) -> None:
    problems, warnings = host_checks.system_problems(about, untested, host)
    assert problem in "".join(problems)
    assert bool(problems) is bool(problem)
    assert warning in "".join(warnings)
    assert bool(warnings) is bool(warning)


@pytest.mark.parametrize(
    ("missing", "said"), [("usr/bin/apt-get", "has no apt"), ("run/systemd/system", "systemd does not run this host")]
)
def test_a_system_without_apt_or_systemd_is_never_tried(host: Path, missing: str, said: str) -> None:
    (host / missing).rename(host / "away")
    problems, _ = host_checks.system_problems(DEBIAN, True, host)
    assert said in problems[0]


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Have each folder be as this says: flags, MB left, inodes left; and its mount point be itself."""
    state = {"flags": 0, "left": 9000, "inodes": 9000}

    def statvfs(path: Path) -> SimpleNamespace:
        return SimpleNamespace(
            f_flag=state["flags"], f_bavail=state["left"], f_frsize=1 << 20, f_blocks=10000, f_files=9000,
            f_ffree=state["inodes"],
        )  # fmt: skip

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(host_checks, "_mount", lambda path: path)
    monkeypatch.setattr(host_checks, "_remounts", lambda: state.get("remounts", False))
    return state


@pytest.mark.parametrize(
    ("flags", "remounts", "installs", "applications", "said"),
    [
        (0, False, True, ["shop"], []),
        (os.ST_NOEXEC, False, False, [], []),
        (os.ST_NOEXEC, False, True, [], ["/var/lib/dpkg is mounted noexec"]),
        (os.ST_NOEXEC, True, True, [], []),
        (os.ST_NOEXEC, True, True, ["shop"], ["/srv is mounted noexec, and applications run from /srv"]),
    ],
)
def test_a_folder_that_runs_no_programs_is_named(
    mounted: dict[str, Any], flags: int, remounts: bool, installs: bool, applications: list[str], said: list[str]
) -> None:
    mounted.update(flags=flags, remounts=remounts)
    found = host_checks.noexec_problems(installs, applications)
    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True))


def test_a_mount_of_a_folder_onto_itself_is_one(tmp_path: Path) -> None:
    table = text(tmp_path / "mounts", f"a / ext4 rw 0 0\na {tmp_path}/a\\040b ext4 rw,noexec 0 0\n")
    text(tmp_path / "a b/c/file")
    assert host_checks._mount(tmp_path / "a b/c/not there", table) == tmp_path / "a b"
    assert host_checks._mount(tmp_path, table) == Path("/")


@pytest.mark.parametrize(
    ("left", "inodes", "said"),
    [(9000, 9000, ""), (48, 9000, ""), (47, 9000, "47 MB are left on"), (9000, 0, "no inode is left on")],
)
def test_a_disk_that_is_full_is_named(mounted: dict[str, Any], left: int, inodes: int, said: str) -> None:
    mounted.update(left=left, inodes=inodes)
    found = host_checks.room_problems(["shop"])
    assert [one.split(":")[0] for one in found] == (
        [f"{said} {folder}" for folder in ("/etc", "/run", "/var/lib", "/srv")] if said else []
    )


def test_another_firewall_is_named_unless_it_may_stay(tmp_path: Path) -> None:
    ufw = text(tmp_path / "etc/ufw/ufw.conf", "# of ufw\nENABLED=yes\n")
    assert host_checks.firewall_problems(False, False, tmp_path) == []  # it was removed, and left its settings
    text(tmp_path / "usr/sbin/ufw")
    assert "(`ufw disable`)" in host_checks.firewall_problems(False, False, tmp_path)[0]
    assert host_checks.firewall_problems(True, False, tmp_path) == []
    ufw.write_text("ENABLED=no\n")
    assert host_checks.firewall_problems(False, False, tmp_path) == []
    wanted = tmp_path / "etc/systemd/system/multi-user.target.wants/firewalld.service"
    wanted.parent.mkdir(parents=True)
    wanted.symlink_to("/usr/lib/systemd/system/firewalld.service")
    text(tmp_path / "usr/sbin/firewalld")
    assert "(`systemctl disable --now firewalld`)" in host_checks.firewall_problems(False, False, tmp_path)[0]


def test_containers_that_would_be_cut_off_are_named(tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/docker0/bridge").mkdir(parents=True)
    forward = text(tmp_path / "proc/sys/net/ipv4/ip_forward", "1\n")
    found = host_checks.firewall_problems(False, False, tmp_path)
    assert "behind docker0" in found[0]
    assert "firewall_forwarding: true" in found[0]
    assert host_checks.firewall_problems(False, True, tmp_path) == []
    forward.write_text("0\n")
    assert host_checks.firewall_problems(False, False, tmp_path) == []


def test_a_profile_that_confines_nginx_is_a_warning(tmp_path: Path) -> None:
    profiles = text(
        tmp_path / "sys/kernel/security/apparmor/profiles",
        "/usr/sbin/nginx (enforce)\nnginx (complain)\nman (enforce)\n",
    )
    assert "profile /usr/sbin/nginx:" in "".join(host_checks.confined_warnings(tmp_path))
    assert len(host_checks.confined_warnings(tmp_path)) == 1
    profiles.unlink()
    assert host_checks.confined_warnings(tmp_path) == []


def test_who_holds_a_lock_of_dpkg_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = text(tmp_path / "lock")
    monkeypatch.setattr(package_locks, "LOCKS", (str(lock), str(tmp_path / "not there")))
    monkeypatch.setattr(package_locks, "_CLOUD_INIT", tmp_path)
    assert package_locks.wait_for_packages(0) == []
    hold = (
        f"import fcntl, time; f = open({str(lock)!r}, 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); "
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        assert package_locks.holder(str(lock)) == other.pid
        found = package_locks.wait_for_packages(0)
        assert f"{lock} is held by process {other.pid} ({sys.executable} -c import fcntl" in found[0]
        other.kill()
    assert package_locks.wait_for_packages(0) == []


def test_a_lock_of_our_own_process_is_no_others(tmp_path: Path) -> None:
    with text(tmp_path / "lock").open("r+") as mine:
        fcntl.lockf(mine, fcntl.LOCK_EX)
        assert package_locks.holder(mine.name) == 0


def test_a_first_boot_that_is_not_over_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_locks, "LOCKS", ())
    text(tmp_path / "enabled")
    assert package_locks.busy(tmp_path) == "cloud-init has not finished its first boot"
    seen = iter(["dpkg", "dpkg", ""])
    pauses: list[float] = []
    monkeypatch.setattr(package_locks, "busy", lambda: next(seen))
    monkeypatch.setattr(time, "sleep", pauses.append)
    assert package_locks.wait_for_packages(600) == []
    assert pauses == [1, 1]
    text(tmp_path / "result.json")
    monkeypatch.undo()
    monkeypatch.setattr(package_locks, "LOCKS", ())
    assert package_locks.busy(tmp_path) == ""


def test_what_a_package_ships_is_read_from_dpkg(monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"\n /etc/nginx/nginx.conf {NGINX_SUM}\n /etc/nginx/old 11 obsolete\n"
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 0, said, ""))
    assert debian.shipped("nginx-common") == {NGINX_SUM, "11"}


def test_versions_are_what_is_installed_or_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    said = """nginx:
  Installed: 1.24.0-2ubuntu7
  Candidate: 1.24.0-2ubuntu7.5
  Version table:
     1.24.0-2ubuntu7.5 500
njs:
  Installed: (none)
  Candidate: 1:0.8.2+really-1
gone:
  Installed: (none)
  Candidate: (none)
"""
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 0, said, ""))
    packages = {"nginx": "nginx", "scripts": "njs", "x": "gone", "y": "never heard of"}
    assert debian.versions(packages) == {"nginx": "1.24.0", "scripts": "0.8.2"}


def test_sites_of_the_hosts_own_are_named_unless_their_place_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_servers, "NGINX", tmp_path)
    conf = text(tmp_path / "nginx.conf", "as shipped")
    default = text(tmp_path / "sites-available/default", "the default")
    sums = {web_servers._sum(conf), web_servers._sum(default)}
    monkeypatch.setattr(web_servers, "shipped", lambda package: sums)
    (tmp_path / "sites-enabled").mkdir()
    (tmp_path / "sites-enabled/default").symlink_to(default)
    assert web_servers.own_sites(tmp_path) == []
    text(tmp_path / "sites-available/shop", "server {}")
    (tmp_path / "sites-enabled/shop").symlink_to("../sites-available/shop")
    text(tmp_path / "conf.d/more.conf", "upstream x {}")
    conf.write_text("changed by hand")
    names = ["nginx.conf", "sites-enabled/shop", "conf.d/more.conf"]
    assert web_servers.own_sites(tmp_path) == [str(tmp_path / name) for name in names]
    monkeypatch.setattr(web_servers, "own_sites", lambda: ["/etc/nginx/conf.d/more.conf"])
    assert "(/etc/nginx/conf.d/more.conf)" in web_servers.nginx_problems(False)[0]
    assert web_servers.nginx_problems(True) == []


def test_gatehouses_own_nginx_is_no_stranger(tmp_path: Path) -> None:
    text(tmp_path / "conf.d/more.conf")
    (tmp_path / "nginx.conf").symlink_to("active/nginx.conf")
    assert web_servers.own_sites(tmp_path) == []


SLICE = "ino:1 sk:1 cgroup:/libpod_parent/libpod-bd7f/system.slice"
SOCKETS = f"""LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("apache2",pid=41,fd=6)) {SLICE}/apache2.service <->
LISTEN 0 511 [::]:80 [::]:* users:(("apache2",pid=41,fd=7)) {SLICE}/apache2.service v6only:1 <->
LISTEN 0 128 127.0.0.1:5000 0.0.0.0:* uid:999 {SLICE}/storefront.service <->
LISTEN 0 128 127.0.0.1:5001 0.0.0.0:* uid:999 {SLICE}/storefront.worker@2.service <->
LISTEN 0 128 *:443 *:* users:(("docker-proxy",pid=60,fd=4)) ino:1 sk:1 cgroup:/system.slice/docker.service <->
LISTEN 0 128 *:22 *:* users:(("sshd",pid=7,fd=3)) {SLICE}/ssh.service <->
LISTEN 0 128 *:3000 *:* ino:1 sk:1 cgroup:/user.slice/user-1000.slice/session-3.scope <->
"""


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have a host with these sockets; return its folder of units."""
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 0, SOCKETS, ""))
    for name in ("storefront.service", "storefront.worker@.service"):
        text(tmp_path / name, "Description=storefront, deployed by Gatehouse\n")
    return tmp_path


def test_who_has_a_port_is_named(sockets: Path) -> None:
    assert web_servers.port_problems([80, 5000], False, sockets) == [
        "port 80 is needed by Gatehouse and taken by apache2 (apache2.service, process 41) on this host: stop it "
        "(`systemctl disable --now apache2.service`), or write nginx_take_over: true, which does so when nginx starts "
        "in its place"
    ]
    assert web_servers.port_problems([80, 5000, 5001], True, sockets) == []
    found = web_servers.port_problems([443, 3000], True, sockets)
    assert [one.partition(":")[0] for one in found] == [
        "port 443 is needed by Gatehouse and taken by docker-proxy (docker.service, process 60) on this host",
        "port 3000 is needed by Gatehouse and taken by another program on this host",
    ]
    (sockets / "storefront.service").unlink()
    assert "another program (storefront.service)" in web_servers.port_problems([5000], True, sockets)[0]


def test_only_who_has_a_port_of_the_tree_is_stopped(sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(argv)
        return subprocess.CompletedProcess(argv, 0, SOCKETS, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert web_servers.displace(["server {\n    listen 8080;\n    listen unix:/run/80;\n}"]) == []
    assert web_servers.displace(["server {\n    listen [::]:443 ssl;\n    listen 80 default_server;\n}"]) == [
        "apache2.service"
    ]
    web_servers.restore(["apache2.service"])
    assert [argv[1:] for argv in calls if argv[0] == "systemctl"] == [
        ["disable", "--now", "apache2.service"],
        ["enable", "--now", "apache2.service"],
    ]
