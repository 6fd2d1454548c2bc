"""Sessions that visitors resume with another proxy, and the keys behind them, which change each day."""

from __future__ import annotations

import itertools
import re
import time
from datetime import UTC, datetime

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.derived_secret import derived_secret
from testinfra.host import Host

from estate import Estate

from .conftest import PROXIES, Visitor

VERSIONS = pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
FOLDER = "/var/lib/gatehouse/session-tickets"
KEYS = ("previous.key", "current.key", "next.key")
PROGRAM = "python3 -I /usr/local/lib/gatehouse/session_tickets.py"


def begin(visitor: Visitor, proxy: str, version: str) -> None:
    """Shake hands, and keep the ticket."""
    visitor.client.run(f"rm -f /srv/{version}")
    said = visitor.handshake(proxy, f"-{version}", "-sess_out", f"/srv/{version}")
    assert re.search("^New, TLS", said, re.MULTILINE)


def resumes(visitor: Visitor, proxy: str, version: str) -> bool:
    """Come back with the ticket, be answered, and return whether it opened."""
    said = visitor.handshake(proxy, f"-{version}", "-sess_in", f"/srv/{version}")
    assert "HTTP/1.1 200 OK" in said
    return re.search("^Reused, TLS", said, re.MULTILINE) is not None


@VERSIONS
@pytest.mark.parametrize(("first", "then"), [*itertools.permutations(PROXIES, 2), ("proxy1", "proxy1")])
def test_a_session_is_resumed_with_every_proxy(visitor: Visitor, version: str, first: str, then: str) -> None:
    begin(visitor, first, version)
    assert resumes(visitor, then, version)


@VERSIONS
@pytest.mark.parametrize("proxy", PROXIES)
def test_a_visitor_with_a_certificate_shows_it_each_time(visitor: Visitor, version: str, proxy: str) -> None:
    shown = ("-cert", "/srv/visitors/good.pem", "-key", "/srv/visitors/good.pem", f"-{version}")
    visitor.client.run("rm -f /srv/session")
    said = visitor.handshake(proxy, *shown, "-sess_out", "/srv/session", name="staff.lab.test")
    assert "HTTP/1.1 200 OK" in said
    if visitor.client.file("/srv/session").exists:
        said = visitor.handshake(proxy, *shown, "-sess_in", "/srv/session", name="staff.lab.test")
        assert re.search("^New, TLS", said, re.MULTILINE)


@VERSIONS
def test_a_session_of_another_site_opens_no_site_with_certificates(visitor: Visitor, version: str) -> None:
    begin(visitor, "proxy1", version)
    said = visitor.handshake("proxy1", f"-{version}", "-sess_in", f"/srv/{version}", name="staff.lab.test")
    assert "200 OK" not in said


def sums(host: Host) -> dict[str, str]:
    lines = host.check_output(f"cd {FOLDER} && sha256sum {' '.join(KEYS)}").splitlines()
    return {name: total for total, name in (line.split() for line in lines)}


def test_all_proxies_have_the_same_keys_and_only_root_reads_them(estate: Estate) -> None:
    found = [sums(estate.host(name)) for name in PROXIES]
    assert found[0] == found[1] == found[2]
    assert len(set(found[0].values())) == 3
    for name in PROXIES:
        listed = estate.host(name).check_output(f"stat -c '%a %U %n' {FOLDER} {FOLDER}/*").splitlines()
        assert listed == [f"700 root {FOLDER}", *(f"600 root {FOLDER}/{file}" for file in sorted((*KEYS, "state")))]


def test_the_timer_steps_each_midnight(estate: Estate) -> None:
    for name in PROXIES:
        host = estate.host(name)
        timer = host.check_output(
            "systemctl show gatehouse-session-tickets.timer -pActiveState,UnitFileState,Persistent"
        )
        assert set(timer.splitlines()) == {"ActiveState=active", "UnitFileState=enabled", "Persistent=yes"}
        assert host.check_output("systemctl show gatehouse-session-tickets.timer -pNextElapseUSecRealtime --value")
        # The unit as it runs at midnight; today it has nothing to do.
        before = sums(host)
        host.check_output("systemctl start gatehouse-session-tickets.service")
        assert sums(host) == before


