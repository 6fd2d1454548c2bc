"""The document of status.yml as a table for people, no wider than a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.status import Part, certificate_problem, unit_problem
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible_line

Line = dict[str, str]
Row = tuple[list[str], str, list[tuple[str, str]]]  # cells, colour, and lines with theirs that explain them

WIDTH = 100
SLOW = 1000  # milliseconds from which an answer is worth a look
BAD, WARN, PLAIN = "red", "yellow", ""


def local(moment: str) -> str:
    """Return a time of the document as people read it, in the controller's time zone."""
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}" if moment else ""


def _clipped(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _columns(rows: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """Lay rows out in columns; where they are wider than the page, the widest columns are clipped."""
    rows = [[visible_line(cell) for cell in row] for row in rows]
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(len(rows[0]))]
    while indent + sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        widths[widths.index(max(widths))] -= 1
    return [
        " " * indent
        + "  ".join(_clipped(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def wrapped(text: str, indent: int = 6) -> str:
    return _clipped(" " * indent + visible_line(text), WIDTH)


def line(text: str, color: str = PLAIN) -> Line:
    return {"text": text, "color": color}


def section(rows: Sequence[tuple[Sequence[str], str, Sequence[tuple[str, str]]]], heading: Sequence[str]) -> list[Line]:
    """Return a heading, and of each row its line in columns with the lines that explain it below."""
    laid = _columns([heading, *(cells for cells, _, _ in rows)])
    lines = [line(laid[0])]
    for text, (_, color, details) in zip(laid[1:], rows, strict=True):
        lines += [line(text, color), *(line(wrapped(detail), tone) for detail, tone in details)]
    return lines


def _proxy_rows(document: Part) -> Iterator[Row]:
    for proxy in document["proxies"]:
        nginx, version = proxy["nginx"], proxy["configuration"]
        state = nginx["state"] if proxy["reachable"] else "not reachable"
        cells = [proxy["name"], state, local(nginx.get("since", "")), version.get("version", "")]
        cells.append(local(version.get("since", "")))
        details = [(proxy["problem"], BAD)] if proxy["problem"] else []
        yield cells, BAD if proxy["problem"] else PLAIN, details


def _site_rows(document: Part, least: int) -> Iterator[Row]:
    for site in document["sites"]:
        names = site["server_names"]
        shown = names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "") if names else ""
        dated = sorted((one for one in site["certificates"] if one["ends"]), key=lambda one: str(one["ends"]))
        ends = f"{dated[0]['ends']} ({dated[0]['days_left']} days)" if dated else "-"
        issuer = dated[0]["issuer"] if dated else ""
        details = [
            (f"{one['host']}: {problem}", BAD)
            for one in site["certificates"]
            if (problem := certificate_problem(one, least))
        ]
        yield [site["name"], shown, ", ".join(site["upstreams"]), ends, issuer], BAD if details else PLAIN, details


def _answer(seen: Sequence[Mapping[str, Any]]) -> str:
    """Return what came, of proxies that saw the same: the slowest."""
    times = [one["ms"] for one in seen if one["ms"] is not None]
    if not times:
        return "-"
    if seen[0]["status"]:
        return f"{seen[0]['status']} in {max(times)} ms"
    return f"none after {max(times)} ms" if max(times) else "none"


def _views(member: Part) -> list[list[Part]]:
    """Return what the proxies see of a member, those that see the same together."""
    groups: dict[tuple[str, int, str], list[Part]] = {}
    for seen in member["proxies"]:
        problem = "" if seen["state"] == "unknown" else seen["problem"]
        groups.setdefault((seen["state"], seen["status"], problem), []).append(seen)
    return list(groups.values())


def _drained_by(member: Part) -> str:
    note = member["drained"]
    if note:
        reason = f": {note['reason']}" if note.get("reason") not in ("", note["kind"]) else ""
        return f"drained for {note['kind']} by {note['by']} since {local(note['since'])}{reason}"
    return "drained in the inventory (state: drain)" if member["drained_by_inventory"] else ""


def _details(member: Part, upstream: str, least: int) -> Iterator[tuple[str, str]]:
    """Yield (line, colour) of what explains a member's rows."""
    if text := _drained_by(member):
        yield text, WARN
    elif any(one["state"] == "drained" for one in member["proxies"]):
        yield "drained on a proxy although nothing says so; run site.yml", WARN
    if member["drained"] and any(one["state"] in ("in", "out") for one in member["proxies"]):
        names = [one["proxy"] for one in member["proxies"] if one["state"] in ("in", "out")]
        yield f"{', '.join(names)} still sends it requests; run playbooks/proxies.yml", BAD
    if member["standby_serves"]:
        yield "its standby serves", WARN
    for seen in _views(member):
        if seen[0]["problem"] and seen[0]["state"] != "unknown":
            yield f"{', '.join(one['proxy'] for one in seen)}: {seen[0]['problem']}", BAD
    if member["problem"]:
        yield f"{member['host']} cannot be reached: {member['problem']}", BAD
    fine = []
    for unit in member["units"]:
        if problem := unit_problem(unit, upstream):
            yield f"{problem} since {local(unit['since'])}", BAD
        elif unit["unit"].endswith(".timer"):
            fine.append(f"{unit['unit']} (next {local(unit['next']) or 'never'})")
        elif unit["unit"] != f"{upstream}.service" and unit["state"] != "inactive":
            fine.append(f"{unit['unit']} ({unit['state']})")
    if fine:
        yield ", ".join(fine), PLAIN
    if member["certificate"] and (problem := certificate_problem(member["certificate"], least)):
        yield f"the certificate of its endpoint {problem}", BAD


def _member_rows(upstream: Part, proxies: int, least: int) -> Iterator[Row]:
    for member in upstream["members"]:
        views = _views(member)
        details = list(_details(member, upstream["name"], least))
        for place, seen in enumerate(views):
            state = seen[0]["state"]
            where = "all" if len(seen) == proxies > 1 else ", ".join(one["proxy"] for one in seen)
            runs = [member["release"] or "-", local(member["since"])] if place == 0 else ["", ""]
            color = {"in": PLAIN, "drained": WARN}.get(state, BAD)
            slow = any((one["ms"] or 0) >= SLOW for one in seen)
            shown = f"{state} (backup)" if member["backup"] and state == "in" else state
            cells = [member["name"] if place == 0 else "", shown, where, _answer(seen), *runs]
            last = place == len(views) - 1
            yield cells, WARN if slow and color == PLAIN else color, details if last else []


def _counts(members: Iterable[Part]) -> str:
    """Say how many members are in which state, by the worst that a proxy sees."""
    order = ("out", "missing", "unknown", "drained", "in")
    states = [
        next((state for state in order if any(one["state"] == state for one in member["proxies"])), "unknown")
        for member in members
    ]
    found = [f"{states.count(state)} {state}" for state in reversed(order) if state in states]
    return f"{len(states)} {'member' if len(states) == 1 else 'members'}: {', '.join(found) or 'none'}"


def status_table(document: Part, min_days: Any) -> list[Line]:
    """Return a document of `environment_status` as lines {text, color} of at most 100 columns.

    `min_days`: from how few days on a certificate is a problem.
    """
    least = int(min_days)
    lines = [line(f"{document['environment']}, {local(document['time'])} ({_zone(document['time'])})")]
    for change in document["changes"]:
        text = f"{change['app']} is being changed: {change['what']} by {change['owner']} on {change['host']}"
        lines.append(line(wrapped(f"{text} since {local(change['since'])}", 0), WARN))
    lines += [line(""), *section(list(_proxy_rows(document)), ("proxy", "nginx", "since", "configuration", "since"))]
    if document["sites"]:
        columns = ("site", "name", "upstream", "certificate ends", "issuer")
        lines += [line(""), *section(list(_site_rows(document, least)), columns)]
    for upstream in document["upstreams"]:
        rows = list(_member_rows(upstream, len(document["proxies"]), least))
        if rows:
            heading = (upstream["name"], "state", "on", "answer", "release", "since")
            lines += [line(""), *section(rows, heading)]
    members = [member for upstream in document["upstreams"] for member in upstream["members"]]
    count = len(document["problems"])
    problems = "nothing to look at" if not count else f"{count} {'problem' if count == 1 else 'problems'}"
    lines += [line(""), line(f"{_counts(members)}; {problems}", BAD if count else "green")]
    return lines


def _zone(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().tzname() or "local time"
