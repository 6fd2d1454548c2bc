"""What an application that was taken over cannot do: each attack is run by it, in the sandbox that all have."""

from __future__ import annotations

import base64
import json
import shlex
import time
from collections.abc import Callable, Iterator

import pytest
from testinfra.host import Host

from estate import Estate

Burgle = Callable[[str], str]
METADATA = "169.254.169.254"
WELL = "for try in $(seq 100); do curl -sf http://127.0.0.1:3000/healthz && exit; sleep 0.2; done; exit 1"


@pytest.fixture(scope="module")
def host(estate: Estate) -> Host:
    return estate.host("burglar1")


@pytest.fixture(scope="module")
def burgle(host: Host) -> Burgle:
    """Return a function that has the application run a script, and gives what that said."""

    def run(script: str) -> str:
        sent = base64.b64encode(script.encode()).decode()
        command = f"echo {sent} | base64 -d | curl -sS --max-time 25 --data-binary @- http://127.0.0.1:3000/"
        return str(json.loads(host.check_output(command))["output"]).strip()

    assert run("id -un") == "burglar"
    return run


def deploy(estate: Estate, version: str) -> tuple[int, str]:
    run = estate.play("playbooks/deploy.yml", "-e", "app=burglar", "-e", f"version={version}")
    return run.returncode, run.stdout + run.stderr


def connect(address: str, port: int) -> str:
    """Return a script that says whether a connection can be made: `in`, or the error."""
    return (
        f'node -e \'const s = require("net").connect({port}, "{address}");'
        ' s.setTimeout(1500, () => { console.log("silence"); process.exit() });'
        ' s.on("connect", () => { console.log("in"); process.exit() });'
        ' s.on("error", (error) => console.log(error.code))\''
    )


def test_what_prepares_a_release_is_confined(host: Host) -> None:
    release = "/srv/burglar/current/"
    assert host.check_output(f"cat {release}seen-prepare") == "is burglar"
    # Afterwards it is root's, and nobody else's to change.
    assert host.check_output(f"stat -c '%U %a' {release}planted") == "root 755"
    assert host.check_output(f"find {release} ! -type l '(' ! -user root -o -perm /7022 ')'") == ""


def test_what_prepares_a_release_gives_root_no_environment(host: Host) -> None:
    """It wrote to release.env, with which the unit's commands start: root's own is the first (ExecStartPre=+nft)."""
    assert host.check_output("ls /srv/burglar/current/planted-environment") != ""
    assert "LD_" not in host.check_output("cat /srv/burglar/current/release.env")
    assert host.check_output("find /etc -name 'planted*'") == ""


def test_a_migration_is_confined(host: Host) -> None:
    seen = host.check_output("cat /var/lib/burglar/seen-migrate").splitlines()
    # Its own state folder is all that it can write to. It uses the network, within the application's rules.
    assert set(seen) == {"is burglar", "writes /var/lib/burglar", "sees the host's network"}


def test_nobody_reaches_it_on_another_port(host: Host, burgle: Burgle) -> None:
    # systemd forgets SocketBindDeny= for what runs when it has to reload, so it may listen; no answer gets out.
    host.check_output("systemctl daemon-reload")
    burgle('setsid node -e \'require("http").createServer((q, a) => a.end("caught")).listen(3001)\' >/dev/null 2>&1 &')
    asked = host.run("sleep 0.5; curl -s --max-time 2 http://127.0.0.1:3001/")
    assert (asked.rc, asked.stdout) in ((7, ""), (28, ""))
    assert host.check_output("curl -s --max-time 2 http://127.0.0.1:3000/healthz") == "well"
    burgle("pkill -f caught")


@pytest.mark.parametrize(
    ("where", "address", "port"),
    [
        ("the host's own SSH", "127.0.0.1", 22),
        ("SSH of the proxy", "10.43.0.11", 22),
        ("another port of the proxy", "10.43.0.11", 80),
        ("the controller", "10.43.0.1", 22),
    ],
)
def test_what_it_has_no_business_with_is_refused(burgle: Burgle, where: str, address: str, port: int) -> None:
    assert burgle(connect(address, port)) == "EHOSTUNREACH", where


