"""Which certificates of an authority are revoked, and whether its list (RFC 5280, 5) says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.authority import Authority, Issued
from ansible_collections.gatehouse.core.plugins.module_utils.files import read
from ansible_collections.gatehouse.core.plugins.module_utils.pem import (
    end_of,
    next_update_of,
    revocation_lists,
    signed_by,
)
from cryptography import x509

# RFC 5280, 4.1.2.2: up to 20 bytes. A CA of the operator's own may count from 1.
_SERIAL = re.compile(r"[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){0,19}")
_TIME = "%Y%m%d%H%M%SZ"


def serial_of(text: str) -> str:
    """Return a serial number as `openssl x509 -serial` prints it, '' for what is none."""
    return text.replace(":", "").upper() if _SERIAL.fullmatch(text) else ""


def not_hosts(revoked: Sequence[str], hosts: Sequence[str], records: Sequence[Issued]) -> list[str]:
    """Return the entries that name no host, so a number is meant: a host may be called `db`, which is one too."""
    known = {*hosts, *(record.host for record in records)}
    return [entry for entry in revoked if entry not in known]


def nobody_meant(revoked: Sequence[str], hosts: Sequence[str], records: Sequence[Issued]) -> list[str]:
    """Return the entries that name neither a host nor a serial number: those would revoke nothing, unnoticed."""
    return [entry for entry in not_hosts(revoked, hosts, records) if not serial_of(entry)]


def wanted_serials(
    authority: Authority, records: Sequence[Issued], hosts: Sequence[str], revoked: Sequence[str], signs: bool
) -> set[int]:
    """Return the serial numbers that the list of an authority must have.

    A certificate is revoked when `revoked` names its host or its number, or when `hosts` (none: not known) has not its
    host. A number without a record is taken for one of the authority that `signs` at present.
    """
    own = {
        record.certificate.serial_number: record
        for record in records
        if signed_by(record.certificate, authority.certificate)
    }
    numbers = {int(serial, 16) for entry in not_hosts(revoked, hosts, records) if (serial := serial_of(entry))}
    found = {
        number
        for number, record in own.items()
        if number in numbers or record.host in revoked or (hosts and record.host not in hosts)
    }
    elsewhere = {record.certificate.serial_number for record in records} - set(own)
    return found | (numbers - elsewhere if signs else set())


def newest_list(authority: Authority, pem: bytes) -> x509.CertificateRevocationList | None:
    """Return the list of an authority in a PEM text, None where it has none that it signed."""
    own = [crl for crl in revocation_lists(pem) if signed_by(crl, authority.certificate)]
    return max(own, key=next_update_of, default=None)


def revoked_at(entry: x509.RevokedCertificate) -> datetime:
    """Return when an entry was revoked, in UTC. cryptography before 42 has only the naive attribute."""
    if hasattr(entry, "revocation_date_utc"):
        return entry.revocation_date_utc
    return entry.revocation_date.replace(tzinfo=UTC)


def to_sign(
    authority: Authority, wanted: set[int], ended: set[int], crl_days: int, now: datetime
) -> dict[str, Any] | None:
    """Return the list that an authority has to sign (`lists` of internal_ca_state), None where the present one is good.

    What was revoked once stays so until it has `ended`, whatever the inventory says later.
    """
    pem = read(authority.list_file)
    try:
        present = newest_list(authority, pem or b"")
    except ValueError:
        present = None
    dates = {one.serial_number: revoked_at(one) for one in present or ()}
    numbers = (wanted | set(dates)) - ended
    if present is None:
        reason = "there is none"
    elif numbers - set(dates):
        reason = f"{len(numbers - set(dates))} more are revoked"
    elif next_update_of(present) - now < timedelta(days=crl_days) / 2:
        reason = f"it ends on {next_update_of(present):%Y-%m-%d}"
    else:
        return None
    return {
        "path": str(authority.list_file),
        "folder": str(authority.folder),
        "issuer": [{one.oid.dotted_string: str(one.value)} for one in authority.certificate.subject],
        "reason": reason,
        "revoked": [
            {"serial_number": number, "revocation_date": dates.get(number, now).strftime(_TIME)}
            for number in sorted(numbers)
        ],
    }


def external_problem(authority: Authority, wanted: set[int], ended: set[int], now: datetime) -> str:
    """Return what is wrong with the list that came with an authority whose key is elsewhere; '' where nothing is."""
    path = authority.list_file
    remedy = f"have the authority sign one and put it at {path} (PEM)"
    try:
        present = newest_list(authority, read(path) or b"")
    except ValueError:
        return f"{path} is damaged: {remedy}"
    if present is None:
        return f"{path} has no revocation list of {authority.folder}/ca.pem, whose key is not here: {remedy}"
    if next_update_of(present) <= now:
        return f"{path} ended on {next_update_of(present):%Y-%m-%d}, and then everybody is refused: {remedy}"
    listed = {one.serial_number for one in present}
    if lacking := sorted(f"{number:X}" for number in wanted - ended - listed):
        return f"{path} lacks what the inventory revokes, {', '.join(lacking)}: {remedy}"
    return ""


def ended_serials(records: Sequence[Issued], now: datetime) -> set[int]:
    """Return the serial numbers of certificates that no client takes any more, whether revoked or not."""
    return {record.certificate.serial_number for record in records if end_of(record.certificate) <= now}
