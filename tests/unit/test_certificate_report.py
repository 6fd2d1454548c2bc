"""The report of certificates, and requests that are signed by hand: what is said of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .conftest import load

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(thing: Any) -> str:
    return str(thing.public_bytes(serialization.Encoding.PEM).decode())


def certificate(
    issuer: str, subject: str, key: Key, signer: Key, days: float = 60, names: tuple[str, ...] = ()
) -> x509.Certificate:
    start, end = NOW - timedelta(days=1), NOW + timedelta(days=days)
    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), 7, start, end)
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(alternative, critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    return builder.sign(signer, hashes.SHA256())


FOUND = {
    "name": "endpoint", "names": ["shop.lab.test"], "addresses": ["10.0.0.1"], "issuer": "CA", "days_left": 60,
    "usage": "server", "key_matches": True, "revoked": False, "used_by": "",
}  # fmt: skip


def test_every_certificate_and_what_signs_them_is_a_row(filters: Callable[[str], Callable[..., Any]]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    crl = x509.CertificateRevocationListBuilder(name("CA"), NOW, NOW + timedelta(days=9)).sign(key, hashes.SHA256())
    rows = filters("certificate_rows")({"web1": [FOUND, {**FOUND, "name": "shop", "used_by": "site shop"}]})
    rows += filters("authority_rows")(pem(certificate("CA", "CA", key, key, 900)), pem(crl), NOW.isoformat())
    assert filters("certificate_table")(rows) == [
        "host          certificate      used by                          names                    issuer  days left",
        "web1          endpoint         a server                         shop.lab.test, 10.0.0.1  CA      60",
        "web1          shop             site shop                        shop.lab.test, 10.0.0.1  CA      60",
        "(controller)  CA               both ends of TLS to the members  CA                       CA      900",
        "(controller)  revocation list  the same                         0 revoked                CA      9",
    ]
    assert filters("certificate_report_problems")(rows, 9) == []
    assert filters("certificate_report_problems")(rows, 10) == [
        "(controller): revocation list (0 revoked, issued by CA) has 9 days left, and certificate_min_days asks for 10;"
        " run playbooks/update_trust.yml, or replace it where it came from"
    ]
    *_, ca = [one for one in filters("certificate_report_problems")(rows, 901) if one.startswith("(controller): CA ")]
    assert ca == (
        "(controller): CA (CA, issued by CA) has 900 days left, and certificate_min_days asks for 901; run"
        " playbooks/rotate_certificates.yml -e internal_ca_replace=true, or replace it where it came from"
    )
    assert filters("certificate_report_problems")(rows, 61)[0] == (
        "web1: endpoint (shop.lab.test, 10.0.0.1, issued by CA) has 60 days left, and certificate_min_days asks for 61;"
        " run playbooks/rotate_certificates.yml, or replace it where it came from"
    )
    other = filters("certificate_rows")({"web1": [{**FOUND, "key_matches": False}]})
    assert filters("certificate_report_problems")(other, 7) == [
        "web1: endpoint (shop.lab.test, 10.0.0.1, issued by CA) is beside another key; run site.yml"
    ]


def test_what_is_revoked_or_missing_is_a_problem(filters: Callable[[str], Callable[..., Any]]) -> None:
    revoked = filters("certificate_rows")({"web1": [{**FOUND, "revoked": True}]})
    assert filters("certificate_report_problems")(revoked, 7) == [
        "web1: endpoint (shop.lab.test, 10.0.0.1, issued by CA) is revoked and still in use; run site.yml, which issues"
        " another one unless internal_ca_revoked names the host, or take the host out of the inventory"
    ]
    missing = {"name": "shop", "names": ["shop.lab.test", "www.lab.test"], "reason": "there is none"}
    assert filters("missing_certificates")({"web1": [], "web2": [missing]}) == [
        "web2: shop (shop.lab.test, www.lab.test): there is none; run site.yml"
    ]


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load("roles/certificate/library/certificate_handover.py")


def test_requests_go_out_and_what_was_signed_comes_back(module: ModuleType, tmp_path: Path) -> None:
    ca_key, key, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    (tmp_path / "ca.pem").write_text(pem(certificate("CA", "CA", ca_key, ca_key, 900)))
    alternative = x509.SubjectAlternativeName([x509.DNSName("shop.lab.test")])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = x509.CertificateSigningRequestBuilder(name("shop"))
    csr = builder.add_extension(alternative, critical=False).add_extension(usage, critical=False)
    requests = {"endpoint": pem(csr.sign(key, hashes.SHA256()))}
    answer, names = tmp_path / "signed" / "web1.endpoint.pem", ("shop.lab.test",)

    def said(standing: str = "") -> str:
        signed, waiting = module.exchange(tmp_path, "web1", requests, NOW, 30, {"endpoint": standing})
        assert len(signed) + len(waiting) == 1
        return waiting[0].removeprefix(f"{answer} ").partition("; the request is ")[0] if waiting else ""

    assert said() == "is not there"
    assert (tmp_path / "requests" / "web1.endpoint.csr").read_text() == requests["endpoint"]
    for given, refusal in (
        ("junk", "is no certificate in PEM"),
        (pem(certificate("CA", "shop", key, stranger, names=names)), "was not signed by CN=CA"),
        (
            pem(certificate("CA", "shop", stranger, ca_key, names=names)),
            "is for another key: the request was made anew since, so have the present one signed",
        ),
        (
            pem(certificate("CA", "shop", key, ca_key, names=("other.lab.test",))),
            "has other names than the request: the authority has to copy the request's extensions",
        ),
        (pem(certificate("CA", "shop", key, ca_key, -0.5, names)), "is good from 2026-05-31 to 2026-05-31 only"),
        (
            pem(certificate("CA", "shop", key, ca_key, 29.5, names)),
            "is the one to be renewed: it has 29 days left, and certificate_renew_days asks for 30",
        ),
        (pem(certificate("CA", "shop", key, ca_key, names=names)), ""),
    ):
        answer.write_text(given)
        assert said() == refusal
    # Where the run renews whatever is left; an answer that was recorded and not put in place is none that counts.
    assert said("7") == "is the one to be renewed: it is on the host"
    assert said("8") == ""
