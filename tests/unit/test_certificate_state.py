"""certificate_state on folders made for the test: what is well, and the exact reason for what is not."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.certificate_requests import request_problems
from ansible_collections.gatehouse.core.plugins.module_utils.name_constraints import outside
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .conftest import load

certificate_state = load("roles/certificate/library/certificate_state.py")

NOW = datetime.now(UTC)
Key = ec.EllipticCurvePrivateKey


def named(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def signed(
    issuer: str, signer: Key, subject: x509.Name, key: Key, days: float, *extensions: x509.ExtensionType
) -> x509.Certificate:
    start, end = NOW - timedelta(days=100), NOW + timedelta(days=days)
    builder = x509.CertificateBuilder(named(issuer), subject, key.public_key(), 1, start, end)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(signer, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Key) -> bytes:
    pkcs8, open_text = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, open_text)


class Host:
    """A certificate folder with one good certificate for shop.lab.test and 10.0.0.1, 60 days long."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root / "gatehouse", root / "gatehouse" / "shop"
        self.ca_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        permitted = [x509.DNSName("lab.test"), x509.IPAddress(ipaddress.ip_network("10.0.0.0/24"))]
        constraints = x509.NameConstraints(permitted, None)
        self.ca = signed("CA", self.ca_key, named("CA"), self.ca_key, 900, constraints)
        self.folder.mkdir(parents=True)
        self.root.chmod(0o755)
        self.folder.chmod(0o755)
        self.write("privkey.pem", key_pem(self.key), 0o600)
        self.issue()

    def write(self, name: str, data: bytes, mode: int) -> None:
        (self.folder / name).write_bytes(data)
        (self.folder / name).chmod(mode)

    def issue(
        self,
        days: float = 60.5,
        issuer: str = "CA",
        signer: Key | None = None,
        organization: str = "Gatehouse",
        usages: Sequence[x509.ObjectIdentifier] = (),
    ) -> None:
        address = x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
        names = x509.SubjectAlternativeName([x509.DNSName("shop.lab.test"), address])
        subject = named("shop.lab.test", organization)
        usage = [x509.ExtendedKeyUsage(usages)] if usages else []
        leaf = signed(issuer, signer or self.ca_key, subject, self.key, days, names, *usage)
        self.write("fullchain.pem", pem(leaf), 0o644)

    def state(self, request: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        shop = {
            "name": "shop",
            "names": ["shop.lab.test"],
            "addresses": ["10.0.0.1"],
            "source": "internal_ca",
        }
        parameters = {
            "path": str(self.root),
            "requests": [{**shop, **(request or {})}],
            "ca": pem(self.ca).decode(),
            "organization": "Gatehouse",
        }
        answer = certificate_state.state({**parameters, "renew_days": 30, **changes}, NOW)
        assert isinstance(answer, dict)
        return answer

    def reasons(self, **changes: Any) -> list[str]:
        return [entry["reason"] for entry in self.state(**changes)["to_issue"]]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_good_certificate_needs_nothing(host: Host) -> None:
    seen = {
        "name": "shop",
        "names": ["shop.lab.test"],
        "addresses": ["10.0.0.1"],
        "issuer": "CA",
        "end": f"{NOW + timedelta(days=60.5):%Y-%m-%d}",
        "days_left": 60,
    }
    assert host.state() == {
        "cryptography": True,
        "to_issue": [],
        "to_copy": [],
        "foreign": [],
        "modes": [],
        "orphans": [],
        "acme": False,
        "certificates": [
            {
                **seen,
                "usage": "any",
                "key_matches": True,
                "serial": "1",
                "revoked": False,
                "source": "internal_ca",
                "used_by": "",
            }
        ],
        "missing": [],
    }


def test_a_folder_that_is_not_there(host: Host, tmp_path: Path) -> None:
    answer = host.state(path=str(tmp_path / "none"))
    reason = "shop: there is none; issue it for shop.lab.test"
    assert answer["to_issue"] == [{"name": "shop", "reason": reason, "new_key": False}]
    assert (answer["modes"], answer["orphans"], answer["certificates"]) == ([], [], [])


def test_it_ends_soon(host: Host) -> None:
    host.issue(days=29.5)
    assert host.reasons() == ["shop: it has 29 days left; issue it for shop.lab.test"]


def test_it_ends_just_late_enough(host: Host) -> None:
    host.issue(days=30.5)
    assert host.reasons() == []


def test_the_names_changed(host: Host) -> None:
    assert host.reasons(request={"names": ["new.lab.test", "shop.lab.test"]}) == [
        "shop: it is for shop.lab.test, 10.0.0.1; issue it for new.lab.test, shop.lab.test"
    ]


def test_the_addresses_changed(host: Host) -> None:
    assert host.reasons(request={"addresses": []}) == [
        "shop: it is for shop.lab.test, 10.0.0.1; issue it for shop.lab.test"
    ]


def test_a_certificate_of_a_server_is_none_of_a_client(host: Host) -> None:
    host.issue(usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    assert host.reasons(request={"usage": "server"}) == []
    assert host.reasons(request={"usage": "client"}) == ["shop: its usage is server; issue it for shop.lab.test"]
    host.issue(usages=[ExtendedKeyUsageOID.CLIENT_AUTH])
    assert host.reasons(request={"usage": "client"}) == []


def crl_of(host: Host, *numbers: int) -> str:
    """Return the CA's revocation list with these serial numbers."""
    builder = x509.CertificateRevocationListBuilder(named("CA"), NOW, NOW + timedelta(days=9))
    for number in numbers:
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(number, NOW).build())
    return builder.sign(host.ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_what_is_revoked_is_issued_again_with_a_new_key(host: Host) -> None:
    assert host.reasons(crl=crl_of(host, 2)) == []
    assert host.state(crl=crl_of(host, 1, 2))["to_issue"] == [
        {"name": "shop", "reason": "shop: it is revoked; issue it for shop.lab.test", "new_key": True}
    ]
    assert [one["revoked"] for one in host.state(crl=crl_of(host, 1))["certificates"]] == [True]


def test_a_renewal_that_was_asked_for_keeps_the_key(host: Host) -> None:
    assert host.state(renew=True)["to_issue"] == [
        {"name": "shop", "reason": "shop: its renewal was asked for; issue it for shop.lab.test", "new_key": False}
    ]


def test_while_one_ca_replaces_another_neither_is_a_surprise(host: Host) -> None:
    host.issue(issuer="Next", signer=(key := ec.generate_private_key(ec.SECP256R1())))
    other = signed("Next", key, named("Next"), key, 900)
    assert host.state(others=pem(other).decode())["foreign"] == []
    assert host.reasons(others=pem(other).decode()) == [
        "shop: it was issued by another CA, Next; issue it for shop.lab.test"
    ]
    assert len(host.state()["foreign"]) == 1


@pytest.mark.parametrize("issuer", ["Other", "CA"])
def test_another_ca_even_one_of_the_same_name(host: Host, issuer: str) -> None:
    host.issue(issuer=issuer, signer=ec.generate_private_key(ec.SECP256R1()))
    assert host.reasons() == [f"shop: it was issued by another CA, {issuer}; issue it for shop.lab.test"]


@pytest.mark.parametrize("issuer", ["Other", "CA"])
def test_a_live_leaf_of_another_internal_ca_is_foreign(host: Host, issuer: str) -> None:
    host.issue(issuer=issuer, signer=ec.generate_private_key(ec.SECP256R1()))
    end = f"{NOW + timedelta(days=60.5):%Y-%m-%d}"
    assert host.state()["foreign"] == [{"name": "shop", "issuer": issuer, "end": end}]
    # A damaged key makes no difference: the controller still has the wrong CA.
    host.write("privkey.pem", b"junk", 0o600)
    assert len(host.state()["foreign"]) == 1


def test_a_live_leaf_where_the_controller_has_no_ca_is_foreign(host: Host) -> None:
    assert [entry["issuer"] for entry in host.state(ca="")["foreign"]] == ["CA"]


@pytest.mark.parametrize(
    ("days", "organization", "source"),
    [(-0.1, "Gatehouse", "internal_ca"), (60.5, "", "internal_ca"), (60.5, "Gatehouse", "files")],
    ids=["ended", "from a public CA", "now copied"],
)
def test_what_may_be_replaced_unasked(host: Host, days: float, organization: str, source: str) -> None:
    host.issue(days, "Other", ec.generate_private_key(ec.SECP256R1()), organization)
    answer = host.state({"source": source}, chain_sums={"shop": "0"}, key_sums={"shop": "0"})
    assert (answer["foreign"], len(answer["to_issue"] + answer["to_copy"])) == ([], 1)


def test_no_ca_yet(host: Host) -> None:
    assert host.reasons(ca="") == ["shop: there is no CA yet; issue it for shop.lab.test"]


def test_the_key_of_another(host: Host) -> None:
    host.write("privkey.pem", key_pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    assert host.reasons() == ["shop: its key does not belong to it; issue it for shop.lab.test"]


def test_a_key_that_is_gone(host: Host) -> None:
    (host.folder / "privkey.pem").unlink()
    assert host.reasons() == ["shop: its key is missing; issue it for shop.lab.test"]


def test_a_file_that_is_no_certificate(host: Host) -> None:
    host.write("fullchain.pem", b"junk", 0o644)
    assert host.reasons() == ["shop: what is there is no certificate; issue it for shop.lab.test"]
    missing = {"name": "shop", "names": ["shop.lab.test"], "reason": "what is there cannot be read"}
    assert host.state()["missing"] == [missing]
    (host.folder / "fullchain.pem").unlink()
    assert host.state({"source": "files"})["missing"] == [{**missing, "reason": "there is none"}]


def test_wrong_modes_and_orphans(host: Host) -> None:
    (host.folder / "privkey.pem").chmod(0o644)
    host.folder.chmod(0o700)
    (host.root / "old").mkdir()
    answer = host.state()
    assert [(wrong["path"], wrong["mode"], wrong["found"].split()[1]) for wrong in answer["modes"]] == [
        (str(host.folder), "0755", "0700"),
        (str(host.folder / "privkey.pem"), "0600", "0644"),
    ]
    assert answer["orphans"] == ["old"]


@pytest.mark.parametrize(("stale", "text"), [("chain_sums", "chain"), ("key_sums", "key")])
def test_files_are_compared_by_their_sum(host: Host, stale: str, text: str) -> None:
    sums = {
        option: {"shop": hashlib.sha256((host.folder / file).read_bytes()).hexdigest()}
        for option, file in (("chain_sums", "fullchain.pem"), ("key_sums", "privkey.pem"))
    }
    assert host.state({"source": "files"}, ca="", **sums)["to_copy"] == []
    answer = host.state({"source": "files"}, ca="", **{**sums, stale: {"shop": "0"}})
    assert answer["to_copy"] == [{"name": "shop", "reason": f"shop: the {text} differs from the controller's; copy it"}]
    assert answer["to_issue"] == []


def test_without_the_library_it_sees_what_is_there_and_what_is_not(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_state, "HAS_CRYPTOGRAPHY", False)
    assert host.state()["cryptography"] is False
    assert host.reasons() == []
    (host.folder / "fullchain.pem").unlink()
    assert host.reasons() == ["shop: there is none; issue it for shop.lab.test"]


GOOD = {
    "name": "shop",
    "names": ["shop.lab.test"],
    "addresses": [],
    "source": "internal_ca",
    "chain": "",
    "key": "",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"name": "../shop"},
            "certificate_requests[0].name: '../shop' must be letters, digits, '.', '_' or '-', at most 63",
        ),
        ({"names": []}, "certificate_requests[0].names is empty; write at least one DNS name"),
        ({"names": ["a b"]}, "certificate_requests[0].names[0]: 'a b' is not a DNS name in lower case"),
        ({"names": ["a.*.b"]}, "certificate_requests[0].names[0]: 'a.*.b' is not a DNS name in lower case"),
        ({"addresses": ["::01"]}, "certificate_requests[0].addresses[0]: '::01' must be written '::1'"),
        ({"addresses": ["shop"]}, "certificate_requests[0].addresses[0]: 'shop' is not an IP address"),
        (
            {"source": "files", "chain": "a.pem"},
            "certificate_requests[0].key is empty; source files needs the controller's path",
        ),
    ],
)
def test_a_request_that_cannot_be_met(changes: dict[str, Any], expected: str) -> None:
    assert request_problems([{**GOOD, **changes}], 90, 30) == [expected]


