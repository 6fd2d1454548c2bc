"""certificate_problems: what is said of certificates made here, good and bad in each way."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.certificates import (
    acme_problems,
    certificate_problems,
    long_client_names,
    unpermitted_names,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass
class Certificate:
    """A certificate with its key."""

    own: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.own.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, passphrase: bytes = b"") -> str:
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        return self.key.private_bytes(*form, encryption).decode()


def make(
    name: str,
    issuer: Certificate | None = None,
    names: tuple[str, ...] = (),
    start: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + 100 * DAY,
) -> Certificate:
    """Make a certificate: a self-signed authority, or one that `issuer` signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(issuer.own.subject if issuer else subject).not_valid_before(start)
    builder = builder.not_valid_after(end).serial_number(x509.random_serial_number())
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    builder = builder.add_extension(x509.BasicConstraints(ca=not names, path_length=None), True)
    return Certificate(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


ROOT = make("root")
MIDDLE = make("middle", ROOT)
LEAF = make("shop.example.org", MIDDLE, ("shop.example.org", "*.example.net"))
OTHER = make("other", MIDDLE, ("other.example.org",))
NAMES = ["shop.example.org"]


def problems(chain: str, names: list[str], key: str = "", now: datetime.datetime = NOW) -> list[str]:
    found = certificate_problems(chain, names, key, now.isoformat(), 30)
    return [f"{one['level']}: {one['path'][0]} {one['problem']} -> {one['remedy']}" for one in found]


@pytest.mark.parametrize(
    "names", [["shop.example.org"], ["SHOP.example.org"], ["a.example.net"], ["*.example.net"], []]
)
def test_a_good_chain_has_no_problem(names: list[str]) -> None:
    assert problems(LEAF.pem + MIDDLE.pem, names, LEAF.key_pem()) == []
    assert problems(LEAF.pem + MIDDLE.pem + ROOT.pem, names, LEAF.key_pem()) == []


@pytest.mark.parametrize(
    "name",
    ["example.net", "a.b.example.net", "example.org", "*.example.org", "*.shop.example.org", "shop.example.org.x"],
)
def test_a_name_that_is_not_covered(name: str) -> None:
    assert problems(LEAF.pem + MIDDLE.pem, [*NAMES, name]) == [
        f"error: chain does not cover {name}; it is for shop.example.org, *.example.net"
        " -> use a certificate for all the server names, or change server_names"
    ]


def test_the_common_name_does_not_count() -> None:
    assert problems(make("shop.example.org").pem, NAMES) == [
        "error: chain does not cover shop.example.org; it is for no name"
        " -> use a certificate for all the server names, or change server_names"
    ]


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (
            NOW + 101 * DAY,
            "error: chain the certificate expired on 2026-09-09 -> put the renewed certificate there",
        ),
        (NOW + 80 * DAY, "warning: chain the certificate expires in 20 days, on 2026-09-09 -> renew it"),
        (
            NOW - 2 * DAY,
            "error: chain the certificate is not valid before 2026-05-31"
            " -> put one there that is valid now, or set the controller's clock",
        ),
    ],
)
def test_validity(now: datetime.datetime, text: str) -> None:
    assert problems(LEAF.pem, NAMES, now=now) == [text]


def test_an_issuer_that_expired() -> None:
    middle = make("middle", ROOT, end=NOW - DAY / 2)
    leaf = make("leaf", middle, ("shop.example.org",))
    assert problems(leaf.pem + middle.pem, NAMES) == [
        "error: chain certificate 2 expired on 2026-06-01 -> put the renewed certificate there"
    ]


ORDER = " -> write the server's certificate first, then each issuer below what it signed"


def test_order() -> None:
    assert problems(LEAF.pem + ROOT.pem + MIDDLE.pem, NAMES) == [
        "error: chain is out of order: certificate 1 is not issued by certificate 2" + ORDER
    ]
    # An authority of the same name that did not sign it.
    assert problems(LEAF.pem + make("middle", ROOT).pem, NAMES) == [
        "error: chain is out of order: certificate 1 is not issued by certificate 2" + ORDER
    ]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            OTHER.key_pem(),
            "error: key does not belong to the certificate -> name the key that the certificate was made with",
        ),
        (
            LEAF.key_pem(b"hidden"),
            "error: key is encrypted, and nginx cannot ask for its passphrase"
            " -> store it without a passphrase and encrypt the file with ansible-vault",
        ),
        (
            "nothing",
            "error: key is no private key in PEM -> name the file whose first line says BEGIN PRIVATE KEY",
        ),
        (
            LEAF.pem,
            "error: key is no private key in PEM -> name the file whose first line says BEGIN PRIVATE KEY",
        ),
    ],
)
def test_key(key: str, text: str) -> None:
    assert problems(LEAF.pem + MIDDLE.pem, NAMES, key) == [text]


