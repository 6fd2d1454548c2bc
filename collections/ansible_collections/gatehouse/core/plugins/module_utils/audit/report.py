"""What an audit of all hosts found, as one document: each item on each host, and what the waivers make of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.calendars import calendar_day
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_config import ConfigError

from ..preflight.problem import Problem, numbered, wrong
from . import files, serving, software, tls
from .host import Host
from .verdict import ABSENT, FAIL, PASS, WAIVED, Item, Verdict

ITEMS: tuple[Item, ...] = (*software.ITEMS, *files.ITEMS, *serving.ITEMS, *tls.ITEMS)
RESULTS = (PASS, FAIL, WAIVED, ABSENT)
Part = dict[str, Any]


def waiver_problems(waivers: Any, hosts: Sequence[str], today: str = "") -> Iterator[Problem]:
    """Yield waivers of what is no item and of hosts that are not there, and those that have ended."""
    names = [item.name for item in ITEMS]
    now = today or date.today().isoformat()
    for place, waiver in numbered(waivers):
        here, item = ["audit_waivers", place], waiver.get("item")
        if isinstance(item, str) and item not in names:
            near = difflib.get_close_matches(item, names, 1)
            remedy = f"write {near[0]}" if near else "write an item as playbooks/audit.yml names it"
            yield wrong([*here, "item"], f"{item} is no item of the audit", remedy)
        if isinstance(reason := waiver.get("reason"), str) and not reason.strip():
            yield wrong([*here, "reason"], "is empty", "write why this may fail")
        for index, name in enumerate(waiver.get("hosts") or ()):
            if isinstance(name, str) and name not in hosts:
                near = difflib.get_close_matches(name, hosts, 1)
                remedy = f"write {near[0]}" if near else "write a host of the inventory"
                yield wrong([*here, "hosts", index], f"{name} is no host of the inventory", remedy)
        if (until := str(waiver.get("until"))) < now and waiver.get("until"):
            text = f"ended on {until}, so the audit counts the failure"
            yield wrong([*here, "until"], text, "take the waiver away, or give it a new end", "warning")


def _waiver(item: Item, verdict: Verdict, host: str, waivers: Sequence[Mapping[str, Any]]) -> Part | None:
    """Return the waiver of a failure: the inventory's that lasts longest, else the project's own."""
    own = [
        {"reason": one["reason"], "until": calendar_day(one["until"]), "by": "inventory"}
        for one in waivers
        if one["item"] == item.name and (not one.get("hosts") or host in one["hosts"])
    ]
    if own:
        return max(own, key=lambda one: str(one["until"]))
    return {"reason": verdict.reason, "until": "", "by": "Gatehouse"} if verdict.reason else None


def _judged(item: Item, host: Host) -> Verdict:
    if not host.nginx["installed"] and item.name not in ("units", "ports", "account_password", "account_shell"):
        return Verdict(ABSENT, "the host has no nginx")
    try:
        if host.nginx["error"]:
            raise ConfigError(host.nginx["error"])
        return item.judge(host)
    except ConfigError as error:
        return Verdict(FAIL, "nginx's configuration cannot be read", (("nginx -T", str(error)),))


def _row(item: Item, host: Host, waivers: Sequence[Mapping[str, Any]], today: str) -> Part:
    verdict = _judged(item, host)
    result, why = verdict.result, verdict.why
    waiver = _waiver(item, verdict, host.name, waivers) if result == FAIL else None
    if waiver and (not waiver["until"] or waiver["until"] >= today):
        result = WAIVED
    elif waiver:
        why = f"{why}; the waiver ended on {waiver['until']}"
    findings = [{"where": where, "what": what} for where, what in verdict.findings]
    return {
        "item": item.name, "title": item.title, "benchmark": item.benchmark, "result": result, "why": why,
        "findings": findings, "waiver": waiver,
    }  # fmt: skip


def audit_document(
    read: Mapping[str, Mapping[str, Any]],
    waivers: Sequence[Mapping[str, Any]],
    environment: str,
    now: str = "",
) -> Part:
    """Return the document of an audit.

    `read`: {host: result of host_audit, or of a host that could not be reached}; `waivers`: `audit_waivers`; `now`: ISO
    8601, for tests.
    """
    moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    today = moment.date().isoformat()
    hosts: list[Part] = []
    problems = []
    for name, said in read.items():
        if "host" not in said:
            problem = str(said.get("msg") or "it cannot be reached").strip()
            hosts.append({"name": name, "problem": problem, "items": []})
            problems.append(f"{name}: {problem}")
            continue
        host = Host(name, said["host"], said.get("services") or ())
        rows = [_row(item, host, waivers, today) for item in ITEMS]
        hosts.append({"name": name, "problem": "", "items": rows})
        problems += [f"{name}: {row['item']}: {row['why']}" for row in rows if row["result"] == FAIL]
    used = {row["item"] for host in hosts for row in host["items"] if row["waiver"]}
    rows = [row for host in hosts for row in host["items"]]
    return {
        "environment": environment,
        "time": moment.isoformat(timespec="seconds"),
        "hosts": hosts,
        "counts": {result: sum(row["result"] == result for row in rows) for result in RESULTS},
        "problems": problems,
        "unneeded_waivers": [one["item"] for one in waivers if one["item"] not in used],
    }
