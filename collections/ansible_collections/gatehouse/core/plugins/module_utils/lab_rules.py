"""What a lab can be: each rule returns a sentence for everything that breaks it, with the remedy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

RELEASES = ("bookworm", "trixie")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# podman_network knows no labels, so a network says in its name whose it is.
LAB_NETWORK = re.compile(r"gatehouse-(?P<lab>.+)-(?:private|edge)")
# One proxy, one application host, the client and the controller.
SMALLEST_PREFIX = 29

Network = ipaddress.IPv4Network
# name, ansible_host, private_address, public_address, release; an address that is not written is ''.
Host = dict[str, str]


def read_setting(variable: str, text: str) -> Network | ipaddress.IPv4Address:
    """Return what an inventory variable says: a range for `*_network`, else an address; ValueError with the remedy."""
    try:
        return Network(text) if variable.endswith("_network") else ipaddress.IPv4Address(text)
    except ValueError as error:
        example = "10.20.0.0/24" if variable.endswith("_network") else "10.20.0.1"
        raise ValueError(
            f"{variable} is {text!r} ({error}): write an IPv4 {'range' if '/' in example else 'address'} "
            f"such as {example} in the inventory's hosts.yml"
        ) from None


def name_problems(lab: str, hosts: Sequence[Host], own: Mapping[str, str]) -> list[str]:
    """Return one sentence for each name or release that no container can have.

    `own`: hosts that no inventory has, by name, each with the variable that names it.
    """
    problems = [
        f"{what} {name!r} cannot name a container: use letters, digits, '.', '_' and '-', 64 at most"
        for what, name in [("lab_name", lab), *(("host", host["name"]) for host in hosts)]
        if not NAME.fullmatch(name)
    ]
    problems += [
        f"host {host['name']}: there is no image of lab_release {host['release']!r}: write {' or '.join(RELEASES)}"
        for host in hosts
        if host["release"] not in RELEASES
    ]
    names = {host["name"] for host in hosts}
    problems += [
        f"host {name} has the name of a host of the lab's own: rename it, or set {variable} to another name or to ''"
        for name, variable in own.items()
        if name in names
    ]
    return problems


def controller_in_lab(
    ranges: Mapping[str, Network], controller: Mapping[str, ipaddress.IPv4Address], hosts: Sequence[Host]
) -> dict[str, ipaddress.IPv4Address]:
    """Return the addresses that this machine has in a lab.

    The controller of real hosts is often in none of their networks: in a lab it has the first free address of each.
    """
    taken = {address for host in hosts for _, _, address in stands_on(host)}
    found = {}
    for variable, address in controller.items():
        network = ranges["edge_network" if "edge" in variable else "private_network"]
        free = (one for one in network.hosts() if str(one) not in taken)
        found[variable] = address if address in network else next(free, address)
    return found


def network_problems(ranges: dict[str, Network], controller: dict[str, ipaddress.IPv4Address]) -> list[str]:
    """Return one sentence for each of the lab's own ranges, or the controller's places in them, that cannot be."""
    problems = [
        f"{variable} {network} is too small for a lab: write a /29 or a larger range"
        for variable, network in ranges.items()
        if network.prefixlen > SMALLEST_PREFIX
    ]
    if len(ranges) > 1 and ranges["private_network"].overlaps(ranges["edge_network"]):
        problems.append(
            f"private_network {ranges['private_network']} and edge_network {ranges['edge_network']} overlap: "
            "write two ranges that have nothing in common"
        )
    for variable, address in controller.items():
        network = "edge_network" if "edge" in variable else "private_network"
        if not _usable(address, ranges[network]):
            problems.append(
                f"{variable} {address} is no address for a host in {network} {ranges[network]}: write one of it"
            )
    return problems


def stands_on(host: Host) -> list[tuple[str, str, str]]:
    """Return (inventory variable, network, address) for each network that a host is on."""
    places = []
    if host["private_address"]:
        places.append(("private_address", "private", host["private_address"]))
    elif host["ansible_host"] != host["public_address"]:
        places.append(("ansible_host", "private", host["ansible_host"]))
    if host["public_address"]:
        places.append(("public_address", "edge", host["public_address"]))
    return places


def address_problems(
    hosts: Sequence[Host], ranges: dict[str, Network], controller: dict[str, ipaddress.IPv4Address]
) -> list[str]:
    """Return one sentence for each host that has no address, or one that the lab's networks cannot give."""
    problems = []
    taken = {str(address): f"the controller ({variable})" for variable, address in controller.items()}
    for host in hosts:
        if not stands_on(host):
            problems.append(
                f"host {host['name']} has no address: write ansible_host in the inventory's hosts.yml, "
                f"an address in private_network {ranges['private_network']}"
            )
            continue
        for variable, where, text in stands_on(host):
            network = ranges[f"{where}_network"]
            what = f"host {host['name']}: {variable} {text}"
            try:
                address = ipaddress.IPv4Address(text)
            except ValueError:
                problems.append(f"{what} is not an IPv4 address: a lab has no names, so write one in {network}")
                continue
            if not _usable(address, network):
                problems.append(
                    f"{what} is no address for a host in {where}_network {network}: "
                    "write one that is, or widen the range"
                )
            if text in taken:
                problems.append(f"{what} is taken by {taken[text]}: write another one")
            taken.setdefault(text, f"host {host['name']}")
        addresses = [text for _, _, text in stands_on(host)]
        if host["ansible_host"] not in addresses:
            problems.append(
                f"host {host['name']}: ansible_host {host['ansible_host'] or '(not written)'} cannot be reached in a "
                f"lab, where the host has {' and '.join(addresses)} only: write ansible_host: {addresses[0]}"
            )
    return problems


def _usable(address: ipaddress.IPv4Address, network: Network) -> bool:
    return address in network and address not in (network.network_address, network.broadcast_address)


def range_problems(
    ranges: dict[str, Network], networks: Sequence[dict[str, Any]], routes: Sequence[dict[str, Any]], lab: str
) -> list[str]:
    """Return one sentence for each range that something else on this machine uses already.

    `networks` is what `podman network ls` lists, `routes` what `ip route` does, both as JSON.
    """
    used = []
    for network in networks:
        lab_network = LAB_NETWORK.fullmatch(network["name"])
        if lab_network and lab_network["lab"] == lab:
            continue
        what, remedy = f"podman network {network['name']!r}", ""
        if lab_network:
            what, remedy = (
                f"the lab {lab_network['lab']!r}",
                "take that lab down (make lab-down ENV=its inventory), or ",
            )
        used += [(Network(subnet["subnet"]), what, remedy) for subnet in _ipv4_subnets(network)]
    bridges = {network.get("network_interface") for network in networks}
    for route in routes:
        destination = Network(route["dst"].replace("default", "0.0.0.0/0"), strict=False)
        # A default route, or the two halves of one that a VPN sets, is everybody's.
        if destination.prefixlen > 1 and route.get("dev") not in bridges:
            used.append((destination, f"this machine's interface {route.get('dev')}", ""))
    return [
        f"{variable} {network} is in use already by {what}, which has {other}: "
        f"{remedy}write another range in the inventory's hosts.yml and move the addresses into it"
        for other, what, remedy in used
        for variable, network in ranges.items()
        if network.overlaps(other)
    ]


def _ipv4_subnets(network: dict[str, Any]) -> list[dict[str, str]]:
    return [subnet for subnet in network.get("subnets") or [] if ":" not in subnet["subnet"]]
