"""A member of an upstream: from an inventory host to the arguments of nginx's `server`, and by which name it is known.

A member's address is its host's `private_address`, else its `ansible_host`: never a fact, so a run limited to
the proxies computes the same members as a full one.

Source: https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError, ReportedError
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_values import nginx_duration

_STATES = ("up", "drain")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_SOCKET = re.compile(r"unix:/[A-Za-z0-9_./@-]+")
# What a host's own variable `member` may say, beside its address.
_OWN_KEYS = ("port", "weight", "max_conns", "max_fails", "fail_timeout", "backup", "state", "tls_name")
KEYS = ("name", "address", *_OWN_KEYS)


def _whole(value: Any, owner: str, path: str, low: int, high: int) -> int:
    """Return `value` when it is an integer from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        shown = json.dumps(value, default=str)
        raise InputError(f"must be an integer from {low} to {high}, got {shown}", owner=owner, path=path)
    return int(value)


def whole_seconds(value: Any) -> str:
    """Return a time as nginx writes it where it counts no milliseconds, as in `fail_timeout`."""
    text = nginx_duration(value)
    if text.endswith("ms"):
        raise InputError(
            f"{json.dumps(value, default=str)} has milliseconds, which nginx does not count here",
            "a time of whole seconds, such as 10s",
        )
    return text


def known_keys(value: Any, keys: tuple[str, ...], owner: str = "", path: str = "member") -> Mapping[str, Any]:
    """Return `value` when it is a mapping that has no other keys than `keys`."""
    if not isinstance(value, Mapping):
        raise InputError(f"must be a mapping, got {json.dumps(value, default=str)}", owner=owner, path=path)
    if not value.keys() <= (known := set(keys)):
        unknown = [str(key) for key in value if key not in known]
        raise InputError(f"has the unknown key {unknown[0]}", f"one of {', '.join(keys)}", owner=owner, path=path)
    return value


@lru_cache(maxsize=65536)
def _spelt(text: str) -> str:
    """Return an IP address in its usual spelling, a DNS name as it is, and '' for what is neither."""
    try:
        # One with a zone (fe80::1%eth0) is an address on one host alone, and nginx does not take it.
        return "" if "%" in text else str(ipaddress.ip_address(text))
    except ValueError:
        # A name that ends in a number is a mistyped IPv4 address (RFC 1123 2.1), and nginx would ask DNS for it.
        named = _HOST_NAME.fullmatch(text) and ".." not in text and not text.rpartition(".")[2].isdigit()
        return text if named else ""


def host_name(address: Any) -> str:
    """Return a member's address where it is a DNS name; '' for an IP address, a socket, and anything else."""
    if not isinstance(address, str) or ":" in address or address.rpartition(".")[2].isdigit():
        return ""
    return _spelt(str(address))


def is_address(value: Any) -> bool:
    """Say whether a member's address is an IP address or a socket: neither says what its certificate is for."""
    if not isinstance(value, str) or host_name(value):
        return False
    return bool(_SOCKET.fullmatch(value) or _spelt(str(value)))


def host_address(value: Any, owner: str, path: str) -> str:
    """Return an IP address in its usual spelling, or a DNS name."""
    if isinstance(value, str) and (address := _spelt(str(value))):
        return address
    shown = json.dumps(value, default=str)
    raise InputError(f"must be an IP address or a host name, got {shown}", owner=owner, path=path)


def member_address(value: Any) -> str:
    """Return where a member is reached: an IP address, a host name, or a socket `unix:/path`."""
    if isinstance(value, str) and _SOCKET.fullmatch(value):
        return str(value)
    if isinstance(value, str) and (address := _spelt(str(value))):
        return address
    raise InputError(
        f"{json.dumps(value, default=str)} is no address of a member", "an IP address, a host name or unix:/path"
    )


def verified_name(tls: Any, member: Mapping[str, Any]) -> str:
    """Return the name that a member's certificate must be for, '' where nothing says so.

    `tls`: the mapping of its upstream, whose name holds for all members. A member that is given by a host name has that
    one, unless it says otherwise.
    """
    common = tls.get("name") if isinstance(tls, Mapping) else ""
    return str(common or member.get("tls_name") or host_name(member.get("address")))


