"""From inventory hosts to upstream members, and from members to the arguments of nginx's `server` directive.

A member's address is its host's `private_address`, else its `ansible_host`: never a fact, so a run limited to
the proxies computes the same members as a full one.

Source: https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader

_STATES = ("up", "drain")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_SOCKET = re.compile(r"unix:/[A-Za-z0-9_./@-]+")
# What a host's own variable `member` may say, beside its address.
_OWN_KEYS = ("port", "weight", "max_conns", "max_fails", "fail_timeout", "backup", "state", "tls_name")
_MEMBER_KEYS = ("name", "address", *_OWN_KEYS)


def _whole(value: Any, where: str, low: int, high: int) -> int:
    """Return `value` when it is an integer from `low` to `high`; an error begins with `where`, its path."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise AnsibleFilterError(
            f"{where} must be an integer from {low} to {high}, got {json.dumps(value, default=str)}"
        )
    return int(value)


def _state(member: Mapping[str, Any], where: str) -> str:
    value = member.get("state", "up")
    if value not in _STATES:
        raise AnsibleFilterError(
            f"{where}state must be one of {', '.join(_STATES)}, got {json.dumps(value, default=str)}"
        )
    return str(value)


def whole_seconds(value: Any) -> str:
    """Return a time as nginx writes it where it counts no milliseconds, as in `fail_timeout`."""
    text = str(filter_loader.get("nginx_duration").j2_function(value))
    if text.endswith("ms"):
        raise AnsibleFilterError(
            f"{json.dumps(value, default=str)} has milliseconds, which nginx does not count here;"
            " write a time of whole seconds, such as 10s"
        )
    return text


def _seconds(value: Any, where: str) -> str:
    try:
        return whole_seconds(value)
    except AnsibleFilterError as error:
        raise AnsibleFilterError(f"{where}: {error.message}") from None


def _known_keys(value: Any, where: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """Return `value` when it is a mapping that has no other keys than `keys`."""
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"{where} must be a mapping, got {json.dumps(value, default=str)}")
    if not value.keys() <= (known := set(keys)):
        unknown = [str(key) for key in value if key not in known]
        raise AnsibleFilterError(f"{where} has the unknown key {unknown[0]}; write one of {', '.join(keys)}")
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


def _host_address(value: Any, where: str) -> str:
    """Return an IP address in its usual spelling, or a DNS name."""
    if isinstance(value, str) and (address := _spelt(str(value))):
        return address
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
    """Return the members [{name, address, port, weight, state...}] of the hosts, in the inventory's order.

    `hosts`: names, such as groups['storefront']; `hostvars`: Ansible's; `port`: integer, the members' port. A
    host's own variable `member` (a mapping, all keys optional: port, weight, max_conns, max_fails, fail_timeout,
    backup, state up|drain, tls_name) overrides.
    """
    _whole(port, "port", 1, 65535)
    members = []
    for host, variables, address in _addresses(hosts, hostvars):
        own = _known_keys(variables.get("member") or {}, f"{host}: member", _OWN_KEYS)
        member = {"name": host, "address": address, "port": port, "weight": 1, "state": "up", **own}
        _server_words(member, f"{host}: member.")
        members.append(member)
    return members


def _server_words(member: Mapping[str, Any], where: str) -> list[str]:
    """Return the parameters of `server` after the address; an error begins with `where` and the key's name."""
    words = []
    for key, usual, low in (("weight", 1, 1), ("max_conns", 0, 0), ("max_fails", 1, 0)):
        if (number := member.get(key, usual)) is not usual and _whole(number, where + key, low, 65535) != usual:
            words.append(f"{key}={number}")
    if (time := member.get("fail_timeout", "10s")) != "10s":
        words.append(f"fail_timeout={_seconds(time, where + 'fail_timeout')}")
    backup = member.get("backup", False)
    if not isinstance(backup, bool):
        raise AnsibleFilterError(f"{where}backup must be true or false, got {json.dumps(backup, default=str)}")
    return words + (["backup"] if backup else []) + (["down"] if _state(member, where) == "drain" else [])


