"""The certificates of an estate as people read them, and those that need somebody's attention.

Certificates arrive as `certificate_state` returns them, by host; the authority's own files as PEM texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

Row = dict[str, Any]
_HEADINGS = ("host", "certificate", "used by", "names", "issuer", "days left")
_BLOCK = re.compile(r"-----BEGIN (CERTIFICATE|X509 CRL)-----.+?-----END \1-----", re.DOTALL)
_CONTROLLER = "(controller)"
# What helps against the end of a row, by its certificate, where it is no leaf.
_RENEWED = {
    "CA": "run playbooks/rotate_certificates.yml -e internal_ca_replace=true, or replace it where it came from",
    "revocation list": "run playbooks/update_trust.yml, or replace it where it came from",
}
_LEAF_RENEWED = "run playbooks/rotate_certificates.yml, or replace it where it came from"


def _title(name: x509.Name) -> str:
    """Return what an authority is called: its common name, or else its whole name."""
    found = [str(one.value) for one in name if one.oid == x509.NameOID.COMMON_NAME]
    return found[0] if found else name.rfc4514_string()


def authority_rows(trust: str, lists: str, now: str = "") -> list[Row]:
    """Return a row for each CA and each revocation list in two PEM texts, shaped as those of `certificate_rows`.

    `now`: ISO 8601 with offset, '' for this moment.
    """
    moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    rows = []
    for match in _BLOCK.finditer(trust + lists):
        if match[1] == "CERTIFICATE":
            ca = x509.load_pem_x509_certificate(match[0].encode())
            about = {"certificate": "CA", "used_by": "both ends of TLS to the members", "names": _title(ca.subject)}
            issuer, end = ca.issuer, ca.not_valid_after_utc
        else:
            crl = x509.load_pem_x509_crl(match[0].encode())
            about = {"certificate": "revocation list", "used_by": "the same", "names": f"{len(list(crl))} revoked"}
            issuer, end = crl.issuer, crl.next_update_utc or datetime.max.replace(tzinfo=UTC)
        rows.append({"host": _CONTROLLER, **about, "issuer": _title(issuer), "days_left": (end - moment).days})
    return rows


def certificate_rows(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Row]:
    """Return a row for each certificate.

    A row is {host, certificate, used_by, names, issuer, days_left, key_matches, revoked}.
    `found`: {host: certificates as certificate_state returns them}.
    """
    return [
        {
            "host": host,
            "certificate": one["name"],
            "used_by": one["used_by"] or f"a {one['usage']}",
            "names": ", ".join([*one["names"], *one["addresses"]]),
            **{key: one[key] for key in ("issuer", "days_left", "key_matches", "revoked")},
        }
        for host, certificates in found.items()
        for one in certificates
    ]


def certificate_table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as lines in columns, under a heading."""
    cells = [_HEADINGS] + [
        tuple(str(row[key]) for key in ("host", "certificate", "used_by", "names", "issuer", "days_left"))
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def certificate_report_problems(rows: Sequence[Row], least: int) -> list[str]:
    """Return a sentence for each row with fewer than `least` days left, with another's key, or that is revoked."""
    problems = []
    for row in rows:
        what = f"{row['host']}: {row['certificate']} ({row['names']}, issued by {row['issuer']})"
        if row["days_left"] < least:
            of_ca = row["host"] == _CONTROLLER
            remedy = _RENEWED[row["certificate"]] if of_ca else _LEAF_RENEWED
            problems.append(
                f"{what} has {row['days_left']} days left, and certificate_min_days asks for {least}; {remedy}"
            )
        if not row.get("key_matches", True):
            problems.append(f"{what} is beside another key; run site.yml")
        if row.get("revoked"):
            problems.append(
                f"{what} is revoked and still in use; run site.yml, which issues another one unless internal_ca_revoked"
                " names the host, or take the host out of the inventory"
            )
    return problems


def missing_certificates(missing: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Return a sentence for each request without a certificate that can be read.

    `missing`: {host: what certificate_state returns as `missing`}.
    """
    return [
        f"{host}: {one['name']} ({', '.join(one['names'])}): {one['reason']}; run site.yml"
        for host, entries in missing.items()
        for one in entries
    ]


class FilterModule:
    """Filters of the role certificate."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (
            authority_rows,
            certificate_rows,
            certificate_table,
            certificate_report_problems,
            missing_certificates,
        )
        return {function.__name__: function for function in functions}
