"""internal_ca_state on folders made for the test: what it takes, and the exact words for what it refuses."""

from __future__ import annotations

import importlib.util
import ipaddress
import ssl
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROLE = Path(__file__).resolve().parents[2] / "roles" / "internal_ca"


def load(name: str, path: Path) -> ModuleType:
    """Import one of the role's files under the name that Ansible gives it."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    package, _, last = name.rpartition(".")
    if package:
        setattr(importlib.import_module(package), last, module)
    spec.loader.exec_module(module)
    return module


for utility in ("gatehouse_authority", "gatehouse_revocation"):
    load(f"ansible.module_utils.{utility}", ROLE / "module_utils" / f"{utility}.py")
internal_ca_state = load("internal_ca_state", ROLE / "library" / "internal_ca_state.py")

NOW = datetime.now(UTC)
WANTED = {
    "passphrase": "correct horse",
    "common_name": "Lab CA",
    "curve": "secp256r1",
    "permitted_dns": ["lab.test"],
    "permitted_ip": ["10.0.0.0/24"],
    "brought": False,
    "hosts": [],
    "revoked": [],
    "crl_days": 180,
}
# What the answer has where nothing hangs on a CA yet.
NOTHING = {"stage": "", "lists": [], "bundles": [], "expired": [], "offline": False}


def general_names(texts: Sequence[str]) -> list[x509.GeneralName]:
    """Names as community.crypto reads them, `DNS:<domain>` and `IP:<network>`."""
    return [
        x509.DNSName(text[4:]) if text.startswith("DNS:") else x509.IPAddress(ipaddress.ip_network(text[3:]))
        for text in texts
    ]


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

    def write_certificate(
        self,
        days: float = 1000.5,
        permitted: Sequence[str] = ("DNS:lab.test", "IP:10.0.0.0/24"),
        excluded: Sequence[str] = (),
    ) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab CA")])
        start, end = NOW - timedelta(days=100), NOW + timedelta(days=days)
        constraints = x509.NameConstraints(general_names(permitted), general_names(excluded) or None)
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), 1, start, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
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
    seen = {"present": True, "days_left": 1000, "excluded": [], "modes": [], "problems": [], "expired": []}
    assert folder.state().items() >= seen.items()


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_there_yet(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "ca").mkdir(mode=0o700)
    answer = internal_ca_state.state({**WANTED, "path": str(tmp_path / "ca")}, NOW)
    assert answer == {"present": False, "days_left": 0, "excluded": [], "modes": [], "problems": [], **NOTHING}


def test_a_key_left_by_an_interrupted_run_is_used(folder: Folder) -> None:
    (folder.path / "ca.pem").unlink()
    assert folder.state() == {"present": False, "days_left": 0, "excluded": [], "modes": [], "problems": [], **NOTHING}


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


@pytest.mark.parametrize(
    ("domains", "networks", "excluded"),
    [
        (["lab.test"], [], ["IP:0.0.0.0/0", "IP:::/0"]),
        ([], ["10.0.0.0/24"], ["DNS:"]),
        (["lab.test"], ["10.0.0.0/24"], []),
        ([], [], []),
    ],
)
def test_the_kind_that_is_not_permitted_is_excluded(
    folder: Folder, domains: list[str], networks: list[str], excluded: list[str]
) -> None:
    permitted = [*(f"DNS:{domain}" for domain in domains), *(f"IP:{network}" for network in networks)]
    if permitted:
        folder.write_certificate(permitted=permitted, excluded=excluded)
        asked = {"permitted_dns": domains, "permitted_ip": networks}
        assert (folder.state(**asked)["excluded"], folder.problems(**asked)) == (excluded, [])
    assert internal_ca_state.excluded_for(domains, networks) == excluded


@pytest.mark.parametrize("excluded", [[], ["IP:0.0.0.0/0"]])
def test_a_ca_that_leaves_the_other_kind_free_is_refused(folder: Folder, excluded: list[str]) -> None:
    folder.write_certificate(permitted=["DNS:lab.test"], excluded=excluded)
    assert folder.problems(permitted_ip=[]) == [
        f"CA/ca.pem excludes {excluded!r} and must exclude ['IP:0.0.0.0/0', 'IP:::/0'], or it signs for any name of "
        "the kind whose internal_ca_permitted list is empty. A CA is never changed in place: ANEW"
    ]


def leaf(folder: Folder, names: Sequence[str]) -> Path:
    """Sign a leaf for `names` with the CA in the folder; chain and key stand in the file returned."""
    key = ec.generate_private_key(ec.SECP256R1())
    ca, subject = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("Lab CA", "shop.lab.test"))
    start, end = NOW - timedelta(days=1), NOW + timedelta(days=1)
    builder = x509.CertificateBuilder(ca, subject, key.public_key(), 2, start, end)
    values: list[x509.GeneralName] = [
        x509.DNSName(name[4:]) if name.startswith("DNS:") else x509.IPAddress(ipaddress.ip_address(name[3:]))
        for name in names
    ]
    signed = builder.add_extension(x509.SubjectAlternativeName(values), critical=False).sign(
        folder.key, hashes.SHA256()
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder.path / "leaf.pem"
    file.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    return file


def shake_hands(ca: Path, chain: Path, name: str) -> None:
    """Do a TLS handshake in memory; ssl.SSLError when the client refuses what it is shown."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(ca))
    server.load_cert_chain(chain)
    # Strict wants key identifiers, which this test's CA leaves out.
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].version()


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["DNS:shop.lab.test"], ""),
        (["DNS:*.lab.test", "DNS:lab.test", "DNS:shop.lab.test"], ""),
        (["DNS:shop.lab.test", "IP:10.0.0.1"], "excluded subtree violation"),
        (["DNS:shop.lab.test", "IP:::1"], "excluded subtree violation"),
        (["DNS:shop.lab.test", "DNS:shop.example.com"], "permitted subtree violation"),
    ],
)
def test_clients_of_a_ca_for_domains_only(folder: Folder, names: list[str], error: str) -> None:
    excluded = internal_ca_state.excluded_for(["lab.test"], [])
    folder.write_certificate(permitted=["DNS:lab.test"], excluded=excluded)
    chain, ca = leaf(folder, names), folder.path / "ca.pem"
    command = ["openssl", "verify", "-CAfile", str(ca), str(chain)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.returncode == 0, error in answer.stderr) == (not error, True)
    if error:
        with pytest.raises(ssl.SSLError, match=error):
            shake_hands(ca, chain, "shop.lab.test")
    else:
        shake_hands(ca, chain, "shop.lab.test")