def workers(host: Host) -> set[str]:
    return set(host.check_output("pgrep -f 'nginx: worker process$'").split())


def step(estate: Estate, name: str, day: int) -> None:
    """Have a proxy do what its timer does on a day, and wait for nginx's new workers."""
    host = estate.host(name)
    before = workers(host)
    host.check_output(f"{PROGRAM} --day {day}")
    deadline = time.monotonic() + 20
    while workers(host) & before:
        assert time.monotonic() < deadline, f"nginx on {name} was not reloaded"
        time.sleep(0.2)


def test_keys_rotate_without_losing_a_visitor_and_old_sessions_end(visitor: Visitor, estate: Estate) -> None:
    today, kept = datetime.now(UTC).toordinal(), sums(estate.host("proxy1"))
    for name in ("proxy1", "proxy2"):
        estate.host(name).check_output(f"cp -a {FOLDER} /srv/kept-keys")
    try:
        for version in ("tls1_2", "tls1_3"):
            begin(visitor, "proxy2", version)
        step(estate, "proxy1", today + 1)
        now = sums(estate.host("proxy1"))
        assert (now["previous.key"], now["current.key"]) == (kept["current.key"], kept["next.key"])
        for version in ("tls1_2", "tls1_3"):
            # proxy1 is a day ahead: it opens what proxy2 sealed, and proxy2 what it seals.
            assert resumes(visitor, "proxy1", version)
            begin(visitor, "proxy1", version)
            assert resumes(visitor, "proxy2", version)
        step(estate, "proxy2", today + 1)
        assert [resumes(visitor, "proxy2", version) for version in ("tls1_2", "tls1_3")] == [True, True]
        # Two days on, the key of those sessions is gone; the visitors are served all the same.
        step(estate, "proxy2", today + 3)
        assert [resumes(visitor, "proxy2", version) for version in ("tls1_2", "tls1_3")] == [False, False]
    finally:
        for name in ("proxy1", "proxy2"):
            back = f"rm -r {FOLDER} && mv /srv/kept-keys {FOLDER} && systemctl reload nginx"
            estate.host(name).check_output(back)


def test_a_play_puts_right_what_is_wrong_and_shows_no_secret(estate: Estate, visitor: Visitor) -> None:
    hosts = {name: estate.host(name) for name in PROXIES}
    kept = {name: sums(host) for name, host in hosts.items()}
    hosts["proxy1"].check_output(f"{PROGRAM} --day {datetime.now(UTC).toordinal() + 3}")
    hosts["proxy3"].check_output(f"rm {FOLDER}/state && chmod 644 {FOLDER}/next.key")
    refused = hosts["proxy3"].run(PROGRAM)
    assert refused.rc == 1
    assert "run the playbook of the proxies again" in refused.stderr

    tried = estate.play("playbooks/proxies.yml", "--check", "--diff")
    assert f"{FOLDER}: the secret was that of 3 days later" in tried.stdout
    assert f"{FOLDER}: there was no secret" in tried.stdout
    assert not hosts["proxy3"].file(f"{FOLDER}/state").exists

    run = estate.play("playbooks/proxies.yml", "-vvv", "--diff")
    assert run.returncode == 0, run.stdout
    assert {name: sums(host) for name, host in hosts.items()} == kept
    changed = dict(re.findall(r"^(proxy\d) .* changed=(\d+)", run.stdout, re.MULTILINE))
    assert changed == {"proxy1": "1", "proxy2": "0", "proxy3": "1"}
    assert visitor.curl("proxy3", "https://shop.lab.test/").status == 200
    secrets = {host.check_output(f"cut -d' ' -f2 {FOLDER}/state") for host in hosts.values()}
    passphrase = (estate.state / "secrets" / "environment_passphrase").read_text().strip()
    secrets |= {passphrase, derived_secret(passphrase, "session tickets")}
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in run.stdout + tried.stdout]
