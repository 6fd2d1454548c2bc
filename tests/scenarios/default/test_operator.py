"""What an operator is promised: a dry run that tells the truth, and errors before any host is touched."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from estate import Estate

SITE = {"name": "shop", "server_names": ["shop.lab.test"], "locations": [{"path": "/", "upstream": "storefront"}]}
POOL = {"name": "storefront", "transport": "http", "members": [{"name": "a", "address": "10.21.0.101", "port": 5000}]}


def test_a_dry_run_on_a_converged_estate_reports_no_change(estate: Estate) -> None:
    run = estate.play("site.yml", "--check", "--diff")
    assert run.returncode == 0, run.stdout
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", run.stdout, re.MULTILINE)
    assert {name for name, _ in recap} >= {"proxy1", "storefront1", "dashboard3"}
    assert [entry for entry in recap if entry[1] != "0"] == []


# Ten ways to break an inventory: what is written, and what the operator must read.
BROKEN: dict[str, tuple[Any, ...]] = {
    "a location names an unknown upstream": (
        {"proxy_sites": [SITE | {"locations": [{"path": "/", "upstream": "storefrnt"}]}]}, "storefrnt", "storefront"),
    "a location names an unknown cache": (
        {"proxy_sites": [SITE | {"locations": [{"path": "/", "upstream": "storefront", "cache": "asets"}]}]}, "asets"),
    "two sites have one name": ({"proxy_sites": [SITE, SITE | {"server_names": ["b.lab.test"]}]}, "shop"),
    "two sites have one server name": ({"proxy_sites": [SITE, SITE | {"name": "other"}]}, "shop.lab.test"),
    "an upstream has no member": ({"proxy_upstreams": [POOL | {"members": []}]}, "member"),
    "a port is out of range": (
        {"proxy_upstreams": [POOL | {"members": [{"name": "a", "address": "10.21.0.101", "port": 70000}]}]}, "70000"),
    "a variable is misspelt": ({"proxy_site": []}, "proxy_site", "proxy_sites"),
    "a key is misspelt": ({"proxy_sites": [SITE | {"server_name": "x"}]}, "server_name", "server_names"),
    "a certificate is not there": (
        {"proxy_sites": [SITE | {"certificate": {"source": "files", "chain": "/no/chain.pem", "key": "/no/key.pem"}}]},
        "/no/chain.pem"),
    "a value would inject a directive": ({"proxy_sites": [SITE | {"server_names": ["x; return 200"]}]}, "server_names"),
}  # fmt: skip


@pytest.mark.parametrize("breakage", sorted(BROKEN))
def test_a_broken_inventory_is_refused_before_any_host_is_touched(estate: Estate, breakage: str) -> None:
    variables, *words = BROKEN[breakage]
    proxy = estate.host("proxy1")
    state = (
        "readlink /etc/nginx/active; systemctl show nginx -p MainPID -p ActiveEnterTimestampMonotonic; ls -l /etc/nginx"
    )
    before = proxy.check_output(state)
    run = estate.play("site.yml", "-e", json.dumps(variables))
    assert run.returncode != 0
    for word in words:
        assert word in run.stdout, run.stdout
    assert "PLAY [Deploy the applications]" not in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
    assert proxy.check_output(state) == before


def test_services_run_as_their_own_users_and_start_at_boot(estate: Estate) -> None:
    for name, unit in (("proxy1", "nginx"), ("storefront1", "storefront"), ("dashboard1", "dashboard")):
        service = estate.host(name).service(unit)
        assert service.is_running, f"{unit} on {name}"
        assert service.is_enabled, f"{unit} on {name}"
    processes = estate.host("storefront1").check_output("ps -o user= -C gunicorn,python3 | sort -u").split()
    assert "storefront" in processes
