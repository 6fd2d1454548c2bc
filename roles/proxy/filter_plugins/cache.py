"""From zones and recipes to nginx's cache directives, and from a URL to the keys under which a cache holds it.

Source: https://nginx.org/en/docs/http/ngx_http_proxy_module.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# {directive: its arguments, once for each time that it is written}
Rules = dict[str, list[str]]

# What a recipe leaves out, for a location that must undo what the estate's recipe says.
NGINX_DEFAULTS: Rules = {
    "if_modified_since": ["exact"],
    "proxy_cache_background_update": ["off"],
    "proxy_cache_lock": ["off"],
    "proxy_cache_lock_timeout": ["5s"],
    "proxy_cache_methods": ["GET HEAD"],
    "proxy_cache_min_uses": ["1"],
    "proxy_cache_revalidate": ["off"],
    "proxy_cache_use_stale": ["off"],
    "proxy_force_ranges": ["off"],
}
# Lists that stand in each location, because what they hold differs from one to the next.
PER_LOCATION = ("proxy_cache_bypass", "proxy_no_cache")
TRACE = "$gatehouse_trace"
# What http/cache.js refuses by a recipe's lifetimes, and where the inventory gives lifetimes itself.
REFUSE, REFUSE_UNFRESH = "$gatehouse_cache_refuse", "$gatehouse_cache_refuse_unfresh"
# nginx's own folders: temporary files stand on the same disk, so the last step of storing is a rename.
STATE_DIR = "/var/lib/nginx/"
NGINX_INACTIVE = "10m"


def cache_folder(zone: Mapping[str, Any]) -> str:
    """Return the folder of a zone, an entry of `proxy_caches`."""
    return str(zone["path"]) or f"{STATE_DIR}cache-{zone['name']}"


def _megabytes(size: str) -> str:
    """Return a size without `g`, which the size of a `keys_zone` may not have."""
    return f"{int(size[:-1]) * 1024}m" if size[-1] in "gG" else size


def cache_path(zone: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `proxy_cache_path` for an entry of `proxy_caches` with its defaults applied.

    {name: assets, size: 8m, ...} gives [/var/lib/nginx/cache-assets, levels=1:2, keys_zone=assets:8m, ...].
    """
    folder = cache_folder(zone)
    words = [folder, f"levels={zone['levels']}"]
    if not folder.startswith(STATE_DIR):
        words.append("use_temp_path=off")
    words.append(f"keys_zone={zone['name']}:{_megabytes(zone['size'])}")
    words += [f"{name}={_megabytes(zone[name])}" for name in ("max_size", "min_free") if zone[name] not in ("", "0")]
    inactive = str(zone["inactive"]).replace(" ", "")
    return words + ([f"inactive={inactive}"] if inactive != NGINX_INACTIVE else [])


def _rules(recipes: Mapping[str, Any], name: str) -> Rules:
    """Return a recipe's rules, with those of the one that it is `like`."""
    recipe = {**recipes.get(recipes[name].get("like"), {}), **recipes[name]}
    rules = {directive: list(map(str, values)) for directive, values in recipe.items() if directive != "like"}
    for directive in PER_LOCATION:
        rules[directive] = [*rules.get(directive, []), TRACE]
    return rules


def _lines(rules: Rules) -> list[list[str]]:
    """Return [[directive, argument, ...]], sorted by directive."""
    return [[directive, *value.split()] for directive in sorted(rules) for value in rules[directive]]


def cache_defaults(recipes: Mapping[str, Any], name: str) -> list[list[str]]:
    """Return [[directive, argument, ...]] of the estate's recipe, for the level http."""
    return _lines({key: value for key, value in _rules(recipes, name).items() if key not in PER_LOCATION})


def _adjusted(rules: Rules, cache: Mapping[str, Any]) -> Rules:
    """Return a recipe's rules with what a location says itself."""
    rules = dict(rules)
    if cache["key"]:
        rules["proxy_cache_key"] = [str(cache["key"])]
    if cache["valid"]:
        rules["proxy_cache_valid"] = [
            " ".join([*map(str, entry["statuses"]), str(entry["time"])]) for entry in cache["valid"]
        ]
        # nginx does not know the heuristic's limits: here the operator sets the lifetime.
        rules["proxy_no_cache"] = [REFUSE_UNFRESH if word == REFUSE else word for word in rules["proxy_no_cache"]]
    for directive in PER_LOCATION:
        rules[directive] = rules[directive] + [word for word in cache["bypass"] if word not in rules[directive]]
    if cache["methods"]:
        rules["proxy_cache_methods"] = [" ".join(cache["methods"])]
    if cache["min_uses"]:
        rules["proxy_cache_min_uses"] = [str(cache["min_uses"])]
    if cache["slice"]:
        rules["slice"] = [str(cache["slice"])]
        rules["proxy_cache_key"] = [rules["proxy_cache_key"][0] + "$slice_range"]
        rules["proxy_cache_valid"] = [re.sub(r"^200\b", "200 206", line) for line in rules["proxy_cache_valid"]]
    return rules


