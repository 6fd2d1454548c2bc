"""Zones, recipes and what a location changes of them, on the parsed tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Block

Render = Callable[..., Block]
TRACE = ("$gatehouse_trace",)
REFUSE = ("$gatehouse_cache_refuse",)


def estate(cache: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the variables of a site with a location whose answers are kept."""
    kept = {"path": "/", "upstream": "shop", "cache": {"zone": "pages", **(cache or {})}}
    pool = {"name": "shop", "transport": "http", "members": [{"name": "a", "address": "10.0.0.1", "port": 80}]}
    return {
        "proxy_sites": [{"name": "shop", "server_names": ["shop.test"], "locations": [kept]}],
        "proxy_upstreams": [pool],
        "proxy_caches": [{"name": "pages"}],
        **more,
    }


def location(http: Block) -> Block:
    return http.https_server("shop.test").one("location", "/")


def rules(block: Block) -> set[tuple[str, ...]]:
    """Return what a block says about caching, without headers."""
    mine = ("proxy_cache", "proxy_no_cache", "proxy_force_ranges", "if_modified_since", "slice")
    return {(child.name, *child.args) for child in block.block if child.name.startswith(mine)}


def test_a_zone_has_its_limits_and_its_folder(render: Render) -> None:
    zone = {"name": "pages", "size": "1g", "max_size": "2g", "min_free": "512m", "inactive": "1h 30m", "levels": "2:2"}
    assert render(**estate(proxy_caches=[zone])).one("proxy_cache_path").args == (
        "/var/lib/nginx/cache-pages",
        "levels=2:2",
        "keys_zone=pages:1024m",
        "max_size=2048m",
        "min_free=512m",
        "inactive=1h30m",
    )


def test_a_zone_on_another_disk_keeps_its_unfinished_files_there(render: Render) -> None:
    zone = {"name": "pages", "path": "/srv/cache", "max_size": "0", "inactive": "10m"}
    words = render(**estate(proxy_caches=[zone])).one("proxy_cache_path").args
    assert words == ("/srv/cache", "levels=1:2", "use_temp_path=off", "keys_zone=pages:8m")


def test_the_estates_recipe_stands_once_at_the_level_http(render: Render) -> None:
    http = render(**estate())
    assert http.arguments("proxy_cache_key") == [("$scheme$host$request_uri",)]
    assert http.arguments("proxy_cache_lock") == [("on",)]
    assert http.arguments("proxy_cache_use_stale") == []
    assert rules(location(http)) == {
        ("proxy_cache", "pages"),
        ("proxy_cache_bypass", *TRACE),
        ("proxy_no_cache", *TRACE),
        ("proxy_no_cache", *REFUSE),
    }


def test_without_a_zone_nothing_about_caching_is_rendered(render: Render) -> None:
    plain = {"path": "/", "upstream": "shop"}
    site = {"name": "shop", "server_names": ["shop.test"], "locations": [plain]}
    http = render(**estate(proxy_caches=[], proxy_sites=[site]))
    assert not rules(http)
    assert not rules(location(http))
    assert not http.all("js_import")


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ({"key": "$host$uri"}, ("proxy_cache_key", "$host$uri")),
        ({"methods": ["GET"]}, ("proxy_cache_methods", "GET")),
        ({"min_uses": 3}, ("proxy_cache_min_uses", "3")),
        ({"bypass": ["$cookie_session"]}, ("proxy_cache_bypass", "$cookie_session")),
        ({"bypass": ["$cookie_session"]}, ("proxy_no_cache", "$cookie_session")),
        ({"valid": [{"statuses": [200, 301], "time": "5m"}]}, ("proxy_cache_valid", "200", "301", "5m")),
        ({"valid": [{"statuses": [200], "time": "5m"}]}, ("proxy_no_cache", "$gatehouse_cache_refuse_unfresh")),
        ({"slice": "1m"}, ("slice", "1m")),
        ({"slice": "1m"}, ("proxy_cache_key", "$scheme$host$request_uri$slice_range")),
        ({"recipe": "static_assets"}, ("proxy_cache_valid", "404", "410", "1m")),
        ({"recipe": "public_pages"}, ("proxy_cache_bypass", "$gatehouse_cache_cookie")),
        ({"recipe": "public_pages"}, ("proxy_cache_bypass", *TRACE)),
        ({"recipe": "api_microcache"}, ("proxy_cache_valid", "200", "301", "308", "404", "1s")),
        # What the estate's recipe says and this one does not is put back to nginx's own.
        ({"recipe": "basic"}, ("proxy_cache_lock", "off")),
        ({"recipe": "basic"}, ("if_modified_since", "exact")),
    ],
)
def test_a_location_says_what_differs(render: Render, cache: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert expected in rules(location(render(**estate(cache))))


def test_a_location_that_keeps_pieces_asks_for_pieces(render: Render) -> None:
    there = location(render(**estate({"slice": "1m"})))
    headers = {words[0]: words[1] for words in there.arguments("proxy_set_header")}
    assert headers["Range"] == "$slice_range"
    assert headers["Host"] == "$host"
    assert any(words[:2] == ("200", "206") for words in there.arguments("proxy_cache_valid"))
    assert there.one("set", "$gatehouse_cache_entry").args[1] == "$scheme$host$request_uri$slice_range"


def test_the_basic_cache_comes_from_the_inventory_alone(render: Render) -> None:
    # The options of a zone, as the shortest configurations have them.
    zone = {"name": "app_cache", "path": "/var/lib/nginx/cache", "max_size": "0", "inactive": "10m"}
    http = render(**estate({"zone": "app_cache"}, proxy_caches=[zone], proxy_cache_recipe="basic"))
    assert http.one("proxy_cache_path").args == ("/var/lib/nginx/cache", "levels=1:2", "keys_zone=app_cache:8m")
    assert http.one("proxy_cache_key").args == ("$scheme$request_method$host$request_uri$is_args$args",)
    assert http.arguments("proxy_cache_valid") == [("200", "302", "10m"), ("404", "1m")]
    there = location(http)
    assert there.arguments("proxy_cache") == [("app_cache",)]
    assert ("$http_cache_control",) in there.arguments("proxy_cache_bypass")
    assert not [words for words in rules(http) if words[0] in ("proxy_cache_lock", "proxy_cache_use_stale")]


def test_a_cached_answer_says_where_it_comes_from_and_keeps_the_sites_headers(render: Render) -> None:
    there = location(render(**estate()))
    reported = {words[0]: words[1:] for words in there.arguments("add_header")}
    assert reported["X-Cache-Status"] == ("$upstream_cache_status", "always")
    assert reported["Cache-Status"] == ("$gatehouse_cache_status", "always")
    assert "Age" not in reported
    assert there.arguments("include") or "X-Content-Type-Options" in reported
    hidden = {words[0] for words in there.arguments("proxy_hide_header")}
    assert {"Proxy-Authenticate", "X-Powered-By"} <= hidden
    assert "Age" not in hidden


def test_the_age_is_the_proxys_own_where_it_is_asked_for(render: Render) -> None:
    there = location(render(**estate(proxy_cache_age=True)))
    assert ("Age", "$gatehouse_cache_age", "always") in there.arguments("add_header")
    assert ("Age",) in there.arguments("proxy_hide_header")


@pytest.mark.parametrize(("release", "zones"), [("12", 0), ("13", 1)])
def test_a_shared_dictionary_only_where_njs_has_it(render: Render, release: str, zones: int) -> None:
    http = render(**estate(ansible_facts={"distribution_major_version": release}))
    assert len(http.all("js_shared_dict_zone")) == zones
