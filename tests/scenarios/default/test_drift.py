"""A run on an estate that somebody changed behind its back: it finds what differs, says what it was, and repairs it."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass

import pytest

from estate import Estate


@dataclass(frozen=True)
class Drift:
    """What somebody does to one host, what the next run must say of it, and what holds on the host afterwards."""

    host: str
    command: str
    said: str
    healed: str


SITE = "/etc/nginx/active/sites/storefront.conf"
UNIT = "/etc/systemd/system/storefront.service"
LEAF = "openssl x509 -in /etc/ssl/gatehouse/endpoint/fullchain.pem -noout -serial"
# Each run meets one thing on each of these hosts, so that what it says of a host can only mean that.
RUNS: dict[str, list[Drift]] = {
    "what was stopped, edited or removed": [
        Drift(
            "proxy1", f"echo '# by hand' >> {SITE}", "active/sites/storefront.conf: changed", f"! grep 'by hand' {SITE}"
        ),
        Drift(
            "storefront2",
            "systemctl stop storefront",
            "restart storefront.service: it is inactive",
            "systemctl is-active storefront",
        ),
        Drift(
            "dashboard2",
            "dpkg --purge --force-depends logrotate",
            "package logrotate: installed",
            "test -x /usr/sbin/logrotate",
        ),
    ],
    "what was added, opened or is due": [
        Drift(
            "proxy1",
            "echo 'allow all;' > /etc/nginx/active/sites/orphan.conf",
            "active/sites/orphan.conf: removed",
            "test ! -e /etc/nginx/active/sites/orphan.conf",
        ),
        Drift(
            "dashboard2",
            "nft add rule inet gatehouse input tcp dport 3000 accept",
            "the live table inet gatehouse: loaded anew",
            "! nft list table inet gatehouse | grep 'dport 3000 accept'",
        ),
        Drift(
            "dashboard3", f"{LEAF} > /srv/before", "certificate endpoint: it has ", f"! {LEAF} | cmp -s - /srv/before"
        ),
    ],
    # Not beside an edited proxy: what drains a member refuses to build on that.
    "a loosened sandbox and a stopped endpoint": [
        Drift(
            "storefront2",
            f"sed -i 's/^NoNewPrivileges=.*/NoNewPrivileges=no/' {UNIT}",
            f"write {UNIT}",
            f"! grep NoNewPrivileges=no {UNIT}",
        ),
        Drift("dashboard1", "systemctl stop nginx", "nginx: started", "systemctl is-active nginx"),
    ],
}
# What makes a certificate of 90 days due.
DUE = json.dumps({"certificate_renew_days": 130, "certificate_days": 140})


def changed_hosts(output: str) -> list[str]:
    """Return the hosts of the recap that were changed."""
    recap = output[output.index("PLAY RECAP") :]
    found = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", recap, re.MULTILINE)
    return sorted(name for name, count in found if count != "0")


@pytest.mark.parametrize("what", RUNS)
def test_a_run_finds_names_and_repairs(estate: Estate, what: str) -> None:
    drifts = RUNS[what]
    for drift in drifts:
        estate.host(drift.host).check_output(drift.command)
    due = ["-e", DUE] if "due" in what else []
    run = estate.play("site.yml", "--limit", ":".join(["proxies", *(drift.host for drift in drifts)]), *due)
    assert run.returncode == 0, run.stdout
    for drift in drifts:
        assert drift.said in run.stdout
        assert drift.host in changed_hosts(run.stdout)
        estate.host(drift.host).check_output(drift.healed)


def test_a_run_lets_a_host_serve_that_a_deployment_left_drained(estate: Estate) -> None:
    note = estate.state / "drained" / "storefront3.json"
    note.parent.mkdir(exist_ok=True)
    about = {"by": "nobody", "since": "2026-01-01T00:00:00+00:00", "kind": "rollout", "reason": "it was interrupted"}
    note.write_text(json.dumps(about))
    run = estate.play("playbooks/deploy.yml", "--limit", "storefront3:proxies")
    assert run.returncode == 0, run.stdout
    assert "storefront3: undrained" in run.stdout
    assert "switched in this run: storefront3" in " ".join(run.stdout.split())
    assert not note.exists()


def test_a_run_fails_for_a_member_that_does_not_answer_outside(estate: Estate) -> None:
    host = estate.host("dashboard1")
    host.check_output(
        "nft 'add table inet stranger; add chain inet stranger in { type filter hook input priority -5; }'"
    )
    host.check_output("nft add rule inet stranger in tcp dport 443 drop")
    try:
        run = estate.play("site.yml", "--limit", "dashboard1:proxies")
    finally:
        host.check_output("nft delete table inet stranger")
    assert run.returncode != 0
    assert "dashboard1" in run.stdout[run.stdout.index("Probe every site on every proxy") :]


def test_after_all_that_nothing_is_left_to_do_in_few_round_trips(estate: Estate) -> None:
    run = estate.play("site.yml", "-vvv")
    assert run.returncode == 0, run.stdout
    assert changed_hosts(run.stdout) == []
    # Under molecule, what -vvv says is on stderr.
    trips = Counter(re.findall(r"^<([^>]+)> SSH: EXEC", run.stdout + run.stderr, re.MULTILINE))
    hosts = [
        estate.address(name)
        for name in (*estate.group("proxies"), *estate.group("storefront"), *estate.group("dashboard"))
    ]
    assert sorted(trips) == sorted(hosts)
    assert max(trips.values()) <= 8, trips