def cache_rules(
    cache: Mapping[str, Any], zones: Sequence[Mapping[str, Any]], recipes: Mapping[str, Any], default: str
) -> list[list[str]]:
    """Return [[directive, argument, ...]] of one location: what differs from the level http, and its lists.

    `cache`: the mapping `cache` of a location with its defaults applied; `zones`: entries of `proxy_caches`, likewise;
    `default`: the estate's recipe. $gatehouse_cache_place and $gatehouse_cache_entry are what http/cache_forget.js
    forgets after an unsafe request.
    """
    zone = next(zone for zone in zones if zone["name"] == cache["zone"])
    above = _rules(recipes, default)
    own = _adjusted(_rules(recipes, cache["recipe"] or default), cache)
    own = {key: NGINX_DEFAULTS[key] for key in above if key not in own} | own
    rules = {key: value for key, value in own.items() if key in PER_LOCATION or above.get(key) != value}
    lines = [
        ["proxy_cache", str(cache["zone"])],
        ["set", "$gatehouse_cache_place", f"{cache_folder(zone)} {zone['levels']}"],
    ]
    if "proxy_cache_key" in rules:
        lines.append(["set", "$gatehouse_cache_entry", rules["proxy_cache_key"][0]])
    return [*lines, *_lines(rules)]


def location_key(cache: Mapping[str, Any], recipes: Mapping[str, Any], default: str) -> str:
    """Return the key under which a location keeps an answer, with nginx's variables."""
    return _adjusted(_rules(recipes, cache["recipe"] or default), cache)["proxy_cache_key"][0]


def _host_pattern(name: str) -> str:
    """Return the regular expression of the hosts that a server name stands for; they hold no slash."""
    exact = re.escape(name.lower().removeprefix("*."))
    return rf"[^/]+\.{exact}" if name.startswith("*.") else exact


def key_pattern(key: str, host: str, path: str, prefix: bool = False) -> str:
    """Return the regular expression of the keys of one URL, or of all URLs that begin with it.

    `key`: nginx's expression; `host`: a server name; `path`: with its query string. What a URL does not say (the
    scheme, the method, a slice, a cookie) fits any text.
    """
    name, _, query = path.partition("?")
    more = ".*" if prefix else ""
    known = {
        "scheme": "https?",
        "request_method": "[A-Z]+",
        "is_args": "[?]?" if prefix else "[?]" if query else "",
        "slice_range": "(bytes=[0-9]+-[0-9]+)?",
    }
    known |= dict.fromkeys(("host", "http_host"), _host_pattern(host))
    known |= dict.fromkeys(("request_uri",), re.escape(path) + more)
    known |= dict.fromkeys(("uri", "document_uri"), re.escape(name) + more)
    known |= dict.fromkeys(("args", "query_string"), ".*" if prefix else re.escape(query))

    def part(found: re.Match[str]) -> str:
        return known.get(found["name"], ".*") if found["name"] else re.escape(found[0])

    return re.sub(r"\$\{?(?P<name>\w+)\}?|[^$]+", part, key)


def cache_purges(
    sites: Sequence[Mapping[str, Any]],
    purge: Mapping[str, str],
    zones: Sequence[Mapping[str, Any]],
    recipes: Mapping[str, Any],
    default: str,
) -> list[dict[str, Any]]:
    """Return [{folder, patterns}] of what to purge: `targets` of the module cache_purge.

    `purge`: {site, path, prefix}, one of the last two empty, each as it is in the URL with its query string. These
    are all zones that locations of the site use, each with the patterns of all keys in use there: which location
    answered need not be known.
    """
    site = next((site for site in sites if site["name"] == purge["site"]), None)
    if site is None:
        known = ", ".join(sorted(str(site["name"]) for site in sites)) or "none"
        raise AnsibleFilterError(f'"{purge["site"]}" is no site of proxy_sites; write purge_site as one of: {known}')
    if bool(purge["path"]) == bool(purge["prefix"]):
        raise AnsibleFilterError("write either purge_path, for one URL, or purge_prefix, for all that begin so")
    path = purge["path"] or purge["prefix"]
    if not re.fullmatch(r"/[!-\"$-~]*", path):
        raise AnsibleFilterError(f'"{path}" is no path; write it from / on as it is in the URL, such as /a.css?v=1')
    folders = {zone["name"]: cache_folder(zone) for zone in zones}
    found: dict[str, set[str]] = {}
    for cache in (location["cache"] for location in site["locations"] if location["cache"]["zone"]):
        key = location_key(cache, recipes, default)
        patterns = {key_pattern(key, name, path, bool(purge["prefix"])) for name in site["server_names"]}
        found.setdefault(folders[cache["zone"]], set()).update(patterns)
    if not found:
        raise AnsibleFilterError(f'no location of the site "{purge["site"]}" has a cache: there is nothing to purge')
    return [{"folder": folder, "patterns": sorted(patterns)} for folder, patterns in sorted(found.items())]


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Any]:
        functions = (cache_path, cache_defaults, cache_rules, cache_purges)
        return {function.__name__: function for function in functions}
