"""What the firewall promises an operator: it is repaired, it survives a boot, and it cannot lock the controller out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

from estate import ROOT, Estate

RULES = "nft list table inet gatehouse"


def prepare(estate: Estate, *arguments: str, **variables: object) -> tuple[int, str]:
    run = estate.play("playbooks/prepare.yml", "--limit", "storefront1", *arguments, "-e", json.dumps(variables))
    return run.returncode, " ".join((run.stdout + run.stderr).split())


def test_a_flushed_ruleset_is_put_back(estate: Estate) -> None:
    host = estate.host("storefront1")
    before = host.check_output(RULES)
    host.check_output("nft flush table inet gatehouse")
    code, output = prepare(estate)
    assert code == 0, output
    assert host.check_output(RULES) == before


def test_sources_without_the_controller_are_refused(estate: Estate) -> None:
    host = estate.host("storefront1")
    before = host.check_output(RULES)
    code, output = prepare(estate, firewall_admin_sources=["10.99.0.1"])
    assert code != 0
    assert "firewall_admin_sources" in output
    assert str(estate.variables("storefront1")["controller_address"]) in output
    assert host.check_output(RULES) == before


def test_rules_that_lock_the_controller_out_are_put_back_by_the_host(estate: Estate) -> None:
    host = estate.host("storefront1")
    before = host.check_output(RULES), host.check_output("sha256sum /etc/nftables.conf")
    code, output = prepare(estate, firewall_ssh_port=2222, firewall_confirm_timeout=5)
    assert code != 0
    assert "2222" in output
    assert estate.controller_reaches("storefront1")
    assert (host.check_output(RULES), host.check_output("sha256sum /etc/nftables.conf")) == before


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"{what} within 60 s"
        time.sleep(1)


def test_the_rules_and_the_application_are_there_after_a_boot(estate: Estate) -> None:
    before = estate.host("dashboard1").check_output(RULES)
    estate.podman("restart", "dashboard1")
    until(lambda: estate.controller_reaches("dashboard1"), "dashboard1 did not come back")
    assert estate.host("dashboard1").check_output(RULES) == before
    knock = f"timeout 3 bash -c '</dev/tcp/{estate.address('dashboard1')}/443'"
    until(lambda: estate.host("proxy1").run(knock).rc == 0, "the endpoint did not start by itself")
    page = "curl -sf http://127.0.0.1:3000/healthz"
    until(lambda: estate.host("dashboard1").run(page).rc == 0, "the dashboard did not start by itself")


def test_a_controller_with_a_new_address_comes_back_by_the_documented_line(estate: Estate) -> None:
    host = estate.host("storefront1")
    before, own = host.check_output(RULES), str(estate.variables("storefront1")["controller_address"])
    documented = re.search(r"nft insert rule .*", (ROOT / "docs" / "operations.md").read_text())
    assert documented
    assert "10.10.0.20" in documented[0]
    # As if the controller had moved: the host lets in the address of before, which is nobody's now.
    host.check_output(f"{RULES} | sed 's/saddr {own} tcp dport 22/saddr 10.99.0.1 tcp dport 22/' > /run/moved.nft")
    host.check_output("(echo delete table inet gatehouse; cat /run/moved.nft) | nft -f -")
    assert not estate.controller_reaches("storefront1")
    host.check_output(documented[0].replace("10.10.0.20", own))
    assert estate.controller_reaches("storefront1")
    code, output = prepare(estate)
    assert code == 0, output
    assert host.check_output(RULES) == before
