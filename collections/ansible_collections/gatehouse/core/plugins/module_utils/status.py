"""What an environment's proxies, sites and members are doing, as one document and as a table of it.

What was read of each host arrives in its variables, as the playbook `status.yml` registers it; a host that cannot be
reached has `unreachable` there, and is a row like the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.members import joined
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible_line

Part = dict[str, Any]
Line = dict[str, str]
Row = tuple[list[str], str, list[tuple[str, str]]]  # cells, colour, and lines with theirs that explain them

_REGISTERED = ("machine", "__app_status", "__certificate_state", "__proxy_status", "__rollout_report")
WIDTH = 100
SLOW = 1000  # milliseconds from which an answer is worth a look
BAD, WARN, PLAIN = "red", "yellow", ""


def rollout_locks(folder: Any) -> list[Part]:
    """Return the changes of applications that are under way, [{app, what, owner, host, since}], by their locks.

    `folder`: of the environment, as `rollout_dir`. One that no run wrote is the next deployment's to refuse.
    """
    locks = []
    for file in sorted(Path(str(folder)).glob("deploys/*/lock")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            lock = json.loads(file.read_text())
            locks.append({key: str(lock[key]) for key in ("app", "what", "owner", "host", "since")})
    return locks


def gated_endpoints(endpoints: Any, apps: Mapping[str, Any], hostvars: Mapping[str, Any]) -> list[Part]:
    """Return what `member_endpoints` does, with `gate` at the members of applications, C({path, status, body}).

    It is what the release that runs on the member was found good by; of one that cannot be asked, that of another host
    of the application. `apps`: {application: its hosts}.
    """

    def gate(host: Any) -> Part:
        found = hostvars[host].get("__app_status")
        return (
            {} if _refusal(found) else {key: found["gate"][key] for key in ("path", "status", "body") if found["gate"]}
        )

    gates = {
        str(app): {str(host): found for host in hosts or () if (found := gate(host))} for app, hosts in apps.items()
    }
    return [
        {**endpoint, "gate": own.get(endpoint["member"]) or next(iter(own.values()), {})}
        for endpoint in endpoints
        for own in [gates.get(endpoint["upstream"], {})]
    ]


def _read(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> dict[str, Part]:
    """Return what was registered of hosts: Ansible puts a host's variables together anew for each look."""
    found: dict[str, Part] = {}
    for host in hosts:
        if host not in found and host in hostvars:
            variables = hostvars[host]
            found[host] = {name: variables.get(name) for name in _REGISTERED if variables.get(name) is not None}
            answers = found[host].get("__rollout_report", {}).get("members", ())
            found[host]["answers"] = {(str(one["member"]), str(one["upstream"])): one for one in answers}
    return found


def _moment(seconds: Any) -> str:
    """Return a time of the epoch as ISO 8601 in UTC, '' for 0."""
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds") if seconds else ""


def _refusal(found: Any) -> str:
    """Say why nothing is known of a host; '' if something is."""
    if not found:
        return "it was not asked"
    if found.get("unreachable") or found.get("failed"):
        # Of what Ansible says of a connection, what ssh said: the rest is the same for each.
        said = " ".join(str(found.get("msg", "")).rpartition("over ssh: ")[2].split()).removeprefix("Task failed: ")
        return visible_line(said) or "it cannot be reached"
    return ""


def _certificate(host: str, found: Any, name: str) -> Part:
    """Return {host, ends, days_left, issuer, problem} of a host's certificate, as certificate_state returns it."""
    here = found if found and not _refusal(found) else {}
    for one in here.get("certificates", ()):
        if one["name"] == name:
            problem = "is revoked" if one["revoked"] else "" if one["key_matches"] else "has another key beside it"
            return {"host": host, "ends": str(one["end"]), "days_left": int(one["days_left"]),
                    "issuer": str(one["issuer"]), "problem": problem}  # fmt: skip
    reason = next((str(one["reason"]) for one in here.get("missing", ()) if one["name"] == name), "")
    return {"host": host, "ends": "", "days_left": None, "issuer": "", "problem": reason}


