"""What docs/operations.md says of the ways between proxies and applications is what the inventory makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.application_upstreams import application_upstreams
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.environment import group_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.locations import location_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.machines import machine_problems

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
ADDRESSES = {"web1": "10.0.0.1", "web2": "10.0.0.2", "web3": "10.0.0.3"}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table with this heading."""
    table = PAGE.partition(heading)[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table]


WAYS = rows("| `proxies` | `shop` |")


def asked(proxy: str, proxies: list[str], hosts: list[str]) -> str:
    """Return how a proxy asks an application, in the words of the page."""
    if proxy not in proxies:
        return ""
    shared = {name: f"{name}.shop" if name in proxies else name for name in hosts}
    said: dict[str, dict[str, Any]] = {
        shared[name]: {"ansible_host": ADDRESSES[name], "machine": name, "app_port": 3000, "tls_endpoint_port": 443}
        for name in hosts
    }
    pool = application_upstreams([{"name": "shop"}], {"shop": list(said)}, said, "in.test", proxy)[0]
    names = " and ".join(said[member["name"]]["machine"] for member in pool["members"])
    local = all(member["address"] == "127.0.0.1" for member in pool["members"])
    assert local is (pool["transport"] == "http")
    return f"{names} {'through loopback' if local else 'over TLS'}"


@pytest.mark.parametrize("row", WAYS, ids=[f"{row[0]}-{row[1]}" for row in WAYS])
def test_how_a_proxy_asks_is_as_the_page_says(row: list[str]) -> None:
    proxies, hosts = row[0].split(", "), row[1].split(", ")
    assert [asked(proxy, proxies, hosts) for proxy in ("web1", "web2")] == row[2:]


def test_what_is_refused_is_answered_as_the_page_says() -> None:
    at: dict[str, Any] = {"machine": "web1", "app_port": 3000, "tls_endpoint_port": 13000}
    desk, shop = {**at, "app_name": "desk"}, {**at, "app_name": "shop"}
    fastcgi = {"path": "/", "upstream": "shop", "protocol": "fastcgi", "fastcgi": {"root": "/srv/shop/public"}}
    groups = {"proxies": ["web1"], "apps": ["web1.shop", "web2"], "shop": ["web1.shop"]}
    found = [
        *machine_problems({"web1.desk": desk, "web1.shop": shop}, {}),
        *machine_problems({"web1.shop": {**shop, "tls_endpoint_port": 443}}, {"web1": [80, 443]}),
        *location_problems({"proxy_sites": [{"locations": [fastcgi]}], "proxy_upstreams": [{"name": "shop"}]}),
        *group_problems({}, []),
        *group_problems({"proxies": ["web1"], "blog": ["web2"]}, []),
        *group_problems(groups, ["shop"]),
    ]
    said = [cell for _, text in rows("| In the inventory |") for cell in re.findall(r"`([^`]+)`", text)]
    assert [one["problem"] for one in found] == said
