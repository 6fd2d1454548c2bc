"""What a host asks to be signed is held against the inventory: the conditions of the task, on real requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROLE = Path(__file__).resolve().parents[2] / "roles" / "certificate"
TASKS = yaml.safe_load((ROLE / "tasks" / "issue.yml").read_text())
REFUSAL = next(task for task in TASKS if task["name"] == "issue | Refuse a request for anything else")
ORGANIZATION, NAME = (NameOID.ORGANIZATION_NAME, "Gatehouse"), (NameOID.COMMON_NAME, "web1.lab.test")


def asked(*subject: tuple[x509.ObjectIdentifier, str]) -> str:
    """Return a request as the role makes it, with a subject that a host chose."""
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(*one) for one in subject]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("web1.lab.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("subject", "signed"),
    [
        ((ORGANIZATION, NAME), True),
        ((NAME, ORGANIZATION), True),
        ((ORGANIZATION, (NameOID.COMMON_NAME, "proxy1.lab.test")), False),
        # A mapping of the subject keeps the last one of these, and the CA would sign both.
        ((ORGANIZATION, (NameOID.COMMON_NAME, "proxy1.lab.test"), NAME), False),
        (((NameOID.ORGANIZATION_NAME, "Other"), ORGANIZATION, NAME), False),
        ((ORGANIZATION,), False),
    ],
)
def test_a_host_is_signed_for_what_the_inventory_says(
    render: Callable[..., Any], subject: tuple[tuple[x509.ObjectIdentifier, str], ...], signed: bool
) -> None:
    variables = {
        "__certificate_csr": render("text | community.crypto.openssl_csr_info", text=asked(*subject)),
        "__certificate_subject": {"organizationName": "Gatehouse", "commonName": "web1.lab.test"},
        "__certificate_alt_names": ["DNS:web1.lab.test"],
        "__certificate_usage_told": "TLS Web Client Authentication",
    }
    held = [render(condition, **variables) for condition in REFUSAL["ansible.builtin.assert"]["that"]]
    assert all(held) is signed
