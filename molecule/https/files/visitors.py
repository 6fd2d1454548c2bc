"""Makes visitors' certificates in a folder: good, revoked and expired ones of one authority, and one of a stranger's.

Each <name>.pem holds certificate and key; ca.pem and crl.pem are what the proxies are given.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC)
Key = ec.EllipticCurvePrivateKey


def name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


def issue(subject: str, issuer: str, signer: Key | None = None, days: int = 30) -> tuple[x509.Certificate, Key]:
    """Return a certificate and its key; without a signer it is an authority's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=40))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if signer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(signer or key, hashes.SHA256()), key


def main(folder: Path) -> None:
    """Write the files."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca, ca_key = issue("Visitors", "Visitors")
    _, stranger_key = issue("Visitors", "Visitors")
    made = {
        "good": issue("Ada, of accounts", "Visitors", ca_key),
        "revoked": issue("Bob", "Visitors", ca_key),
        "expired": issue("Eve", "Visitors", ca_key, days=-1),
        "stranger": issue("Ada, of accounts", "Visitors", stranger_key),
    }
    for title, (certificate, key) in made.items():
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{title}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    revoked = x509.RevokedCertificateBuilder().serial_number(made["revoked"][0].serial_number).revocation_date(NOW)
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(NOW - timedelta(days=1))
        .next_update(NOW + timedelta(days=30))
        .add_revoked_certificate(revoked.build())
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "crl.pem").write_bytes(listed.public_bytes(serialization.Encoding.PEM))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
