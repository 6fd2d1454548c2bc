"""In which order the hosts of applications are moved over, and to which release an application goes back.

Pure functions over what each host told: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader

Plan = dict[str, Any]


def rollout_batches(plans: Sequence[Plan]) -> list[dict[str, Any]]:
    """Return the batches [{app, lead, hosts, drain, canary, last}] to be done, one application after the other.

    `plans`: of each host {host, app, moves, serving, batch, canary_seconds}. Hosts that serve nobody come first, all at
    once and without a drain: if the release fails there, no visitor has seen it. Of the others the first one is the
    canary, if there is to be one, and the rest follow in batches.
    """
    batches: list[dict[str, Any]] = []
    for app in dict.fromkeys(plan["app"] for plan in plans):
        all_of_it = [plan for plan in plans if plan["app"] == app]
        moving = [plan for plan in all_of_it if plan["moves"]]
        idle = [plan["host"] for plan in moving if not plan["serving"]]
        serving = [plan["host"] for plan in moving if plan["serving"]]
        if idle:
            batches.append({"app": app, "lead": idle[0], "hosts": idle, "drain": False, "canary": False})
        size = filter_loader.get("batch_size").j2_function(all_of_it[0]["batch"], len(all_of_it))
        canary = bool(serving) and all_of_it[0]["canary_seconds"] > 0
        chunks = [serving[:1]] if canary else []
        rest = serving[1:] if canary else serving
        chunks += [rest[start : start + size] for start in range(0, len(rest), size)]
        for position, hosts in enumerate(chunks):
            first = canary and position == 0
            batches.append({"app": app, "lead": hosts[0], "hosts": hosts, "drain": True, "canary": first})
        if moving:
            batches[-1]["last"] = True
    return [{"last": False, **batch} for batch in batches]


def rollback_target(listings: Sequence[Sequence[dict[str, Any]]], release: Any = "") -> str:
    """Return the release that all hosts of an application go back to.

    `listings`: of each host, its releases [{release, deployed, failed, ...}]; `release`: the one that is asked for.
    Otherwise it is the last good one before the one that runs. Where hosts run different ones, a run was interrupted:
    then it is the oldest of those that run. Only a release that every host has intact is gone back to.
    """
    everywhere = set.intersection(*[{one["release"] for one in listing} for listing in listings])
    entries = [one for listing in listings for one in listing]
    since = {one["release"]: max(e["deployed"] for e in entries if e["release"] == one["release"]) for one in entries}
    failed = {one["release"] for one in entries if one["failed"]}
    running = {one["release"] for one in entries if one["current"]}
    good = [name for name in everywhere if since[name] and name not in failed]
    if release:
        candidates = [str(release)] if release in good else []
    elif len(running) > 1:
        candidates = [name for name in good if name in running]
    else:
        now = min((since[name] for name in running), default=0.0)
        candidates = [name for name in good if name not in running and (not now or since[name] < now)]
    if not candidates:
        names = sorted({one["release"] for one in entries}, key=lambda name: since[name], reverse=True)
        have = ", ".join(name + (" (failed)" if name in failed else "") for name in names) or "none"
        wanted = f"good release {release} on each of them" if release else "good release before the one that runs"
        raise AnsibleFilterError(f"there is no {wanted}. The hosts have: {have}. Name one of them with -e release=<id>")
    return (
        min(candidates, key=lambda name: since[name]) if len(running) > 1 else max(candidates, key=lambda n: since[n])
    )


class FilterModule:
    """Offer the functions above to templates under their own names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (rollout_batches, rollback_target)}
