"""Pools of members, as nginx's `upstream` blocks have them, and what else is asked of proxy_upstreams as a whole.

Source: https://nginx.org/en/docs/http/ngx_http_upstream_module.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError
from ansible_collections.gatehouse.core.plugins.module_utils.members import (
    KEYS,
    endpoint,
    host_address,
    host_name,
    joined,
    known_keys,
    server_words,
    verified_name,
)
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_values import server_name
from ansible_collections.gatehouse.core.plugins.module_utils.specs import spec_defaults


def host_names(upstreams: Any) -> list[str]:
    """Return the DNS names among the members' addresses, each once, sorted: what has to be resolved.

    What has the wrong shape is left to those who report it.
    """
    names = set[str]()
    for upstream in upstreams if isinstance(upstreams, (list, tuple)) else ():
        members = upstream.get("members") if isinstance(upstream, Mapping) else None
        for member in members if isinstance(members, (list, tuple)) else ():
            names.add(host_name(member.get("address")) if isinstance(member, Mapping) else "")
    return sorted(names - {""})


def _server_lines(members: Any, addresses: Mapping[str, Any]) -> list[str]:
    """Return the lines with the members' `server` directives; a name is behind the addresses that it has."""
    lines = []
    for index, entry in enumerate(members):
        member = known_keys(entry, KEYS, path=f"members[{index}]")
        owner = str(member.get("name", f"members[{index}]"))
        host, port = endpoint(member, owner)
        words = "".join(f" {word}" for word in server_words(member, owner))
        if port is None or not host_name(host):
            lines.append(f"server {joined(host, port)}{words};")
            continue
        found = [host_address(address, owner, "address") for address in addresses.get(host) or ()]
        lines += [f"server {joined(address, port)}{words}; # {host}" for address in found]
        if not found:
            lines.append(f"# {host} has no address")
    return lines


def _tls_names(upstream: Mapping[str, Any], addresses: Mapping[str, Any]) -> list[list[str]]:
    """Return [[pattern of $upstream_addr, name in the member's certificate]] where the members' names differ, else [].

    A member that is given by a host name has that one, unless it says otherwise.
    """
    if upstream["transport"] == "http" or upstream["tls"]["name"]:
        return []
    names = []
    for member in upstream["members"]:
        host, port = endpoint(member, str(member["name"]))
        name = verified_name(upstream["tls"], member)
        if not name or name.startswith("*"):
            raise InputError(
                f"upstream {upstream['name']}: nothing says which name the certificate of {member['name']} must be for",
                "tls.name, or the member's tls_name",
            )
        for address in (addresses.get(host) or ()) if host_name(host) else [host]:
            names.append([f"~(^|[ ]){re.escape(joined(address, port))}$", server_name(name)])
    return names


def upstream_blocks(upstreams: Any, option: Any, addresses: Any) -> list[dict[str, Any]]:
    """Return [{name, zone_size, method, servers, tls_names, ...}], one per upstream, with all other fields of the spec.

    `upstreams`: proxy_upstreams; `option`: its entry in the spec, whose defaults are applied here, because ten thousand
    members are slow to hand from one filter to the next; `addresses`: {name: [IP addresses]} of the members that are
    host names. `servers` are whole lines, `method` the directive or '', `tls_names` the members' own names in their
    certificates, by patterns of $upstream_addr. nginx is given addresses only: it does not
    start when a name does not resolve. A member whose name has none is left out, and a pool without any is refused.
    """
    blocks = []
    for upstream in spec_defaults(upstreams, option, "proxy_upstreams"):
        lines = _server_lines(upstream["members"], addresses)
        servers = sum(line.startswith("server ") for line in lines)
        if not servers:
            raise InputError(
                f"upstream {upstream['name']}: none of its members has an address"
                f" ({', '.join(host_names([upstream])) or 'it has no members'})",
                "a member that has one",
            )
        block = {key: value for key, value in upstream.items() if key != "members"}
        method = "" if upstream["method"] == "round_robin" else upstream_method(upstream)
        block |= {"method": method, "servers": "\n".join(lines), "zone_size": upstream_zone_size(servers)}
        blocks.append({**block, "tls_names": _tls_names(upstream, addresses)})
    return blocks


def upstream_pools(upstreams: Any) -> list[dict[str, Any]]:
    """Return proxy_upstreams without members: what a location has to know of them, however many they are."""
    return [{**{key: entry[key] for key in entry if key != "members"}, "members": []} for entry in upstreams]


def upstream_zone_size(servers: int) -> str:
    """Return the shared memory that a pool of so many servers needs, as nginx writes sizes.

    Measured with `nginx -t` on nginx 1.22 and 1.26, 1 to 10,000 servers: 32 KB suffice for 20; beyond, a server takes
    0.77 KB with an IPv4 address, 0.82 KB with IPv6 and 0.88 KB with the longest path of a socket.
    """
    return f"{64 + servers}k"


def upstream_method(upstream: Any) -> str:
    """Return the directive of a pool's balancing method: `least_conn`, `hash $request_uri consistent`.

    Source: https://nginx.org/en/docs/http/ngx_http_upstream_module.html#hash
    """
    method = str(upstream["method"])
    if method == "hash":
        return f"hash {upstream['hash_key']}" + (" consistent" if upstream["hash_consistent"] else "")
    return {"random_two": "random two least_conn"}.get(method, method)
