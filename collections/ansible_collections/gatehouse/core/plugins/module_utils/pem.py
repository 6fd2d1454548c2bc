"""Certificates and revocation lists in PEM files, as OpenSSL will judge them; with the cryptography of Debian 12 too.

Sources: RFC 5280, 5 (lists), 6.3 (which list counts for which certificate).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

_BLOCK = re.compile(rb"-----BEGIN (CERTIFICATE|X509 CRL)-----.+?-----END \1-----", re.DOTALL)

Signed = x509.Certificate | x509.CertificateRevocationList


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