def _proxy(name: str, variables: Mapping[str, Any]) -> Part:
    found: Any = variables.get("__proxy_status")
    problem = _refusal(found)
    if problem:
        return {"name": name, "reachable": False, "problem": problem, "nginx": {}, "configuration": {}}
    if found["state"] != "active":
        problem = f"nginx is {found['state'] or 'not there'}"
    elif found["serves"] != found["version"]:
        problem = f"nginx serves {found['serves'] or 'no configuration of ours'}, and {found['version']} is linked"
    return {
        "name": name,
        "reachable": True,
        "problem": problem,
        "nginx": {"state": str(found["state"]), "since": _moment(found["started"])},
        "configuration": {"version": str(found["version"]), "since": _moment(found["since"])},
    }


def _site(site: Mapping[str, Any], read: Mapping[str, Any], proxies: Sequence[str]) -> Part:
    upstreams = [str(location["upstream"]) for location in site.get("locations") or () if location.get("upstream")]
    https = bool(site.get("https", True))
    return {
        "name": str(site["name"]),
        "server_names": [str(name) for name in site.get("server_names") or ()],
        "https": https,
        "upstreams": list(dict.fromkeys(upstreams)),
        "certificates": [
            _certificate(proxy, read[proxy].get("__certificate_state"), str(site["name"]))
            for proxy in proxies
            if https and not _refusal(read[proxy].get("__proxy_status"))
        ],
    }


def _seen(member: Mapping[str, Any], upstream: str, proxy: str, variables: Mapping[str, Any]) -> Part:
    """Return {proxy, state, status, ms, problem}: how one proxy has a member."""
    status: Any = variables.get("__proxy_status")
    seen: Part = {"proxy": proxy, "state": "unknown", "status": 0, "ms": None, "problem": ""}
    if problem := _refusal(status):
        return {**seen, "problem": f"{proxy} cannot be asked: {problem}"}
    servers = status["upstreams"].get(upstream, {})
    address = joined(str(member["address"]), member.get("port"))
    asked: Part = variables["answers"].get((str(member["name"]), upstream), {})
    answer: Part = {key: asked[key] for key in ("status", "ms", "problem") if key in asked}
    if address not in servers:
        return {**seen, **answer, "state": "missing", "problem": "not in its live configuration; run site.yml"}
    if "down" in servers[address].split():
        return {**seen, **answer, "state": "drained"}
    return {**seen, **answer, "state": "out" if answer.get("problem", "it was not asked") else "in"}


def _member(member: Mapping[str, Any], upstream: str, read: Mapping[str, Any], known: Mapping[str, Any]) -> Part:
    name = str(member["name"])
    variables = read.get(name, {})
    machine = str(variables.get("machine", name))
    found = variables.get("__app_status") if name in known["hosts"] else None
    problem = _refusal(found) if name in known["hosts"] else ""
    note = known["notes"].get(name)
    here = found if found and not problem else {}
    certificates = read.get(machine, {}).get("__certificate_state")
    return {
        "name": name,
        "host": machine,
        "backup": bool(member.get("backup", False)),
        "drained": dict(note) if note and note.get("kind") != "standby" else None,
        "drained_by_inventory": member.get("state", "up") == "drain",
        "standby_serves": bool(note and note.get("kind") == "standby"),
        "reachable": not problem,
        "problem": problem,
        "release": str(here.get("release", "")),
        "since": _moment(here.get("since", 0)),
        "units": [
            {**{key: one[key] for key in ("unit", "state", "substate", "result", "restarts")},
             "since": _moment(one["since"]), "next": _moment(one["next"])}
            for one in here.get("units", ())
        ],
        "certificate": _certificate(machine, certificates, "endpoint") if here and certificates else None,
        "proxies": [_seen(member, upstream, proxy, read[proxy]) for proxy in known["proxies"]],
    }  # fmt: skip


