"""What can be wrong between the inputs of one proxy that hold for all its sites: caches, limits, ports, trust, HSTS.

Pure: paths lead into the variables, which have their defaults (spec_values). What has the wrong shape is left to
spec_problems, which says so.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from .problem import Problem, numbered, wrong

_SIZE = re.compile(r"([0-9]+)([kKmMgG]?)")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
# ngx_http_limit_req_module.c asks for 8 pages, ngx_http_file_cache.c for 2: one figure is easier to keep in mind.
_LEAST_ZONE = 32 * 1024
# nginx takes the memory when it starts.
_LARGEST_ZONE = 1024**3
# What browsers' lists ask for: https://hstspreload.org
_PRELOAD_AGE = 31_536_000


def _bytes(size: Any) -> int | None:
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    return int(match[1]) * _UNITS[match[2].lower()] if match else None


def proxy_problems(estate: Mapping[str, Any]) -> list[Problem]:
    """Return what does not fit together on one proxy; what sites and upstreams say has filters of its own.

    `estate`: the role's variables with their defaults; one that is left out could not be evaluated, and then nothing
    is said of it.
    """
    return [
        *_zones(estate),
        *_folders(estate.get("proxy_caches")),
        *_listens(estate.get("proxy_listen")),
        *_ports(estate),
        *_balancers(estate),
        *_promises(estate),
    ]


def _zones(estate: Mapping[str, Any]) -> list[Problem]:
    """Return zones of shared memory that nginx would refuse: too small, or of a name that another use has."""
    taken = {"tls": "the cache of TLS sessions"}
    taken |= {f"client_{what}": f"proxy_client_{what}" for what in ("requests", "websockets")}
    kinds = (("proxy_upstreams", "upstream"), ("proxy_rate_limits", "rate"), ("proxy_connection_limits", "connections"))
    for variable, prefix in kinds:
        for index, entry in numbered(estate.get(variable)):
            taken[f"{prefix}_{entry.get('name')}"] = f"{variable}[{index}]"
    problems = []
    for variable in ("proxy_caches", "proxy_rate_limits", "proxy_connection_limits"):
        for index, entry in numbered(estate.get(variable)):
            size, name = _bytes(entry.get("size")), entry.get("name")
            if size is not None and size < _LEAST_ZONE:
                text = f"{entry['size']} is too little memory for a zone"
                problems.append(wrong([variable, index, "size"], text, "write at least 32k"))
            if size is not None and size > _LARGEST_ZONE:
                text = f"{entry['size']} is more memory than a zone can have"
                problems.append(wrong([variable, index, "size"], text, "write at most 1g"))
            if variable == "proxy_caches" and name in taken:
                text = f"{name} is the name of the memory of {taken[name]}"
                problems.append(wrong([variable, index, "name"], text, "give the cache another name"))
    return problems


def _folders(caches: Any) -> list[Problem]:
    """Return caches that would share a folder, and so take away each other's files; and those that nothing bounds."""
    problems, owners = [], dict[str, str]()
    for index, cache in numbered(caches):
        here, name = ["proxy_caches", index], str(cache.get("name"))
        folder = str(cache.get("path") or f"/var/lib/nginx/cache-{name}").rstrip("/")
        nested = (one for one in owners if f"{one}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{one}/"))
        if (other := next(nested, None)) is not None:
            text = f"{folder} of cache {name} and {other} of cache {owners[other]} are one in the other"
            text = f"{folder} of cache {name} is the folder of cache {owners[other]} too" if folder == other else text
            problems.append(wrong([*here, "path"], text, "give each cache a folder of its own"))
        owners.setdefault(folder, name)
        if cache.get("max_size") == "0" and cache.get("min_free") in ("", "0"):
            text = f"of cache {name} sets no limit, and min_free sets none: the disk may fill up"
            problems.append(wrong([*here, "max_size"], text, "write a size such as 10g", "warning"))
    return problems


def _listens(addresses: Any) -> list[Problem]:
    """Return addresses to listen on that are there twice, or none."""
    if not isinstance(addresses, (list, tuple)):
        return []
    if not addresses:
        return [wrong(["proxy_listen"], "is empty: nobody could reach the proxy", 'write ["*", "[::]"]')]
    seen, problems = set[str](), []
    for index, address in enumerate(addresses):
        if str(address) in seen:
            problems.append(wrong(["proxy_listen", index], f"repeats {address}", "keep it once"))
        seen.add(str(address))
    return problems


