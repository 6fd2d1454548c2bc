"""The IP addresses of host names, as the controller resolves them.

nginx resolves the names in a `server` directive when it starts and does not start when one fails, which after a
power cut is the whole proxy for one name. So names are resolved here, while the configuration is rendered, and
nginx is given addresses.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: host_addresses
short_description: The IP addresses of host names
version_added: "0.1.0"
description:
  - Resolves each name on the controller, by its own resolver (DNS, C(/etc/hosts)).
  - A name without an address has an empty list, and nothing fails.
options:
  _terms:
    description: Host names.
    type: list
    elements: str
    required: true
"""
EXAMPLES = """
- name: Resolve two names
  ansible.builtin.debug:
    msg: "{{ lookup('host_addresses', ['localhost', 'db.example.com']) }}"
"""
RETURN = """
_value:
  description: "One mapping {name: [addresses]}, IPv4 before IPv6, in order, so that two runs say the same."
  type: dict
"""


def addresses(name: str) -> list[str]:
    """Return the IP addresses of a name, IPv4 before IPv6, each once; [] when it has none."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return []
    # An address with a zone, fe80::1%eth0, means another interface on the proxy.
    parsed = [ip_address(address) for address in found if "%" not in str(address)]
    return [str(address) for address in sorted(parsed, key=lambda one: (one.version, int(one)))]


class LookupModule(LookupBase):  # type: ignore[misc]
    """Resolves all names at once: an answer that does not come takes the resolver's whole patience."""

    def run(self, terms: Sequence[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, list[str]]]:
        """Return [{name: [addresses]}] of the names in the first term."""
        names = sorted({str(name) for term in terms for name in ([term] if isinstance(term, str) else term)})
        if not names:
            return [{}]
        with ThreadPoolExecutor(max_workers=min(32, len(names))) as pool:
            return [dict(zip(names, pool.map(addresses, names), strict=True))]
