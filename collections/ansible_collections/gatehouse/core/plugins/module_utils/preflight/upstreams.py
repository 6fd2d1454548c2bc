"""What can be wrong with a proxy's pools of members, beyond the form of each value.

Pure: paths lead into proxy_upstreams, whose entries have their defaults (spec_values). What has the wrong shape is left
to spec_problems, which says so. Sources: nginx refuses what is an error here, see
https://nginx.org/en/docs/http/ngx_http_upstream_module.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..members import host_name, is_address, verified_name
from .problem import Problem, numbered, wrong

# Methods that know no order of preference among members: nginx refuses `backup` beside them.
_WITHOUT_BACKUP = ("ip_hash", "hash", "random_two")
_ZERO = re.compile(r"0+(ms|[yMwdhms])?")


def upstream_problems(upstreams: Any, hosts: Sequence[str] = ()) -> list[Problem]:
    """Return what is wrong with the pools, paths beginning with proxy_upstreams.

    `upstreams`: proxy_upstreams with its defaults; `hosts`: the inventory's, whose addresses are checked elsewhere.
    """
    problems, owners = [], dict[str, str]()
    for index, upstream in numbered(upstreams):
        name = str(upstream.get("name"))
        title = f"upstream {name}"
        found = [*_members(upstream, title, hosts), *_retries(upstream), *_times(upstream), *_verified(upstream, title)]
        owner = owners.setdefault(name.lower(), name)
        if owner != name:
            text = f"{name} is {owner} in another case, which nginx ignores"
            found.append(wrong(["name"], text, "give each its own name"))
        problems += [{**one, "path": ["proxy_upstreams", index, *one["path"]]} for one in found]
    return problems


def _members(upstream: Mapping[str, Any], title: str, hosts: Sequence[str]) -> list[Problem]:
    """Return pools without a member, or without one that takes requests, and what is wrong with single members."""
    members, method = upstream.get("members"), upstream.get("method")
    if members is None or (isinstance(members, (list, tuple)) and not members):
        remedy = "write groups['<app>'] | upstream_members(hostvars, <port>) of a group with hosts"
        return [wrong(["members"], f"of {title} is empty: it has no member", remedy)]
    problems, owners, entries = [], dict[tuple[str, str], Any](), list(numbered(members))
    if entries and all(member.get("state") == "drain" for _, member in entries):
        text = f"of {title} are all in state drain: it answers nothing but 502"
        problems.append(wrong(["members"], text, "leave one member up", "warning"))
    if entries and all(member.get("backup") is True for _, member in entries):
        problems.append(
            wrong(["members"], f"of {title} are all backup", "leave one member without backup: nginx refuses it")
        )
    for place, member in entries:
        here = ["members", place]
        if member.get("backup") is True and method in _WITHOUT_BACKUP:
            text = f"has no meaning with method: {method}, which knows no order among members"
            problems.append(wrong([*here, "backup"], text, "take it away, or write method: least_conn"))
        problems += [{**one, "path": [*here, *one["path"]]} for one in [*_place_of(member), *_times(member)]]
        key = (str(member.get("address")), str(member.get("port")))
        owner = owners.setdefault(key, member.get("name"))
        # Two hosts with one address are a problem of their own, reported where the addresses are written.
        if owner != member.get("name") and not {owner, member.get("name")} <= {*hosts}:
            text = f"{key[0]} port {key[1]} of {title} is both {owner} and {member.get('name')}"
            problems.append(wrong([*here, "address"], text, "give each member its own address or port"))
    return problems


def _place_of(member: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong between a member's address and its port: a socket has none, all else has one."""
    address, port = member.get("address"), member.get("port")
    if not isinstance(address, str):
        return []
    if address.startswith("unix:"):
        text = f"{port} has no meaning for the socket {address}"
        return [] if port is None else [wrong(["port"], text, "write the member without port")]
    return [] if port is not None else [wrong(["port"], "is required", "write the port on which the member serves")]


def _retries(upstream: Mapping[str, Any]) -> list[Problem]:
    """Return conditions for another member that contradict each other."""
    conditions = upstream.get("next_upstream")
    if not isinstance(conditions, (list, tuple)):
        return []
    if not conditions:
        return [wrong(["next_upstream"], "is empty", "write [off], so that no other member is asked")]
    if "off" not in conditions:
        return []
    if len(conditions) > 1:
        return [wrong(["next_upstream"], "has off beside other conditions", "write [off] alone, or take off away")]
    if upstream.get("retry_non_idempotent") is True:
        text = "has no meaning with next_upstream: [off]: no other member is asked"
        return [wrong(["retry_non_idempotent"], text, "take it away, or write next_upstream: [error, timeout]")]
    return []


def _times(value: Mapping[str, Any]) -> list[Problem]:
    """Return times to wait that leave none."""
    names = ("connect_timeout", "send_timeout", "read_timeout", "fail_timeout")
    return [
        wrong([name], f"{value[name]} leaves no time at all", "write a time such as 10s")
        for name in names
        if isinstance(value.get(name), str) and _ZERO.fullmatch(value[name])
    ]


def _verified(upstream: Mapping[str, Any], title: str) -> list[Problem]:
    """Return what leaves members unverified over TLS by name, and settings of TLS without it."""
    tls, transport = upstream.get("tls"), upstream.get("transport")
    own = tls if isinstance(tls, Mapping) else {}
    if transport == "http":
        given = [key for key in ("name", "ca", "crl") if own.get(key)]
        text = f"has no meaning with transport: http, which is in plaintext ({title})"
        return [wrong(["tls", key], text, "take it away, or write transport: mtls") for key in given]
    if str(own.get("name") or "").startswith("*"):
        return [wrong(["tls", "name"], f"{own['name']} is no name that can be asked for", "write one full name")]
    problems = []
    for place, member in numbered([] if own.get("name") else upstream.get("members")):
        name = verified_name(own, member)
        if name.startswith("*") or (not name and is_address(member.get("address"))):
            text = f"is missing: nothing says which name the certificate of {member.get('name')} must be for"
            remedy = "write tls.name of the upstream, or this for each member, or transport: http"
            problems.append(wrong(["members", place, "tls_name"], text, remedy))
    return problems