def test_what_is_no_certificate() -> None:
    for chain in ("nothing", LEAF.key_pem(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        assert problems(chain, NAMES) == [
            "error: chain has no certificate in PEM -> name the file that begins with -----BEGIN CERTIFICATE-----"
        ]


@pytest.mark.parametrize(
    ("domains", "names", "paths"),
    [
        ([], ["shop.test"], []),
        (["shop.test"], ["shop.test", "a.b.Shop.test", "*.shop.test"], []),
        ([".Shop.test"], ["www.shop.test"], []),
        (["shop.test"], ["myshop.test", "*.test", "test"], [0, 1]),
        (["a.test", "b.test"], ["b.test", "c.test"], [1]),
        (None, ["shop.test"], []),
    ],
)
def test_names_that_the_internal_ca_may_not_sign_for(domains: Any, names: Any, paths: list[int]) -> None:
    sites = [{"name": "shop", "server_names": names}]
    requests = [{"name": "shop", "names": names, "source": "internal_ca"}]
    for variable, key, entries in (("proxy_sites", "server_names", sites), ("certificate_requests", "names", requests)):
        values = {"internal_ca_permitted_dns": domains, variable: entries}
        found = unpermitted_names(values)
        assert [problem["path"] for problem in found] == [[variable, 0, key, path] for path in paths]
    both = {"internal_ca_permitted_dns": domains, "proxy_sites": sites, "certificate_requests": requests}
    assert [problem["path"][0] for problem in unpermitted_names(both)] == ["proxy_sites"] * len(paths)


def test_names_of_certificates_from_files_are_free() -> None:
    site = {"name": "shop", "server_names": ["shop.test"], "certificate": {"source": "files"}}
    values = {"internal_ca_permitted_dns": ["example.com"], "proxy_sites": [site, "none", {"server_names": 1}]}
    assert unpermitted_names(values) == []


@pytest.mark.parametrize(
    ("changes", "length", "refused"),
    [
        ({}, 65, True),
        ({}, 64, False),
        ({"usage": "server"}, 65, False),
        ({"source": "files"}, 65, False),
        ({"names": []}, 65, False),
        ({"names": ["short.test", "a" * 65]}, 65, False),
    ],
)
def test_a_client_has_a_name_that_a_common_name_holds(changes: dict[str, Any], length: int, refused: bool) -> None:
    request = {"name": "upstreams", "names": ["a" * length], "source": "internal_ca", "usage": "client", **changes}
    problem = {
        "path": ["certificate_requests", 1, "names", 0],
        "problem": f"{'a' * 65} has 65 characters, and a common name, by which a client is known, holds 64",
        "remedy": "shorten internal_domain, or the host's name in the inventory",
        "level": "error",
    }
    assert long_client_names({"certificate_requests": ["none", request]}) == ([problem] if refused else [])


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("directory", "https://ca.example:14000/dir", ""),
        ("directory", "", 'is "", which is not the directory of an ACME authority'),
        (
            "directory",
            "http://ca.example/dir",
            'is "http://ca.example/dir", which is not the directory of an ACME authority',
        ),
        (
            "directory",
            "https://ca/\nx = y",
            'is "https://ca/\\nx = y", which is not the directory of an ACME authority',
        ),
        ("email", "", ""),
        ("email", "me@example.com", ""),
        ("email", "me@example.com\nx", 'is "me@example.com\\nx", which is not an address for mail'),
    ],
)
def test_an_authority_that_cannot_be(variable: str, value: str, problem: str) -> None:
    variable = f"certificate_acme_{variable}"
    sites = [{"name": "shop", "server_names": ["a.test"], "certificate": {"source": "acme"}}]
    found = acme_problems({"proxy_sites": sites, variable: value})
    assert [(one["path"], one["problem"]) for one in found] == ([([variable], problem)] if problem else [])
    assert acme_problems({"proxy_sites": [], variable: value}) == []


def test_what_a_site_over_acme_starts_with_is_trusted_by_nobody() -> None:
    site = {"name": "shop", "server_names": ["shop.test"], "certificate": {"source": "acme"}}
    request = {"name": "shop", "names": ["shop.test"], "source": "acme"}
    values = {"internal_ca_permitted_dns": ["example.com"], "proxy_sites": [site], "certificate_requests": [request]}
    assert unpermitted_names(values) == []


@pytest.mark.parametrize(
    ("variable", "remedy"), [("proxy_sites", "domains"), ("certificate_requests", "internal_ca_permitted_dns")]
)
def test_a_domain_is_added_where_an_operator_writes_it(variable: str, remedy: str) -> None:
    entry = {"name": "shop", "server_names": ["shop.test"], "names": ["shop.test"], "source": "internal_ca"}
    found = unpermitted_names({"internal_ca_permitted_dns": ["example.com"], variable: [entry]})
    assert [one["remedy"] for one in found] == [f"add its domain to {remedy}"]
