"""internal_ca_state on folders made for the test: what it takes, and the exact words for what it refuses."""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gatehouse.core.plugins.module_utils import ca_folder, name_constraints
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import load

ROLE = Path(__file__).resolve().parents[2] / "roles" / "internal_ca"


internal_ca_key = load("roles/internal_ca/library/internal_ca_key.py")
internal_ca_state = load("roles/internal_ca/library/internal_ca_state.py")

NOW = datetime.now(UTC)
WANTED = {
    "passphrase": "correct horse",
    "common_name": "Lab CA",
    "curve": "secp256r1",
    "permitted_dns": ["lab.test"],
    "permitted_ip": ["10.0.0.0/24"],
    "provided": False,
    "replacing": False,
    "hosts": [],
    "revoked": [],
    "crl_days": 180,
}
# What the answer has where nothing hangs on a CA yet.
NOTHING = {"stage": "", "lists": [], "bundles": [], "stale": [], "cheap_keys": []}


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
        """Return the problems, with the folder as CA and the common remedies as ANEW and REPLACE."""
        remedies = {ca_folder.ANEW.format(path=self.path): "ANEW", ca_folder.REPLACE: "REPLACE"}
        texts: list[str] = self.state(**changes)["problems"]
        for long, short in {**remedies, str(self.path): "CA"}.items():
            texts = [text.replace(long, short) for text in texts]
        return texts


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "ca")


def test_a_ca_that_fits(folder: Folder) -> None:
    seen = {"present": True, "days_left": 1000, "excluded": [], "modes": [], "problems": [], "stale": []}
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
        "never changed in place: set the input back, or REPLACE"
    ]


def test_a_ca_that_permits_more_than_is_asked_for_is_kept(folder: Folder) -> None:
    assert folder.problems(permitted_dns=["internal.lab.test"]) == []
    assert folder.problems(permitted_dns=["Lab.test", "internal.lab.test"]) == []
    for wider in (["test"], ["mylab.test"], ["internal.lab.test", "new.test"]):
        (problem,) = folder.problems(permitted_dns=wider)
        assert "was made with internal_ca_permitted_dns ['lab.test']" in problem


def test_the_remedy_for_inputs_that_differ_is_a_command() -> None:
    command = "`ansible-playbook playbooks/rotate_certificates.yml -e internal_ca_replace=true`"
    assert command in ca_folder.REPLACE


def test_a_ca_that_is_replaced_may_differ_and_the_next_one_may_not(folder: Folder) -> None:
    wider = {"permitted_dns": ["lab.test", "new.test"]}
    differs = (
        "was made with internal_ca_permitted_dns ['lab.test'] and the inventory says ['lab.test', 'new.test']. "
        "A CA is never changed in place: set the input back"
    )
    assert folder.problems(**wider, replacing=True) == []
    following = Folder(folder.path / "next")
    assert folder.problems(**wider) == [f"CA/next/ca.pem {differs}, or move CA/next away and REPLACE"]
    following.write_certificate(permitted=["DNS:lab.test", "DNS:new.test", "IP:10.0.0.0/24"])
    assert folder.problems(**wider) == []
    following.path.rename(folder.path / "former")
    assert folder.problems(**wider, replacing=True) == [
        f"CA/ca.pem {differs}; once the replacement that was begun has ended, REPLACE"
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
    assert name_constraints.excluded_for(domains, networks) == excluded


@pytest.mark.parametrize("excluded", [[], ["IP:0.0.0.0/0"]])
def test_a_ca_that_leaves_the_other_kind_free_is_refused(folder: Folder, excluded: list[str]) -> None:
    folder.write_certificate(permitted=["DNS:lab.test"], excluded=excluded)
    assert folder.problems(permitted_ip=[]) == [
        f"CA/ca.pem excludes {excluded!r} and must exclude ['IP:0.0.0.0/0', 'IP:::/0'], or it signs for any name of "
        "the kind whose internal_ca_permitted list is empty. A CA is never changed in place: set the input back, or "
        "REPLACE"
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
    excluded = name_constraints.excluded_for(["lab.test"], [])
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


def on_record(folder: Folder, host: str, serial: int, days: float = 60) -> str:
    """Put a certificate that the CA issued to a host on record; return its serial number as OpenSSL prints it."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab CA")])
    start, end = NOW - timedelta(days=100), NOW + timedelta(days=days)
    builder = x509.CertificateBuilder(issuer, issuer, folder.key.public_key(), serial, start, end)
    path = folder.path / "issued" / host / f"endpoint.{serial}.pem"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(builder.sign(folder.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    text = f"{serial:X}"
    return text if len(text) % 2 == 0 else f"0{text}"


def write_list(folder: Folder, *serials: int, days: float = 180, path: str = "ca.crl.pem") -> None:
    """Write the CA's revocation list as a run would have."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab CA")])
    builder = x509.CertificateRevocationListBuilder(name, NOW, NOW + timedelta(days=days))
    for serial in serials:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, NOW).build())
    pem = builder.sign(folder.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder.path / path).write_bytes(pem)


