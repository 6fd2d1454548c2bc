"""The lines of all hosts' logs as one list, and what is asked for them on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.answers import FOREIGN, MOMENT, shaped
from ansible_collections.gatehouse.core.plugins.module_utils.members import joined
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible_line

_AGO = re.compile(r"-?(\d{1,6})(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TODAY = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
# What nginx and balancers number requests by: the role proxy takes no other.
_REQUEST = re.compile(r"[A-Za-z0-9._-]{8,128}")
_MOST_LINES = 100000
_REMEDY = "write -10m, -2h, 02:00, 2026-11-29 or 2026-11-29T02:00"
CLOCK_TOLERANCE = 1.0  # seconds
_ENTRY = (MOMENT, str, str, bool, bool)
_FOUND = {"entries": [_ENTRY]}
# What the proxies know of a request, for the hosts that answered it; a lie must not send those through all their logs.
_KNOWN = {
    "since": MOMENT, "until": MOMENT, "method": str, "uri": str, "upstream": str, "connection": str,
}  # fmt: skip
_MOST_REQUESTS = 20
_LONGEST_REQUEST = 86400  # seconds


def _moment(text: str, now: datetime) -> float | None:
    """Return a time in seconds of the epoch, None if it is none. Without a zone it is the controller's."""
    if text in ("now", ""):
        return now.timestamp()
    if found := _AGO.fullmatch(text):
        return now.timestamp() - int(found[1]) * _UNITS[found[2]]
    if found := _TODAY.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in found.groups())
        if hour > 23 or minute > 59 or second > 59:
            return None
        moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
        # The last time that it was so late.
        return (moment if moment <= now else moment - timedelta(days=1)).timestamp()
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed.timestamp() if parsed.tzinfo else parsed.replace(tzinfo=now.tzinfo).timestamp()


def log_query(options: Mapping[str, Any], now: str = "") -> dict[str, Any]:
    """Return {since, until, lines, grep, request, problems} of what the command line says of these.

    Times are in seconds of the epoch, `problems` one sentence for each mistake. Without `since`, the last ten minutes
    are meant, and the last day for a request. `now`: ISO 8601 with offset, '' for this moment.
    """
    moment = datetime.fromisoformat(now) if now else datetime.now().astimezone()
    said = {name: str(options.get(name, "")).strip() for name in ("since", "until", "lines", "grep", "request")}
    problems = []
    times = {}
    for name, usual in (("since", "-1d" if said["request"] else "-10m"), ("until", "now")):
        found = _moment(said[name] or usual, moment)
        if found is None:
            problems.append(f"-e {name}={said[name]} is no time; {_REMEDY}")
        times[name] = found or 0.0
    if not problems and times["since"] >= times["until"]:
        problems.append(
            f"-e since={said['since']} is not before -e until={said['until'] or 'now'}; nothing was logged in between"
        )
    lines = said["lines"] or "2000"
    if not lines.isdecimal() or not 1 <= int(lines) <= _MOST_LINES:
        problems.append(f"-e lines={lines} is no number of lines; write one from 1 to {_MOST_LINES}")
        lines = "1"
    try:
        re.compile(said["grep"])
    except re.error as error:
        problems.append(
            f"-e grep={said['grep']} is no regular expression ({error}); write a \\ before what is meant as it is"
        )
    if said["request"] and not _REQUEST.fullmatch(said["request"]):
        problems.append(
            f"-e request={said['request']} is no id of a request; copy it from an error page or from X-Request-Id"
        )
    return {**times, "lines": int(lines), "grep": said["grep"], "request": said["request"], "problems": problems}


def log_applications(instances: Any, hostvars: Mapping[str, Any], app: Any = "") -> dict[str, list[int]]:
    """Return {application: [ports by which nginx asks it]} of the applications on a machine, or of one of them.

    `instances`: the machine's; `hostvars`: Ansible's, of which `app_name` and `endpoint_application` are read.
    """
    found = {}
    for instance in instances:
        name, endpoint = str(hostvars[instance]["app_name"]), hostvars[instance]["endpoint_application"]
        if app in ("", name):
            ports = [int(endpoint[key]) for key in ("port", "app_port", "standby_port")]
            found[name] = [port for port in ports if port]
    return found