def test_requests_that_can_be_met() -> None:
    wildcard = {**GOOD, "name": "a.b_c-1", "names": ["*.shop.lab.test", "localhost"], "addresses": ["::1"]}
    assert request_problems([GOOD, wildcard], 90, 30) == []


def test_a_name_given_twice_and_a_renewal_without_end() -> None:
    assert request_problems([GOOD, GOOD], 30, 30) == [
        "certificate_renew_days is 30 and certificate_days is 30: the first must be above 0 and below the "
        "second, or every run would renew",
        "certificate_requests[1].name: 'shop' is also certificate_requests[0]; give each its own",
    ]


def test_names_that_the_ca_may_not_sign_for(host: Host) -> None:
    names = ["lab.test", "*.lab.test", "shop.lab.test", "evil-lab.test"]
    wanted = {**GOOD, "names": names, "addresses": ["10.0.0.1", "10.0.1.1"]}
    assert outside([wanted], host.ca) == [
        f"certificate_requests[0]: the internal CA may not sign for {name!r}, only for lab.test, "
        "10.0.0.0/24; use another name, or begin a CA that permits it"
        for name in ("evil-lab.test", "10.0.1.1")
    ]
    assert outside([{**wanted, "source": "files"}], host.ca) == []
    # Over ACME a site only starts with such a certificate, and one from files is none of its.
    assert outside([{**wanted, "source": "acme"}, {**wanted, "source": "files"}], host.ca) == []


