"""Who of the members takes requests: which ones are drained, by whose notes, and who is left without them.

`proxy_upstreams` comes as the inventory has it, without the defaults of its spec; members are named as there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError


def member_names(value: Any, what: str) -> list[str]:
    """Return `value` when it is a list of names."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise InputError(
            f"{what} must be a list of members' names, got {json.dumps(value, default=str)}", "['storefront1']"
        )
    return [str(name) for name in value]


def _serving(members: Any, without: Collection[str] = ()) -> list[str]:
    """Return the names of the members that get new requests when those in `without` do not."""
    return [
        str(member["name"]) for member in members if member.get("state", "up") == "up" and member["name"] not in without
    ]


def drain_members(upstreams: Any, names: Any) -> Any:
    """Return proxy_upstreams with `state: drain` at the members of these names, in every upstream that has them."""
    drained = set(member_names(names, "names"))
    # Without anybody to drain, ten thousand members need no copy.
    if not drained:
        return upstreams
    return [
        {
            **upstream,
            "members": [
                {**member, "state": "drain"} if member.get("name") in drained else member
                for member in upstream["members"]
            ],
        }
        for upstream in upstreams
    ]


def unserved_upstreams(upstreams: Any, names: Any) -> list[dict[str, Any]]:
    """Return the upstreams that lose their last serving member with these: [{name, members: [who that would be]}]."""
    drained = member_names(names, "names")
    return [
        {"name": str(upstream["name"]), "members": before}
        for upstream in upstreams
        if (before := _serving(upstream["members"])) and not _serving(upstream["members"], drained)
    ]


def _is_spare(host: str, upstreams: Any, out: Collection[str]) -> bool:
    """Say whether a member serves somewhere, and no upstream would lose its last serving member with it."""
    serves = [members for upstream in upstreams if host in (members := _serving(upstream["members"], out))]
    return bool(serves) and all(len(members) > 1 for members in serves)


def member_hosts(names: Any, hostvars: Mapping[str, Any]) -> list[str]:
    """Return the members that these hosts are: of a machine with several applications, the host of each of them.

    `hostvars`: Ansible's, of which `instances` is read; a name that is no host is returned as it is.
    """
    hosts = member_names(names, "names")
    return list(
        dict.fromkeys(
            str(member)
            for name in hosts
            for member in ((hostvars[name].get("instances") if name in hostvars else ()) or (name,))
        )
    )


def skippable_machines(
    machines: Any, hostvars: Mapping[str, Any], notes: Mapping[str, Mapping[str, Any]], every: bool
) -> list[str]:
    """Return the machines that a run may go on without: every one, or those alone that serve no visitor.

    Those are the ones whose applications are all drained for maintenance, or since a run has gone on without them.
    `hostvars`: Ansible's, of which `instances` is read; `notes`: who is drained, see P(drain_notes#filter).
    """

    def is_out(machine: str) -> bool:
        members = hostvars[machine].get("instances") or ()
        kinds = {notes.get(str(member), {}).get("kind") for member in members}
        return bool(kinds) and kinds <= {"maintenance", "unreachable"}

    return [machine for machine in member_names(machines, "machines") if every or is_out(machine)]


def rotation_batches(
    hosts: Any, upstreams: Any, notes: Mapping[str, Any], machines: Mapping[str, str]
) -> list[dict[str, list[str]]]:
    """Return [{hosts, drains}]: hosts that share no upstream change together, and `drains` of them are out meanwhile.

    `notes`: who is drained, see P(drain_notes#filter); `machines`: {member: the host that it is on}, since a host with
    several members has one certificate. Those that an interrupted rotation left drained come first and serve
    afterwards; the others stay out, and the last member of an upstream stays in.
    """
    notes = {machines.get(name, name): note for name, note in notes.items()}
    upstreams = [
        {
            "name": one["name"],
            "members": [{**member, "name": machines.get(member["name"], member["name"])} for member in one["members"]],
        }
        for one in upstreams
    ]
    left = {host for host in hosts if host in notes and notes[host]["kind"] == "rotation"}
    out = set(notes)
    batches: list[dict[str, list[str]]] = []
    pools: list[set[str]] = []  # of each batch the upstreams that it touches
    for host in sorted(member_names(hosts, "hosts"), key=lambda name: name not in left):
        mine = {str(one["name"]) for one in upstreams if any(member["name"] == host for member in one["members"])}
        place = next((place for place, pool in enumerate(pools) if not pool & mine), len(pools))
        if place == len(pools):
            batches.append({"hosts": [], "drains": []})
            pools.append(set())
        batches[place]["hosts"].append(host)
        pools[place] |= mine
    for batch in batches:
        batch["drains"] += [host for host in batch["hosts"] if host in left or _is_spare(host, upstreams, out)]
        out -= left & set(batch["hosts"])
    return batches


def drain_notes(folder: Any) -> dict[str, dict[str, Any]]:
    """Return what `<folder>/drained/<host>.json` notes of each drained host.

    {host: {kind, reason, by, since, outdated}}, the last one only where it is true. `kind` is V(maintenance) for what
    an operator drained, V(rollout) or V(rotation) for what a run did and will undo, V(unreachable) for a host without
    which a run has gone on; see the action plugin rollout_drained.
    """
    notes = {}
    for file in sorted(Path(str(folder)).glob("drained/*.json")):
        try:
            notes[file.stem] = dict(json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{file} is no note that Gatehouse wrote ({error}); look at it and remove it") from None
    return notes


def outdated_hosts(notes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts without which a run has gone on, and which no deployment has found well since."""
    return [host for host, note in notes.items() if note.get("kind") == "unreachable" or note.get("outdated")]