def test_what_the_inventory_names_is_reached(burgle: Burgle) -> None:
    assert burgle(connect("10.43.0.11", 443)) == "in"
    assert burgle(connect("127.0.0.1", 3000)) == "in"


@pytest.fixture
def metadata(host: Host) -> Iterator[None]:
    """Play the metadata service of a cloud, on the host itself."""
    host.check_output(f"ip address add {METADATA}/32 dev lo")
    host.check_output(f"systemd-run -q --unit=metadata python3 -m http.server --bind {METADATA} 8443")
    host.check_output(
        f"for try in $(seq 50); do curl -so /dev/null http://{METADATA}:8443/ && exit; sleep 0.1; done; exit 1"
    )
    yield
    host.check_output(f"systemctl stop metadata; ip address del {METADATA}/32 dev lo")


@pytest.mark.usefixtures("metadata")
def test_anywhere_is_not_the_metadata_address(burgle: Burgle) -> None:
    assert burgle(connect(METADATA, 8443)) == "EHOSTUNREACH"
    assert burgle(connect("127.0.0.1", 8443)) == "ECONNREFUSED"  # admitted, and nobody is there


def test_rules_that_were_flushed_leave_a_second_net(host: Host, burgle: Burgle, estate: Estate) -> None:
    # 0.0.0.0/0 is among what this one may reach, and only nftables knows ports; IPv6 it may not reach at all.
    host.check_output("nft delete table inet gatehouse_burglar")
    host.check_output("ip address add fd00:43::1/64 dev eth0 nodad")
    try:
        assert burgle(connect("fd00:43::1", 22)) == "silence"
    finally:
        host.check_output("ip address del fd00:43::1/64 dev eth0")
    code, said = deploy(estate, "1.0.0")
    assert code == 0, said
    host.check_output("nft list table inet gatehouse_burglar")
    assert burgle(connect("127.0.0.1", 22)) == "EHOSTUNREACH"


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/dev/shm", "/run/burglar"])  # noqa: S108
def test_what_is_in_memory_has_a_size(burgle: Burgle, folder: str) -> None:
    assert "No space left" in burgle(f"head -c 80M /dev/zero > {folder}/much; rm {folder}/much")


def test_limits_there_are_without_a_word_in_the_inventory(host: Host) -> None:
    shown = host.check_output("systemctl show burglar -p TasksMax -p LimitNOFILE -p MemoryMax")
    limits = dict(line.split("=") for line in shown.splitlines())
    assert (limits["TasksMax"], limits["LimitNOFILE"]) == ("1024", "65536")
    assert limits["MemoryMax"].isdigit()


def test_locks_of_root_are_out_of_its_reach(host: Host, burgle: Burgle, estate: Estate) -> None:
    """It takes each lock that there is, and is replaced all the same."""
    places = "/etc/nginx /etc /srv/burglar /run/lock/gatehouse-burglar.lock /run/gatehouse/app-burglar.lock"
    taken = burgle(
        f"for place in {places}; do (setsid flock -n $place sleep 300 >/dev/null 2>&1 &) ; done; sleep 0.3;"
        " pgrep -u burglar -x sleep | wc -l"
    )
    assert int(taken) >= 2  # else it held nothing, and this proves nothing
    began = time.monotonic()
    code, said = deploy(estate, "1.0.1")
    assert code == 0, said
    assert time.monotonic() - began < 120
    assert host.check_output("stat -c '%U %a' /run/gatehouse") == "root 700"
    # With it went the secrets that the release before this one had.
    assert not host.file("/etc/gatehouse/burglar.former.json").exists


