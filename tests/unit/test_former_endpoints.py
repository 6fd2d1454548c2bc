"""What a machine keeps open until every proxy has learned where an application is now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.former_endpoints import (
    endpoint_services,
    former_endpoints,
    former_machines,
    machine_endpoints,
    moved_hosts,
    new_endpoints,
    recorded_endpoints,
)
from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError


def endpoint(name: str, port: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "mode": "mtls", "port": port, "app_port": 3000, "standby_port": 0, "upstream": name, **more}


def said(app: str, endpoint: Any) -> dict[str, Any]:
    """Return what an application's host says of its endpoint, None where only the proxy beside it asks."""
    return {"app_name": app, "asked_on_loopback": endpoint is None, "endpoint_application": endpoint or {"port": 1}}


WAS = {"web1": {"shop": endpoint("endpoint", 443, upstream="app")}}


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        ({"shop": endpoint("endpoint", 443)}, {}),
        # It has moved away: asked here until no proxy does.
        ({}, {"shop": (443, 3000, 0)}),
        ({"desk": endpoint("desk", 13001)}, {"shop": (443, 3000, 0)}),
        # The host has got a second one: the same application at another port, and at its standby too.
        ({"shop": endpoint("shop", 13000, app_port=4000, standby_port=24000)}, {"shop": (443, 4000, 24000)}),
        # Another one has its port.
        ({"desk": endpoint("endpoint", 443)}, {}),
    ],
    ids=["same", "gone", "gone-with-a-neighbour", "other-port", "port-taken"],
)
def test_a_machine_keeps_what_the_proxies_may_still_ask(now: dict[str, Any], kept: dict[str, Any]) -> None:
    found = former_endpoints(WAS, "web1", now)
    assert {app: (one["port"], one["app_port"], one["standby_port"]) for app, one in found.items()} == kept
    assert {(one["name"], one["upstream"]) for one in found.values()} <= {("former.shop", "former.shop")}
    assert former_endpoints(WAS, "web2", now) == {}
    assert former_machines(WAS, {"web1": now}, ["web1", "web2"]) == (["web1"] if kept else [])


def test_an_application_without_an_endpoint_is_asked_at_its_own_port() -> None:
    was = {"web1": {"shop": endpoint("shop", 13000, mode="none")}}
    assert former_endpoints(was, "web1", {"shop": endpoint("shop", 443, mode="none")}) == {}
    kept = former_endpoints(was, "web1", {"shop": endpoint("shop", 443)})
    assert endpoint_services(kept.values()) == [{"name": "former.shop", "port": 3000}]


def test_what_the_proxies_do_not_ask_yet_is_new() -> None:
    assert new_endpoints(WAS, "web1", WAS["web1"]) == []
    assert new_endpoints(WAS, "web1", {"shop": endpoint("shop", 13000), "desk": endpoint("desk", 13001)}) == [
        "shop",
        "desk",
    ]
    assert new_endpoints({}, "web1", WAS["web1"]) == ["shop"]


def test_a_record_says_who_asks_through_loopback(tmp_path: Path) -> None:
    hosts = {
        "web1": {"instances": ["web1"], **said("shop", {**WAS["web1"]["shop"], "standby_port": 23000})},
        "proxy1": {"instances": ["proxy1.desk"]},
        "proxy1.desk": said("desk", None),
        "proxy2": {"instances": []},
    }
    assert machine_endpoints(["web1", "proxy1", "proxy2"], hosts) == {**WAS, "proxy1": {"desk": None}}
    assert former_endpoints({"proxy1": {"desk": None}}, "proxy1", {}) == {}
    assert recorded_endpoints(tmp_path) == {}
    (tmp_path / "endpoints.json").write_text("[1")
    with pytest.raises(InputError, match="is no record that Gatehouse wrote"):
        recorded_endpoints(tmp_path)


@pytest.mark.parametrize(
    ("was", "now", "moved"),
    [
        (endpoint("endpoint", 443), endpoint("endpoint", 443), False),
        (endpoint("endpoint", 443), endpoint("shop", 13000), True),
        (None, endpoint("shop", 13000), True),
        (endpoint("shop", 13000), None, True),
        (None, None, False),
    ],
    ids=["same", "other-port", "no-longer-loopback", "now-loopback", "loopback"],
)
def test_who_is_asked_in_another_way_than_before(was: Any, now: Any, moved: bool) -> None:
    hosts = {"web1.shop": {"machine": "web1", **said("shop", now)}}
    assert moved_hosts(["web1.shop"], hosts, {"web1": {"shop": was}}) == (["web1.shop"] if moved else [])
    # Nobody asks it yet, or no run has recorded who does.
    assert moved_hosts(["web1.shop"], hosts, {"web1": {"desk": was}}) == []
    assert moved_hosts(["web1.shop"], hosts, {}) == []
