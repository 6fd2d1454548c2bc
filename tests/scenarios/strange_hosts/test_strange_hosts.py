"""What works on hosts as they are found, and what is refused by name before anything is changed on one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from estate import Ask, Estate

# Everything at once: who may not be there, what is full, what runs no programs, who else serves and filters.
WRONG = r"""
mkdir -p /etc/ufw
dpkg --remove --force-depends logrotate
systemctl stop nginx.service
systemd-run --quiet --unit=stranger python3 -m http.server 443
printf 'ENABLED=yes\n' > /etc/ufw/ufw.conf
ln -s /bin/true /usr/sbin/ufw
ip link add docker0 type bridge
echo 1 > /run/one
mount --bind /run/one /proc/sys/net/ipv4/ip_forward
mount -t tmpfs -o size=20m,noexec tmpfs /srv
head -c 19M /dev/zero > /srv/fill
mount --bind /var /var
mount -o remount,bind,noexec /var
echo 'server { listen 8080; }' > /etc/nginx/conf.d/old.conf
mv /etc/nginx/nginx.conf /etc/nginx/nginx.conf.kept
echo 'events {}' > /etc/nginx/nginx.conf
cd /usr/lib/python3/dist-packages
printf 'import time\n_time = time.time\ntime.time = lambda: _time() + 3600\n' > fast_clock.py
echo import fast_clock > fast_clock.pth
touch /run/before
"""
RIGHT = """
rm -f /etc/ufw/ufw.conf /usr/sbin/ufw /etc/nginx/conf.d/old.conf /usr/lib/python3/dist-packages/fast_clock.*
systemctl stop stranger.service
ip link delete docker0
umount /proc/sys/net/ipv4/ip_forward
umount /srv
umount --lazy /var
mv /etc/nginx/nginx.conf.kept /etc/nginx/nginx.conf
systemctl start nginx.service
"""
STATE = (
    "find /etc /srv /usr/sbin -newer /run/before -not -type d; nft list table inet gatehouse; "
    "dpkg-query -W -f '${Status} ${Package}\\n'"
)
HOLD = (
    "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)"
)


def base(estate: Estate, folder: Path, host: str, **variables: object) -> str:
    """Run the role that looks at a host first; return what it said, in one line."""
    play = {"hosts": host, "become": True, "gather_facts": False, "roles": ["base"]}
    (folder / "play.yml").write_text(json.dumps([play]))
    run = estate.play(str(folder / "play.yml"), "-e", json.dumps(variables))
    return " ".join((run.stdout + run.stderr).split())


@pytest.mark.parametrize("site", ["storefront", "dashboard"])
def test_strange_hosts_serve(ask: Ask, site: str) -> None:
    assert ask(f"https://{site}.lab.test/healthz").status == 200


def test_an_apache_gives_way_and_keeps_its_files(estate: Estate) -> None:
    host = estate.inside("proxy1")
    assert host.run("systemctl is-active apache2.service").stdout.strip() == "inactive"
    assert host.run("systemctl is-enabled apache2.service").stdout.strip() == "disabled"
    assert host.file("/var/www/html/index.html").content_string == "the old page\n"


def test_the_configuration_of_an_nginx_is_kept(estate: Estate) -> None:
    host = estate.inside("dashboard1")
    assert "sites-enabled" in host.file("/etc/nginx/nginx.conf.before-gatehouse").content_string
    assert "the old site" in host.file("/etc/nginx/sites-enabled/old").content_string
    assert host.run("curl -s --max-time 3 http://127.0.0.1/").rc != 0


def test_other_accounts_read_what_is_theirs_whatever_the_umask(estate: Estate) -> None:
    host = estate.inside("proxy1")
    assert host.file("/var/lib/gatehouse").mode == 0o755
    unreadable = "runuser -u storefront -- find /srv/storefront/current/ ! -readable"
    assert host.check_output(unreadable) == ""


def test_ssh_comes_in_at_its_own_port_from_the_bastion(estate: Estate) -> None:
    rules = estate.inside("dashboard1").check_output("nft list table inet gatehouse")
    assert "ip saddr { 10.47.0.1, 10.47.0.11 } tcp dport 2222 accept" in rules
    assert "dport 22 " not in rules


@pytest.mark.parametrize(
    ("host", "wrong", "said"),
    [
        ("proxy1", {"ansible_become_password": ""}, "proxy1: run it with -K, or write ansible_become_password for it"),
        ("dashboard1", {"ansible_pipelining": True}, "dashboard1: write ansible_pipelining: false for it"),
    ],
)
def test_what_sudo_wants_is_said(
    estate: Estate, tmp_path: Path, host: str, wrong: dict[str, object], said: str
) -> None:
    assert said in base(estate, tmp_path, host, **wrong)


@pytest.fixture
def wrong(estate: Estate) -> Iterator[None]:
    """Have dashboard1 be all that is refused, for one test."""
    host = estate.inside("dashboard1")
    host.check_output(f"set -e; {WRONG}")
    yield
    host.check_output(RIGHT)


@pytest.mark.usefixtures("wrong")
def test_all_that_is_wrong_is_refused_at_once_and_nothing_changed(estate: Estate, tmp_path: Path) -> None:
    host = estate.inside("dashboard1")
    before = host.check_output(STATE)
    output = base(estate, tmp_path, "dashboard1", nginx_take_over=False)
    assert "This host cannot be used as it is, and nothing was changed on it:" in output
    for said in (
        "s ahead of the controller's, so certificates would not be valid at both",
        "/var is mounted noexec, and dpkg runs the scripts of packages",
        "/srv is mounted noexec, and applications run from /srv",
        "1 MB are left on /srv",
        "nginx has a configuration of its own on this host (/etc/nginx/nginx.conf, /etc/nginx/sites-enabled/old, "
        "/etc/nginx/conf.d/old.conf)",
        "port 443 is needed by Gatehouse and taken by python3 (stranger.service, process",
        "turn it off (`ufw disable`)",
        "containers or guests are behind docker0",
    ):
        assert said in output
    assert host.check_output(STATE) == before


def test_who_holds_dpkg_for_too_long_is_named(estate: Estate, tmp_path: Path) -> None:
    host = estate.inside("dashboard1")
    # As `wrong` has left it: without a package.
    assert host.run("dpkg-query -W -f '${Status}' logrotate").stdout != "install ok installed"
    host.check_output(f'systemd-run --quiet --unit=unattended python3 -c "{HOLD}"')
    output = base(estate, tmp_path, "dashboard1", base_apt_lock_timeout=1)
    assert "/var/lib/dpkg/lock-frontend is held by process" in output
    assert "(/usr/bin/python3 -c import fcntl" in output
    host.check_output("systemctl stop unattended.service")
    assert "package logrotate: installed" in base(estate, tmp_path, "dashboard1")
