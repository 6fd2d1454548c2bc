"""What preflight says of applications that share a machine, or the proxy's."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.machines import machine_problems


def on(machine: str, app: str, port: int, **more: Any) -> dict[str, dict[str, Any]]:
    usual = {"machine": machine, "app_name": app, "app_port": port, "app_standby_port": port + 20000}
    return {f"{machine}.{app}": {**usual, "tls_endpoint_port": 10000 + port, "tls_endpoint_mode": "mtls", **more}}


def problems(*hosts: dict[str, dict[str, Any]], proxies: tuple[str, ...] = ("proxy1",)) -> list[tuple[str, ...]]:
    every = {name: about for one in hosts for name, about in one.items()}
    found = machine_problems(every, proxies)
    return [(*one["path"], one["problem"], one["remedy"]) for one in found]


def test_applications_that_share_hosts_need_no_more_than_ports_of_their_own() -> None:
    hosts = [on(web, app, port) for web in ("web1", "web2") for app, port in (("shop", 3000), ("desk", 3001))]
    assert problems(*hosts, on("proxy1", "admin", 3000), on("web3", "blog", 3000)) == []


@pytest.mark.parametrize(
    ("desk", "shop", "said", "free"),
    [
        ({"port": 3000}, {"port": 3000}, ("app_port", "3000 is the port"), 3001),
        (
            {"port": 3000, "app_standby_port": 5000},
            {"port": 5000},
            ("app_port", "5000 is the port of the standby"),
            5001,
        ),
        (
            {"port": 3000, "tls_endpoint_port": 443},
            {"port": 3001, "tls_endpoint_port": 443},
            ("tls_endpoint_port", "443 is the port of the TLS endpoint"),
            444,
        ),
    ],
)
def test_two_with_the_same_port(desk: dict[str, Any], shop: dict[str, Any], said: tuple[str, str], free: int) -> None:
    variable, problem = said
    found = ("web1.shop", variable, f"{problem} of desk on web1 too", f"write another, such as {free}")
    assert problems(on("web1", "desk", **desk), on("web1", "shop", **shop)) == [found]


def test_what_is_on_a_proxy_is_nobody_elses() -> None:
    remedy = "put shop on hosts that are no proxies, or on proxy1 alone with no other proxy"
    away = "shop is on the proxy proxy1, which asks it through loopback, and it has other hosts, web1"
    assert problems(on("proxy1", "shop", 3000), on("web1", "shop", 3000)) == [("proxy1.shop", "app_name", away, remedy)]
    away = "shop is on the proxy proxy1, which asks it through loopback, and proxy2 cannot reach it there"
    found = problems(on("proxy1", "shop", 3000), proxies=("proxy1", "proxy2"))
    assert found == [("proxy1.shop", "app_name", away, remedy)]


def test_an_endpoint_that_there_is_not() -> None:
    found = problems(on("proxy1", "shop", 3000, tls_endpoint_mode="http", tls_endpoint_locations=[{"path": "/x/"}]))
    assert [(variable, remedy) for _, variable, _, remedy in found] == [
        ("tls_endpoint_mode", "take the line away"),
        ("tls_endpoint_locations", "write the locations in the site, in sites.yml"),
    ]
