"""From the list `applications` to the pools that serve them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.plugins.loader import filter_loader
from ansible_collections.gatehouse.core.plugins.module_utils import applications

# What stands before an application on its hosts, and how a proxy reaches it there; `mtls` is the role's default.
_TRANSPORTS = {"mtls": "mtls", "https": "https", "http": "http", "none": "http"}


def application_upstreams(entries: Any, groups: Any, hostvars: Any, domain: Any) -> list[dict[str, Any]]:
    """Return proxy_upstreams [{name, transport, tls, members, ...}]: a pool for each application that has hosts.

    `entries`: the list `applications`; `groups` and `hostvars`: Ansible's; `domain`: that of the hosts' own names,
    below which each application has one in its members' certificates. Transport and port follow from what its hosts
    say of their endpoint (tls_endpoint_mode, tls_endpoint_port), the rest is the default, or what the entry says in
    `upstream`.
    """
    pools = []
    for _, name, entry in applications.named(entries):
        hosts = list(groups.get(name, ()))
        if not hosts:
            continue
        first = hostvars[hosts[0]]
        mode = str(first.get("tls_endpoint_mode", "mtls"))
        transport = _TRANSPORTS.get(mode, "mtls")
        port = first.get("app_port") if mode == "none" else first.get("tls_endpoint_port", 443)
        pool: dict[str, Any] = {"name": name, "transport": transport}
        if transport != "http":
            pool["tls"] = {"name": f"{name}.{domain}"}
        pool["members"] = filter_loader.get("upstream_members").j2_function(hosts, hostvars, port)
        own = entry.get(applications.UPSTREAM)
        pools.append({**pool, **own} if isinstance(own, Mapping) else pool)
    return pools


class FilterModule:
    """Offer the function above to templates."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"application_upstreams": application_upstreams}