@pytest.mark.parametrize(
    ("plant", "named"),
    [
        ("rm -rf storage && ln -s /etc storage", "/srv/burglar/shared/storage"),
        ("rm -rf storage && mkdir storage && ln -s /etc/shadow storage/uploads", "/srv/burglar/shared/storage/uploads"),
    ],
)
def test_a_link_of_its_own_leads_root_nowhere(
    host: Host, burgle: Burgle, estate: Estate, plant: str, named: str
) -> None:
    before = host.check_output("stat -c '%n %U %a' /etc /etc/shadow; ls -d /etc/uploads || true")
    burgle(f"cd /srv/burglar/shared && {plant}")
    try:
        code, said = deploy(estate, f"1.1.{len(plant)}")
        assert code != 0
        assert f"{named} cannot be a folder" in " ".join(said.split())
        assert host.check_output("stat -c '%n %U %a' /etc /etc/shadow; ls -d /etc/uploads || true") == before
        # Nothing was lost: what ran before still serves.
        assert burgle("id -un") == "burglar"
    finally:
        burgle("cd /srv/burglar/shared && rm -rf storage && mkdir -p storage/uploads")
    code, said = deploy(estate, "1.0.1")
    assert code == 0, said


def test_what_ran_before_there_were_rules_is_put_back(host: Host, burgle: Burgle, estate: Estate) -> None:
    unit = "/etc/systemd/system/burglar.service"
    host.check_output(f"rm /etc/gatehouse/burglar.nft; sed -i /nft/d {unit}; nft delete table inet gatehouse_burglar")
    host.check_output("systemctl daemon-reload; systemctl restart burglar")
    failing = ("-e", "version=1.2.0", "-e", "app_health_body=nothing", "-e", "app_health_timeout=2")
    run = estate.play("playbooks/deploy.yml", "-e", "app=burglar", *failing)
    assert run.returncode != 0
    assert "was put back and answers" in " ".join((run.stdout + run.stderr).split())
    assert "gatehouse_burglar" not in host.check_output("nft list tables")
    assert burgle("id -un") == "burglar"
    code, said = deploy(estate, "1.0.1")
    assert code == 0, said
    assert burgle(connect("127.0.0.1", 22)) == "EHOSTUNREACH"


def test_others_are_not_its_to_read(burgle: Burgle) -> None:
    for path in ("/etc/gatehouse", "/etc/ssl/gatehouse", "/run/gatehouse", "/run/lock", "/root"):
        assert "denied" in burgle(f"ls {shlex.quote(path)}"), path


@pytest.fixture
def controllers(estate: Estate, host: Host) -> None:
    """Let the host's systemd write to the controllers of processes and memory, as where it is no container's.

    Where control groups are of version 1, podman mounts them for reading only; of version 2 they are delegated.
    """
    mount = "mount -t cgroup -o rw,nosuid,nodev,noexec,$one cgroup /sys/fs/cgroup/$one"
    estate.inside("burglar1").check_output(
        f"test -e /sys/fs/cgroup/cgroup.controllers || for one in pids memory; do {mount} || exit; done"
    )
    host.check_output("systemctl daemon-reexec; systemctl restart burglar")
    host.check_output(WELL)


@pytest.mark.usefixtures("controllers")
def test_limits_are_in_force(host: Host) -> None:
    forks = "exec 2>$STATE_DIRECTORY/forks; for one in $(seq 1100); do sleep 60 & done; echo as many as it liked >&2"
    host.run(f"curl -s --max-time 25 -d {shlex.quote(forks)} http://127.0.0.1:3000/")
    try:
        assert "Cannot fork" in host.check_output("cat /var/lib/burglar/forks")
    finally:
        host.run("pkill -u burglar -x sleep")
        host.check_output(WELL)
    host.check_output("systemctl set-property --runtime burglar MemoryMax=200M")
    try:
        said = host.run("curl -s --max-time 25 -d 'head -c 1G /dev/zero | tail' http://127.0.0.1:3000/").stdout
        # Killed by itself, or with all of the unit, which systemd then starts anew.
        assert '"status":0' not in said
        host.check_output(WELL)
    finally:
        host.check_output("systemctl revert burglar")
