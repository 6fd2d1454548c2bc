"""Ports, addresses and ranges: each filter returns its value in the one usual spelling, or raises with the remedy.

Roles name them in their specs (`Format: network_port.`), so that preflight refuses a wrong value before any
host is touched. Source for the spelling of IPv6: RFC 5952.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError


def _zoned(value: Any) -> bool:
    """Return whether an address names an interface (RFC 4007 11: fe80::1%eth0), and means nothing elsewhere."""
    return isinstance(value, str) and "%" in value


def network_port(value: Any) -> int:
    """Return a TCP or UDP port, an integer from 1 to 65535."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise InputError(f"{json.dumps(value, default=str)} is no port", "an integer from 1 to 65535")
    return int(value)


def port_range(value: Any) -> str:
    """Return a range of ports, as `8000-8010`."""
    first, _, last = value.partition("-") if isinstance(value, str) else ("", "", "")
    digits = first.isascii() and last.isascii() and first.isdigit() and last.isdigit() and first[0] != "0" != last[0]
    if not digits or not 1 <= int(first) < int(last) <= 65535:
        raise InputError(f"{json.dumps(value, default=str)} is no range of ports", "one such as 8000-8010")
    return str(value)


def network_address(value: Any) -> str:
    """Return one IPv4 or IPv6 address, without a prefix length or brackets."""
    if _zoned(value):
        raise InputError(f"{json.dumps(value)} names an interface", "an address without %")
    try:
        return str(ipaddress.ip_address(str(value) if isinstance(value, str) else ""))
    except ValueError:
        raise InputError(
            f"{json.dumps(value, default=str)} is no IP address", "one such as 10.0.0.5 or fd00::5"
        ) from None


def network_range(value: Any) -> str:
    """Return one address, or a network whose host bits are zero (`10.0.0.0/24`): what a firewall takes as a source."""
    text = str(value) if isinstance(value, str) else ""
    if _zoned(value):
        raise InputError(f"{json.dumps(value)} names an interface", "an address without %")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InputError(
            f"{json.dumps(value, default=str)} is no address and no network",
            "one such as 10.0.0.5, 10.0.0.0/24 or fd00::/64",
        ) from None
    if "/" not in text:
        return str(network.network_address)
    if ipaddress.ip_interface(text).ip != network.network_address:
        raise InputError(f"{json.dumps(text)} has bits set outside its network", f"{network}")
    return str(network)
