"""What is wrong with a certificate chain and its key before they are shipped: pure, on the PEM texts.

Sources: RFC 5280 (chain order, validity), RFC 6125 6.4.3 (a wildcard stands for exactly one label), RFC 9525
6.3 (only subjectAltName counts, never the common name).
"""

from __future__ import annotations

import datetime
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from .problem import Problem, wrong

_URL = re.compile(r"https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?")
# ub-common-name of RFC 5280, appendix A.1.
_COMMON_NAME = 64
_EMAIL = re.compile(r"([A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+)?")


def _covers(pattern: str, name: str) -> bool:
    """Say whether a certificate's DNS name covers a site's; a site's own wildcard needs the same wildcard."""
    pattern, name = pattern.lower(), name.lower()
    if pattern == name:
        return True
    return pattern.startswith("*.") and name.partition(".")[2] == pattern[2:]


def _dns_names(leaf: x509.Certificate) -> list[str]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _validity(leaf: x509.Certificate, title: str, now: datetime.datetime, days: int) -> list[Problem]:
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now > end:
        return [wrong(["chain"], f"{title} expired on {end:%Y-%m-%d}", "put the renewed certificate there")]
    if now < start:
        return [
            wrong(
                ["chain"],
                f"{title} is not valid before {start:%Y-%m-%d}",
                "put one there that is valid now, or set the controller's clock",
            )
        ]
    left = (end - now).days
    if left < days:
        return [wrong(["chain"], f"{title} expires in {left} days, on {end:%Y-%m-%d}", "renew it", "warning")]
    return []


def _order(chain: Sequence[x509.Certificate]) -> list[Problem]:
    """Return the first place where a certificate is not signed by the next one."""
    for number, (child, issuer) in enumerate(itertools.pairwise(chain), 1):
        try:
            child.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return [
                wrong(
                    ["chain"],
                    f"is out of order: certificate {number} is not issued by certificate {number + 1}",
                    "write the server's certificate first, then each issuer below what it signed",
                )
            ]
    return []


def _key_problems(leaf: x509.Certificate, key: str) -> list[Problem]:
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except TypeError:
        return [
            wrong(
                ["key"],
                "is encrypted, and nginx cannot ask for its passphrase",
                "store it without a passphrase and encrypt the file with ansible-vault",
            )
        ]
    except Exception:  # each backend raises its own kind, and none may show the key
        return [
            wrong(
                ["key"],
                "is no private key in PEM",
                "name the file whose first line says BEGIN PRIVATE KEY",
            )
        ]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        return [wrong(["key"], "does not belong to the certificate", "name the key that the certificate was made with")]
    return []


