"""What a certificate of a host says: its names, its use, and who may have issued it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.pem import end_of, revocation_lists, signed_by
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def alternative_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """Return the (DNS names, IP addresses) of a certificate, sorted (RFC 5280, 4.2.1.6)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    return sorted(names.get_values_for_type(x509.DNSName)), sorted(map(str, names.get_values_for_type(x509.IPAddress)))


def is_revoked(certificate: x509.Certificate, text: str) -> bool:
    """Whether a list in a PEM text, of the authority that issued the certificate, names it."""
    return any(
        crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
        for crl in revocation_lists(text.encode())
        if crl.issuer == certificate.issuer
    )


def usage_of(certificate: x509.Certificate) -> str:
    """Return what a certificate is good for: server, client, both, any or none (RFC 5280, 4.2.1.12)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return "any"
    server, client = ExtendedKeyUsageOID.SERVER_AUTH in found, ExtendedKeyUsageOID.CLIENT_AUTH in found
    return {(True, True): "both", (True, False): "server", (False, True): "client"}.get((server, client), "none")


def key_matches(certificate: x509.Certificate, key_pem: bytes) -> bool:
    """Whether the private key belongs to the certificate; one that cannot be read does not."""
    try:
        key = load_pem_private_key(key_pem, None)
    except (ValueError, TypeError):
        return False
    encoding = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return bool(key.public_key().public_bytes(*encoding) == certificate.public_key().public_bytes(*encoding))


def describe(name: str, certificate: x509.Certificate, key_pem: bytes, now: datetime) -> dict[str, Any]:
    """One entry of `certificates` (see RETURN)."""
    names, addresses = alternative_names(certificate)
    issuer = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "name": name,
        "names": names,
        "addresses": addresses,
        "issuer": str(issuer[0].value) if issuer else certificate.issuer.rfc4514_string(),
        "end": f"{end_of(certificate):%Y-%m-%d}",
        "days_left": (end_of(certificate) - now).days,
        "usage": usage_of(certificate),
        "key_matches": key_matches(certificate, key_pem),
        "serial": f"{certificate.serial_number:X}",
    }


def is_internal(certificate: x509.Certificate, organization: str) -> bool:
    """Whether an internal CA signed the leaf; no public one puts our organization into a subject."""
    subject = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return organization in [attribute.value for attribute in subject]


def is_foreign(certificate: x509.Certificate, cas: list[x509.Certificate], organization: str, now: datetime) -> bool:
    """Whether an internal CA that is none of `cas` signed a leaf that clients still trust."""
    return (
        is_internal(certificate, organization)
        and now < end_of(certificate)
        and not any(signed_by(certificate, ca) for ca in cas)
    )
