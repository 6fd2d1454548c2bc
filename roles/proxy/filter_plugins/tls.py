"""What TLS needs from the controller: the secret behind session tickets, who signs visitors' and members' certificates.

Sources: https://nginx.org/en/docs/http/ngx_http_ssl_module.html,
https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_verify
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_values import variable_part

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


def session_cache_name(site: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Return the name of the cache of a site's TLS sessions, another one for other authorities or revocation lists.

    `files`: {path in the tree: text}. A resumed session is not held against them again, so none may outlive them.
    """
    texts = [files.get(f"clients/{site['name']}/{kind}.pem", "") for kind in ("ca", "crl")]
    return f"clients_{site['name']}_{hashlib.sha256(''.join(texts).encode()).hexdigest()[:12]}"


def client_name_pattern(name: str) -> str:
    r"""Return the regular expression of a subject with this common name, as `$ssl_client_s_dn` has it (RFC 2253).

    A comma within a value is written `\,` there: after one no name begins. Names are the same in all letters.
    """
    if name.startswith("*"):
        raise AnsibleFilterError(f"client_certificates.names: {name} is no common name; write each name")
    return rf"~*(^|(?<!\\),)CN={re.escape(name.lower())}(,|$)"


def _pool(location: Mapping[str, Any], upstreams: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next(entry for entry in upstreams if entry["name"] == location["upstream"])


def upstream_scheme(location: Mapping[str, Any], upstreams: Sequence[Mapping[str, Any]]) -> str:
    """Return the scheme by which a location's upstream is asked: http, https, grpc or grpcs."""
    secure = "s" if _pool(location, upstreams)["transport"] != "http" else ""
    return f"{location['protocol']}{secure}"


def upstream_tls(
    location: Mapping[str, Any], upstreams: Sequence[Mapping[str, Any]], common: Mapping[str, str]
) -> list[list[str]]:
    """Return [[name, arguments]] of how a location's upstream is verified, names without `proxy_ssl_` or `grpc_ssl_`.

    `common`: the paths {ca, crl, certificate} of the whole proxy, '' for none. nginx verifies nothing by itself, so an
    upstream over TLS that could not be verified is refused here.
    """
    upstream = _pool(location, upstreams)
    if upstream["transport"] == "http":
        return []
    name, own = upstream["name"], upstream["tls"]
    ca = f"active/upstreams/{name}.ca.pem" if own["ca"] else common["ca"]
    if not ca:
        raise AnsibleFilterError(
            f"upstream {name}: transport {upstream['transport']} has nothing to verify its members by; write"
            " proxy_upstream_ca (or tls.ca), or transport: http"
        )
    crl = f"active/upstreams/{name}.crl.pem" if own["crl"] else "" if own["ca"] else common["crl"]
    variable = variable_part(name)
    words = [
        ["protocols", " ".join(own["protocols"])],
        ["verify", "on"],
        ["verify_depth", own["depth"]],
        ["trusted_certificate", ca],
        ["crl", crl],
        ["server_name", "on"],
        ["name", own["name"] or f"$gatehouse_tls_name_{variable}"],
    ]
    if upstream["transport"] == "mtls":
        words += [["certificate", f"{common['certificate']}/fullchain.pem"]]
        words += [["certificate_key", f"{common['certificate']}/privkey.pem"]]
    return [[key, value] for key, value in words if value]


def upstream_files(upstreams: Sequence[Mapping[str, Any]], ca: str, crl: str) -> dict[str, str]:
    """Return {path in the tree: path on the controller} of what members are verified by.

    `ca`, `crl`: what holds for every upstream that brings none of its own.
    """
    secure = [upstream for upstream in upstreams if upstream["transport"] != "http"]
    files = {}
    if any(not upstream["tls"]["ca"] for upstream in secure):
        files = {f"upstreams/{kind}.pem": path for kind, path in (("ca", ca), ("crl", crl)) if path}
    for upstream in secure:
        own = {kind: upstream["tls"][kind] for kind in ("ca", "crl") if upstream["tls"][kind]}
        files |= {f"upstreams/{upstream['name']}.{kind}.pem": str(path) for kind, path in own.items()}
    return files


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (
            session_ticket_state,
            client_certificate_files,
            session_cache_name,
            client_name_pattern,
            upstream_scheme,
            upstream_tls,
            upstream_files,
        )
        return {function.__name__: function for function in functions}
