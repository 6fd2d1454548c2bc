"""From the list `applications` to the pools that serve them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils import applications
from ansible_collections.gatehouse.core.plugins.module_utils.members import upstream_members

# What is before an application on its hosts, and how a proxy reaches it there; `mtls` is the role's default.
_TRANSPORTS = {"mtls": "mtls", "https": "https", "http": "http", "none": "http"}


def application_upstreams(entries: Any, groups: Any, hostvars: Any, domain: Any) -> list[dict[str, Any]]:
    """Return proxy_upstreams [{name, transport, tls, members, ...}]: a pool for each application that has hosts.

    `entries`: the list `applications`; `groups` and `hostvars`: Ansible's; `domain`: that of the hosts' own names,
    below which each application has one in its members' certificates. Transport and port follow from what its hosts
    say of their endpoint (tls_endpoint_mode, tls_endpoint_port); an application whose only machine is the only proxy
    is asked through loopback, without TLS. The rest is the default, or what the entry says in `upstream`.
    """
    pools = []
    for _, name, entry in applications.named(entries):
        hosts = {str(host): hostvars[host] for host in groups.get(name, ())}
        if not hosts:
            continue
        mode = str(next(iter(hosts.values())).get("tls_endpoint_mode", "mtls"))
        local = list(groups.get("proxies", ())) == list({said.get("machine") for said in hosts.values()})
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