def test_a_kind_that_the_ca_excludes(host: Host) -> None:
    everything = x509.IPAddress(ipaddress.ip_network("0.0.0.0/0"))
    network = x509.IPAddress(ipaddress.ip_network("10.0.0.0/24"))
    for permitted, excluded, bad, only in (
        (x509.DNSName("lab.test"), everything, "10.0.0.1", "lab.test"),
        (network, x509.DNSName(""), "shop.lab.test", "10.0.0.0/24"),
    ):
        constraints = x509.NameConstraints([permitted], [excluded])
        ca = signed("CA", host.ca_key, named("CA"), host.ca_key, 900, constraints)
        wanted = {**GOOD, "names": ["shop.lab.test"], "addresses": ["10.0.0.1"]}
        assert outside([wanted], ca) == [
            f"certificate_requests[0]: the internal CA may not sign for {bad!r}, only for {only}; use another name, or "
            "begin a CA that permits it"
        ]


def test_over_acme_a_site_starts_with_the_internal_ca(host: Host) -> None:
    over = {"source": "acme"}
    assert host.reasons(request=over) == []
    host.issue(days=20.5)
    assert host.reasons(request=over) == ["shop: it has 20 days left; issue it for shop.lab.test"]
    (host.folder / "fullchain.pem").unlink()
    assert host.reasons(request=over) == ["shop: there is none; issue it for shop.lab.test"]


def test_what_an_authority_issued_is_left_to_the_unit_that_keeps_it(host: Host) -> None:
    over = {"source": "acme", "names": ["other.lab.test"], "addresses": []}
    host.issue(days=1, issuer="An authority", signer=ec.generate_private_key(ec.SECP256R1()), organization="")
    assert (host.reasons(request=over), host.state(request=over)["foreign"]) == ([], [])
    assert host.reasons(request={"names": ["other.lab.test"]}) != []
    host.write("privkey.pem", key_pem(ec.generate_private_key(ec.SECP256R1())), 0o600)
    assert host.reasons(request=over) == ["shop: its key does not belong to it; issue it for other.lab.test"]
