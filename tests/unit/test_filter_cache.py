"""The filters of roles/proxy/filter_plugins/cache.py: recipes become directives, and URLs become keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

Filters = Callable[[str], Callable[..., Any]]
ROLE = Path(__file__).resolve().parents[2] / "roles" / "proxy"
RECIPES = yaml.safe_load((ROLE / "files" / "cache_recipes.yml").read_text())
SPEC = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
ZONE = {"name": "main", "size": "8m", "max_size": "1g", "min_free": "", "inactive": "1h", "levels": "1:2", "path": ""}
CACHE = {"zone": "main", "recipe": "", "key": "", "valid": [], "bypass": [], "methods": [], "min_uses": 0, "slice": ""}


def purge(path: str = "", prefix: str = "", site: str = "shop") -> dict[str, str]:
    return {"site": site, "path": path, "prefix": prefix}


def site(*caches: dict[str, Any], name: str = "shop", names: tuple[str, ...] = ("shop.test",)) -> dict[str, Any]:
    locations = [{"cache": CACHE | cache} for cache in caches]
    return {"name": name, "server_names": list(names), "locations": locations}


def test_every_recipe_that_can_be_chosen_is_there_and_no_other() -> None:
    choices = SPEC["proxy_sites"]["options"]["locations"]["options"]["cache"]["options"]["recipe"]["choices"]
    assert set(choices) - {""} == set(SPEC["proxy_cache_recipe"]["choices"]) == set(RECIPES)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_no_recipe_keeps_an_answer_to_credentials_or_to_a_trace(filters: Filters, recipe: str) -> None:
    lines = filters("cache_rules")(CACHE | {"recipe": recipe}, [ZONE], RECIPES, "standard")
    refused = {line[1] for line in lines if line[0] == "proxy_no_cache"}
    assert refused & {"$http_authorization", "$gatehouse_cache_private", "$gatehouse_cache_refuse"}
    assert "$gatehouse_trace" in refused
    assert ["proxy_cache_bypass", "$gatehouse_trace"] in lines


@pytest.mark.parametrize("default", sorted(RECIPES))
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_location_has_its_recipe_whole_whatever_stands_above(filters: Filters, recipe: str, default: str) -> None:
    above = filters("cache_defaults")(RECIPES, default)
    own = filters("cache_rules")(CACHE | {"recipe": recipe}, [ZONE], RECIPES, default)
    alone = filters("cache_defaults")(RECIPES, recipe)
    said = {line[0] for line in own}
    effective = [line for line in above if line[0] not in said] + own
    assert all(line in effective for line in alone)
    # And nothing of the other recipe is left but what nginx does anyway.
    named = {line[0] for line in alone}
    extra = {line[0]: line[1] for line in effective if line[0] not in {*named, "proxy_cache", "set", "proxy_no_cache"}}
    extra.pop("proxy_cache_bypass")
    assert set(extra.values()) <= {"off", "exact", "5s"}


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ({}, ["/var/lib/nginx/cache-main", "levels=1:2", "keys_zone=main:8m", "max_size=1024m", "inactive=1h"]),
        ({"max_size": "0", "inactive": "10m"}, ["/var/lib/nginx/cache-main", "levels=1:2", "keys_zone=main:8m"]),
        (
            {"path": "/srv/c", "min_free": "2g"},
            [
                "/srv/c",
                "levels=1:2",
                "use_temp_path=off",
                "keys_zone=main:8m",
                "max_size=1024m",
                "min_free=2048m",
                "inactive=1h",
            ],
        ),
    ],
)
def test_a_zone(filters: Filters, zone: dict[str, str], words: list[str]) -> None:
    assert filters("cache_path")(ZONE | zone) == words


KEYS = {
    "standard": "{scheme}{host}{uri}",
    "basic": "{scheme}{method}{host}{uri}{mark}{query}",
}


def key(recipe: str, host: str, uri: str, scheme: str = "https", method: str = "GET") -> str:
    """Return the key that nginx would make."""
    _, mark, query = uri.partition("?")
    return KEYS[recipe].format(scheme=scheme, host=host, uri=uri, method=method, mark=mark, query=query)


def fits(
    filters: Filters, recipe: str, wanted: dict[str, str], text: str, names: tuple[str, ...] = ("shop.test",)
) -> bool:
    found = filters("cache_purges")([site({"recipe": recipe}, names=names)], wanted, [ZONE], RECIPES, "standard")
    assert [entry["folder"] for entry in found] == ["/var/lib/nginx/cache-main"]
    return any(re.fullmatch(pattern, text) for pattern in found[0]["patterns"])


@pytest.mark.parametrize("recipe", sorted(KEYS))
@pytest.mark.parametrize(
    ("wanted", "host", "uri", "result"),
    [
        (purge("/a.css"), "shop.test", "/a.css", True),
        (purge("/a.css"), "shop.test", "/a.css?v=1", False),
        (purge("/a.css"), "shop.test", "/a.cssx", False),
        (purge("/a.css"), "shop.test", "/axcss", False),
        (purge("/a.css"), "shopxtest", "/a.css", False),
        (purge("/a.css"), "other.test", "/a.css", False),
        (purge("/a.css"), "evil.shop.test", "/a.css", False),
        (purge("/a.css?v=1"), "shop.test", "/a.css?v=1", True),
        (purge("/a.css?v=1"), "shop.test", "/a.css?v=10", False),
        (purge(prefix="/a/"), "shop.test", "/a/b?c=d", True),
        (purge(prefix="/a/"), "shop.test", "/ab", False),
        (purge(prefix="/"), "shop.test", "/", True),
    ],
)
def test_the_keys_of_a_url(
    filters: Filters, recipe: str, wanted: dict[str, str], host: str, uri: str, result: bool
) -> None:
    for scheme in ("http", "https"):
        assert fits(filters, recipe, wanted, key(recipe, host, uri, scheme)) is result


def test_a_method_and_a_piece_are_found(filters: Filters) -> None:
    assert fits(filters, "basic", purge("/a"), key("basic", "shop.test", "/a", method="HEAD"))
    found = filters("cache_purges")([site({"slice": "1m"})], purge("/a"), [ZONE], RECIPES, "standard")
    assert re.fullmatch(found[0]["patterns"][0], "httpsshop.test/abytes=0-1048575")


def test_a_wildcard_name_stands_for_its_hosts_only(filters: Filters) -> None:
    names = ("*.shop.test",)
    assert fits(filters, "standard", purge("/a"), "httpswww.shop.test/a", names)
    assert fits(filters, "standard", purge("/a"), "httpsa.b.shop.test/a", names)
    assert not fits(filters, "standard", purge("/a"), "httpsother.test/.shop.test/a", names)


@given(path=st.from_regex(r"/[!-\"$-~]{0,40}", fullmatch=True), more=st.from_regex(r"[!-\"$-~]{1,10}", fullmatch=True))
def test_any_path_fits_itself_and_no_longer_one(filters: Filters, path: str, more: str) -> None:
    assert fits(filters, "standard", purge(path), key("standard", "shop.test", path))
    assert not fits(filters, "standard", purge(path), key("standard", "shop.test", path + more))
    assert fits(filters, "standard", purge(prefix=path), key("standard", "shop.test", path + more))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (purge("/", site="shpo"), '"shpo" is no site of proxy_sites; write purge_site as one of: plain, shop'),
        (purge(), "write either purge_path, for one URL, or purge_prefix, for all that begin so"),
        (purge("/a", "/b"), "write either purge_path, for one URL, or purge_prefix, for all that begin so"),
        (purge("a"), '"a" is no path; write it from / on as it is in the URL, such as /a.css?v=1'),
        (purge("/a b"), '"/a b" is no path; write it from / on as it is in the URL, such as /a.css?v=1'),
        (purge("/a#b"), '"/a#b" is no path; write it from / on as it is in the URL, such as /a.css?v=1'),
        (purge("/", site="plain"), 'no location of the site "plain" has a cache: there is nothing to purge'),
    ],
)
def test_what_cannot_be_purged(filters: Filters, wanted: dict[str, str], message: str) -> None:
    sites = [site({}), site({"zone": ""}, name="plain")]
    with pytest.raises(AnsibleFilterError) as error:
        filters("cache_purges")(sites, wanted, [ZONE], RECIPES, "standard")
    assert error.value.message == message
