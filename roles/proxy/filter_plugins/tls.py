"""What TLS needs from the controller: the secret behind session tickets, the authorities of visitors' certificates."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

# The chain's first day, 2026-01-01, as datetime.date.toordinal counts.
FIRST_DAY = 739617
_SHORTEST = 16


def session_ticket_state(seed: Any, day: Any) -> str:
    """Return `<day> <64 hexadecimal digits>`, the secret of one day, or '' for an empty seed.

    `seed`: text of 16 characters or more; `day`: number of a day in UTC (datetime.date.toordinal). A secret gives those
    of later days, as the proxies step it, and none of earlier ones: HMAC-SHA256 of a fixed word under the one before.
    """
    if not isinstance(seed, str) or 0 < len(seed) < _SHORTEST:
        raise AnsibleFilterError(f"the seed must be text of {_SHORTEST} characters or more, or empty")
    if isinstance(day, bool) or not isinstance(day, int) or day < FIRST_DAY:
        raise AnsibleFilterError(f"the day must be a number not below {FIRST_DAY}; is the controller's clock right?")
    if not seed:
        return ""
    secret = hmac.digest(seed.encode(), b"gatehouse session tickets", "sha256")
    for _ in range(int(day) - FIRST_DAY):
        secret = hmac.digest(secret, b"next", "sha256")
    return f"{int(day)} {secret.hex()}"


def client_certificate_files(sites: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return {path in the tree: path on the controller} of the authorities, and revocation lists, of sites' visitors.

    `sites`: as in `proxy_sites`, with defaults applied. A site that asks for certificates must be served over HTTPS and
    name the authorities that issue them.
    """
    files: dict[str, str] = {}
    for site in sites:
        wanted, where = site["client_certificates"], f"site {site['name']}: client_certificates"
        if wanted["mode"] == "none":
            continue
        if not site["https"]:
            raise AnsibleFilterError(f"{where}.mode is {wanted['mode']} without TLS; write https: true, or mode: none")
        if not wanted["ca"]:
            raise AnsibleFilterError(f"{where}.ca is empty; write the PEM file of those who issue the certificates")
        files |= {f"clients/{site['name']}/{kind}.pem": str(wanted[kind]) for kind in ("ca", "crl") if wanted[kind]}
    return files


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (session_ticket_state, client_certificate_files)}
