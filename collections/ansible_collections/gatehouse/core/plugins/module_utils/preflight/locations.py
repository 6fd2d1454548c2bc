"""What can be wrong with a location: who answers, its path, and settings that cannot go together.

Pure: paths lead into proxy_sites, whose entries have their defaults (spec_values). What has the wrong shape is left to
spec_problems, which says so. Sources: https://nginx.org/en/docs/http/ngx_http_proxy_module.html,
https://nginx.org/en/docs/http/ngx_http_core_module.html#alias
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..input_error import InputError
from ..nginx_values import nginx_path
from .problem import Problem, mapping, numbered, wrong

_REGEX = ("regex", "regex_nocase")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ZERO = re.compile(r"0+(ms|[yMwdhms])?")
# Conditions of next_upstream that https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html does not have.
_NO_FASTCGI = ("http_502", "http_504")
_TIMES = ("connect_timeout", "send_timeout", "read_timeout")
# What says how an upstream is asked, and what each is when it says nothing.
_FOR_UPSTREAMS = {
    "upstream_path": "", "protocol": "http", "fastcgi": {"root": "", "script": "index.php"},
    "websocket": False, "streaming": False, "request_headers": [],
    "hide_headers": [], "request_buffering": True, "response_buffering": True, **dict.fromkeys(_TIMES, ""),
}  # fmt: skip
# Headers of one connection (RFC 9110 7.6.1) or of a message's framing: nginx makes them itself.
_FRAMING = (
    "connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip
_ANSWER_FRAMING = (*_FRAMING, "content-type", "date", "server")
# Variables of which one tells the sites of a shared cache apart.
_WHICH_SITE = re.compile(r"\$(host|http_host|server_name)\b")


def _names(value: Any) -> list[str]:
    return [str(entry["name"]) for _, entry in numbered(value) if isinstance(entry.get("name"), str)]


def _nearest(name: str, known: Sequence[str]) -> str:
    """Return `write <the nearest>`, or all the choices when none is near; what is no name itself is none."""
    known = [one for one in known if _NAME.fullmatch(one)]
    if near := difflib.get_close_matches(name, known, 1):
        return f"write {near[0]}"
    return f"write one of {', '.join(sorted(known))}" if known else "add it, or take this away"


def location_problems(estate: Mapping[str, Any], absent: Collection[str] = ()) -> list[Problem]:
    """Return what is wrong with the locations of one proxy's sites, paths beginning with proxy_sites.

    `estate`: the role's variables with their defaults; one that is left out could not be evaluated, and then nothing
    is said of the names in it. `absent`: upstreams of which the inventory lacks the group or the application, which is
    reported there.
    """
    problems, users = [], _zone_users(estate.get("proxy_sites"))
    for index, site in numbered(estate.get("proxy_sites")):
        seen, title = set[tuple[str, str]](), f"site {site.get('name')}"
        found = [*_access(site)]
        for place, location in numbered(site.get("locations")):
            own = [*_answers(location), *_path(location), *_static(location), *_together(location)]
            own += [*_fastcgi(estate, location)]
            own += [*_named(estate, location, absent), *_cache(location, users), *_headers(location), *_times(location)]
            own += [*_access(location), *_limits(location)]
            key = (str(location.get("path")), str(location.get("match")))
            if key in seen:
                own.append(wrong(["path"], f"{key[0]} of {title} is there twice", "keep one location of it"))
            seen.add(key)
            found += [{**one, "path": ["locations", place, *one["path"]]} for one in own]
        problems += [{**one, "path": ["proxy_sites", index, *one["path"]]} for one in found]
    return problems


def _chosen(location: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what is to answer: of an upstream, a redirect and a folder those that are written."""
    kinds: tuple[tuple[str, ...], ...] = (("upstream",), ("redirect", "to"), ("static", "dir"))
    return [
        keys for keys in kinds if (mapping(location.get(keys[0])).get(keys[1]) if keys[1:] else location.get(keys[0]))
    ]