def listed(folder: Folder, **changes: Any) -> tuple[str, list[int]]:
    """Return (why the list has to be signed, what it has to have), ('', []) where it has not."""
    due = folder.state(**changes)["lists"]
    return (due[0]["reason"], [one["serial_number"] for one in due[0]["revoked"]]) if due else ("", [])


def test_a_list_is_signed_when_there_is_none_and_before_it_ends(folder: Folder) -> None:
    assert listed(folder) == ("there is none", [])
    write_list(folder)
    assert listed(folder) == ("", [])
    write_list(folder, days=89)
    assert listed(folder)[0] == f"it ends on {NOW + timedelta(days=89):%Y-%m-%d}"


def test_who_left_or_is_named_is_revoked_and_stays_so(folder: Folder) -> None:
    serials = {host: on_record(folder, host, number << 64) for host, number in (("web1", 1), ("web2", 2), ("web3", 3))}
    write_list(folder)
    assert listed(folder, hosts=["web1", "web2", "web3"]) == ("", [])
    assert listed(folder, hosts=["web1", "web2"]) == ("1 more are revoked", [3 << 64])
    assert listed(folder, hosts=[]) == ("", [])  # nobody knows who there is, so nobody left
    assert listed(folder, revoked=["web1", serials["web2"].lower()])[1] == [1 << 64, 2 << 64]
    write_list(folder, 2 << 64)
    assert listed(folder) == ("", [])
    assert listed(folder, revoked=["web1"])[1] == [1 << 64, 2 << 64]


@pytest.mark.parametrize(("length", "revoked"), [(1, [0xDB]), (20, [int("DB" * 20, 16)]), (21, [])])
def test_a_serial_number_has_up_to_20_bytes(folder: Folder, length: int, revoked: list[int]) -> None:
    write_list(folder)
    text = ":".join(["db"] * length)
    assert listed(folder, revoked=[text])[1] == revoked
    assert bool(folder.problems(revoked=[text])) is not bool(revoked)


def test_a_host_whose_name_is_a_number_too_is_a_host(folder: Folder) -> None:
    on_record(folder, "db", 7)
    write_list(folder)
    assert listed(folder, revoked=["db"])[1] == [7]


def test_what_ended_is_forgotten(folder: Folder) -> None:
    on_record(folder, "web1", 1 << 64, days=-1)
    write_list(folder, 1 << 64)
    answer = folder.state(revoked=["web1"])
    assert answer["lists"] == []
    assert answer["stale"] == [str(folder.path / "issued" / "web1" / f"endpoint.{1 << 64}.pem")]


def test_a_word_that_revokes_nothing_is_refused(folder: Folder) -> None:
    assert folder.problems(hosts=["web1"], revoked=["web9"]) == [
        "internal_ca_revoked has 'web9', which is no host and no serial number: write a host of the inventory, or what "
        "`openssl x509 -noout -serial` prints"
    ]


def test_what_both_ends_trust(folder: Folder) -> None:
    write_list(folder)
    bundles = {Path(one["path"]).name: one["content"] for one in folder.state()["bundles"]}
    ca, crl = ((folder.path / name).read_text() for name in ("ca.pem", "ca.crl.pem"))
    assert bundles == {"trust.pem": ca, "chain.pem": "", "crl.pem": crl}
    for name, text in bundles.items():
        (folder.path / name).write_text(text)
    assert folder.state()["bundles"] == []


