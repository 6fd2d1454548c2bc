"""Filter `firewall_rules`: inventory input becomes the rules that the nftables template writes out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

KEYS = ("name", "port", "ports", "protocol", "sources")
WITH_PORTS = ("tcp", "udp", "sctp")
# By number (IANA, Protocol Numbers): a host without netbase knows no names.
WITHOUT_PORTS = {"igmp": 2, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "vrrp": 112}
RANGE = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
# A name becomes an nftables comment, between quotes: only what needs no quoting is let in.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


def _networks(value: Any, where: str, problems: list[str]) -> list[Network]:
    """Read `value`, a list of addresses and CIDRs, as networks; what is wrong is added to `problems`."""
    if not isinstance(value, (list, tuple)):
        problems.append(f"{where} must be a list of addresses or CIDRs, got {value!r}")
        return []
    found: list[Network] = []
    for index, source in enumerate(value):
        try:
            # A bare integer would be read as an address (1 is 0.0.0.1): only text is.
            network = ipaddress.ip_network(source if isinstance(source, str) else "", strict=False)
        except ValueError:
            problems.append(f"{where}[{index}] must be an address or a CIDR such as 10.10.0.0/24, got {source!r}")
            continue
        # `10.0.0.5/8` admits 16 million hosts where its author perhaps meant one.
        address = source.partition("/")[0]
        if address != source and network.network_address != ipaddress.ip_address(address):
            problems.append(f"{where}[{index}] has host bits set: write {network} or {address}, got {source!r}")
        found.append(network)
    return found


def _port(value: Any, where: str, problems: list[str]) -> int:
    """Read a port number; 0 stands for one that could not be read."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        kind = "string " if isinstance(value, str) else ""
        problems.append(f"{where} must be an integer from 1 to 65535, got {kind}{value!r}")
        return 0
    return int(value)


def _range(value: Any, where: str, problems: list[str]) -> tuple[int, int]:
    """Read a range of ports, `8000-8010`; (0, 0) stands for one that could not be read."""
    found = RANGE.fullmatch(value) if isinstance(value, str) else None
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= first < last <= 65535:
        problems.append(f"{where} must be a range such as 8000-8010, got {value!r}")
        return (0, 0)
    return first, last


def _ports(value: dict[str, Any], where: str, problems: list[str]) -> tuple[int, int]:
    """Read the ports of an entry as (first, last); (0, 0) where its protocol has none, or they could not be read."""
    given = [key for key in ("port", "ports") if value.get(key) is not None]
    protocol = value.get("protocol") or "tcp"
    if protocol in WITHOUT_PORTS:
        problems += [f"{where}.{key} has no meaning with protocol {protocol}: leave it out" for key in given]
        return (0, 0)
    if not given:
        problems.append(f"{where}.port is missing")
    elif len(given) > 1:
        problems.append(f"{where}.ports is there beside port: keep one of them")
    elif given == ["ports"]:
        return _range(value["ports"], f"{where}.ports", problems)
    else:
        port = _port(value["port"], f"{where}.port", problems)
        return port, port
    return (0, 0)


def _service(value: Any, where: str, problems: list[str]) -> dict[str, Any]:
    """Read one entry of firewall_services; `networks` is None where anyone is admitted."""
    if not isinstance(value, dict):
        problems.append(f"{where} must be a mapping with name, port, protocol and sources, got {value!r}")
        return {}
    for key in value:
        if key not in KEYS:
            problems.append(f"{where}.{key} is not known: write one of {', '.join(KEYS)}")
    if "name" not in value:
        problems.append(f"{where}.name is missing")
    name, protocol, sources = value.get("name", "?"), value.get("protocol") or "tcp", value.get("sources")
    if "name" in value and not (isinstance(name, str) and NAME.match(name)):
        problems.append(f"{where}.name must be letters, digits and _.- (at most 63), got {name!r}")
    if protocol not in (*WITH_PORTS, *WITHOUT_PORTS):
        problems.append(f"{where}.protocol must be one of {', '.join((*WITH_PORTS, *WITHOUT_PORTS))}, got {protocol!r}")
    # A list computed from a group that lost its hosts is empty: it must not open the port to the world.
    if isinstance(sources, (list, tuple)) and not sources:
        problems.append(f"{where}.sources is empty: list who is admitted, or leave sources out to admit anyone")
    return {
        "name": str(name),
        "protocol": str(protocol),
        "ports": _ports(value, where, problems),
        "networks": None if sources is None else _networks(sources, f"{where}.sources", problems),
    }


