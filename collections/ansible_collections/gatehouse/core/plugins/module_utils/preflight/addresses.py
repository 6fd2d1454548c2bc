"""What can be wrong with the addresses of hosts, which firewall, members and lab are computed from."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from .problem import Problem, wrong


def address_problems(hosts: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Return what is wrong with hosts' addresses; `path` is [host] or [host, variable].

    `hosts`: {name: {private_address, ansible_host, public_address, private_network, edge_network}}, each
    optional.
    """
    problems, owners = [], dict[tuple[str, str], str]()
    for host, variables in hosts.items():
        name = next((key for key in ("private_address", "ansible_host") if variables.get(key) is not None), "")
        if not name:
            problems.append(
                wrong([host], f"host {host} has no address", "write private_address (or ansible_host) beside it")
            )
        for kind, key in (("private", name), ("edge", "public_address")):
            if not key or (value := variables.get(key)) is None:
                continue
            try:
                address = ipaddress.ip_address(str(value) if isinstance(value, str) else "")
            except ValueError:
                if key != "ansible_host":
                    problems.append(
                        wrong(
                            [host, key],
                            f"of host {host} must be an IP address, got {json.dumps(value, default=str)}",
                            "write one such as 10.0.0.5",
                        )
                    )
                continue
            owner = owners.setdefault((kind, str(address)), host)
            if owner != host:
                problems.append(
                    wrong(
                        [host, key],
                        f"{address} of host {host} is the address of {owner} too",
                        "give each host its own address",
                    )
                )
            # A host may have one address, that which the public reaches.
            if kind == "edge" or value != variables.get("public_address"):
                problems += _outside(host, key, address, variables.get(f"{kind}_network"))
    return problems


def _outside(host: str, key: str, address: Any, network: Any) -> list[Problem]:
    """Warn of an address outside its network, which the firewall and the lab are computed from."""
    try:
        inside = address in ipaddress.ip_network(network)
    except (TypeError, ValueError):
        return []
    return (
        []
        if inside
        else [
            wrong(
                [host, key],
                f"{address} of host {host} is outside {network}",
                f"write an address in {network}",
                "warning",
            )
        ]
    )
