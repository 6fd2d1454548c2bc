"""What the role proxy's templates cannot say in a line: file names, and the directives of one location."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.nginx_values import nginx_duration

# Conditions under which nginx asks the next member: https://nginx.org/en/docs/http/ngx_http_proxy_module.html
_TIMES = ("connect_timeout", "send_timeout", "read_timeout", "next_upstream_timeout")
# An answer that is passed on as it comes may be silent for long.
_STREAMING_READ_TIMEOUT = "1h"


def tree_file(entry: Mapping[str, Any], template: str, variable: str) -> dict[str, Any]:
    """Return the template of `nginx_tree` that renders one named entry, beside its like.

    {name: shop, ...} with `sites/site.conf.j2` and `site` gives
    {src: sites/site.conf.j2, dest: sites/shop.conf, vars: {site: {name: shop, ...}}}.
    """
    folder, file = posixpath.split(template)
    suffix = posixpath.splitext(file.removesuffix(".j2"))[1]
    return {"src": template, "dest": posixpath.join(folder, entry["name"] + suffix), "vars": {variable: entry}}


def certificate_file(site: Mapping[str, Any], folder: str, part: str) -> str:
    """Return the path on the host of a site's certificate (`part` is chain) or of its key (`part` is key).

    Whatever the source, one path per site; only with `source: host` something else chose it.
    """
    certificate = site["certificate"]
    if certificate["source"] == "host":
        return str(certificate[part])
    return posixpath.join(folder, site["name"], {"chain": "fullchain.pem", "key": "privkey.pem"}[part])


def _time(value: Any) -> str:
    """Return a time as one argument: `1h 30m` is two to nginx, which here knows neither years nor months."""
    text = str(value).replace(" ", "")
    return nginx_duration(text) if set(text) & {"y", "M"} else text


def upstream_settings(location: Mapping[str, Any], upstreams: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return [[name, arguments]] of how a location talks to its upstream, names without `proxy_` and the like.

    `location`: an entry of `locations` with its defaults applied; its own timeouts win over the upstream's.
    Source: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_next_upstream
    """
    upstream = next(entry for entry in upstreams if entry["name"] == location["upstream"])
    conditions = list(upstream["next_upstream"])
    if upstream["retry_non_idempotent"] and "off" not in conditions:
        conditions.append("non_idempotent")
    settings = {name: _time(location.get(name) or upstream[name]) for name in _TIMES}
    if (location["streaming"] or location.get("websocket")) and not location["read_timeout"]:
        settings["read_timeout"] = _STREAMING_READ_TIMEOUT
    if size := upstream.get("response_header_size"):
        # An answer's header has to fit into one buffer; the others have to hold more than what is on its way.
        settings["buffer_size"] = str(size)
        settings |= {} if location.get("protocol") == "grpc" else {"buffers": f"8 {size}"}
    settings["next_upstream"] = " ".join(conditions)
    settings["next_upstream_tries"] = str(upstream["next_upstream_tries"])
    return [[name, settings[name]] for name in sorted(settings)]


def unlike(settings: Sequence[Sequence[str]], defaults: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return the settings that `defaults` has not in the same words, so that a location says only what differs."""
    common = {tuple(setting) for setting in defaults}
    return [setting for setting in settings if tuple(setting) not in common]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in str(text).split("."))


def features_of(since: Mapping[str, Any], versions: Mapping[str, str]) -> list[str]:
    """Return the features that programs of these versions have.

    `since`: {feature: {program: first version that has it}}; `versions`: {program: version}. A program that is
    missing there has nothing.
    """
    return sorted(
        feature
        for feature, needs in since.items()
        if all(_version(versions.get(program, "0")) >= _version(least) for program, least in needs.items())
    )


def missing_features(
    asked: Mapping[str, str],
    since: Mapping[str, Any],
    debian: Mapping[str, Any],
    release: str,
    found: Mapping[str, str] | None = None,
) -> list[str]:
    """Return a sentence for each input that asks for what a host has not, and for a release not known.

    `asked`: {input: feature, or '' where it asks for nothing}; `debian`: {release: {program: version}}; `found`:
    {program: version} of a host that has none of these releases.
    """
    versions = found or debian.get(release, {})
    if not versions:
        return [f"this host has the release {release}, and the proxy knows Debian {' and '.join(debian)}; install one"]
    system = "system" if found else f"Debian {release}"
    sentences = []
    for variable, feature in asked.items():
        if feature and feature not in features_of(since, versions):
            has = ", ".join(f"{program} {versions.get(program, 'not at all')}" for program in since[feature])
            needs = ", ".join(f"{program} {least}" for program, least in since[feature].items())
            able = [name for name, one in debian.items() if feature in features_of(since, one)]
            remedy = f", or install Debian {able[0]}" if able else ""
            sentences.append(
                f"{variable} asks for {feature}, which begins with {needs}, and this host's {system} has {has};"
                f" take it away for this host{remedy}"
            )
    return sentences


def location_methods(location: Mapping[str, Any], site: Mapping[str, Any]) -> list[str]:
    """Return the methods that a location lets through; [] is any.

    What its application firewall knows beside them is let through to it, and files are asked for with two methods.
    """
    methods = list(location["methods"])
    if methods:
        methods += location["waf"]["methods"] or site["waf"]["methods"]
    methods = list(dict.fromkeys(methods))
    return [one for one in methods if one in ("GET", "HEAD")] or ["GET"] if location["static"]["dir"] else methods


def method_lists(sites: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Return each different list of methods that locations let through."""
    lists = {tuple(location_methods(location, site)) for site in sites for location in site["locations"]} - {()}
    return [list(one) for one in sorted(lists)]


def methods_variable(methods: Sequence[str]) -> str:
    """Return the name of the variable that is not empty for a method beyond these: `gatehouse_beyond_get_head`."""
    return "gatehouse_beyond_" + "_".join(methods).lower().replace("-", "_")


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Any]:
        functions = (
            tree_file,
            certificate_file,
            upstream_settings,
            unlike,
            features_of,
            missing_features,
            location_methods,
            method_lists,
            methods_variable,
        )
        return {function.__name__: function for function in functions}