def _lines(service: dict[str, Any]) -> list[dict[str, Any]]:
    """One rule per address family in use, or one for both where anyone is admitted.

    Overlaps are merged because nftables refuses a set with overlapping intervals (nft(8), "Set specification").
    """
    protocol, (first, last) = service["protocol"], service["ports"]
    what = f"{protocol} dport {first}" + (f"-{last}" if last > first else "")
    what = f"meta l4proto {WITHOUT_PORTS[protocol]}" if protocol in WITHOUT_PORTS else what
    rule = {"name": service["name"], "what": what, "match": ""}
    if service["networks"] is None:
        return [rule]
    lines = []
    for version, family in ((4, "ip"), (6, "ip6")):
        networks: list[Any] = [network for network in service["networks"] if network.version == version]
        merged = [
            str(n.network_address) if n.num_addresses == 1 else str(n) for n in ipaddress.collapse_addresses(networks)
        ]
        if merged:
            lines.append({**rule, "match": f"{family} saddr {{ {', '.join(merged)} }} "})
    return lines


def firewall_rules(services: Sequence[Any], admin_sources: Any, ssh_port: Any) -> list[dict[str, Any]]:
    """Return the accept rules of the input chain, SSH first, then the services by port, protocol and name.

    :param services: list of `{name: str, port: int, ports: str, protocol: str, sources: [str]}`; `ports` is a range
        such as 8000-8010 in place of `port`, `protocol` tcp where left out, and without `sources` anyone is admitted.
    :param admin_sources: addresses and CIDRs, IPv4 or IPv6, that may reach SSH; at least one.
    :param ssh_port: TCP port of sshd.
    :return: list of `{name: str, match: str, what: str}`; `match` is '' for anyone, else an nftables source match that
        ends in a space (nft(8), "IPv4 header expression"); `what` is `tcp dport 80` or `meta l4proto 112`.
    :raises AnsibleFilterError: names every problem at once, each with its path into the data.
    """
    problems: list[str] = []
    port = _port(ssh_port, "firewall_ssh_port", problems)
    admins = _networks(admin_sources, "firewall_admin_sources", problems)
    if isinstance(admin_sources, (list, tuple)) and not admin_sources:
        problems.append("firewall_admin_sources is empty: list who may reach SSH, the controller's address among them")
    if not isinstance(services, (list, tuple)):
        problems.append(f"firewall_services must be a list, got {services!r}")
        services = []
    read = [_service(value, f"firewall_services[{index}]", problems) for index, value in enumerate(services)]
    first: dict[str, int] = {}
    for index, service in enumerate(read):
        where, name = f"firewall_services[{index}]", service.get("name", "?")
        if name != "?" and first.setdefault(name, index) != index:
            problems.append(f"{where}.name {name!r} is taken by firewall_services[{first[name]}]: choose another")
        first_port, last_port = service.get("ports", (0, 0))
        if port and first_port <= port <= last_port and service["protocol"] == "tcp":
            key = "port" if first_port == last_port else "ports"
            problems.append(f"{where}.{key} {port} is the SSH port: list who may reach it in firewall_admin_sources")
    if problems:
        raise AnsibleFilterError("The firewall's input is wrong:\n" + "\n".join(f"- {line}" for line in problems))
    read.sort(key=lambda service: (service["ports"], service["protocol"], service["name"]))
    ssh = {"name": "ssh", "protocol": "tcp", "ports": (port, port), "networks": admins}
    return [line for service in [ssh, *read] for line in _lines(service)]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Names of the filters and their functions."""
        return {"firewall_rules": firewall_rules}
