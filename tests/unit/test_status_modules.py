"""What app_status and proxy_status make of what systemd and nginx's configuration say."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import load

ROOT = Path(__file__).resolve().parents[2]


def test_units_of_an_application_are_known_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ["shop-standby.service", "shop.service", "shop.tidy.timer", "shop.worker@1.service"]
    others = ["shop-admin.service", "shopper.service", "shop.mount", "system-shop.slice", "shop-admin.worker@1.service"]
    module = load("roles/app/library/app_status.py")
    assert module.unit_names("shop", [*own, *others]) == own
    assert module.unit_names("shop-admin", [*own, *others]) == ["shop-admin.service", "shop-admin.worker@1.service"]


def test_units_are_read_from_what_systemd_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = """Id=shop.service
LoadState=loaded
ActiveState=failed
SubState=failed
Result=exit-code
NRestarts=3
StateChangeTimestamp=@1700000000

Id=shop.tidy.timer
LoadState=loaded
ActiveState=active
SubState=waiting
Result=success
StateChangeTimestamp=@1700000001
NextElapseUSecRealtime=@1700003600

Id=shop-gone.service
LoadState=not-found
ActiveState=inactive
"""
    failed, timer = load("roles/app/library/app_status.py").parse_units(shown)
    assert failed == {
        "unit": "shop.service", "state": "failed", "substate": "failed", "result": "exit-code",
        "restarts": 3, "since": 1.7e9, "next": 0.0,
    }  # fmt: skip
    assert (timer["unit"], timer["restarts"], timer["next"]) == ("shop.tidy.timer", 0, 1700003600.0)


def test_members_are_read_from_the_live_upstreams(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """# Written by Gatehouse: change the inventory, not this file.
upstream shop {
    zone upstream_shop 67k;
    least_conn;
    server 10.0.0.1:443 weight=2 down;
    server [fd00::2]:443;
    server 10.0.0.3:8443 backup; # app.example.org
    server unix:/run/app.sock;
    # gone.example.org has no address
    keepalive 32;
}
map $upstream_addr $proxy_tls_name_shop {
    default unknown.invalid;
}
upstream desk {
    server 10.0.0.9:443;
}
"""
    assert load("roles/proxy/library/proxy_status.py").parse_upstreams(text) == {
        "shop": {
            "10.0.0.1:443": "weight=2 down", "[fd00::2]:443": "",
            "app.example.org:8443": "backup", "unix:/run/app.sock": "",
        },
        "desk": {"10.0.0.9:443": ""},
    }  # fmt: skip