def _endpoint(member: Mapping[str, Any], where: str) -> tuple[str, int | None]:
    """Return (address or host name, port) of a member, or (its socket, None)."""
    address = member.get("address")
    if isinstance(address, str) and address.startswith("unix:"):
        if not _SOCKET.fullmatch(address):
            raise AnsibleFilterError(
                f"{where}: address must be unix: and a plain absolute path, got {json.dumps(address)}"
            )
        if member.get("port") is not None:
            raise AnsibleFilterError(f"{where}: a unix: socket has no port; write the member without port")
        return str(address), None
    host = _host_address(address, f"{where}: address")
    return host, _whole(member.get("port"), f"{where}: port", 1, 65535)


def _joined(host: str, port: int | None) -> str:
    """Write an endpoint as nginx reads it: an IPv6 address is in brackets."""
    return host if port is None else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_name(host: str) -> bool:
    """Distinguish a DNS name from an address (which `_endpoint` has checked) and from a socket."""
    return ":" not in host and not host.rpartition(".")[2].isdigit()


def upstream_server(member: Any) -> str:
    """Return the arguments of the `server` directive for one member: `10.0.0.5:5000 weight=2`, `[fd00::5]:80 down`.

    `address` is an IP address, a host name, or a socket `unix:/path` (which has no port). State `drain` is
    nginx's `down`: no new requests, while those under way finish in the workers that a reload retires.
    """
    member = _known_keys(member, "member", _MEMBER_KEYS)
    where = str(member.get("name", "member"))
    return " ".join([_joined(*_endpoint(member, where)), *_server_words(member, f"{where}: ")])


def host_names(upstreams: Any) -> list[str]:
    """Return the DNS names among the members' addresses, each once, sorted: what has to be resolved.

    What has the wrong shape is left to those who report it.
    """
    names = set()
    for upstream in upstreams if isinstance(upstreams, (list, tuple)) else ():
        members = upstream.get("members") if isinstance(upstream, Mapping) else None
        for member in members if isinstance(members, (list, tuple)) else ():
            address = member.get("address") if isinstance(member, Mapping) else None
            if isinstance(address, str) and _is_name(address) and _spelt(str(address)):
                names.add(str(address))
    return sorted(names)


def _server_lines(members: Any, addresses: Mapping[str, Any]) -> list[str]:
    """Return the lines with the members' `server` directives; a name is behind the addresses that it has."""
    lines = []
    for index, entry in enumerate(members):
        member = _known_keys(entry, f"members[{index}]", _MEMBER_KEYS)
        where = str(member.get("name", f"members[{index}]"))
        host, port = _endpoint(member, where)
        words = "".join(f" {word}" for word in _server_words(member, f"{where}: "))
        if port is None or not _is_name(host):
            lines.append(f"server {_joined(host, port)}{words};")
            continue
        found = [_host_address(address, f"{where}: address") for address in addresses.get(host) or ()]
        lines += [f"server {_joined(address, port)}{words}; # {host}" for address in found]
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
        host, port = _endpoint(member, str(member["name"]))
        named = port is not None and _is_name(host)
        name = member.get("tls_name") or (host if named else "")
        if not name or str(name).startswith("*"):
            raise AnsibleFilterError(
                f"upstream {upstream['name']}: nothing says which name the certificate of {member['name']} must be for;"
                " write tls.name, or the member's tls_name"
            )
        for address in (addresses.get(host) or ()) if named else [host]:
            at = _joined(address, port) if port is not None else address
            names.append([f"~(^|[ ]){re.escape(at)}$", filter_loader.get("server_name").j2_function(name)])
    return names


def upstream_blocks(upstreams: Any, option: Any, addresses: Any) -> list[dict[str, Any]]:
    """Return [{name, zone_size, method, servers, keepalive, ..., tls_names}], one per upstream.

    `upstreams`: proxy_upstreams; `option`: its entry in the spec, whose defaults are applied here, because ten thousand
    members are slow to hand from one filter to the next; `addresses`: {name: [IP addresses]} of the members that are
    host names. `servers` are whole lines, `method` the directive or '', `tls_names` the members' own names in their
    certificates, by patterns of $upstream_addr. nginx is given addresses only: it does not
    start when a name does not resolve. A member whose name has none is left out, and a pool without any is refused.
    """
    blocks = []
    for upstream in filter_loader.get("spec_defaults").j2_function(upstreams, option, "proxy_upstreams"):
        lines = _server_lines(upstream["members"], addresses)
        servers = sum(line.startswith("server ") for line in lines)
        if not servers:
            raise AnsibleFilterError(
                f"upstream {upstream['name']}: none of its members has an address"
                f" ({', '.join(host_names([upstream])) or 'it has no members'}); write a member that has one"
            )
        block = {key: upstream[key] for key in ("name", "keepalive", "keepalive_requests", "keepalive_timeout")}
        method = "" if upstream["method"] == "round_robin" else upstream_method(upstream)
        block |= {"method": method, "servers": "\n".join(lines), "zone_size": upstream_zone_size(servers)}
        blocks.append({**block, "tls_names": _tls_names(upstream, addresses)})
    return blocks