def transport_problems(estate: Mapping[str, Any], hosts: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Return upstreams over TLS that the proxy has nothing to verify by, or that their members do not speak.

    `estate`: the proxy's inputs with their defaults; `hosts`: {name: its tls_endpoint_mode, tls_endpoint_port}, of the
    hosts that have an endpoint.
    """
    problems = []
    for index, upstream in numbered(estate.get("proxy_upstreams")):
        transport, tls = upstream.get("transport"), upstream.get("tls")
        own = tls if isinstance(tls, Mapping) else {}
        if transport in ("https", "mtls") and not own.get("ca") and estate.get("proxy_upstream_ca") == "":
            text = f"{transport} of upstream {upstream.get('name')} has nothing to verify its members by"
            remedy = "write proxy_upstream_ca (the internal CA's trust.pem), or tls.ca, or transport: http"
            problems.append(wrong(["proxy_upstreams", index, "transport"], text, remedy))
        for _, member in numbered(upstream.get("members")):
            said = hosts.get(str(member.get("name")))
            if said and member.get("port") == said["tls_endpoint_port"] and transport != said["tls_endpoint_mode"]:
                text = f"{transport} of upstream {upstream.get('name')} is not what {member['name']} speaks on port"
                text += f" {member['port']}"
                remedy = f"write transport: {said['tls_endpoint_mode']}, or change tls_endpoint_mode of that host"
                problems.append(wrong(["proxy_upstreams", index, "transport"], text, remedy))
                break
    return problems


def replaced_pools(upstreams: Any, applications: Sequence[str], asked: Collection[str]) -> list[Problem]:
    """Return a problem where a list of pools hides those of applications that sites name, in `absent`.

    `upstreams`: proxy_upstreams as an inventory says it; `applications`: their names; `asked`: the upstreams that sites
    name.
    """
    names = {upstream.get("name") for _, upstream in numbered(upstreams)}
    lost = [name for name in applications if name in asked and name not in names]
    if not lost:
        return []
    text = f"takes the place of the pools that follow from the applications, and sites name {', '.join(lost)}"
    return [{**wrong(["proxy_upstreams"], text, "call it extra_upstreams: they are added to those"), "absent": lost}]


def closed_ports(upstreams: Any, opened: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Return the members whose host lets nobody in on their port.

    `upstreams`: proxy_upstreams with its defaults; `opened`: {host of the inventory: {addresses: its own, ports: of
    its firewall_services}}.
    """
    hosts = {address: name for name, host in opened.items() for address in host["addresses"]}
    problems = []
    for index, upstream in numbered(upstreams):
        for place, member in numbered(upstream.get("members")):
            host, port = hosts.get(str(member.get("address"))), member.get("port")
            if host is None or port in opened[host]["ports"]:
                continue
            ports = sorted(opened[host]["ports"])
            text = f"{port} of member {member.get('name')} is closed on host {host}, whose firewall opens"
            text += f" {', '.join(str(one) for one in ports) or 'none'}"
            remedy = f"open it in extra_services of {host}"
            if ports:
                remedy = f"write {ports[0] if len(ports) == 1 else 'one of these'}, or {remedy}"
            problems.append(wrong(["proxy_upstreams", index, "members", place, "port"], text, remedy))
    return problems


def endpoint_problems(values: Mapping[str, Any]) -> list[Problem]:
    """Return what an endpoint lacks that lets in nobody without a certificate.

    `values`: of the host's tls_endpoint_mode, tls_endpoint_ca and tls_endpoint_clients those that have a value.
    """
    if values.get("tls_endpoint_mode") != "mtls":
        return []
    open_to_all = "tls_endpoint_mode: https, which lets in everybody whom the firewall lets in"
    problems = []
    if values.get("tls_endpoint_ca") == "":
        text = "is empty with tls_endpoint_mode: mtls: nothing says whose certificates are good"
        remedy = f"write the PEM file of those who issue them (the internal CA's trust.pem), or {open_to_all}"
        problems.append(wrong(["tls_endpoint_ca"], text, remedy))
    if values.get("tls_endpoint_clients") == []:
        text = "is empty with tls_endpoint_mode: mtls: every client's certificate of these authorities would come in"
        remedy = f"write the common names in the proxies' certificates, or {open_to_all}"
        problems.append(wrong(["tls_endpoint_clients"], text, remedy))
    return problems


def upstream_ca_files(upstreams: Any) -> list[dict[str, Any]]:
    """Return the files on the controller that upstreams name: [{path, file}]."""
    found = []
    for index, upstream in numbered(upstreams):
        tls = upstream.get("tls")
        for kind in ("ca", "crl"):
            value = tls.get(kind) if isinstance(tls, Mapping) else ""
            if isinstance(value, str) and value:
                found.append({"path": ["proxy_upstreams", index, "tls", kind], "file": str(value)})
    return found


def named_members(upstreams: Any) -> list[dict[str, Any]]:
    """Return the members that are given by a host name: [{path, name}]; the proxy has to resolve them."""
    found = []
    for index, upstream in numbered(upstreams):
        for place, member in numbered(upstream.get("members")):
            if name := host_name(member.get("address")):
                found.append({"path": ["proxy_upstreams", index, "members", place, "address"], "name": name})
    return found
