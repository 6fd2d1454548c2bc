"""What a host asks to be signed is held against the inventory: the conditions of the task, on real requests."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROLE = Path(__file__).resolve().parents[2] / "roles" / "certificate"
TASKS = yaml.safe_load((ROLE / "tasks" / "issue.yml").read_text())
REFUSAL = next(task for task in TASKS if task["name"] == "issue | Refuse a request for anything else")
VARS = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
ORGANIZATION, NAME = (NameOID.ORGANIZATION_NAME, "Gatehouse"), (NameOID.COMMON_NAME, "web1.lab.test")


NAMES = [x509.DNSName("web1.lab.test")]
P256 = ec.generate_private_key(ec.SECP256R1())


def usage(**more: bool) -> x509.KeyUsage:
    kinds = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{**dict.fromkeys(kinds, False), "digital_signature": True, **more})


def asked(
    subject: Sequence[tuple[x509.ObjectIdentifier, str]] = (ORGANIZATION, NAME),
    key: Any = P256,
    names: Sequence[x509.GeneralName] = NAMES,
    ca: bool = False,
    key_usage: x509.KeyUsage | None = None,
    purpose: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    more: x509.ExtensionType | None = None,
    forged: bool = False,
) -> str:
    """Return a request as the role makes it, but for what a host chose."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(*one) for one in subject]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(key_usage or usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purpose), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if more:
        builder = builder.add_extension(more, critical=False)
    edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    csr = builder.sign(key, None if edwards else hashes.SHA256())
    der = csr.public_bytes(Encoding.DER)
    if forged:  # the key of somebody else: the last byte of its proof of possession is another
        der = der[:-1] + bytes([der[-1] ^ 1])
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"


def signed(render: Callable[..., Any], csr: str) -> bool:
    """Return whether all conditions of the task hold for a request."""
    variables = {
        "__certificate_csr": render("text | community.crypto.openssl_csr_info", text=csr),
        "__certificate_subject": {"organizationName": "Gatehouse", "commonName": "web1.lab.test"},
        "__certificate_alt_names": ["DNS:web1.lab.test"],
        "__certificate_usage_name": "TLS Web Client Authentication",
        "__certificate_keys_signed": VARS["__certificate_keys_signed"],
    }
    return all(render(condition, **variables) for condition in REFUSAL["ansible.builtin.assert"]["that"])


@pytest.mark.parametrize("subject", [(ORGANIZATION, NAME), (NAME, ORGANIZATION)])
def test_a_host_is_signed_for_what_the_inventory_says(render: Callable[..., Any], subject: Any) -> None:
    assert signed(render, asked(subject))


# One row for each thing that a host may not choose; each condition of the task is the only one that refuses some row.
@pytest.mark.parametrize(
    "request_of",
    [
        lambda: asked(subject=(ORGANIZATION, (NameOID.COMMON_NAME, "proxy1.lab.test"))),
        # A mapping of the subject keeps the last one of these, and the CA would sign both.
        lambda: asked(subject=(ORGANIZATION, (NameOID.COMMON_NAME, "proxy1.lab.test"), NAME)),
        lambda: asked(subject=((NameOID.ORGANIZATION_NAME, "Other"), ORGANIZATION, NAME)),
        lambda: asked(subject=(ORGANIZATION,)),
        lambda: asked(names=[x509.DNSName("proxy1.lab.test")]),
        lambda: asked(names=[*NAMES, x509.DNSName("proxy1.lab.test")]),
        lambda: asked(names=[], more=x509.TLSFeature([x509.TLSFeatureType.status_request])),
        lambda: asked(ca=True),
        lambda: asked(key_usage=usage(key_cert_sign=True)),
        lambda: asked(purpose=[ExtendedKeyUsageOID.SERVER_AUTH]),
        lambda: asked(purpose=[ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
        lambda: asked(more=x509.TLSFeature([x509.TLSFeatureType.status_request])),
        lambda: asked(key=rsa.generate_private_key(65537, 1024)),  # noqa: S505
        lambda: asked(key=dsa.generate_private_key(2048)),
        lambda: asked(key=ec.generate_private_key(ec.SECP192R1())),
        lambda: asked(key=ec.generate_private_key(ec.SECP521R1())),
        lambda: asked(key=ed448.Ed448PrivateKey.generate()),
    ],
)  # fmt: skip
def test_a_request_for_anything_else_is_refused(render: Callable[..., Any], request_of: Callable[[], str]) -> None:
    assert not signed(render, request_of())


def test_a_request_by_who_does_not_have_the_key_is_refused(render: Callable[..., Any]) -> None:
    """The filter looks before the condition does."""
    with pytest.raises(AnsibleError) as refused:
        signed(render, asked(forged=True))
    assert "signature is invalid" in str(refused.value)


@pytest.mark.parametrize(
    "key_of",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
)
def test_other_good_keys_are_signed(render: Callable[..., Any], key_of: Callable[[], Any]) -> None:
    assert signed(render, asked(key=key_of()))