def upstream_pools(upstreams: Any) -> list[dict[str, Any]]:
    """Return proxy_upstreams without members: what a location has to know of them, however many they are."""
    return [{**{key: entry[key] for key in entry if key != "members"}, "members": []} for entry in upstreams]


def member_address(value: Any) -> str:
    """Return where a member is reached: an IP address, a host name, or a socket `unix:/path`."""
    if isinstance(value, str) and _SOCKET.fullmatch(value):
        return str(value)
    try:
        return _host_address(value, "address")
    except AnsibleFilterError:
        raise AnsibleFilterError(
            f"{json.dumps(value, default=str)} is no address of a member;"
            " write an IP address, a host name or unix:/path"
        ) from None


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
    """Return what the role `certificate` is asked for: [{name, names, source, chain, key, used_by}], by site in order.

    `sites`: proxy_sites, with or without their defaults applied. A site without HTTPS needs none, and one whose
    certificate something else keeps on the host (source `host`) asks for none.
    """
    if not isinstance(sites, (list, tuple)):
        raise AnsibleFilterError(f"sites must be a list, got {json.dumps(sites, default=str)}")
    requests = []
    for index, site in enumerate(sites):
        if not isinstance(site, Mapping) or not site.get("name") or not site.get("server_names"):
            raise AnsibleFilterError(f"sites[{index}] must be a mapping with a name and server_names")
        certificate = site.get("certificate") or {}
        if not isinstance(certificate, Mapping) or not isinstance(site["server_names"], (list, tuple)):
            raise AnsibleFilterError(f"sites[{index}] must be a mapping with a list of server_names and a certificate")
        if certificate.get("source") == "host" or not site.get("https", True):
            continue
        requests.append(
            {
                "name": str(site["name"]),
                "names": [str(name).lower() for name in site["server_names"]],
                "source": str(certificate.get("source") or "internal_ca"),
                "chain": str(certificate.get("chain") or ""),
                "key": str(certificate.get("key") or ""),
                "used_by": f"site {site['name']}",
            }
        )
    return requests


def signed_domains(sites: Any, internal_domain: str, domains: Sequence[str]) -> list[str]:
    """Return the domains that the internal CA signs for: the internal one, and those of the sites that it serves.

    `sites`: proxy_sites. `domains`: all of the environment. A site whose certificate comes from elsewhere adds none:
    over ACME it starts with one of the internal CA, which nobody is to trust. What lies below another is left out.
    """
    names = []
    # What is no site is reported by preflight, in the words of the role's spec.
    for site in sites if isinstance(sites, (list, tuple)) else ():
        certificate = (site.get("certificate") or {}) if isinstance(site, Mapping) and site.get("https", True) else None
        if isinstance(certificate, Mapping) and certificate.get("source", "internal_ca") == "internal_ca":
            names += [str(name).removeprefix("*.") for name in site.get("server_names") or ()]
    public = [domain for domain in domains if any(_is_below(name, domain) for name in names)]
    wanted = list(dict.fromkeys([internal_domain, *public]))
    return [one for one in wanted if not any(one != other and _is_below(one, other) for other in wanted)]


def _is_below(name: str, domain: str) -> bool:
    """Say whether a domain permits a name (RFC 5280, 4.2.1.10): itself, and all below it."""
    return f".{name.lower()}".endswith(f".{domain.lower()}")


class FilterModule:
    """Offer the functions above to templates under their own names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (
            upstream_members,
            upstream_server,
            upstream_blocks,
            upstream_pools,
            host_names,
            whole_seconds,
            member_address,
            private_addresses,
            site_certificates,
            signed_domains,
        )
        return {function.__name__: function for function in functions}
