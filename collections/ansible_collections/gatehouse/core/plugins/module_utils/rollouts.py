"""In which order the hosts of applications are moved over, and to which release an application goes back.

Pure functions over what each host and the controller's log say: no I/O.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, groupby, takewhile
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

_BATCH = re.compile(r"([1-9][0-9]{0,5})(%?)")
Plan = dict[str, Any]
Release = dict[str, Any]
_UNCHANGED = "was changed on no host: each of them serves what it served before."


def _kind_of_batch(plan: Plan) -> tuple[bool, bool]:
    """Return whether a standby serves meanwhile, and whether the host is drained already."""
    return bool(plan["standby"]), bool(plan["undrained"])


def rollout_batches(plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """Return the batches to do, one application after the other.

    [{app, lead, hosts, drain, standby, canary, out, back, last}]. `plans`: of each host {host, app, moves, serving,
    standby, undrained, batch, canary_seconds}; while a batch is changed, its hosts are drained, or a standby serves on
    each. Hosts that serve nobody come first, all at once and without a drain: if the release fails there, no visitor
    has seen it. Of the others the first one is the canary, if there is to be one, and the rest follow in batches. Those
    that are drained and will be undrained by this run come first, in batches of their own (`out`), and `back` are those
    that serve again when a batch begins.
    """
    batches: list[dict[str, Any]] = []
    for app in dict.fromkeys(plan["app"] for plan in plans):
        all_of_it = [plan for plan in plans if plan["app"] == app]
        moving = [plan for plan in all_of_it if plan["moves"]]
        idle = [plan["host"] for plan in moving if not plan["serving"]]
        serving = [plan for plan in moving if plan["serving"]]
        serving.sort(key=lambda plan: (not plan["undrained"], plan["standby"]))
        if idle:
            how = {"drain": False, "standby": False, "canary": False, "out": False, "back": []}
            batches.append({"app": app, "lead": idle[0], "hosts": idle, **how})
        size = batch_size(all_of_it[0]["batch"], len(all_of_it))
        canary = bool(serving) and all_of_it[0]["canary_seconds"] > 0
        chunks = [serving[:1]] if canary else []
        for _, same in groupby(serving[1:] if canary else serving, key=_kind_of_batch):
            rest = list(same)
            chunks += [rest[start : start + size] for start in range(0, len(rest), size)]
        back: list[str] = []
        for position, chunk in enumerate(chunks):
            hosts = [plan["host"] for plan in chunk]
            standby, out = _kind_of_batch(chunk[0])
            how = {"drain": not standby, "standby": standby, "canary": canary and position == 0, "out": out}
            batches.append({"app": app, "lead": hosts[0], "hosts": hosts, **how, "back": list(back)})
            back += hosts if out else []
        if moving:
            batches[-1]["last"] = True
    return [{"last": False, **batch} for batch in batches]


def preparation_failures(hosts: Sequence[str], hostvars: Mapping[str, Any], reached: Collection[str]) -> dict[str, str]:
    """Return {application: why it is changed on no host}, of those for which a host is not prepared.

    `hosts`: those of applications in the run; `hostvars`: Ansible's, of which `rollout_app` and `rollout_failure` are
    read; `reached`: those that have not failed, and can be reached.
    """
    reasons: dict[str, list[str]] = {}
    for host in hosts:
        if why := hostvars[host].get("rollout_failure"):
            reason = str(why)
        elif host not in reached:
            reason = (
                f"{host} failed earlier in this run, or cannot be reached; -e skip_unreachable=true goes on without a "
                "host that cannot be reached"
            )
        else:
            continue
        said = reasons.setdefault(str(hostvars[host]["rollout_app"]), [])
        if reason not in said:
            said.append(reason)
    return {app: "\n".join([*said, f"{app} {_UNCHANGED}"]) for app, said in reasons.items()}


def rollout_report(plans: Sequence[Plan], failures: Mapping[str, str]) -> list[str]:
    """Return a line for each application of a run: which release runs where, or the beginning of why it failed."""
    lines = []
    for app in dict.fromkeys(str(plan["app"]) for plan in plans if plan["app"] not in failures):
        mine = [plan for plan in plans if plan["app"] == app]
        moved = ", ".join(plan["host"] for plan in mine if plan["moves"])
        where = f"{app} {mine[0]['release']} runs on {', '.join(plan['host'] for plan in mine)}"
        lines.append(f"{where}; switched in this run: {moved}" if moved else f"{where} already: nothing was changed")
    for app, reason in failures.items():
        said = reason.splitlines()
        said = said[:2] + [line for line in said[2:] if line.endswith(_UNCHANGED)]
        lines.append("\n  ".join([f"{app} failed: {said[0]}", *said[1:]]))
    return lines


def logged_releases(text: str) -> dict[str, Any]:
    """Return what the controller's log of an application's deployments says, {} where it has none that was completed.

    `current` is the release that the last completed run deployed, `good` are {release: gate} in the order in which they
    were last deployed, `settled` says whether the last run was completed: else hosts may run different ones.
    """
    current, settled = "", True
    good: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
            outcome, release = entry["outcome"], entry.get("release", "")
            deploys = not entry["what"].startswith(("go back", "restart"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"line {number} of the log of deployments is none that Gatehouse wrote") from None
        settled = outcome == "done"
        if settled and deploys:
            good.pop(release, None)
            good[release] = entry.get("gate") or {}
        elif outcome == "failed" and deploys and release != current:
            good.pop(release, None)
        current = release if settled else current
    return {"current": current, "good": good, "settled": settled} if current else {}


def _own_target(listing: Sequence[Release]) -> str:
    """Return what one host by itself would go back to: the last good one before the one that runs, '' if none."""
    since = {one["release"]: one["deployed"] for one in listing if one["deployed"] and not one["failed"]}
    current = next((one["release"] for one in listing if one["current"]), "")
    now = next((one["deployed"] for one in listing if one["current"]), 0.0)
    older = [name for name in since if name != current and (not now or since[name] < now)]
    return max(older, key=lambda name: since[name], default="")


def _majority(votes: Sequence[str]) -> str:
    """Return what more than half of the hosts say, '' if they do not agree so far."""
    said, count = Counter(votes).most_common(1)[0]
    return said if 2 * count > len(votes) else ""


def _logged_target(log: dict[str, Any], listings: dict[str, Sequence[Release]]) -> str:
    """Return what the controller's log says is gone back to, '' if nothing.

    That hosts lack a release counts only if most of them do, since old ones are removed from all.
    """
    runs = {name: [one["release"] for one in listing if one["current"]] for name, listing in listings.items()}
    if not log["settled"] and any(found != [log["current"]] for found in runs.values()):
        return str(log["current"])
    older = list(takewhile(lambda name: name != log["current"], log["good"]))
    has = {name: sum(name in {one["release"] for one in listing} for listing in listings.values()) for name in older}
    return next((name for name in reversed(older) if 2 * has[name] > len(listings)), "")


def rollback_target(listings: dict[str, Sequence[Release]], log: str = "", release: Any = "") -> dict[str, Any]:
    """Return what all hosts of an application go back to: {release, gate, differs}.

    `listings`: of each host, its releases [{release, deployed, failed, current, ...}]; `log`: the controller's log of
    deployments; `release`: the one that is asked for. The log decides, and without one what more than half of the hosts
    say, so that no host chooses for the others; `differs` has a line for each host that says something else.
    """
    reported = logged_releases(log)
    if release:
        name = str(release)
    elif reported:
        name = _logged_target(reported, listings)
    else:
        name = _majority([_own_target(listing) for listing in listings.values()])
    entries = {
        host: next((one for one in listing if one["release"] == name), None) for host, listing in listings.items()
    }
    verdicts = [bool(one and one["deployed"] and not one["failed"]) for one in entries.values()]
    good = name in reported.get("good", {}) or 2 * sum(verdicts) > len(verdicts)
    if not name or not good or not any(entries.values()):
        raise InputError(_no_target(listings, reported, str(release)))
    if lacking := [host for host, one in entries.items() if one is None]:
        raise InputError(
            f"{', '.join(lacking)} does not have release {name}, which the others go back to. Name another that all of "
            "them have with -e release=<id>, or leave that host out with --limit"
        )
    differs = [
        f"{host} says that {name} is not good there" for host, well in zip(entries, verdicts, strict=True) if not well
    ]
    if reported and reported["settled"]:
        differs += [
            f"{host} runs {one['release']}, and the log says {reported['current']}"
            for host, listing in listings.items()
            for one in listing
            if one["current"] and one["release"] != reported["current"]
        ]
    elif not reported:
        differs += [
            f"{host} by itself would go back to {own or 'nothing'}"
            for host, listing in listings.items()
            if (own := _own_target(listing)) != name and not release
        ]
    # A log that is older than this entry of it names no gate.
    gates = [json.dumps(one.get("gate", {}), sort_keys=True) for one in entries.values() if one]
    gate = reported.get("good", {}).get(name) or json.loads(_majority(gates) or "{}")
    return {"release": name, "gate": gate, "differs": sorted(differs)}


def _no_target(listings: dict[str, Sequence[Release]], log: dict[str, Any], release: str) -> str:
    """Say why there is nothing to go back to, and what each release is according to the hosts."""
    names: dict[str, list[Release]] = {}
    for one in chain.from_iterable(listings.values()):
        names.setdefault(one["release"], []).append(one)
    have = ", ".join(name + (" (failed)" if any(one["failed"] for one in said) else "") for name, said in names.items())
    wanted = f"good release {release} on each of them" if release else "good release before the one that runs"
    hint = "" if log or release else " There is no log of deployments on this controller, and the hosts do not agree."
    return f"there is no {wanted}.{hint} The hosts have: {have or 'none'}. Name one of them with -e release=<id>"


def batch_size(value: Any, hosts: int = 1) -> int:
    """Return how many of `hosts` are moved over at a time: `2`, or a share as `50%`, rounded down and 1 at least."""
    found = _BATCH.fullmatch(str(value))
    if not found or (found[2] and int(found[1]) > 100):
        raise InputError(
            f"{json.dumps(value, default=str)} is no size of a batch", 'a number of hosts as "2", or a share as 50%'
        )
    return max(1, hosts * int(found[1]) // 100) if found[2] else int(found[1])
