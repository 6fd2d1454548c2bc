"""The document of an audit as a table for people, hosts with the same result together."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from ..status_table import BAD, PLAIN, WARN, WIDTH, Line, Row, line, local, section, wrapped
from ..text import visible_line
from .report import RESULTS, Part
from .verdict import FAIL, WAIVED

_COLORS = {FAIL: BAD, WAIVED: WARN}
# What the column has room for.
_WIDEST = 47
# More places than these say nothing new.
_MOST = 8


def groups(document: Part) -> list[tuple[list[str], Part]]:
    """Return (names of hosts, one of them) for hosts of which the same was found."""
    found: dict[str, tuple[list[str], Part]] = {}
    for host in document["hosts"]:
        key = json.dumps([host["problem"], host["items"]])
        found.setdefault(key, ([], host))[0].append(host["name"])
    return list(found.values())


def heading(names: list[str], host: Part) -> str:
    """Return what is said of hosts in one line."""
    if host["problem"]:
        return f"{', '.join(names)}: {host['problem']}"
    counts = [sum(row["result"] == result for row in host["items"]) for result in RESULTS]
    said = ", ".join(f"{count} {result}" for count, result in zip(counts, RESULTS, strict=True) if count)
    return f"{', '.join(names)}: {said}"


def waiver_text(row: Part) -> str:
    """Return by whom and why an item is waived, or ''."""
    waiver = row["waiver"]
    if not waiver:
        return ""
    until = f" until {waiver['until']}" if waiver["until"] else ""
    return f"waived by {'the inventory' if waiver['by'] == 'inventory' else waiver['by']}{until}: {waiver['reason']}"


def _rows(host: Part) -> Iterator[Row]:
    for row in host["items"]:
        color = _COLORS.get(row["result"], PLAIN)
        shown = [f"{one['where']}: {one['what']}" for one in row["findings"][:_MOST]]
        if len(row["findings"]) > _MOST:
            shown.append(f"and {len(row['findings']) - _MOST} more")
        if text := waiver_text(row):
            shown.append(text)
        details = [(part, color) for text in shown for part in textwrap.wrap(visible_line(text), WIDTH - 6)]
        why = row["why"]
        if len(why) > _WIDEST and not row["findings"]:
            details = [(part, color) for part in textwrap.wrap(visible_line(why), WIDTH - 6)]
            why = ""
        yield [row["item"], row["benchmark"], row["result"], why], color, details


def audit_table(document: Part) -> list[Line]:
    """Return a document of `audit_document` as lines {text, color}."""
    lines = [line(f"{document['environment']}, {local(document['time'])}")]
    for names, host in groups(document):
        failed = host["problem"] or any(row["result"] == FAIL for row in host["items"])
        lines += [line(""), line(wrapped(heading(names, host), 0), BAD if failed else "green")]
        if host["items"]:
            lines += section(list(_rows(host)), ("item", "CIS 2.1", "result", "why"))
    lines.append(line(""))
    if document["unneeded_waivers"]:
        lines.append(line(wrapped(f"nothing needs the waivers of {', '.join(document['unneeded_waivers'])}", 0), WARN))
    count = len(document["problems"])
    said = (
        f"{count} {'failure' if count == 1 else 'failures'} without a waiver"
        if count
        else "no failure without a waiver"
    )
    return [*lines, line(said, BAD if count else "green")]
