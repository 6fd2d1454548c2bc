"""What can be wrong with the application firewall of a site or a location, beyond the form of each value.

Pure: paths lead into proxy_sites, whose entries have their defaults (spec_values). What has the wrong shape is left to
spec_problems, which says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.waf_inputs import rule_number

from .problem import Problem, mapping, numbered, wrong

_SIZE = re.compile(r"([0-9]+)([kKmMgG]?)")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
# A worker holds the body of each request that it inspects three times (measured with libmodsecurity 3.0.14).
_LARGEST_BODY = 64 * 1024**2
_SETTINGS = ("paranoia", "threshold", "methods", "content_types", "applications", "exclude", "refuse")


def _waf(place: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(place.get("waf"))


def _bytes(size: Any) -> int | None:
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    return int(match[1]) * _UNITS[match[2].lower()] if match else None


def waf_problems(estate: Mapping[str, Any], rules: Mapping[Any, Mapping[str, Any]]) -> list[Problem]:
    """Return what is wrong with the application firewalls of one proxy, paths beginning with proxy_sites.

    `estate`: the role's variables with their defaults; `rules`: {number: {message, paranoia}} of those there are.
    """
    problems, known = [], dict[int, Mapping[str, Any]]()
    for index, site in numbered(estate.get("proxy_sites")):
        common, found, watched = _waf(site), list[Problem](), False
        found += [*_exclusions(common, "", common.get("paranoia") or 1, rules), *_refusals(common, known)]
        for place, location in numbered(site.get("locations")):
            own = _waf(location)
            here = ["locations", place]
            if (own.get("mode") or common.get("mode") or "off") == "off":
                found += [{**one, "path": [*here, *one["path"]]} for one in _idle(own, "mode: detect")]
                continue
            watched = True
            path = str(location.get("path")) if location.get("match") == "prefix" else ""
            mine = [*_exclusions(own, path, own.get("paranoia") or common.get("paranoia") or 1, rules)]
            mine += [*_refusals(own, known), *_bodies(location, estate), *_streams(location)]
            found += [{**one, "path": [*here, *one["path"]]} for one in mine]
        if not watched:
            found += _idle(common, "mode: detect")
        problems += [{**one, "path": ["proxy_sites", index, *one["path"]]} for one in found]
    return problems


def _idle(waf: Mapping[str, Any], remedy: str) -> Iterator[Problem]:
    """Yield settings of a firewall that is off."""
    for name in _SETTINGS:
        if waf.get(name):
            yield wrong(["waf", name], "has no meaning with mode: off", f"write {remedy}, or take it away")


def _exclusions(
    waf: Mapping[str, Any], path: str, paranoia: int, rules: Mapping[Any, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Yield exclusions that name no rule or one that there is not, and those that no request meets."""
    for place, exclusion in numbered(waf.get("exclude")):
        here, rule, tag = ["waf", "exclude", place], exclusion.get("rule"), exclusion.get("tag")
        if rule and tag:
            yield wrong([*here, "tag"], f"is written beside rule: {rule}", "keep one of them")
        elif not rule and not tag:
            yield wrong([*here, "rule"], "is missing, and so is tag", "write the number that waf_report.yml shows")
        elif isinstance(rule, int) and rule and rule not in rules:
            near = sorted(sorted(rules, key=lambda one: abs(int(one) - rule))[:3])
            text = f"{rule} is no rule of the application firewall"
            yield wrong([*here, "rule"], text, f"write {', '.join(str(one) for one in near[:-1])} or {near[-1]}")
        elif isinstance(rule, int) and rule and isinstance(paranoia, int) and rules[rule]["paranoia"] > paranoia:
            level = rules[rule]["paranoia"]
            text = f"{rule} looks at nothing here: it is a rule of paranoia {level}, and this is {paranoia}"
            yield wrong([*here, "rule"], text, "take it away, or raise paranoia", "warning")
        if isinstance(why := exclusion.get("why"), str) and not why.strip():
            yield wrong([*here, "why"], "is empty", "write why this is no attack")
        only = exclusion.get("path")
        if isinstance(only, str) and only and path and not only.startswith(path) and not path.startswith(only):
            text = f"{only} is outside of the location {path}, so no request meets it"
            yield wrong([*here, "path"], text, f"write a path from {path} on, or move the exclusion to the site")


def _refusals(waf: Mapping[str, Any], known: dict[int, Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield rules of one's own that look for nothing, and those that cannot be told from another by their number.

    `known`: {number: rule} of those that were seen before, which grows. The same rule may be at several places.
    """
    for place, rule in numbered(waf.get("refuse")):
        here, name = ["waf", "refuse", place], rule.get("name")
        where = [key for key in ("parameter", "cookie", "header") if rule.get(key)]
        what = [key for key in ("contains", "matches") if rule.get(key)]
        if len(what) > 1:
            yield wrong([*here, "matches"], "is written beside contains", "keep one of them")
        elif where and not what:
            yield wrong([*here, where[0]], "is to be looked at, and not for what", "write contains or matches")
        elif not what and not rule.get("path"):
            yield wrong(here, "would refuse every request", "write contains or matches, or a path")
        if isinstance(why := rule.get("why"), str) and not why.strip():
            yield wrong([*here, "why"], "is empty", "write what it keeps out")
        if isinstance(name, str):
            other = known.setdefault(rule_number(name), rule)
            if other != rule:
                text = f"{name} has the number of another rule of this proxy, {other['name']}"
                yield wrong([*here, "name"], text, "give it a name of its own")


def _bodies(location: Mapping[str, Any], estate: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield bodies that would fill the memory."""
    written = location.get("max_body_size") or estate.get("proxy_client_max_body_size")
    largest = _bytes(written)
    if largest == 0 or (largest or 0) > _LARGEST_BODY:
        shown = "of any size" if largest == 0 else f"of up to {written}"
        text = f"would inspect bodies {shown}, each in about three times as much memory"
        yield wrong(["waf"], text, 'write max_body_size: 64m at most, or waf: {mode: "off"} at this location')


def _streams(location: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield locations whose requests cannot be read whole before they are passed on."""
    for name, value in (("protocol", "grpc"), ("request_buffering", False)):
        if location.get(name) == value:
            shown = json.dumps(value).strip('"')
            text = f"cannot be with {name}: {shown}: a request is inspected whole before the upstream is asked"
            yield wrong(["waf"], text, 'write waf: {mode: "off"} at this location')
