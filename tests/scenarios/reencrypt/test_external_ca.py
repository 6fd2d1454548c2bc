"""A CA that the operator brings: an intermediate one whose key is elsewhere, so that requests are signed by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from estate import Estate

ISSUE = "molecule/reencrypt/issue.yml"
NOW = datetime.now(UTC)


class Elsewhere:
    """A root and an intermediate authority of somebody else's; their keys are nowhere in the project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.root = self.authority("Root elsewhere", self.root_key, "Root elsewhere", self.root_key)
        self.ca = self.authority("Intermediate elsewhere", self.key, "Root elsewhere", self.root_key)
        folder.mkdir(mode=0o700)
        (folder / "ca.pem").write_bytes(self.ca.public_bytes(Encoding.PEM))
        (folder / "parents.pem").write_bytes(self.root.public_bytes(Encoding.PEM))
        (folder / "ca.crl.pem").write_bytes(self.list_of(self.ca, self.key))

    @staticmethod
    def authority(
        name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        above, own = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (issuer, name))
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        return (
            x509.CertificateBuilder(above, own, key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=900))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(identifier, critical=False)
            .sign(signer, hashes.SHA256())
        )

    @staticmethod
    def list_of(ca: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
        builder = x509.CertificateRevocationListBuilder(ca.subject, NOW - timedelta(days=1), NOW + timedelta(days=90))
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def sign(self, request: Path, answer: Path) -> None:
        """Sign what a run handed out, as it is."""
        csr = x509.load_pem_x509_csr(request.read_bytes())
        builder = x509.CertificateBuilder(self.ca.subject, csr.subject, csr.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=90))
        for one in csr.extensions:
            builder = builder.add_extension(one.value, one.critical)
        answer.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))


@pytest.fixture
def restored(estate: Estate) -> Iterator[None]:
    """Afterwards, have the host take its certificate from the environment's own CA again."""
    yield
    run = estate.play(ISSUE, "--limit", "plain1", "-e", '{"certificate_replace_ca": true}')
    assert run.returncode == 0, run.stdout


@pytest.mark.usefixtures("restored")
def test_requests_are_signed_by_hand(estate: Estate, tmp_path: Path) -> None:
    elsewhere = Elsewhere(tmp_path / "ca")
    about = {"internal_ca_dir": str(elsewhere.folder), "internal_ca_external": True, "certificate_replace_ca": True}
    words = ("--limit", "plain1", "-e", json.dumps(about))

    run = estate.play(ISSUE, *words)
    assert run.returncode != 0
    assert f"{elsewhere.folder}/parents.crl.pem has no revocation list in force of CN=Root elsewhere" in run.stdout
    (elsewhere.folder / "parents.crl.pem").write_bytes(elsewhere.list_of(elsewhere.root, elsewhere.root_key))

    request, answer = (
        elsewhere.folder / name for name in ("requests/plain1.endpoint.csr", "signed/plain1.endpoint.pem")
    )
    run = estate.play(ISSUE, *words)
    assert run.returncode != 0
    said = " ".join(run.stdout.split())
    assert f"The key of {elsewhere.folder}/ca.pem is not here" in said
    assert f"{answer} is not there; the request is {request}" in said

    elsewhere.sign(request, answer)
    run = estate.play(ISSUE, *words)
    assert run.returncode == 0, run.stdout
    shown = tmp_path / "shown.pem"
    shown.write_text(estate.host("plain1").file("/etc/ssl/gatehouse/endpoint/fullchain.pem").content_string)
    assert shown.read_text().count("BEGIN CERTIFICATE") == 2  # the leaf, and what is between it and the root
    trust, lists = elsewhere.folder / "trust.pem", elsewhere.folder / "crl.pem"
    verified = subprocess.run(
        ["openssl", "verify", "-verify_depth", "1", "-crl_check_all", "-CRLfile", str(lists), "-CAfile", str(trust),
         "-untrusted", str(shown), "-verify_hostname", "plain.internal.lab.test", str(shown)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    assert "changed=0" in estate.play(ISSUE, *words).stdout.split("plain1")[-1]
