"""What the sites of an inventory ask of certificates: requests to the role, and domains for the internal CA."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import ReportedError


def _wrong(index: int, parts: str) -> ReportedError:
    return ReportedError(f"sites[{index}] must be a mapping with {parts}", variable="proxy_sites")


def site_certificates(sites: Any) -> list[dict[str, Any]]:
    """Return what the role `certificate` is asked for: [{name, names, source, chain, key, used_by}], by site in order.

    `sites`: proxy_sites, with or without their defaults applied. A site without HTTPS needs none, and one whose
    certificate something else keeps on the host (source `host`) asks for none.
    """
    if not isinstance(sites, (list, tuple)):
        raise ReportedError(f"sites must be a list, got {json.dumps(sites, default=str)}", variable="proxy_sites")
    requests = []
    for index, site in enumerate(sites):
        if not isinstance(site, Mapping) or not site.get("name") or not site.get("server_names"):
            raise ReportedError(
                f"sites[{index}] must be a mapping with a name and server_names", variable="proxy_sites"
            )
        certificate = site.get("certificate") or {}
        if not isinstance(certificate, Mapping) or not isinstance(site["server_names"], (list, tuple)):
            raise ReportedError(
                f"sites[{index}] must be a mapping with a list of server_names and a certificate",
                variable="proxy_sites",
            )
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