def certificate_files(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the certificates that one host takes from files: [{path, chain, key, names}], each once.

    `values`: the host's variables, of which proxy_sites and certificate_requests are looked at; the latter
    are usually made from the former, so `path` then leads to the site, where people write it.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for variable, names in (("proxy_sites", "server_names"), ("certificate_requests", "names")):
        entries = values.get(variable)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            nested = ["certificate"] if variable == "proxy_sites" else []
            own = entry.get("certificate") if nested and isinstance(entry, Mapping) else entry
            if not isinstance(own, Mapping) or own.get("source") != "files":
                continue
            chain, key = str(own.get("chain") or ""), str(own.get("key") or "")
            wanted = [str(name) for name in entry.get(names) or ()]
            about = {"path": [variable, index, *nested], "chain": chain, "key": key, "names": wanted}
            found.setdefault((chain, key, *(name.lower() for name in wanted)), about)
    return list(found.values())


def unpermitted_names(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the names that the internal CA may not sign for: problems {path, problem, remedy, level}, each name once.

    `values`: the host's variables, of which proxy_sites, certificate_requests and internal_ca_permitted_dns are
    looked at; while the last is empty, any name is right. A domain permits itself and all below it (RFC 5280,
    4.2.1.10), and a wildcard counts by its domain.
    """
    permitted = values.get("internal_ca_permitted_dns")
    domains = [str(one).lower().removeprefix(".") for one in permitted] if isinstance(permitted, list) else []
    problems, said = [], set[str]()
    for variable, key in (("proxy_sites", "server_names"), ("certificate_requests", "names")):
        entries = values.get(variable) if domains else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            about = entry.get("certificate") or {} if key == "server_names" and isinstance(entry, Mapping) else entry
            names = entry.get(key) if isinstance(about, Mapping) else None
            # A site that does not say where its certificate comes from takes it from the internal CA. Over ACME one
            # starts with it too, but nobody is to trust that.
            if not isinstance(names, list) or about.get("source", "internal_ca") != "internal_ca":
                continue
            for place, name in enumerate(names):
                base = str(name).lower().removeprefix("*.")
                if base in said or any(base == domain or base.endswith(f".{domain}") for domain in domains):
                    continue
                said.add(base)
                problem = f"{name} is outside {', '.join(domains)}, all that the internal CA may sign for"
                remedy = f"add its domain to {'domains' if variable == 'proxy_sites' else 'internal_ca_permitted_dns'}"
                problems.append(wrong([variable, index, key, place], problem, remedy))
    return problems


def long_client_names(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the names by which a client would have to be known, and that no common name holds.

    Problems are {path, problem, remedy, level}. `values`: the host's variables, of which certificate_requests is looked
    at. A server is known by its other names (RFC 9525), so its first one may be longer.
    """
    requests, problems = values.get("certificate_requests"), []
    for index, request in enumerate(requests if isinstance(requests, list) else ()):
        if not isinstance(request, Mapping) or request.get("usage") != "client" or request.get("source") == "files":
            continue
        names = request.get("names")
        if isinstance(names, list) and names and len(name := str(names[0])) > _COMMON_NAME:
            problem = f"{name} has {len(name)} characters, and a common name, by which a client is known, holds"
            problem += f" {_COMMON_NAME}"
            remedy = "shorten internal_domain, or the host's name in the inventory"
            path = ["certificate_requests", index, "names", 0]
            problems.append(wrong(path, problem, remedy))
    return problems


def acme_problems(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is wrong with the ACME authority of a host that has sites with its certificates.

    Problems are {path, problem, remedy, level}. `values`: the host's variables, of which proxy_sites,
    certificate_acme_directory and certificate_acme_email are looked at; the last two go into certbot's own file.
    """
    sites = values.get("proxy_sites")
    own = [site.get("certificate") for site in (sites if isinstance(sites, list) else ()) if isinstance(site, Mapping)]
    if not any(isinstance(one, Mapping) and one.get("source") == "acme" for one in own):
        return []
    problems = []
    for variable, pattern, what, example in (
        (
            "certificate_acme_directory",
            _URL,
            "the directory of an ACME authority",
            "https://acme.example.com/directory",
        ),
        ("certificate_acme_email", _EMAIL, "an address for mail", "admin@example.com"),
    ):
        value = values.get(variable, example)
        if isinstance(value, str) and not pattern.fullmatch(value):
            text = f"is {json.dumps(value)}, which is not {what}"
            problems.append(wrong([variable], text, f"write one such as {example}"))
    return problems


def unreadable_file(part: str, name: str) -> list[Problem]:
    """Return the problem of a chain or key, given as the path `name`, that is not there or cannot be read."""
    if not name:
        return [wrong([part], "is required with source: files", "write the path of a file on the controller")]
    return [wrong([part], f"names {name}, which is no file that can be read", "put it there, or correct the path")]


def certificate_problems(
    chain: str,
    names: Sequence[str],
    key: str = "",
    now: str = "",
    days: int = 30,
) -> list[Problem]:
    """Return what is wrong: [{part: chain|key, problem, remedy, level: error|warning}].

    `chain`, `key`: PEM texts, server's certificate first; an empty `key` is not looked at. `names`: the
    server names it must cover. `now`: ISO 8601 with offset, '' for this moment. `days`: warn when it expires
    in fewer days.
    """
    try:
        certificates = x509.load_pem_x509_certificates(chain.encode())
    except ValueError:
        return [
            wrong(
                ["chain"],
                "has no certificate in PEM",
                "name the file that begins with -----BEGIN CERTIFICATE-----",
            )
        ]
    leaf = certificates[0]
    moment = datetime.datetime.fromisoformat(now) if now else datetime.datetime.now(datetime.UTC)
    covered = _dns_names(leaf)
    problems = _validity(leaf, "the certificate", moment, days)
    for number, issuer in enumerate(certificates[1:], 2):
        problems += [one for one in _validity(issuer, f"certificate {number}", moment, days) if one["level"] == "error"]
    if missing := [name for name in names if not any(_covers(pattern, name) for pattern in covered)]:
        problems.append(
            wrong(
                ["chain"],
                f"does not cover {', '.join(missing)}; it is for {', '.join(covered) or 'no name'}",
                "use a certificate for all the server names, or change server_names",
            )
        )
    return problems + _order(certificates) + (_key_problems(leaf, key) if key else [])
