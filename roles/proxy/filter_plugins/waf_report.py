"""What the application firewalls of all proxies saw, in groups, each with the exclusion that would end it.

Records come from the module `waf_records`, which has them without addresses and without a value that a visitor sent.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.answers import FOREIGN, MOMENT, shaped

# Classes of CRS whose rules all have one tag: several rules at one place are taken away together.
_TAGS = {
    "930": "attack-lfi", "931": "attack-rfi", "932": "attack-rce", "933": "attack-injection-php", "941": "attack-xss",
    "942": "attack-sqli", "943": "attack-fixation",
}  # fmt: skip
_FIELDS = {
    **dict.fromkeys(("ARGS", "ARGS_GET", "ARGS_POST", "ARGS_NAMES", "FILES"), "parameter"),
    **dict.fromkeys(("REQUEST_COOKIES", "REQUEST_COOKIES_NAMES"), "cookie"),
    "REQUEST_HEADERS": "header",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,128}")
# What YAML reads as text without quotes, but for the words that it takes for something else.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]+")
_TAKEN = re.compile(r"yes|no|on|off|true|false|null", re.IGNORECASE)
# An item of a list in JSON: its number is another one each time.
_ITEM = re.compile(r"\barray_\d+|\[\d+\]")
# Answers to requests that no rule objected to, from which on a visitor is taken for a person.
_GOOD = 3
_METHOD_RULE = "911100"
# What waf_log.lua writes. Operators paste what is made of it into an inventory, where `{{` is a template: nothing else
# that a proxy says gets there.
_WORDS = {
    "request_id": re.compile(r"[\w.:/%@+,=~?-]{0,128}", re.ASCII),
    "host": re.compile(r"[\w.:/%@+,=~?-]{0,128}", re.ASCII),
    "method": re.compile(r"[\w.:/%@+,=~?-]{0,16}", re.ASCII),
    "path": re.compile(r"[\w.:/%@+,=~*?-]{0,200}", re.ASCII),
    "visitor": re.compile(r"\w{1,64}", re.ASCII),
}
_RULE = re.compile(r"[0-9]{1,9}")
_VARIABLE = re.compile(r"[A-Z_]+(:[\w.:/\[\]*?-]*)?|\?", re.ASCII)


def _site_of(host: str, sites: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the site that answers a host, as nginx chooses it."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    name = name.lower().rstrip(".")
    for site in sites:
        if name in (str(one).lower() for one in site["server_names"]):
            return str(site["name"])
    wild = [(str(one).lower()[1:], site) for site in sites for one in site["server_names"] if str(one).startswith("*.")]
    for suffix, site in sorted(wild, key=lambda pair: -len(pair[0])):
        if name.endswith(suffix):
            return str(site["name"])
    return next((str(site["name"]) for site in sites if site["catch_all"]), "(unknown site)")


class _Group:
    """The requests of one site in which rules of one class matched at one place."""

    def __init__(self, site: str, path: str, variable: str, kind: str) -> None:
        self.site, self.path, self.variable, self.kind = site, path, variable, kind
        self.rules: Counter[str] = Counter()
        self.methods: Counter[str] = Counter()
        self.requests: set[str] = set()
        self.visitors: set[str] = set()
        self.refused: set[str] = set()
        self.example = ""
        self.days: list[str] = []

    def add(self, record: Mapping[str, Any], rule: str) -> None:
        day = datetime.fromtimestamp(record["time"], UTC).date().isoformat()
        self.rules[rule] += 1
        self.methods[record["method"]] += 1
        self.requests.add(record["request_id"])
        self.visitors.add(record["visitor"])
        self.example = record["request_id"]
        self.days = [min([day, *self.days]), max([day, *self.days])]
        if record["refused"]:
            self.refused.add(record["request_id"])

    def exclusion(self, people: int) -> dict[str, Any]:
        """Return the entry of `exclude` that takes these rules away here, and no more than that."""
        collection, _, name = self.variable.partition(":")
        field = _FIELDS.get(collection, "")
        rules = sorted(self.rules)
        found: dict[str, Any] = {"rule": int(rules[0])}
        if len(rules) > 1 and self.kind in _TAGS:
            found = {"tag": _TAGS[self.kind]}
        if field and _NAME.fullmatch(name) and not _ITEM.search(name):
            found[field] = name
        path = self.path.partition("*")[0].partition("?")[0]
        if path not in ("", "/"):
            found["path"] = path
        span = " to ".join(dict.fromkeys(self.days))
        found["why"] = f"{_count(len(self.requests), 'request')} of {_count(people, 'likely person')}, {span}"
        return found


def _count(number: int, word: str) -> str:
    plural = word.replace("person", "people") if word.endswith("person") else f"{word}s"
    return f"{number} {word if number == 1 else plural}"


def _yaml(entry: Mapping[str, Any]) -> str:
    """Return a mapping in one line of YAML, whose words in quotes are JSON's."""
    words = []
    for key, value in entry.items():
        bare = isinstance(value, int) or (key != "why" and _PLAIN.fullmatch(value) and not _TAKEN.fullmatch(value))
        words.append(f"{key}: {value if bare else json.dumps(value)}")
    return "- {" + ", ".join(words) + "}"