def _answers(location: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield that nothing or more than one thing answers, and settings that are for another kind of answer."""
    chosen = _chosen(location)
    if not chosen:
        text = "is missing, and so are redirect.to and static.dir: nothing would answer"
        yield wrong(["upstream"], text, "write one of the three")
    for keys in chosen[1:]:
        yield wrong(keys, f"is beside {'.'.join(chosen[0])}, and only one can answer", "keep one of them")
    if len(chosen) != 1 or chosen[0] == ("upstream",):
        return
    who = ".".join(chosen[0])
    for name, nothing in _FOR_UPSTREAMS.items():
        if name in location and location[name] != nothing:
            yield wrong([name], f"has no meaning beside {who}: no upstream is asked", "take it away")
    if mapping(location.get("cache")).get("zone"):
        yield wrong(["cache"], f"has no meaning beside {who}: no upstream is asked", "take it away")
    if chosen[0] == ("redirect", "to"):
        guards = {name: location.get(name) for name in ("allow", "deny", "rate_limits", "connection_limits")}
        guards["basic_auth"] = mapping(location.get("basic_auth")).get("users")
        for name in sorted(name for name, value in guards.items() if value):
            text = "guards nothing beside redirect.to, which answers before anybody is asked"
            yield wrong([name], text, "take it away, and guard what the redirect leads to")


def _path(location: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield paths that do not suit their match, and paths for the upstream that nginx refuses or doubles."""
    path, match, upstream_path = location.get("path"), location.get("match"), location.get("upstream_path")
    if not isinstance(path, str):
        return
    if match in ("prefix", "exact"):
        try:
            nginx_path(path)
        except InputError as error:
            # What could be an expression may be meant as one; what `location_path` refuses is reported already.
            more = " (or match: regex)" if any(mark in path for mark in "^$[\\(*+?|") else ""
            yield wrong(["path"], error.problem, f"write {error.remedy}{more}")
    if not isinstance(upstream_path, str) or not upstream_path:
        return
    if match in _REGEX:
        text = f"{upstream_path} cannot replace what a regular expression matched"
        yield wrong(["upstream_path"], text, "take it away, or write match: prefix and a plain path")
    elif match == "prefix" and path.endswith("/") != upstream_path.endswith("/"):
        joined = upstream_path + "x" if path.endswith("/") else upstream_path + "/x"
        asked = path + "x" if path.endswith("/") else path + "/x"
        text = f"{upstream_path} turns {asked} into {joined}, because only one of it and path ends in /"
        yield wrong(["upstream_path"], text, "end both in /, or neither", "warning")


def _static(location: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield folders that would serve what lies beside them, or nothing."""
    static, path, match = mapping(location.get("static")), location.get("path"), location.get("match")
    if not static.get("dir"):
        for name in ("fallback", "max_age"):
            if static.get(name):
                yield wrong(["static", name], "has no meaning without static.dir", "write dir, or take it away")
        return
    if static.get("strip_path") is not True or not isinstance(path, str):
        return
    if match != "prefix":
        text = f"cannot take the path off with match: {match}"
        yield wrong(["static", "strip_path"], text, "write strip_path: false, or match: prefix")
    elif not path.endswith("/"):
        text = f"{path} would let {path}../ reach beside the folder {static['dir']}"
        yield wrong(["path"], text, f"write {path}/, or static.strip_path: false")


def _together(location: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield settings of which one undoes the other."""
    grpc, zone = location.get("protocol") == "grpc", mapping(location.get("cache")).get("zone")
    if grpc and location.get("websocket") is True:
        yield wrong(["websocket"], "cannot be with protocol: grpc", "take one of them away")
    if grpc and location.get("upstream_path"):
        text = "cannot be with protocol: grpc, whose paths are names of methods"
        yield wrong(["upstream_path"], text, "take it away")
    for name, value in (("protocol", "grpc"), ("websocket", True), ("streaming", True), ("response_buffering", False)):
        if zone and location.get(name) == value:
            text = f"cannot be with {name}: {json.dumps(value).strip(chr(34))}, which passes answers on and keeps none"
            yield wrong(["cache"], text, "take one of them away")


def _fastcgi(estate: Mapping[str, Any], location: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what FastCGI lacks, and what has no meaning without it."""
    fastcgi, cache = mapping(location.get("fastcgi")), mapping(location.get("cache"))
    if location.get("protocol") != "fastcgi":
        if fastcgi.get("root") and location.get("upstream"):
            text = "has no meaning without protocol: fastcgi"
            yield wrong(["fastcgi"], text, "write protocol: fastcgi, or take it away")
        return
    if fastcgi.get("root") == "":
        yield wrong(["fastcgi", "root"], "is required with protocol: fastcgi", "write the folder of public files")
    for name in ("websocket", "upstream_path"):
        if location.get(name):
            yield wrong([name], "cannot be with protocol: fastcgi, which has no such thing", "take it away")
    if cache.get("zone"):
        text = "cannot be with protocol: fastcgi, whose answers the zone cannot hold"
        yield wrong(["cache"], text, "take it away, and keep a cache on the proxy before this one")
    for _, pool in numbered(estate.get("proxy_upstreams")):
        lacking = [one for one in pool.get("next_upstream") or () if one in _NO_FASTCGI]
        if pool.get("name") == location.get("upstream") and lacking:
            text = f"{pool['name']} asks another member on {', '.join(lacking)}, which FastCGI does not know"
            yield wrong(["upstream"], text, "take it out of next_upstream")
        if pool.get("name") == location.get("upstream") and pool.get("transport", "mtls") != "http":
            text = f"cannot be fastcgi, which knows no TLS: the application {pool['name']} is asked at its endpoint"
            yield wrong(["protocol"], text, "write the location in tls_endpoint: {locations: ...} of the application")


def _named(estate: Mapping[str, Any], location: Mapping[str, Any], absent: Collection[str]) -> Iterator[Problem]:
    """Yield names of upstreams, caches and limits that there are not."""
    named: list[tuple[list[Any], str, Any, str]] = [
        (["upstream"], "upstream", location.get("upstream"), "proxy_upstreams"),
        (["cache", "zone"], "cache", mapping(location.get("cache")).get("zone"), "proxy_caches"),
    ]
    for key, variable in (("rate_limits", "proxy_rate_limits"), ("connection_limits", "proxy_connection_limits")):
        named += [([key, n, "name"], "limit", one.get("name"), variable) for n, one in numbered(location.get(key))]
    for path, kind, name, variable in named:
        if kind == "upstream" and name in absent:
            continue
        if isinstance(name, str) and name and variable in estate and name not in (known := _names(estate[variable])):
            text = f"names the {kind} {json.dumps(name)}, which {variable} lacks"
            yield wrong(path, text, _nearest(name, known))


def _zone_users(sites: Any) -> dict[str, set[str]]:
    """Return which sites use each cache zone."""
    users: dict[str, set[str]] = {}
    for _, site in numbered(sites):
        for _, location in numbered(site.get("locations")):
            users.setdefault(str(mapping(location.get("cache")).get("zone")), set()).add(str(site.get("name")))
    return users


def _cache(location: Mapping[str, Any], users: Mapping[str, set[str]]) -> Iterator[Problem]:
    """Yield rules for a cache that is none, and keys that mix up the sites of one zone."""
    cache = mapping(location.get("cache"))
    zone, key = cache.get("zone"), cache.get("key")
    if zone == "":
        for name in ("recipe", "key", "valid", "bypass", "methods", "min_uses", "slice"):
            if cache.get(name):
                yield wrong(["cache", name], "has no meaning without cache.zone", "write zone, or take it away")
    elif isinstance(key, str) and key and not _WHICH_SITE.search(key) and len(users.get(str(zone), ())) > 1:
        text = f"{key} would give one site's answers to another: {', '.join(sorted(users[str(zone)]))} share {zone}"
        yield wrong(["cache", "key"], text, "begin it with $scheme$host, or give each site a zone")


def _headers(location: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield headers that are there twice, or that are not for a configuration to write."""
    for field, framing in (("request_headers", _FRAMING), ("response_headers", _ANSWER_FRAMING)):
        seen: dict[str, int] = {}
        for place, header in numbered(location.get(field)):
            name = str(header.get("name"))
            # The same in the same letters is a repeated name, which spec_problems reports.
            if (first := seen.setdefault(name.lower(), place)) != place:
                text = f"{name} is {field}[{first}] again, for names of headers ignore upper and lower case"
                yield wrong([field, place, "name"], text, "keep one of them")
            if name.lower() in framing:
                remedy = "write websocket: true" if name.lower() in ("upgrade", "connection") else "take it away"
                remedy = "take it away" if field == "response_headers" else remedy
                yield wrong([field, place, "name"], f"{name} is a header that nginx makes itself", remedy)


def _times(location: Mapping[str, Any]) -> Iterator[Problem]:
    for name in _TIMES:
        if isinstance(value := location.get(name), str) and _ZERO.fullmatch(value):
            yield wrong([name], f"{value} leaves no time at all", "write a time such as 10s")


def _access(place: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with who may come to a site or a location."""
    allow, deny, auth = place.get("allow"), place.get("deny"), mapping(place.get("basic_auth"))
    for index, source in enumerate(allow if isinstance(allow, (list, tuple)) else ()):
        if isinstance(deny, (list, tuple)) and source in deny:
            yield wrong(["allow", index], f"{source} is in deny too, which goes first", "keep one of them")
    if auth.get("realm") == "off":
        yield wrong(["basic_auth", "realm"], "off would ask nobody for a password", "write another text")
    elif isinstance(realm := auth.get("realm"), str) and '"' in realm:
        yield wrong(["basic_auth", "realm"], "has a quotation mark, which would end it", "write it without")
    if auth.get("users") == [] and auth.get("realm") not in ("Restricted", "off", None):
        yield wrong(["basic_auth", "users"], "is empty: nobody would be asked", "write users, or take realm away")


def _limits(location: Mapping[str, Any]) -> Iterator[Problem]:
    for place, limit in numbered(location.get("rate_limits")):
        delay = limit.get("delay")
        if limit.get("burst") == 0 and isinstance(delay, int) and delay >= 0:
            yield wrong(["rate_limits", place, "delay"], "has no meaning without burst", "write burst too")
