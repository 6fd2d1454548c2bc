"""What preflight says of applications that share a machine, or the proxy's."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.machines import machine_problems, passed_ports


def on(machine: str, app: str, port: int, **more: Any) -> dict[str, dict[str, Any]]:
    usual = {"machine": machine, "app_name": app, "app_port": port, "app_standby_port": port + 20000}
    return {f"{machine}.{app}": {**usual, "tls_endpoint_port": 10000 + port, **more}}


def problems(*hosts: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    every = {name: about for one in hosts for name, about in one.items()}
    found = machine_problems(every, {"proxy1": {80, 443, 8443}, "proxy2": {80, 443}})
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


def test_a_proxys_own_port_is_no_endpoints() -> None:
    found = ("proxy1.shop", "tls_endpoint_port", "8443 is the port of sites of the proxy proxy1 too")
    shop = on("proxy1", "shop", 3000, tls_endpoint_port=8443)
    desk = on("proxy1", "desk", 3001, tls_endpoint_port=8444)
    assert problems(shop, desk) == [(*found, "write another, such as 8445")]
    # Another proxy has nothing there, and what only the nginx beside it asks has no endpoint.
    assert problems(on("proxy2", "shop", 3000, tls_endpoint_port=8443)) == []
    assert problems(on("proxy1", "shop", 3000, tls_endpoint_port=443, asked_on_loopback=True)) == []


def test_a_port_that_passes_to_another_application_takes_two_runs() -> None:
    was: dict[str, dict[str, Any]] = {"web1": {"shop": {"mode": "mtls", "port": 443}}, "proxy1": {"desk": None}}
    said = [
        (one["path"], one["problem"]) for one in passed_ports(was, {"web1": {"desk": {"mode": "mtls", "port": 443}}})
    ]
    assert said == [(["web1"], "443 of web1 is where the proxies ask shop, and the port of desk now")]
    assert passed_ports(was, {"web1": was["web1"], "proxy1": {"desk": {"mode": "mtls", "port": 13000}}}) == []
    assert passed_ports({}, {"web1": was["web1"]}) == []
