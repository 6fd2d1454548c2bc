"""From the list `applications` to the pools that serve them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils import applications
from ansible_collections.gatehouse.core.plugins.module_utils.drains import drain_members
from ansible_collections.gatehouse.core.plugins.module_utils.members import upstream_members

# What is before an application on its hosts, and how a proxy reaches it there; `mtls` is the role's default.
_TRANSPORTS = {"mtls": "mtls", "https": "https", "http": "http", "none": "http"}


def application_upstreams(entries: Any, groups: Any, hostvars: Any, domain: Any, proxy: Any) -> list[dict[str, Any]]:
    """Return proxy_upstreams [{name, transport, tls, members, ...}]: a pool for each application that has hosts.

    `entries`: the list `applications`; `groups` and `hostvars`: Ansible's; `domain`: that of the hosts' own names,
    below which each application has one in its members' certificates; `proxy`: the one whose pools they are. Transport
    and port follow from what its hosts say of their endpoint (tls_endpoint_mode, tls_endpoint_port). An application
    whose only machine is this proxy is asked through loopback, without TLS, if its endpoint would do no more than that;
    with other hosts too it is not, because nginx asks all members of a pool in one way. The rest is the default, or
    what the entry says in `upstream`.
    """
    pools = []
    for _, name, entry in applications.named(entries):
        hosts = {str(host): hostvars[host] for host in groups.get(name, ())}
        if not hosts:
            continue
        mode = str(next(iter(hosts.values())).get("tls_endpoint_mode", "mtls"))
        local = {proxy} == {said.get("machine") for said in hosts.values()} and not has_own_endpoint(hosts.values())
        transport = "http" if local else _TRANSPORTS.get(mode, "mtls")
        pool: dict[str, Any] = {"name": name, "transport": transport}
        if transport != "http":
            pool["tls"] = {"name": f"{name}.{domain}"}
        port = "app_port" if local or mode == "none" else "tls_endpoint_port"
        pool["members"] = [
            member
            for host, said in hosts.items()
            for found in upstream_members([host], hostvars, said.get(port, 443))
            for member in (_local(found, said) if local else (found,))
        ]
        own = entry.get(applications.UPSTREAM)
        pools.append({**pool, **own} if isinstance(own, Mapping) else pool)
    return pools


def verified_proxies(
    proxies: Any, entries: Any, groups: Any, hostvars: Any, domain: Any, upstreams: Any, drained: Any
) -> list[dict[str, Any]]:
    """Return verify_proxies [{name, address, upstreams}], the last one only where proxies ask in different ways.

    `upstreams`: verify_upstreams of one of them; `drained`: names of members. The others as application_upstreams has
    them.
    """
    every = [str(name) for name in groups.get("proxies", ())]
    hosts = [host for _, name, _ in applications.named(entries) for host in groups.get(name, ())]
    beside = {hostvars[host].get("machine") for host in hosts}
    differ = len(every) > 1 and not beside.isdisjoint(every)
    found = []
    for proxy in proxies:
        own = application_upstreams(entries, groups, hostvars, domain, proxy) if differ else []
        pools = {pool["name"]: pool for pool in drain_members(own, drained)}
        seen = [pools.get(one["name"], one) for one in upstreams] if differ else []
        found.append({"name": str(proxy), "address": hostvars[proxy]["public_address"], "upstreams": seen})
    return found


def has_own_endpoint(hosts: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether what is before an application on its hosts does more than TLS for the proxies."""
    return any(
        said.get("tls_endpoint_mode", "mtls") != "mtls" or bool(said.get("tls_endpoint_locations")) for said in hosts
    )


def _local(member: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a member as nginx on its own machine asks it, on loopback or by a socket, and the standby in its place."""
    address = str(said.get("tls_endpoint_app_address", "127.0.0.1"))
    if address.startswith("unix:"):
        yield {key: value for key, value in member.items() if key != "port"} | {"address": address}
    elif said.get("serves_from_standby"):
        yield {**member, "address": address, "state": "drain"}
        yield {**member, "address": address, "name": f"{member['name']}-standby", "port": said["app_standby_port"]}
    else:
        yield {**member, "address": address}