def _addresses(hosts: Any, hostvars: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield (host, its variables, its address) in the inventory's order."""
    if isinstance(hosts, (str, bytes)) or not isinstance(hosts, (list, tuple)):
        shown = json.dumps(hosts, default=str)
        raise InputError(f"hosts must be a list of inventory hosts, got {shown}", "groups['storefront']")
    for host in hosts:
        if host not in hostvars:
            raise InputError(f"the inventory has no host {host}")
        variables = hostvars[host]
        for name in ("private_address", "ansible_host"):
            if (value := variables.get(name)) is not None:
                yield str(host), variables, host_address(value, str(host), name)
                break
        else:
            remedy = "private_address (or ansible_host) beside it in the inventory"
            raise ReportedError(f"host {host} has no address", remedy)


def upstream_members(hosts: Any, hostvars: Mapping[str, Any], port: Any) -> list[dict[str, Any]]:
    """Return the members [{name, address, port, weight, state...}] of the hosts, in the inventory's order.

    `hosts`: names, such as groups['storefront']; `hostvars`: Ansible's; `port`: integer, the members' port. A
    host's own variable `member` (a mapping, all keys optional: port, weight, max_conns, max_fails, fail_timeout,
    backup, state up|drain, tls_name) overrides.
    """
    _whole(port, "", "port", 1, 65535)
    members = []
    for host, variables, address in _addresses(hosts, hostvars):
        own = known_keys(variables.get("member") or {}, _OWN_KEYS, host)
        member = {"name": host, "address": address, "port": port, "weight": 1, "state": "up", **own}
        server_words(member, host, "member.")
        members.append(member)
    return members


def private_addresses(hosts: Any, hostvars: Mapping[str, Any]) -> list[str]:
    """Return the hosts' IP addresses, each once, in the inventory's order: the sources a firewall lets in."""
    addresses: list[str] = []
    for host, _, address in _addresses(hosts, hostvars):
        if host_name(address):
            raise InputError(
                f"host {host} has the name {address} where a firewall needs an address",
                "its IP address as private_address",
            )
        if address not in addresses:
            addresses.append(address)
    return addresses


def server_words(member: Mapping[str, Any], owner: str, prefix: str = "") -> list[str]:
    """Return the parameters of `server` after the address; an error names the `owner`, and the key after `prefix`."""
    words = []
    for key, usual, low in (("weight", 1, 1), ("max_conns", 0, 0), ("max_fails", 1, 0)):
        if (number := member.get(key, usual)) is not usual and _whole(number, owner, prefix + key, low, 65535) != usual:
            words.append(f"{key}={number}")
    if (time := member.get("fail_timeout", "10s")) != "10s":
        try:
            words.append(f"fail_timeout={whole_seconds(time)}")
        except InputError as error:
            path = f"{prefix}fail_timeout"
            raise InputError(error.problem, error.remedy, owner=owner, path=path) from None
    backup, state = member.get("backup", False), member.get("state", "up")
    if not isinstance(backup, bool):
        shown = json.dumps(backup, default=str)
        raise InputError(f"must be true or false, got {shown}", owner=owner, path=f"{prefix}backup")
    if state not in _STATES:
        shown = json.dumps(state, default=str)
        raise InputError(f"must be one of {', '.join(_STATES)}, got {shown}", owner=owner, path=f"{prefix}state")
    return words + (["backup"] if backup else []) + (["down"] if state == "drain" else [])


def endpoint(member: Mapping[str, Any], owner: str) -> tuple[str, int | None]:
    """Return (address or host name, port) of a member, or (its socket, None)."""
    address = member.get("address")
    if isinstance(address, str) and address.startswith("unix:"):
        if not _SOCKET.fullmatch(address):
            problem = f"must be unix: and a plain absolute path, got {json.dumps(address)}"
            raise InputError(problem, owner=owner, path="address")
        if member.get("port") is not None:
            raise InputError("a unix: socket has no port", "the member without port", owner=owner)
        return str(address), None
    return host_address(address, owner, "address"), _whole(member.get("port"), owner, "port", 1, 65535)


def joined(host: str, port: int | None) -> str:
    """Write an endpoint as nginx reads it: an IPv6 address is in brackets."""
    return host if port is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def upstream_server(member: Any) -> str:
    """Return the arguments of the `server` directive for one member: `10.0.0.5:5000 weight=2`, `[fd00::5]:80 down`.

    `address` is an IP address, a host name, or a socket `unix:/path` (which has no port). State `drain` is
    nginx's `down`: no new requests, while those under way finish in the workers that a reload retires.
    """
    member = known_keys(member, KEYS)
    owner = str(member.get("name", "member"))
    return " ".join([joined(*endpoint(member, owner)), *server_words(member, owner)])
