"""What an application may connect to: `app_egress` as rules for nftables, and as networks for systemd."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Where clouds keep a machine's own credentials, and routers and neighbours talk; nobody means them with 0.0.0.0/0.
LINK_LOCAL = [ipaddress.ip_network(text) for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128")]
HTTPS = 443


def _networks(entry: Mapping[str, Any], proxies: Sequence[str]) -> list[Network]:
    """Return the networks of an entry; another application is asked through the proxies, as a visitor asks it."""
    named = proxies if entry.get("application") else entry.get("to") or ()
    return [ipaddress.ip_network(str(text)) for text in named]


def _inside(network: Network) -> bool:
    return any(
        network.version == local.version and network.subnet_of(local)  # type: ignore[arg-type]
        for local in LINK_LOCAL
    )


def _matches(entry: Mapping[str, Any], networks: Sequence[Network]) -> Iterator[str]:
    """Yield one match for each address family in use (nft(8), "Payload expressions")."""
    ports = [HTTPS] if entry.get("application") else sorted(entry.get("ports") or ())
    protocol = str(entry.get("protocol") or "tcp")
    service = f" {protocol} dport {{ {', '.join(map(str, ports))} }}" if ports else ""
    for version, family in ((4, "ip"), (6, "ip6")):
        own: list[Any] = [network for network in networks if network.version == version]
        merged = [
            str(one.network_address) if one.num_addresses == 1 else str(one)
            for one in ipaddress.collapse_addresses(own)
        ]
        if merged:
            yield f"{family} daddr {{ {', '.join(merged)} }}{service}"


def egress_rules(egress: Sequence[Mapping[str, Any]], proxies: Sequence[str] = ()) -> list[dict[str, str]]:
    """Return [{name, match, verdict}] in the order in which nftables has to look at them.

    `egress`: [{name, to: [address or network], ports: [int], protocol: tcp|udp}] or [{name, application}], as the
    role's argument_specs describe it; without ports, all of both protocols. `proxies`: the addresses of the proxies.
    Link-local addresses, the metadata service of clouds among them, are admitted only by an entry that names them.
    """
    rules: list[dict[str, str]] = []
    near: list[dict[str, str]] = []
    for entry in egress:
        networks = _networks(entry, proxies)
        for found, local in ((near, True), (rules, False)):
            some = [network for network in networks if _inside(network) == local]
            found += [
                {"name": str(entry["name"]), "match": match, "verdict": "accept"} for match in _matches(entry, some)
            ]
    refused = [
        {"name": "link-local", "match": match, "verdict": "reject with icmpx admin-prohibited"}
        for match in _matches({}, LINK_LOCAL)
    ]
    return [*near, *refused, *rules]


def egress_networks(egress: Sequence[Mapping[str, Any]], proxies: Sequence[str] = ()) -> list[str]:
    """Return the same networks for `IPAddressAllow=` (systemd.resource-control(5)), which knows no ports."""
    found = {network for entry in egress for network in _networks(entry, proxies)}
    return [str(network) for network in sorted(found, key=lambda one: (one.version, one))]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"egress_rules": egress_rules, "egress_networks": egress_networks}
