"""The application firewall of a location, as rules of ModSecurity.

The core rules (CRS) are compiled once, at the level http. A location has only its settings: nginx's module puts the
rules of an inner level before those of the outer one, so they are set when CRS looks at them, and locations with the
same settings share a file. Sites arrive with their defaults applied (`spec_defaults`).

Source: https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x), crs-setup.conf of CRS 3.3
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.waf_inputs import rule_number

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_CONTENT_TYPES = [
    "application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "text/xml", "application/xml",
    "application/soap+xml", "application/json", "application/ld+json", "application/merge-patch+json",
    "application/json-patch+json", "application/vnd.api+json", "application/problem+json", "application/csp-report",
    "application/reports+json",
]  # fmt: skip
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
# Numbers of rules from 1 to 99999 are for local use.
_SETTINGS, _FIRST_EXCLUSION, _FIRST_SKIP = 1001, 2000, 6000


def _bytes(size: str) -> int:
    text = size.lower()
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)


def waf_settings(location: Mapping[str, Any], site: Mapping[str, Any], largest_body: str) -> dict[str, Any]:
    """Return the settings of one location, its site's where it has none; {} where the firewall is off.

    `largest_body`: bytes that nginx takes where a location says nothing.
    """
    own, common = location["waf"], site["waf"]
    mode = own["mode"] or common["mode"] or "off"
    if mode == "off":
        return {}
    return {
        "mode": mode,
        "paranoia": own["paranoia"] or common["paranoia"] or 1,
        "threshold": own["threshold"] or common["threshold"] or 5,
        "methods": own["methods"] or common["methods"] or _METHODS,
        "content_types": own["content_types"] or common["content_types"] or _CONTENT_TYPES,
        "largest_body": _bytes(location["max_body_size"] or largest_body),
        "applications": sorted(own["applications"] or common["applications"]),
        "exclude": [*common["exclude"], *own["exclude"]],
        "refuse": [*common["refuse"], *own["refuse"]],
    }


def waf_name(location: Mapping[str, Any], site: Mapping[str, Any], largest_body: str) -> str:
    """Return the name of the file with a location's settings, the same for the same settings; '' where it is off."""
    settings = waf_settings(location, site, largest_body)
    if not settings:
        return ""
    meant = {**settings, **{kind: [{**one, "why": ""} for one in settings[kind]] for kind in ("exclude", "refuse")}}
    checksum = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
    return f"{settings['mode']}-{settings['paranoia']}-{checksum[:12]}"


def _quoted(name: str, value: str) -> str:
    return f"setvar:'tx.{name}={value}'"


def _setup(settings: Mapping[str, Any], days: int) -> str:
    """Return the rule that sets what CRS and the log go by."""
    values = {
        "crs_setup_version": "1",
        "gatehouse_waf_mode": settings["mode"],
        "gatehouse_waf_days": str(days),
        "paranoia_level": str(settings["paranoia"]),
        "executing_paranoia_level": str(settings["paranoia"]),
        "inbound_anomaly_score_threshold": str(settings["threshold"]),
        "allowed_methods": " ".join(settings["methods"]),
        "allowed_request_content_type": " ".join(f"|{one}|" for one in settings["content_types"]),
        **{f"crs_exclusions_{name}": "1" for name in settings["applications"]},
    }
    actions = ",".join(_quoted(name, value) for name, value in values.items())
    return f'SecAction "id:{_SETTINGS},phase:1,pass,nolog,t:none,{actions}"'


def _targets(exclusion: Mapping[str, Any]) -> list[str]:
    """Return the variables that are left alone; [] is all."""
    found = [f"{kind}:{exclusion['parameter']}" for kind in ("ARGS", "ARGS_NAMES", "ARGS_GET", "ARGS_POST", "FILES")]
    found = found if exclusion["parameter"] else []
    if exclusion["cookie"]:
        found += [f"REQUEST_COOKIES:{exclusion['cookie']}", f"REQUEST_COOKIES_NAMES:{exclusion['cookie']}"]
    if exclusion["header"]:
        found.append(f"REQUEST_HEADERS:{exclusion['header']}")
    return found


def _exclusion(exclusion: Mapping[str, Any], number: int) -> Iterator[str]:
    """Yield the rules that take something out of sight of others, for the requests that it is meant for."""
    kind, what = ("Tag", exclusion["tag"]) if exclusion["tag"] else ("Id", str(exclusion["rule"]))
    targets = _targets(exclusion)
    controls = [f"ctl:ruleRemoveTargetBy{kind}={what};{target}" for target in targets]
    controls = controls or [f"ctl:ruleRemoveBy{kind}={what}"]
    common, actions = "phase:1,pass,nolog,t:none", ",".join(controls)
    if exclusion["networks"]:
        networks = ",".join(sorted(exclusion["networks"]))
        yield f'SecRule REMOTE_ADDR "!@ipMatch {networks}" "id:{number},{common},skip:1"'
    if exclusion["path"]:
        yield f'SecRule REQUEST_FILENAME "@beginsWith {exclusion["path"]}" "id:{number + 1},{common},{actions}"'
    else:
        yield f'SecAction "id:{number + 1},{common},{actions}"'