def _people(records: Iterable[Mapping[str, Any]], good: Mapping[str, int]) -> set[str]:
    """Return the visitors who look like people: most of what they ask for is answered well."""
    objected = Counter(record["visitor"] for record in records)
    return {who for who, count in objected.items() if good.get(who, 0) >= max(_GOOD, count / 2)}


def _groups(records: Iterable[Mapping[str, Any]], sites: Sequence[Mapping[str, Any]]) -> list[_Group]:
    found: dict[tuple[str, ...], _Group] = {}
    for record in records:
        site = _site_of(record["host"], sites)
        for rule, variable in record["hits"]:
            kind = rule[:3] if rule[:3] in _TAGS else rule
            # The same parameter is looked at under several names.
            collection, _, name = variable.partition(":")
            place = f"{_FIELDS[collection]} {name}" if collection in _FIELDS else variable
            key = (site, record["path"], place, kind)
            found.setdefault(key, _Group(site, record["path"], variable, kind)).add(record, rule)
    return list(found.values())


def _is_record(record: Any) -> bool:
    """Return whether a proxy's word has the shape of a record, so that it can be shown and pasted."""
    if not shaped(record, {"time": MOMENT, "refused": bool, "hits": [(str, str)], **dict.fromkeys(_WORDS, str)}):
        return False
    hits = all(_RULE.fullmatch(rule) and _VARIABLE.fullmatch(variable) for rule, variable in record["hits"])
    return hits and all(pattern.fullmatch(record[name]) for name, pattern in _WORDS.items())


def _merge(proxies: Mapping[str, Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, int], list[str]]:
    """Return the records of all proxies, the good answers of each visitor, and a sentence for what is missing."""
    records: list[dict[str, Any]] = []
    good: Counter[str] = Counter()
    remarks = []
    for name, said in sorted(proxies.items()):
        if not shaped(said, {"records": [Mapping], "good": {str: int}, "complete": bool}):
            remarks.append(f"{name}: {FOREIGN}")
            continue
        found = [record for record in said["records"] if _is_record(record)]
        records += found
        good.update(said["good"])
        if len(found) < len(said["records"]):
            remarks.append(f"{name}: {FOREIGN}, as to {_count(len(said['records']) - len(found), 'request')}")
        elif not said["complete"]:
            remarks.append(f"{name}: more than the report reads; ask for less with since")
    return records, dict(good), remarks


def _message(rule: str, rules: Mapping[Any, Mapping[str, Any]]) -> str:
    return str(rules.get(int(rule), {}).get("message", "a rule that this version does not know"))


def _lines_of(group: _Group, people: set[str], rules: Mapping[Any, Mapping[str, Any]]) -> list[str]:
    """Return what is said of one group."""
    persons = group.visitors & people
    what = group.variable.removesuffix(":?")
    counts = [
        _count(len(group.requests), "request"),
        _count(len(group.visitors), "visitor"),
        _count(len(persons), "likely person"),
        f"{len(group.refused)} refused",
    ]
    lines = [f"{group.path}  {what}", f"    {', '.join(counts)}; the last is {group.example}"]
    lines += [f"    {rule} {_message(rule, rules)}" for rule in sorted(group.rules)]
    own = [rules[int(rule)]["name"] for rule in sorted(group.rules) if rules.get(int(rule), {}).get("name")]
    if own:
        lines.append(f"    of your own waf.refuse: {', '.join(own)}")
    elif _METHOD_RULE in group.rules:
        lines.append(f"    add to methods, if the application has them: {', '.join(sorted(group.methods))}")
    else:
        lines.append(f"    {_yaml(group.exclusion(len(persons)))}")
    return lines


