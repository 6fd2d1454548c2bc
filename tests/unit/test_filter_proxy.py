"""The filters of the role proxy about members and versions: how a pool is asked, and what a host can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from .conftest import ROOT

Filters = Callable[[str], Callable[..., Any]]
ROLE = ROOT / "roles" / "proxy"
TABLE = yaml.safe_load((ROLE / "vars" / "main" / "host.yml").read_text())
DEBIAN, SINCE = TABLE["__proxy_debian"], TABLE["__proxy_since"]
SETTINGS = {
    "name": "shop",
    "next_upstream": ["error", "timeout"],
    "next_upstream_tries": 2,
    "next_upstream_timeout": "10s",
    "retry_non_idempotent": False,
    "connect_timeout": "2s",
    "send_timeout": "60s",
    "read_timeout": "60s",
}
LOCATION = {"upstream": "shop", "streaming": False, "connect_timeout": "", "send_timeout": "", "read_timeout": ""}
USUAL = {
    "connect_timeout": "2s",
    "next_upstream": "error timeout",
    "next_upstream_timeout": "10s",
    "next_upstream_tries": "2",
    "read_timeout": "60s",
    "send_timeout": "60s",
}


@pytest.mark.parametrize(
    ("upstream", "location", "differs"),
    [
        ({}, {}, {}),
        ({"read_timeout": "5m"}, {}, {"read_timeout": "5m"}),
        ({"read_timeout": "5m"}, {"read_timeout": "1s"}, {"read_timeout": "1s"}),
        ({"send_timeout": "1h 30m"}, {}, {"send_timeout": "1h30m"}),
        ({}, {"streaming": True}, {"read_timeout": "1h"}),
        ({}, {"streaming": True, "read_timeout": "2h"}, {"read_timeout": "2h"}),
        ({"next_upstream": ["error", "http_502"]}, {}, {"next_upstream": "error http_502"}),
        ({"retry_non_idempotent": True}, {}, {"next_upstream": "error timeout non_idempotent"}),
        ({"next_upstream": ["off"], "retry_non_idempotent": True}, {}, {"next_upstream": "off"}),
        ({"next_upstream_tries": 0}, {}, {"next_upstream_tries": "0"}),
    ],
)
def test_a_location_wins_over_its_upstream(
    filters: Filters, upstream: dict[str, Any], location: dict[str, Any], differs: dict[str, str]
) -> None:
    other = {**SETTINGS, "name": "other", "read_timeout": "9s"}
    found = filters("upstream_settings")({**LOCATION, **location}, [other, {**SETTINGS, **upstream}])
    assert dict(found) == {**USUAL, **differs}
    assert found == sorted(found)
    assert dict(filters("unlike")(found, [list(pair) for pair in USUAL.items()])) == differs


@pytest.mark.parametrize(
    ("certificate", "chain", "key"),
    [
        ({"source": "internal_ca"}, "/etc/ssl/x/shop/fullchain.pem", "/etc/ssl/x/shop/privkey.pem"),
        ({"source": "host", "chain": "/srv/c.pem", "key": "/srv/k.pem"}, "/srv/c.pem", "/srv/k.pem"),
    ],
)
def test_a_certificate_has_one_path_whatever_its_source(
    filters: Filters, certificate: dict[str, Any], chain: str, key: str
) -> None:
    site = {"name": "shop", "certificate": certificate}
    assert filters("certificate_file")(site, "/etc/ssl/x", "chain") == chain
    assert filters("certificate_file")(site, "/etc/ssl/x", "key") == key


def test_the_table_says_what_each_debian_has(filters: Filters) -> None:
    new = {"X25519MLKEM768", "http2_directive", "http3"}
    assert new.isdisjoint(filters("features_of")(SINCE, DEBIAN["12"]))
    assert new.issubset(filters("features_of")(SINCE, DEBIAN["13"]))


@pytest.mark.parametrize(
    ("version", "has"), [("1.25.1", True), ("1.25.0", False), ("1.9.15", False), ("1.26", True), ("2", True)]
)
def test_versions_are_numbers(filters: Filters, version: str, has: bool) -> None:
    since = {"http2_directive": {"nginx": "1.25.1"}}
    assert filters("features_of")(since, {"nginx": version}) == (["http2_directive"] if has else [])


@pytest.mark.parametrize(
    ("asked", "release", "sentences"),
    [
        ("http3", "13", []),
        ("", "12", []),
        (
            "http3",
            "12",
            [
                "proxy_http3 asks for http3, which begins with nginx 1.25.0,"
                " and this host's Debian 12 has nginx 1.22.1; take it away for this host, or install Debian 13"
            ],
        ),
        ("", "11", ["this host has the release 11, and the proxy knows Debian 12 and 13; install one"]),
    ],
)
def test_what_a_host_is_too_old_for(filters: Filters, asked: str, release: str, sentences: list[str]) -> None:
    assert filters("missing_features")({"proxy_http3": asked}, SINCE, DEBIAN, release) == sentences


def test_another_system_is_judged_by_its_packages(filters: Filters) -> None:
    asked = {"proxy_http3": "http3"}
    assert filters("missing_features")(asked, SINCE, DEBIAN, "26", {"nginx": "1.28.0"}) == []
    assert filters("missing_features")(asked, SINCE, DEBIAN, "24", {"nginx": "1.24.0"}) == [
        "proxy_http3 asks for http3, which begins with nginx 1.25.0, and this host's system has nginx 1.24.0;"
        " take it away for this host, or install Debian 13"
    ]


def test_names_are_found_in_whatever_was_written(filters: Filters) -> None:
    pools = [
        {"members": [{"address": "b.example.org"}, {"address": "a.example.org"}, {"address": "b.example.org"}]},
        {"members": [{"address": "10.0.0.1"}, {"address": "fd00::1"}, {"address": "unix:/run/a.sock"}, {"address": 7}]},
        {"members": [{"address": "a b"}, {"address": "10.0.0.300"}, {"address": ""}, {}, "x"]},
        {"members": "x"},
        "x",
    ]
    assert filters("host_names")(pools) == ["a.example.org", "b.example.org"]
    assert filters("host_names")(None) == []


def test_pools_are_their_upstreams_without_members(filters: Filters) -> None:
    assert filters("upstream_pools")([{"name": "a", "keepalive": 8, "members": [1, 2]}]) == [
        {"name": "a", "keepalive": 8, "members": []}
    ]


def test_a_time_in_years_is_one_in_days_where_nginx_counts_milliseconds(filters: Filters) -> None:
    upstream = {"name": "shop", "next_upstream": ["off"], "retry_non_idempotent": False, "next_upstream_tries": 0}
    upstream |= {
        "connect_timeout": "1y",
        "send_timeout": "1h 30m",
        "read_timeout": "90",
        "next_upstream_timeout": "1M 1d",
    }
    location = {"upstream": "shop", "streaming": False, "read_timeout": ""}
    found = dict(filters("upstream_settings")(location, [upstream]))
    assert [found[f"{name}_timeout"] for name in ("connect", "send", "read", "next_upstream")] == [
        "365d",
        "1h30m",
        "90",
        "31d",
    ]