def _refusal(rule: Mapping[str, Any], number: int) -> Iterator[str]:
    """Yield a rule of one's own, which alone makes the score of a refusal, and before it what skips it.

    `number`: the first of two for those; the rule's own follows from its name.
    """
    path = "t:none,t:urlDecodeUni,t:normalizePath"
    conditions = []
    if rule["networks"]:
        networks = ",".join(sorted(rule["networks"]))
        conditions.append(f'SecRule REMOTE_ADDR "!@ipMatch {networks}" "id:{number},t:none')
    if rule["path"]:
        conditions.append(f'SecRule REQUEST_FILENAME "!@beginsWith {rule["path"]}" "id:{number + 1},{path}')
    for place, condition in enumerate(conditions):
        yield f'{condition},phase:2,pass,nolog,skip:{len(conditions) - place}"'
    targets = [f"{kind}:{rule['parameter']}" for kind in ("ARGS", "FILES")] if rule["parameter"] else []
    targets += [f"REQUEST_COOKIES:{rule['cookie']}"] if rule["cookie"] else []
    targets += [f"REQUEST_HEADERS:{rule['header']}"] if rule["header"] else []
    decoded = "t:none" if targets else path
    targets = targets or ["REQUEST_FILENAME", "ARGS", "ARGS_NAMES", "FILES"]
    if rule["matches"]:
        operator = f"@rx {rule['matches']}"
    elif rule["contains"]:
        operator, decoded = f"@contains {rule['contains'].lower()}", f"{decoded},t:lowercase"
    else:
        operator, targets = "@unconditionalMatch", ["REQUEST_FILENAME"]
    quoted = operator.replace('"', '\\"')
    score = _quoted("anomaly_score_pl1", "+%{tx.inbound_anomaly_score_threshold}")
    actions = f"id:{rule_number(rule['name'])},phase:2,pass,nolog,{decoded},{score}"
    yield f'SecRule {"|".join(targets)} "{quoted}" "{actions}"'


def _rules(settings: Mapping[str, Any], days: int) -> Iterator[str]:
    yield f"SecRuleEngine {'On' if settings['mode'] == 'block' else 'DetectionOnly'}"
    # What nginx takes is inspected whole, with one byte more so that it is none too large. There is no looking at the
    # beginning only: of a form whose end is missing ModSecurity sees no part, so a file at its end would hide the rest.
    yield f"SecRequestBodyLimit {settings['largest_body'] + 1}"
    yield "SecRequestBodyLimitAction Reject"
    yield _setup(settings, days)
    for place, exclusion in enumerate(settings["exclude"]):
        yield from _exclusion(exclusion, _FIRST_EXCLUSION + 2 * place)
    for place, rule in enumerate(settings["refuse"]):
        yield from _refusal(rule, _FIRST_SKIP + 2 * place)


def waf_templates(sites: Iterable[Mapping[str, Any]], largest_body: str, days: int) -> list[dict[str, Any]]:
    """Return the templates of `nginx_tree` that render all settings, each once: [{src, dest, vars}]."""
    found: dict[str, dict[str, Any]] = {}
    for site in sites:
        for location in site["locations"]:
            name = waf_name(location, site, largest_body)
            if name and name not in found:
                settings = waf_settings(location, site, largest_body)
                found[name] = {"exclude": settings["exclude"], "rules": list(_rules(settings, days))}
    return [
        {"src": "waf/settings.conf.j2", "dest": f"waf/{name}.conf", "vars": {"waf": found[name]}}
        for name in sorted(found)
    ]


def waf_own_rules(sites: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return the rules that the inventory itself has, as those of CRS are listed: {number: {name, message}}."""
    places = [place["waf"] for site in sites for place in (site, *site["locations"])]
    return {
        rule_number(rule["name"]): {"name": rule["name"], "message": rule["why"]}
        for place in places
        for rule in place["refuse"]
    }


def waf_sites(sites: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the sites of which the firewall watches a location."""
    return [
        site["name"]
        for site in sites
        if any((location["waf"]["mode"] or site["waf"]["mode"] or "off") != "off" for location in site["locations"])
    ]


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Any]:
        functions = (waf_settings, waf_name, waf_templates, waf_sites, waf_own_rules)
        return {function.__name__: function for function in functions}