def _ports(estate: Mapping[str, Any]) -> list[Problem]:
    """Return ports that are one, and sites that need one which is not listened on."""
    http, https = estate.get("proxy_http_port"), estate.get("proxy_https_port")
    if not isinstance(http, int) or not isinstance(https, int):
        return []
    if http == https:
        text = f"{https} is proxy_http_port too" + ("" if https else ": nobody could reach the proxy")
        return [wrong(["proxy_https_port"], text, "give each its own port, such as 80 and 443")]
    problems = []
    if https == 0 and estate.get("proxy_http3") is True:
        text = "needs proxy_https_port, which is 0"
        problems.append(wrong(["proxy_http3"], text, "write proxy_http3: false, or a port"))
    for index, site in numbered(estate.get("proxy_sites")):
        here, certificate = ["proxy_sites", index], site.get("certificate")
        source = certificate.get("source") if isinstance(certificate, Mapping) else None
        if https == 0 and site.get("https") is True:
            text = f"of site {site.get('name')} needs proxy_https_port, which is 0"
            problems.append(wrong([*here, "https"], text, "write https: false, or a port"))
        if http == 0 and site.get("http") in ("redirect", "serve"):
            text = f"{site['http']} needs proxy_http_port, which is 0"
            problems.append(wrong([*here, "http"], text, "write http: refuse, or a port"))
        elif http == 0 and source == "acme" and site.get("https") is True:
            text = "acme is asked for its challenge on proxy_http_port, which is 0"
            problems.append(wrong([*here, "certificate", "source"], text, "write a port, or another source"))
    return problems


def _balancers(estate: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with whose word is taken for the visitor's address."""
    problems, sources = [], estate.get("proxy_real_ip_sources")
    for variable in ("proxy_real_ip_sources", "proxy_trace_sources"):
        ranges = estate.get(variable)
        for index, source in enumerate(ranges if isinstance(ranges, (list, tuple)) else ()):
            if _is_everyone(source):
                text = f"{source} is everybody" + (
                    ": each visitor could claim any address, and get past allow, deny and limits"
                    if variable == "proxy_real_ip_sources"
                    else ": each visitor could go past the cache and learn the members' addresses"
                )
                problems.append(wrong([variable, index], text, "write the addresses of those you mean", "warning"))
    if estate.get("proxy_real_ip_header") == "proxy_protocol":
        if sources == []:
            text = "proxy_protocol needs proxy_real_ip_sources: without them every visitor has the balancer's address"
            remedy = "write the balancers' addresses in proxy_real_ip_sources"
            problems.append(wrong(["proxy_real_ip_header"], text, remedy))
        if estate.get("proxy_http3") is True:
            text = "cannot be with proxy_real_ip_header: proxy_protocol, which UDP does not carry"
            problems.append(wrong(["proxy_http3"], text, "write proxy_http3: false"))
    return problems


def _is_everyone(source: Any) -> bool:
    try:
        return isinstance(source, str) and ipaddress.ip_network(source).prefixlen == 0
    except ValueError:
        return False


def _promises(estate: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with Strict-Transport-Security, and headers that would be sent twice."""
    problems, age = [], estate.get("proxy_hsts_max_age")
    if estate.get("proxy_hsts_preload") is True:
        if isinstance(age, int) and age < _PRELOAD_AGE:
            text = f"{age} is too short for proxy_hsts_preload: browsers' lists ask for a year"
            remedy = f"write at least {_PRELOAD_AGE}, or proxy_hsts_preload: false"
            problems.append(wrong(["proxy_hsts_max_age"], text, remedy))
        if estate.get("proxy_hsts_include_subdomains") is False:
            text = "is refused by browsers' lists without proxy_hsts_include_subdomains"
            remedy = "write proxy_hsts_include_subdomains: true, or proxy_hsts_preload: false"
            problems.append(wrong(["proxy_hsts_preload"], text, remedy))
    owners: dict[str, int] = {}
    for index, header in numbered(estate.get("proxy_security_headers")):
        name, here = str(header.get("name")), ["proxy_security_headers", index, "name"]
        if name.lower() == "strict-transport-security":
            problems.append(wrong(here, f"{name} would be sent twice", "write proxy_hsts_max_age instead"))
        if owners.setdefault(name.lower(), index) != index:
            text = f"{json.dumps(name)} is proxy_security_headers[{owners[name.lower()]}] again: it would be sent twice"
            problems.append(wrong(here, text, "keep one of them"))
    return problems