def environment_status(upstreams: Any, sites: Any, hostvars: Mapping[str, Any], about: Mapping[str, Any]) -> Part:
    """Return the document of `status.yml`: {environment, time, proxies, sites, upstreams, changes, problems}.

    `about`: {environment, app ('' for all), apps: {application: its hosts}, proxies, notes (the filter drain_notes),
    locks (the filter rollout_locks), min_days}. `hostvars`: Ansible's, with what the roles' `status.yml` and
    `report.yml` registered.
    """
    app = str(about["app"])
    hosts = {str(host) for members in about["apps"].values() for host in members}
    known = {"hosts": hosts, "notes": about["notes"], "proxies": [str(name) for name in about["proxies"]]}
    names = [str(member["name"]) for upstream in upstreams for member in upstream["members"]]
    read = _read(hostvars, [*known["proxies"], *names])
    read |= _read(hostvars, {str(one["machine"]) for one in read.values() if "machine" in one} - read.keys())
    document = {
        "environment": str(about["environment"]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "proxies": [_proxy(name, read[name]) for name in known["proxies"]],
        "sites": [
            _site(site, read, known["proxies"])
            for site in sites
            if not app or any(location.get("upstream") == app for location in site.get("locations") or ())
        ],
        "upstreams": [
            {
                "name": str(upstream["name"]),
                "application": str(upstream["name"]) if upstream["name"] in about["apps"] else "",
                "members": [_member(one, str(upstream["name"]), read, known) for one in upstream["members"]],
            }
            for upstream in upstreams
            if app in ("", upstream["name"])
        ],
        "changes": [lock for lock in about["locks"] if app in ("", lock["app"])],
    }
    return {**document, "problems": list(_problems(document, int(about["min_days"])))}


def _bad_certificate(one: Mapping[str, Any], least: int) -> str:
    if one["problem"]:
        return str(one["problem"])
    if one["days_left"] is None:
        return ""  # of another source than this project's, or not read
    return f"ends in {one['days_left']} days" if one["days_left"] < least else ""


def _unit_problem(unit: Mapping[str, Any], application: str) -> str:
    """Say what is wrong with a unit; '' for one that runs, or that has nothing to do."""
    idle = unit["state"] == "inactive" and unit["result"] in ("success", "")
    standby = unit["unit"] == f"{application}-standby.service"
    main = unit["unit"] == f"{application}.service"
    if unit["state"] in ("active", "reloading") or (idle and not main) or (standby and idle):
        return ""
    result = f" ({unit['result']})" if unit["result"] not in ("success", "") else ""
    again = f", started again {unit['restarts']} times" if unit["restarts"] else ""
    substate = f" {unit['substate']}" if unit["substate"] not in ("", unit["state"], "dead") else ""
    return f"{unit['unit']} is {unit['state']}{substate}{result}{again}"


def _problems(document: Part, least: int) -> Iterator[str]:
    """Yield a sentence for everything that somebody should look at; what is drained on purpose is none."""
    for proxy in document["proxies"]:
        if proxy["problem"]:
            yield f"{proxy['name']}: {proxy['problem']}"
    for site in document["sites"]:
        for one in site["certificates"]:
            if problem := _bad_certificate(one, least):
                yield f"{one['host']}: the certificate of {site['name']} {problem}"
    for upstream in document["upstreams"]:
        for member in upstream["members"]:
            for seen in member["proxies"]:
                if seen["state"] in ("out", "missing"):
                    yield f"{member['name']} is {seen['state']} on {seen['proxy']}: {seen['problem']}"
            if member["problem"]:
                yield f"{member['name']}: {member['problem']}"
            for unit in member["units"]:
                if problem := _unit_problem(unit, upstream["name"]):
                    yield f"{member['name']}: {problem}"
            if member["certificate"] and (problem := _bad_certificate(member["certificate"], least)):
                yield f"{member['certificate']['host']}: the certificate of its endpoint {problem}"


def _local(moment: str) -> str:
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


def _wrapped(text: str, indent: int = 6) -> str:
    return _clipped(" " * indent + visible_line(text), WIDTH)


def _line(text: str, color: str = PLAIN) -> Line:
    return {"text": text, "color": color}


def _section(
    rows: Sequence[tuple[Sequence[str], str, Sequence[tuple[str, str]]]], heading: Sequence[str]
) -> list[Line]:
    """Return a heading, and of each row its line in columns with the lines that explain it below."""
    laid = _columns([heading, *(cells for cells, _, _ in rows)])
    lines = [_line(laid[0])]
    for text, (_, color, details) in zip(laid[1:], rows, strict=True):
        lines += [_line(text, color), *(_line(_wrapped(detail), tone) for detail, tone in details)]
    return lines


def _proxy_rows(document: Part) -> Iterator[Row]:
    for proxy in document["proxies"]:
        nginx, version = proxy["nginx"], proxy["configuration"]
        state = nginx["state"] if proxy["reachable"] else "not reachable"
        cells = [proxy["name"], state, _local(nginx.get("since", "")), version.get("version", "")]
        cells.append(_local(version.get("since", "")))
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
            if (problem := _bad_certificate(one, least))
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
        return f"drained for {note['kind']} by {note['by']} since {_local(note['since'])}{reason}"
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
        if problem := _unit_problem(unit, upstream):
            yield f"{problem} since {_local(unit['since'])}", BAD
        elif unit["unit"].endswith(".timer"):
            fine.append(f"{unit['unit']} (next {_local(unit['next']) or 'never'})")
        elif unit["unit"] != f"{upstream}.service" and unit["state"] != "inactive":
            fine.append(f"{unit['unit']} ({unit['state']})")
    if fine:
        yield ", ".join(fine), PLAIN
    if member["certificate"] and (problem := _bad_certificate(member["certificate"], least)):
        yield f"the certificate of its endpoint {problem}", BAD


def _member_rows(upstream: Part, proxies: int, least: int) -> Iterator[Row]:
    for member in upstream["members"]:
        views = _views(member)
        details = list(_details(member, upstream["name"], least))
        for place, seen in enumerate(views):
            state = seen[0]["state"]
            where = "all" if len(seen) == proxies > 1 else ", ".join(one["proxy"] for one in seen)
            runs = [member["release"] or "-", _local(member["since"])] if place == 0 else ["", ""]
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
    lines = [_line(f"{document['environment']}, {_local(document['time'])} ({_zone(document['time'])})")]
    for change in document["changes"]:
        text = f"{change['app']} is being changed: {change['what']} by {change['owner']} on {change['host']}"
        lines.append(_line(_wrapped(f"{text} since {_local(change['since'])}", 0), WARN))
    lines += [_line(""), *_section(list(_proxy_rows(document)), ("proxy", "nginx", "since", "configuration", "since"))]
    if document["sites"]:
        columns = ("site", "name", "upstream", "certificate ends", "issuer")
        lines += [_line(""), *_section(list(_site_rows(document, least)), columns)]
    for upstream in document["upstreams"]:
        rows = list(_member_rows(upstream, len(document["proxies"]), least))
        if rows:
            heading = (upstream["name"], "state", "on", "answer", "release", "since")
            lines += [_line(""), *_section(rows, heading)]
    members = [member for upstream in document["upstreams"] for member in upstream["members"]]
    count = len(document["problems"])
    problems = "nothing to look at" if not count else f"{count} {'problem' if count == 1 else 'problems'}"
    lines += [_line(""), _line(f"{_counts(members)}; {problems}", BAD if count else "green")]
    return lines


def _zone(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().tzname() or "local time"