@pytest.mark.parametrize(
    ("folders", "stage"), [([], ""), (["next"], "begun"), (["next", "former"], "switching"), (["former"], "switched")]
)
def test_how_far_a_replacement_is(folder: Folder, folders: list[str], stage: str) -> None:
    for name in folders:
        (folder.path / name).mkdir()
        for file in ("ca.pem", "ca.key"):
            (folder.path / name / file).write_bytes((folder.path / file).read_bytes())
    assert folder.state()["stage"] == stage


def test_a_ca_whose_key_is_elsewhere_brings_its_list(folder: Folder) -> None:
    (folder.path / "ca.key").unlink()
    about = {"provided": True, "curve": "secp384r1", "passphrase": ""}
    remedy = "have the authority sign one and put it at CA/ca.crl.pem (PEM)"
    assert folder.problems(**about) == [
        f"CA/ca.crl.pem has no revocation list of CA/ca.pem, whose key is not here: {remedy}"
    ]
    write_list(folder)
    assert folder.problems(**about) == []
    serial = on_record(folder, "web1", 1 << 64)
    assert folder.problems(**about, revoked=["web1"]) == [
        f"CA/ca.crl.pem lacks what the inventory revokes, {serial.lstrip('0')}: {remedy}"
    ]
    write_list(folder, days=-1)
    assert folder.problems(**about) == [
        f"CA/ca.crl.pem ended on {NOW - timedelta(days=1):%Y-%m-%d}, and then everybody is refused: {remedy}"
    ]


def test_a_ca_that_is_made_elsewhere_is_never_made(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    answer = internal_ca_state.state({**WANTED, "path": str(tmp_path / "ca"), "provided": True}, NOW)
    assert answer["problems"] == [
        f"{tmp_path}/ca/ca.pem is not there, and internal_ca_external says that it was made elsewhere: put it there, "
        "or take internal_ca_external away to have one made"
    ]


def intermediate(folder: Folder) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Make the CA one that a root elsewhere signed; return that root's key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lab CA")])
    span = NOW - timedelta(days=9), NOW + timedelta(days=900)
    top = x509.CertificateBuilder(root, root, key.public_key(), 1, *span).sign(key, hashes.SHA256())
    middle = x509.CertificateBuilder(root, name, folder.key.public_key(), 2, *span).sign(key, hashes.SHA256())
    (folder.path / "ca.pem").write_bytes(middle.public_bytes(serialization.Encoding.PEM))
    return key, top


def test_an_intermediate_ca_comes_with_what_is_above_it(folder: Folder) -> None:
    key, root = intermediate(folder)
    about = {"provided": True}
    above = "write those above it there, the root last"
    assert folder.problems(**about) == [
        f"CA/ca.pem is signed by another authority, and CA/parents.pem is not there: {above}"
    ]
    pem = root.public_bytes(serialization.Encoding.PEM)
    (folder.path / "parents.pem").write_bytes(pem)
    assert folder.problems(**about) == [
        "CA/parents.crl.pem has no revocation list in force of CN=Root: have it signed, and add it"
    ]
    builder = x509.CertificateRevocationListBuilder(root.subject, NOW, NOW + timedelta(days=9))
    roots_list = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder.path / "parents.crl.pem").write_bytes(roots_list)
    write_list(folder)
    bundles = {Path(one["path"]).name: one["content"] for one in folder.state(**about)["bundles"]}
    assert bundles["trust.pem"] == pem.decode()
    assert bundles["chain.pem"] == (folder.path / "ca.pem").read_text()
    assert bundles["crl.pem"] == (folder.path / "ca.crl.pem").read_text() + roots_list.decode()


internal_ca_switch = load("roles/internal_ca/library/internal_ca_switch.py")


class Killed(BaseException):
    """The process ends here."""


