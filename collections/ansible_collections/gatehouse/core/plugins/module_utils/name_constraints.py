"""Which names a CA may sign for (RFC 5280, 4.2.1.10)."""

from __future__ import annotations

import ipaddress
from typing import Any

from cryptography import x509


def constraints_of(certificate: x509.Certificate) -> tuple[list[str], list[str], list[str]]:
    """Return what the name constraints of a CA say (RFC 5280, 4.2.1.10), each list sorted.

    They are the permitted domains, the permitted networks, and what is excluded as in `excluded_for`.
    """
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return [], [], []
    permitted = constraints.permitted_subtrees or []
    domains = sorted(tree.value for tree in permitted if isinstance(tree, x509.DNSName))
    networks = sorted(str(tree.value) for tree in permitted if isinstance(tree, x509.IPAddress))
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP"}
    excluded = [f"{kinds.get(type(tree), 'other')}:{tree.value}" for tree in constraints.excluded_subtrees or []]
    return domains, networks, sorted(excluded)


def excluded_for(permitted_dns: list[str], permitted_ip: list[str]) -> list[str]:
    """Return what a CA must exclude besides, as `DNS:<domain>` and `IP:<network>`, sorted.

    A permitted subtree limits only names of its own kind, so the kind that is not permitted is excluded whole.
    An empty domain is an ancestor of every name.
    """
    if permitted_dns and not permitted_ip:
        return ["IP:0.0.0.0/0", "IP:::/0"]
    return ["DNS:"] if permitted_ip and not permitted_dns else []


def is_permitted(domain: str, permitted: list[str]) -> bool:
    """Whether one of the permitted domains is this one or above it."""
    return any(f".{domain.lower()}".endswith(f".{one.lower().removeprefix('.')}") for one in permitted)


def network_problems(networks: list[str]) -> list[str]:
    """One message for each entry that is not a network in canonical form."""
    problems = []
    for position, text in enumerate(networks):
        where = f"internal_ca_permitted_ip[{position}]"
        try:
            canonical = str(ipaddress.ip_network(text, strict=False))
        except ValueError:
            problems.append(f"{where}: {text!r} is not a network; write it like 10.0.0.0/24")
            continue
        if canonical != text:
            problems.append(f"{where}: {text!r} must be written {canonical!r}")
    return problems


def outside(requests: list[dict[str, Any]], ca: x509.Certificate) -> list[str]:
    """One message for each name that the CA's name constraints forbid it to sign (RFC 5280, 4.2.1.10)."""
    try:
        constraints = ca.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    trees = constraints.permitted_subtrees or []
    domains = [tree.value for tree in trees if isinstance(tree, x509.DNSName)]
    networks = [ipaddress.ip_network(str(tree.value)) for tree in trees if isinstance(tree, x509.IPAddress)]
    # A kind is excluded whole or not at all, see excluded_for.
    limited = {type(tree) for tree in [*trees, *(constraints.excluded_subtrees or [])]}
    permitted = ", ".join([*domains, *map(str, networks)])
    problems = []
    for position, request in enumerate(requests):
        names, addresses = request["names"], map(ipaddress.ip_address, request["addresses"])
        bad = [n for n in names if x509.DNSName in limited and not any(f".{n}".endswith(f".{d}") for d in domains)]
        bad += [str(a) for a in addresses if x509.IPAddress in limited and not any(a in n for n in networks)]
        problems += [
            f"certificate_requests[{position}]: the internal CA may not sign for {name!r}, only for "
            f"{permitted}; use another name, or begin a CA that permits it"
            # Over ACME a site only starts with it, and nobody is to trust that.
            for name in (bad if request["source"] == "internal_ca" else [])
        ]
    return problems
