"""From inventory hosts to upstream members, and from members to the arguments of nginx's `server` directive.

A member's address is its host's `private_address`, else its `ansible_host`: never a fact, so a run limited to
the proxies computes the same members as a full one.

Source: https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

_STATES = ("up", "drain", "backup")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_SOCKET = re.compile(r"unix:/[A-Za-z0-9_./@-]+")
_MEMBER_KEYS = ("name", "address", "port", "weight", "state")


def _whole(value: Any, where: str, low: int, high: int) -> int:
    """Return `value` when it is an integer from `low` to `high`; an error begins with `where`, its path."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise AnsibleFilterError(
            f"{where} must be an integer from {low} to {high}, got {json.dumps(value, default=str)}"
        )
    return int(value)


def _state(value: Any, where: str) -> str:
    if value not in _STATES:
        raise AnsibleFilterError(f"{where} must be one of {', '.join(_STATES)}, got {json.dumps(value, default=str)}")
    return str(value)


def _known_keys(value: Any, where: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Return `value` when it is a mapping that has no other keys than `keys`."""
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"{where} must be a mapping, got {json.dumps(value, default=str)}")
    if unknown := [str(key) for key in value if key not in keys]:
        raise AnsibleFilterError(f"{where} has the unknown key {unknown[0]}; write one of {', '.join(keys)}")
    return value


def _host_address(value: Any, where: str) -> str:
    """Return an IP address in its usual spelling, or a DNS name."""
    text = str(value) if isinstance(value, str) else ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        # A name that ends in a number is a mistyped IPv4 address (RFC 1123 2.1), and nginx would ask DNS for
        # it.
        if _HOST_NAME.fullmatch(text) and not text.rpartition(".")[2].isdigit():
            return text
    raise AnsibleFilterError(f"{where} must be an IP address or a host name, got {json.dumps(value, default=str)}")


def _addresses(hosts: Any, hostvars: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield (host, its variables, its address) in the inventory's order."""
    if isinstance(hosts, (str, bytes)) or not isinstance(hosts, (list, tuple)):
        raise AnsibleFilterError(
            f"hosts must be a list of inventory hosts, got {json.dumps(hosts, default=str)}; write groups['storefront']"
        )
    for host in hosts:
        if host not in hostvars:
            raise AnsibleFilterError(f"the inventory has no host {host}")
        variables = hostvars[host]
        for name in ("private_address", "ansible_host"):
            if (value := variables.get(name)) is not None:
                yield str(host), variables, _host_address(value, f"{host}: {name}")
                break
        else:
            raise AnsibleFilterError(
                f"host {host} has no address; write private_address (or ansible_host) beside it in the inventory"
            )


def upstream_members(hosts: Any, hostvars: Mapping[str, Any], port: Any) -> list[dict[str, Any]]:
    """Return the members [{name, address, port, weight, state}] of the hosts, in the inventory's order.

    `hosts`: names, such as groups['storefront']; `hostvars`: Ansible's; `port`: integer, the members' port. A
    host's own variable `member` (a mapping, all keys optional: weight 1-65535, state up|drain|backup, port)
    overrides.
    """
    _whole(port, "port", 1, 65535)
    members = []
    for host, variables, address in _addresses(hosts, hostvars):
        own = _known_keys(variables.get("member") or {}, f"{host}: member", ("port", "weight", "state"))
        members.append(
            {
                "name": host,
                "address": address,
                "port": _whole(own.get("port", port), f"{host}: member.port", 1, 65535),
                "weight": _whole(own.get("weight", 1), f"{host}: member.weight", 1, 65535),
                "state": _state(own.get("state", "up"), f"{host}: member.state"),
            }
        )
    return members


def upstream_server(member: Any) -> str:
    """Return the arguments of the `server` directive for one member: `10.0.0.5:5000 weight=2`, `[fd00::5]:80 down`.

    `address` is an IP address, a host name, or a socket `unix:/path` (which has no port). State `drain` is
    nginx's `down`: no new requests, while those under way finish in the workers that a reload retires.
    """
    member = _known_keys(member, "member", _MEMBER_KEYS)
    where, address = str(member.get("name", "member")), member.get("address")
    if isinstance(address, str) and address.startswith("unix:"):
        if not _SOCKET.fullmatch(address):
            raise AnsibleFilterError(
                f"{where}: address must be unix: and a plain absolute path, got {json.dumps(address)}"
            )
        if member.get("port") is not None:
            raise AnsibleFilterError(f"{where}: a unix: socket has no port; write the member without port")
        words = [str(address)]
    else:
        host = _host_address(address, f"{where}: address")
        port = _whole(member.get("port"), f"{where}: port", 1, 65535)
        words = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    weight = _whole(member.get("weight", 1), f"{where}: weight", 1, 65535)
    if weight != 1:
        words.append(f"weight={weight}")
    words += {"up": [], "drain": ["down"], "backup": ["backup"]}[_state(member.get("state", "up"), f"{where}: state")]
    return " ".join(words)


def private_addresses(hosts: Any, hostvars: Mapping[str, Any]) -> list[str]:
    """Return the hosts' IP addresses, each once, in the inventory's order: the sources a firewall lets in."""
    addresses: list[str] = []
    for host, _, address in _addresses(hosts, hostvars):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise AnsibleFilterError(
                f"host {host} has the name {address} where a firewall needs an address;"
                " write its IP address as private_address"
            ) from None
        if address not in addresses:
            addresses.append(address)
    return addresses


def site_certificates(sites: Any) -> list[dict[str, Any]]:
    """Return what the role `certificate` is asked for: [{name, names, source, chain, key}], one per site, in order.

    `sites`: proxy_sites, with or without their defaults applied.
    """
    if not isinstance(sites, (list, tuple)):
        raise AnsibleFilterError(f"sites must be a list, got {json.dumps(sites, default=str)}")
    requests = []
    for index, site in enumerate(sites):
        if not isinstance(site, Mapping) or not site.get("name") or not site.get("server_names"):
            raise AnsibleFilterError(f"sites[{index}] must be a mapping with a name and server_names")
        certificate = site.get("certificate") or {}
        requests.append(
            {
                "name": str(site["name"]),
                "names": [str(name).lower() for name in site["server_names"]],
                "source": str(certificate.get("source") or "internal_ca"),
                "chain": str(certificate.get("chain") or ""),
                "key": str(certificate.get("key") or ""),
            }
        )
    return requests


class FilterModule:
    """Offer the functions above to templates under their own names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (upstream_members, upstream_server, private_addresses, site_certificates)
        return {function.__name__: function for function in functions}