def log_selection(app: Any, upstreams: Any, sites: Any) -> dict[str, list[str]]:
    """Return which of nginx's lines are about an application, `{upstreams, names, endpoints}`; {} for all ('')."""
    if not app:
        return {}
    members = [member for upstream in upstreams if upstream["name"] == app for member in upstream["members"]]
    served = [site for site in sites if any(one.get("upstream") == app for one in site.get("locations") or ())]
    return {
        "upstreams": [str(app)],
        "names": [str(name) for site in served for name in site.get("server_names") or ()],
        "endpoints": [joined(str(member["address"]), member.get("port")) for member in members],
    }


def log_requests(hosts: Mapping[str, Any], query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the proxies know of the request that is asked for, as far as it can be true.

    `hosts`: {proxy: what host_logs returned}; `query`: what `log_query` returned.
    """
    said = [one for found in hosts.values() if shaped(found, {"requests": [_KNOWN]}) for one in found["requests"]]
    inside = [
        one
        for one in said
        if query["since"] - 1 <= one["until"] <= query["until"] + 1
        and 0 <= one["until"] - one["since"] <= _LONGEST_REQUEST
    ]
    return [{key: one[key] for key in _KNOWN} for one in inside][:_MOST_REQUESTS]


def _written(moment: float, whole: bool = False) -> str:
    """Return a time as ISO 8601 in the controller's time zone, without the milliseconds where they are not known."""
    local = datetime.fromtimestamp(moment).astimezone()
    return local.isoformat(timespec="seconds" if whole else "milliseconds")


def log_lines(hosts: Mapping[str, Any]) -> list[str]:
    """Return the lines of all hosts by their time, `time host source text`; `~` marks what is only near a request.

    `hosts`: {host: what host_logs returned}.
    """
    entries = [
        (float(moment), str(host), str(source), str(text), bool(near), bool(whole))
        for host, found in hosts.items()
        if shaped(found, _FOUND)
        for moment, source, text, near, whole in found["entries"]
    ]
    entries.sort(key=itemgetter(0))
    width = max((len(entry[1]) for entry in entries), default=0)
    source_width = max((min(len(visible_line(entry[2])), 24) for entry in entries), default=0)
    return [
        f"{_written(moment, whole):29} {host.ljust(width)} {visible_line(source).ljust(source_width)} "
        f"{'~ ' if near else ''}{visible_line(text)}"
        for moment, host, source, text, near, whole in entries
    ]


def log_remarks(hosts: Mapping[str, Any], query: Mapping[str, Any]) -> list[str]:
    """Return what is to be known of the lines: hosts that are missing, lines that were cut, wrong clocks.

    `query`: what `log_query` returned.
    """
    return list(_remarks(hosts, query))


def _remarks(hosts: Mapping[str, Any], query: Mapping[str, Any]) -> Iterator[str]:
    lines = 0
    for host, found in hosts.items():
        if not found or "entries" not in found:
            said = " ".join(str((found or {}).get("msg", "it was not asked")).rpartition("over ssh: ")[2].split())
            yield f"{host}: no lines, it cannot be reached: {visible_line(said.removeprefix('Task failed: '))}"
            continue
        if not shaped({"clock_offset": 0, **found}, {**_FOUND, "clock_offset": float}):
            yield f"{host}: no lines, {FOREIGN}"
            continue
        entries = found["entries"]
        lines += len(entries)
        if found.get("cut"):
            first = f"{_written(float(entries[0][0]))} on" if entries else "the newest on"
            yield (
                f"{host}: there are more lines than these, which are from {first}; "
                "narrow -e since, -e until or -e grep, or raise -e lines"
            )
        offset = float(found.get("clock_offset", 0))
        if abs(offset) > CLOCK_TOLERANCE:
            which = "ahead" if offset > 0 else "behind"
            yield f"{host}: its clock is {abs(offset):.0f} s {which} or more, and so are the times of its lines"
    if not lines:
        between = " and ".join(_written(float(query[name])) for name in ("since", "until"))
        yield f"nothing between {between}"