def die_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Have whatever changes a folder raise at the call of that number, counted from 0."""
    calls = itertools.count()

    def guard(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if next(calls) == step:
                raise Killed
            return change(*args, **options)

        return call

    # pathlib and shutil.rmtree come down to those of os.
    for module, names in ((os, ("rename", "replace", "mkdir", "unlink", "rmdir")), (shutil, ("copy2",))):
        for name in names:
            monkeypatch.setattr(module, name, guard(getattr(module, name)))


def replace_ca(folder: Folder) -> None:
    """Do to a folder what a run of rotate_certificates.yml does, from where the last one stopped."""
    assert folder.problems() == []
    if folder.state()["stage"] in ("begun", "switching"):
        internal_ca_switch.switch(folder.path)
    for stale in folder.state()["stale"]:
        shutil.rmtree(stale)
    if folder.state()["stage"] == "switched":
        internal_ca_switch.drop(folder.path)


def test_a_replacement_goes_on_wherever_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in itertools.count():
        folder = Folder(tmp_path / str(step))
        following = Folder(folder.path / "next")
        for one in (folder, following):
            write_list(one)
        files = {name: (following.path / name).read_bytes() for name in ("ca.pem", "ca.key", "ca.crl.pem")}
        with monkeypatch.context() as patch:
            die_at(patch, step)
            try:
                replace_ca(folder)
            except Killed:
                killed = True
            else:
                killed = False
        replace_ca(folder)
        assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == files, f"killed at {step}"
        if not killed:
            break
    # mkdir, three copies, rename; three renames, rmdir; rename, three unlinks, rmdir; rmdir of next/.
    assert step == 15


def test_the_former_ca_is_kept_while_it_is_trusted(folder: Folder) -> None:
    before = {name: (folder.path / name).read_bytes() for name in ("ca.pem", "ca.key")}
    Folder(folder.path / "next")
    internal_ca_switch.switch(folder.path)
    assert {path.name: path.read_bytes() for path in (folder.path / "former").iterdir()} == before


def test_a_key_that_waits_for_its_certificate_replaces_nothing(folder: Folder) -> None:
    (Folder(folder.path / "next").path / "ca.pem").unlink()
    assert folder.state()["stage"] == ""
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"path": str(folder.path), "step": "switch"}})
    command = [sys.executable, str(ROLE / "library" / "internal_ca_switch.py"), arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["changed"] is False


def begin(folder: Folder, *words: str, skipped: str = "", **changes: Any) -> subprocess.CompletedProcess[str]:
    """Run that play of rotate_certificates.yml which is about the controller alone, for three hosts."""
    where = folder.path.parent
    play = yaml.safe_load((ROLE.parents[1] / "playbooks" / "rotate_certificates.yml").read_text())[1]
    (where / "play.yml").write_text(yaml.safe_dump([play]))
    (where / "hosts").write_text(f"[apps]\nweb1\nweb2\n[proxies]\nproxy1\n[skipped]\n{skipped}\n")
    inputs = {f"internal_ca_{name}": value for name, value in WANTED.items() if name != "replacing"}
    inputs |= {"internal_ca_dir": str(folder.path), "reachable_proxies": [], **changes}
    command = ["ansible-playbook", "play.yml", "-i", "hosts", "-e", json.dumps(inputs), *words]
    about = {"ANSIBLE_CONFIG": str(ROLE.parents[1] / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, cwd=where, env=os.environ | about, capture_output=True, text=True, check=False)


LIMIT = ("--limit", "web1:proxies")
REPLACE = ("-e", "internal_ca_replace=true")


def test_a_replacement_that_was_begun_does_not_go_on_for_some_hosts(folder: Folder) -> None:
    for one in (folder, Folder(folder.path / "next")):
        write_list(one)
    run = begin(folder, *LIMIT)
    assert run.returncode == 2, run.stdout
    assert (
        "a replacement of the CA was begun, and every host has to trust the next one before it signs, and this run "
        "leaves out web2; take --limit away"
    ) in " ".join(run.stdout.split())
    assert begin(folder).returncode == 0


def test_a_replacement_goes_on_without_an_application_host_and_not_without_a_proxy(folder: Folder) -> None:
    for one in (folder, Folder(folder.path / "next")):
        write_list(one)
    run = begin(folder, skipped="proxy1")
    assert run.returncode == 2, run.stdout
    assert "leaves out proxy1; take --limit away, and complete it when every proxy can be reached" in " ".join(
        run.stdout.split()
    )
    assert begin(folder, skipped="web2").returncode == 0


def test_after_the_switch_some_hosts_are_rotated_as_ever(folder: Folder) -> None:
    for one in (folder, Folder(folder.path / "former")):
        write_list(one)
    run = begin(folder, *LIMIT)
    assert run.returncode == 0, run.stdout


def test_a_switch_that_was_interrupted_is_completed_with_internal_ca_replace_too(folder: Folder) -> None:
    following = Folder(folder.path / "next")
    for one in (following, Folder(folder.path / "former")):
        write_list(one)
    pem = (following.path / "ca.pem").read_bytes()
    run = begin(folder, *REPLACE)
    assert run.returncode == 0, run.stdout
    assert folder.state()["stage"] == "switched"
    assert (folder.path / "ca.pem").read_bytes() == pem


@pytest.mark.parametrize("words", [[], ["--check"]])
def test_inputs_change_when_the_ca_is_replaced(folder: Folder, words: list[str]) -> None:
    changes: Any = {"internal_ca_permitted_dns": ["lab.test", "new.test"], "internal_ca_curve": "secp384r1"}
    run = begin(folder, *REPLACE, *words, internal_ca_days=30, **changes)
    assert run.returncode == 0, run.stdout
    made = folder.path / "next" / "ca.pem"
    assert made.exists() is not bool(words)
    if made.exists():
        certificate = x509.load_pem_x509_certificate(made.read_bytes())
        assert name_constraints.constraints_of(certificate)[0] == ["lab.test", "new.test"]
        assert_is_sound(made.parent, certificate)
        # The one that it replaces was encrypted as cheaply as OpenSSL does by default.
        assert ca_folder.cheap_keys(folder.path) == []


def assert_is_sound(folder: Path, certificate: x509.Certificate) -> None:
    """What create.yml makes can sign leaves only, of its names only, and its key is a secret."""
    found = {type(one.value): (one.critical, one.value) for one in certificate.extensions}
    assert found[x509.BasicConstraints] == (True, x509.BasicConstraints(ca=True, path_length=0))
    assert found[x509.NameConstraints][0] is True
    critical, usage = found[x509.KeyUsage]
    allowed = {name for name in ("digital_signature", "key_cert_sign", "crl_sign", "key_encipherment", "key_agreement")
               if getattr(usage, name)}  # fmt: skip
    assert (critical, allowed) == (True, {"key_cert_sign", "crl_sign"})
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp384r1"
    modes = {name: f"{(folder / name).stat().st_mode & 0o7777:04o}" for name in ("", "ca.pem", "ca.key")}
    assert modes == {"": "0700", "ca.pem": "0644", "ca.key": "0600"}
    pem = (folder / "ca.key").read_bytes()
    assert pem.splitlines()[0].strip(b"-") == b"BEGIN ENCRYPTED PRIVATE KEY"
    assert internal_ca_key.is_sealed(pem)


def test_a_key_costs_who_guesses_its_passphrase(folder: Folder) -> None:
    file = folder.path / "ca.key"
    assert folder.state(provided=True)["cheap_keys"] == []
    assert folder.state()["cheap_keys"] == [str(file)]
    assert internal_ca_key.settle(file, b"correct horse", "secp256r1", True) == "encrypted anew, with scrypt"
    assert folder.state()["cheap_keys"] == [str(file)], "check mode changed something"
    internal_ca_key.settle(file, b"correct horse", "secp256r1", False)
    assert (folder.state()["cheap_keys"], folder.problems()) == ([], [])
    assert f"{file.stat().st_mode & 0o7777:04o}" == "0600"
    sealed = file.read_bytes()
    # RFC 7914, 7: scrypt with N = 2^14, r = 8 and p = 1, as OpenSSL reads it.
    assert bytes.fromhex("2b06010401da47040b") in base64.b64decode(b"".join(sealed.splitlines()[1:-1]))
    assert internal_ca_key.settle(file, b"correct horse", "secp256r1", False) == ""
    with pytest.raises(ValueError, match="password"):
        internal_ca_key.settle(file, b"wrong", "secp256r1", False)
    assert file.read_bytes() == sealed