def _verdict(records: Sequence[Mapping[str, Any]], people: set[str]) -> str:
    watched = [record for record in records if not record["refused"]]
    would = [record for record in watched if record["visitor"] in people]
    refused = [record for record in records if record["refused"] and record["visitor"] in people]
    if not records:
        return "Nothing was refused, and nothing would have been."
    parts = []
    if refused:
        who = len({record["visitor"] for record in refused})
        parts.append(f"{_count(len(refused), 'request')} of {_count(who, 'likely person')} were refused.")
    if would:
        who = len({record["visitor"] for record in would})
        parts.append(
            f"block would have refused {_count(len(would), 'request')} of {_count(who, 'likely person')}:"
            " except those above first."
        )
    elif watched:
        parts.append("block would have refused nobody who looks like a person.")
    return " ".join(parts) or "Nobody who looks like a person was refused."


def _in_order(groups: Iterable[_Group], people: set[str]) -> list[_Group]:
    return sorted(
        groups,
        key=lambda one: (
            one.site, -len(one.visitors & people), -len(one.visitors), -len(one.requests),
            one.path, one.variable, one.kind,
        ),
    )  # fmt: skip


def waf_report(
    proxies: Mapping[str, Mapping[str, Any]], sites: Sequence[Mapping[str, Any]], rules: Mapping[Any, Mapping[str, Any]]
) -> str:
    """Return the report as text. `proxies`: {name: result of waf_records}; `rules`: {number: {message, paranoia}}."""
    records, good, remarks = _merge(proxies)
    people = _people(records, good)
    lines = []
    groups = _in_order(_groups(records, sites), people)
    titles = {
        True: "Of visitors who look like people. Paste what is no attack below waf.exclude of the site:",
        False: "Of nobody who looks like a person. Except here only what you know:",
    }
    for site in dict.fromkeys(group.site for group in groups):
        own = [group for group in groups if group.site == site]
        lines += [f"site {site}", ""]
        for likely, title in titles.items():
            chosen = [group for group in own if bool(group.visitors & people) is likely]
            if chosen:
                lines += [f"  {title}", ""]
            for group in chosen:
                lines += [f"  {line}" for line in _lines_of(group, people, rules)] + [""]
    return "\n".join([*lines, *remarks, _verdict(records, people)])


def _plot(records: Sequence[Mapping[str, Any]]) -> str:
    """Return an SVG with a bar for each day: refused, and what would have been."""
    days: dict[str, list[int]] = {}
    for record in records:
        day = datetime.fromtimestamp(record["time"], UTC).date().isoformat()
        days.setdefault(day, [0, 0])[0 if record["refused"] else 1] += 1
    highest = max((sum(pair) for pair in days.values()), default=1)
    bars = []
    for place, (day, pair) in enumerate(sorted(days.items())):
        base = 130.0
        for count, colour in zip(pair, ("#b3261e", "#e0a030"), strict=True):
            height = 110 * count / highest
            base -= height
            bars.append(
                f'<rect x="{place * 50 + 10}" y="{base:.1f}" width="34" height="{height:.1f}" fill="{colour}"/>'
            )
        bars.append(f'<text x="{place * 50 + 27}" y="145">{day[5:]}</text>')
        bars.append(f'<text x="{place * 50 + 27}" y="{base - 4:.1f}">{sum(pair)}</text>')
    width = max(1, len(days)) * 50 + 20
    return (
        f'<svg role="img" aria-label="Requests by day" viewBox="0 0 {width} 150" width="{width}" height="150">'
        f"{''.join(bars)}</svg>"
    )


def waf_page(
    proxies: Mapping[str, Mapping[str, Any]], sites: Sequence[Mapping[str, Any]], rules: Mapping[Any, Mapping[str, Any]]
) -> str:
    """Return the same as a page of HTML that needs nothing else."""
    records, _, _ = _merge(proxies)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Application firewall</title>\n'
        "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "pre{white-space:pre-wrap;overflow-wrap:anywhere}svg text{font-size:10px;text-anchor:middle}</style>\n"
        "<h1>Application firewall</h1>\n"
        "<p>Requests by day: refused in red, what would have been in amber.</p>\n"
        f"{_plot(records)}\n<pre>{html.escape(waf_report(proxies, sites, rules))}</pre>\n</html>\n"
    )


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Any]:
        return {function.__name__: function for function in (waf_report, waf_page)}
