"""Who of the members takes requests: which ones are drained, who is left without them, and where each is reached.

`proxy_upstreams` comes as the inventory has it, without the defaults of its spec; members are named as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gatehouse.core.plugins.module_utils.health import visitor_headers

_BATCH = re.compile(r"([1-9][0-9]{0,5})(%?)")


def _names(value: Any, what: str) -> list[str]:
    """Return `value` when it is a list of names."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise AnsibleFilterError(
            f"{what} must be a list of members' names, got {json.dumps(value, default=str)}; write ['storefront1']"
        )
    return [str(name) for name in value]


def _serving(members: Any, without: Collection[str] = ()) -> list[str]:
    """Return the names of the members that get new requests when those in `without` do not."""
    return [
        str(member["name"]) for member in members if member.get("state", "up") == "up" and member["name"] not in without
    ]


def drain_members(upstreams: Any, names: Any) -> Any:
    """Return proxy_upstreams with `state: drain` at the members of these names, in every upstream that has them."""
    drained = set(_names(names, "names"))
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
    drained = _names(names, "names")
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
    hosts = _names(names, "names")
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

    return [machine for machine in _names(machines, "machines") if every or is_out(machine)]


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
    for host in sorted(_names(hosts, "hosts"), key=lambda name: name not in left):
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


def _site_of(upstream: str, sites: Any) -> Mapping[str, Any]:
    """Return the first site that sends requests to the upstream, {} if none does."""
    for site in sites:
        if any(location.get("upstream") == upstream for location in site.get("locations") or ()):
            return dict(site)
    return {}


def _host_of(site: Mapping[str, Any]) -> str:
    """Return the first server name of a site that is no pattern, '' if there is none."""
    names = [str(name) for name in site.get("server_names") or ()]
    return next((name for name in names if "*" not in name and not name.startswith(("~", "."))), "")


def site_host(sites: Any, upstream: str) -> str:
    """Return the name by which visitors ask an upstream: the first one of the first site that uses it, '' if none."""
    return _host_of(_site_of(str(upstream), sites))


def _asked_as(upstream: str, sites: Any) -> dict[str, str]:
    """Return the request headers by which an application knows the site and a visitor."""
    site = _site_of(upstream, sites)
    scheme = "https" if site.get("https", True) else "http"
    return visitor_headers(_host_of(site), scheme) or ({"X-Forwarded-Proto": scheme} if site else {})


def member_endpoints(upstreams: Any, names: Any, sites: Any = ()) -> list[dict[str, Any]]:
    """Return how a proxy asks the members of these names, one entry for each upstream that has the member.

    [{member, upstream, transport, address, port, tls_name, ca, headers}]; `headers` are those that the first of `sites`
    which uses the upstream gives its requests. `tls_name` is '' where the transport checks none; `ca` is the file on
    the proxy with an upstream's own authorities, '' where it has those of all.
    """
    wanted = set(_names(names, "names"))
    return [
        {
            "member": str(member["name"]),
            "upstream": str(upstream["name"]),
            "transport": str(upstream.get("transport", "mtls")),
            "address": str(member["address"]),
            "port": member.get("port"),
            **_verified(upstream, member),
            "headers": _asked_as(str(upstream["name"]), sites),
        }
        for upstream in upstreams
        for member in upstream["members"]
        if member["name"] in wanted
    ]


def _verified(upstream: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, str]:
    """Return {tls_name, ca}: what a member is verified by, as nginx does (the filter upstream_tls)."""
    if upstream.get("transport") == "http":
        return {"tls_name": "", "ca": ""}
    own, address = upstream.get("tls") or {}, str(member["address"])
    named = ":" not in address and not address.rpartition(".")[2].isdigit()
    name = own.get("name") or member.get("tls_name") or (address if named else "")
    ca = f"/etc/nginx/active/upstreams/{upstream['name']}.ca.pem" if own.get("ca") else ""
    return {"tls_name": str(name), "ca": ca}


def batch_size(value: Any, hosts: int = 1) -> int:
    """Return how many of `hosts` are moved over at a time: `2`, or a share as `50%`, rounded down and 1 at least."""
    found = _BATCH.fullmatch(str(value))
    if not found or (found[2] and int(found[1]) > 100):
        raise AnsibleFilterError(
            f'{json.dumps(value, default=str)} is no size of a batch; write a number of hosts as "2", or a share as 50%'
        )
    return max(1, hosts * int(found[1]) // 100) if found[2] else int(found[1])


class FilterModule:
    """Offer the functions above to templates under their own names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (
            drain_members,
            unserved_upstreams,
            member_hosts,
            skippable_machines,
            rotation_batches,
            site_host,
            member_endpoints,
            batch_size,
        )
        return {function.__name__: function for function in functions}
