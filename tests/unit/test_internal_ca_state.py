"""internal_ca_state on folders made for the test: what it takes, and the exact words for what it refuses."""

from __future__ import annotations

import importlib.util
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

MODULE = Path(__file__).resolve().parents[2] / "roles" / "internal_ca" / "library" / "internal_ca_state.py"
SPEC = importlib.util.spec_from_file_location("internal_ca_state", MODULE)
assert SPEC
assert SPEC.loader
internal_ca_state = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(internal_ca_state)

NOW = datetime.now(UTC)
WANTED = {
    "passphrase": "correct horse",
    "common_name": "Lab CA",
    "curve": "secp256r1",
    "permitted_dns": ["lab.test"],
    "permitted_ip": ["10.0.0.0/24"],
}


class Folder:
    """A CA folder that fits WANTED."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.write_key(self.key)
        self.write_certificate()

    def write_key(self, key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"correct horse") -> None:
        seal: Any = serialization.NoEncryption()
        if passphrase:
            seal = serialization.BestAvailableEncryption(passphrase)
        pkcs8 = serialization.PrivateFormat.PKCS8
        (self.path / "ca.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, seal))
        (self.path / "ca.key").chmod(0o600)

    def write_certificate(self, days: float = 1000.5) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab CA")])
        start, end = NOW - timedelta(days=100), NOW + timedelta(days=days)
        network = x509.IPAddress(ipaddress.ip_network("10.0.0.0/24"))
        constraints = x509.NameConstraints([x509.DNSName("lab.test"), network], None)
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), 1, start, end)
        certificate = builder.add_extension(constraints, critical=True).sign(self.key, hashes.SHA256())
        (self.path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.path / "ca.pem").chmod(0o644)

    def state(self, **changes: Any) -> dict[str, Any]:
        answer = internal_ca_state.state({**WANTED, "path": str(self.path), **changes}, NOW)
        assert isinstance(answer, dict)
        return answer

    def problems(self, **changes: Any) -> list[str]:
        """Return the problems, with the folder as CA and the common remedy as ANEW."""
        anew = internal_ca_state.ANEW.format(path=self.path)
        texts = self.state(**changes)["problems"]
        return [text.replace(anew, "ANEW").replace(str(self.path), "CA") for text in texts]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "ca")


def test_a_ca_that_fits(folder: Folder) -> None:
    assert folder.state() == {"present": True, "days_left": 1000, "modes": [], "problems": []}


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_there_yet(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "ca").mkdir(mode=0o700)
    answer = internal_ca_state.state({**WANTED, "path": str(tmp_path / "ca")}, NOW)
    assert answer == {"present": False, "days_left": 0, "modes": [], "problems": []}


def test_a_key_left_by_an_interrupted_run_is_used(folder: Folder) -> None:
    (folder.path / "ca.pem").unlink()
    assert folder.state() == {"present": False, "days_left": 0, "modes": [], "problems": []}


def test_such_a_key_with_another_passphrase_is_not_overwritten(folder: Folder) -> None:
    (folder.path / "ca.pem").unlink()
    assert folder.problems(passphrase="other") == [
        "CA/ca.key does not open with internal_ca_passphrase: write the passphrase that it was made with, or ANEW"
    ]


def test_a_certificate_without_its_key(folder: Folder) -> None:
    (folder.path / "ca.key").unlink()
    assert folder.problems() == [
        "CA/ca.pem is there without its key: copy ca.key from the controller that made this CA, or ANEW"
    ]


def test_the_key_of_another_ca(folder: Folder) -> None:
    folder.write_key(ec.generate_private_key(ec.SECP256R1()))
    assert folder.problems() == [
        "CA/ca.key is not the key of CA/ca.pem: put back the pair that belongs together from a backup, or ANEW"
    ]


def test_a_key_in_the_clear(folder: Folder) -> None:
    folder.write_key(folder.key, passphrase=b"")
    assert folder.problems() == [
        "CA/ca.key is not encrypted: encrypt it (openssl ec -aes256 -in ca.key -out new.key, with "
        "internal_ca_passphrase), or ANEW"
    ]


def test_an_empty_passphrase(folder: Folder) -> None:
    assert folder.problems(passphrase="") == ["internal_ca_passphrase is empty: write one, in a vault"]


def test_a_file_that_is_no_certificate(folder: Folder) -> None:
    (folder.path / "ca.pem").write_text("junk")
    assert folder.problems() == ["CA/ca.pem is not a PEM certificate: put it back from a backup, or ANEW"]


def test_one_that_has_ended(folder: Folder) -> None:
    folder.write_certificate(days=-1)
    assert folder.problems() == [f"CA/ca.pem ended on {NOW - timedelta(days=1):%Y-%m-%d}: ANEW"]


@pytest.mark.parametrize(
    ("option", "wanted", "found"),
    [
        ("common_name", "'Other'", "'Lab CA'"),
        ("curve", "'secp384r1'", "'secp256r1'"),
        ("permitted_dns", "['lab.test', 'new.test']", "['lab.test']"),
        ("permitted_ip", "[]", "['10.0.0.0/24']"),
    ],
)
def test_inputs_that_differ_never_change_a_ca(folder: Folder, option: str, wanted: str, found: str) -> None:
    changes = {"common_name": "Other", "curve": "secp384r1", "permitted_dns": ["new.test", "lab.test"]}
    assert folder.problems(**{option: changes.get(option, [])}) == [
        f"CA/ca.pem was made with internal_ca_{option} {found} and the inventory says {wanted}. A CA is "
        "never changed in place: set the input back, or ANEW"
    ]


def test_networks_must_be_canonical(tmp_path: Path) -> None:
    asked = {**WANTED, "path": str(tmp_path), "permitted_ip": ["10.0.0.1/24", "lab"]}
    assert internal_ca_state.state(asked, NOW)["problems"] == [
        "internal_ca_permitted_ip[0]: '10.0.0.1/24' must be written '10.0.0.0/24'",
        "internal_ca_permitted_ip[1]: 'lab' is not a network; write it like 10.0.0.0/24",
    ]


def test_wrong_modes(folder: Folder) -> None:
    (folder.path / "ca.key").chmod(0o644)
    folder.path.chmod(0o755)
    assert folder.state()["modes"] == [
        {"path": str(folder.path), "mode": "0700", "found": "0755"},
        {"path": str(folder.path / "ca.key"), "mode": "0600", "found": "0644"},
    ]
