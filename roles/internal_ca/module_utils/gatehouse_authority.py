"""Certificates, revocation lists and the folder of an authority, as OpenSSL will judge them.

Sources: RFC 5280, 5 (lists), 6.3 (which list counts for which certificate).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

_BLOCK = re.compile(rb"-----BEGIN (CERTIFICATE|X509 CRL)-----.+?-----END \1-----", re.DOTALL)

Signed = x509.Certificate | x509.CertificateRevocationList


def read(path: Path) -> bytes | None:
    """Return the bytes of a file, None when there is no such file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in a PEM text, in their order; ValueError where one is damaged."""
    return [x509.load_pem_x509_certificate(one[0]) for one in _BLOCK.finditer(pem) if one[1] == b"CERTIFICATE"]


def revocation_lists(pem: bytes) -> list[x509.CertificateRevocationList]:
    """Return the revocation lists in a PEM text, in their order; ValueError where one is damaged."""
    return [x509.load_pem_x509_crl(one[0]) for one in _BLOCK.finditer(pem) if one[1] == b"X509 CRL"]


def pem_of(things: list[x509.Certificate]) -> str:
    """Return certificates as one PEM text."""
    return "".join(thing.public_bytes(Encoding.PEM).decode() for thing in things)


def signed_by(thing: Signed, ca: x509.Certificate) -> bool:
    """Return whether `ca` signed a certificate or a list: its name and its signature fit."""
    if thing.issuer != ca.subject or thing.signature_hash_algorithm is None:
        return False
    body = thing.tbs_certificate_bytes if isinstance(thing, x509.Certificate) else thing.tbs_certlist_bytes
    key, digest = ca.public_key(), thing.signature_hash_algorithm
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(thing.signature, body, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(thing.signature, body, padding.PKCS1v15(), digest)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def end_of(certificate: x509.Certificate) -> datetime:
    """When a certificate ends, in UTC. cryptography before 42 has only the naive attribute."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=UTC)


def next_update_of(crl: x509.CertificateRevocationList) -> datetime:
    """When a list ends, in UTC; one that does not say never does."""
    found = crl.next_update_utc if hasattr(crl, "next_update_utc") else crl.next_update
    return found.replace(tzinfo=UTC) if found else datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Authority:
    """One CA: its folder, its certificate, and whether its key is here."""

    folder: Path
    certificate: x509.Certificate
    has_key: bool

    @property
    def is_root(self) -> bool:
        return signed_by(self.certificate, self.certificate)

    @property
    def list_file(self) -> Path:
        return self.folder / "ca.crl.pem"


@dataclass(frozen=True)
class Issued:
    """One certificate on record: the host that has its key, and where its copy is."""

    host: str
    path: Path
    certificate: x509.Certificate


def issued(folder: Path) -> list[Issued]:
    """Return what is on record below `<folder>/issued/<host>/`, sorted; a damaged record is a ValueError."""
    found = []
    for path in sorted(folder.glob("issued/*/*.pem")):
        try:
            found.append(Issued(path.parent.name, path, certificates(path.read_bytes())[0]))
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path} is no certificate: put it back from a backup, or remove it") from error
    return found
