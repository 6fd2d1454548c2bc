"""What is offered in a handshake, and who is refused in it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from estate import ROOT

from .conftest import PROXIES, Visitor

EACH = pytest.mark.parametrize("proxy", PROXIES)
FACTS = yaml.safe_load((ROOT / "roles/proxy/files/tls_profiles.yml").read_text())
MODERN_HOSTS = ("proxy1", "proxy2")
REFUSED_HANDSHAKE = 35
OLD = ("-cipher", "DEFAULT@SECLEVEL=0")


@EACH
@pytest.mark.parametrize("version", ["tls1", "tls1_1"])
def test_old_tls_is_refused(visitor: Visitor, proxy: str, version: str) -> None:
    said = visitor.handshake(proxy, f"-{version}", *OLD)
    assert "alert protocol version" in said
    assert "BEGIN CERTIFICATE" not in said


@EACH
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_tls_from_1_2_is_spoken(visitor: Visitor, proxy: str, version: str) -> None:
    said = visitor.handshake(proxy, f"-{version.lower().replace('v', '').replace('.', '_')}")
    assert re.search(rf"^New, {version}, Cipher is ", said, re.MULTILINE)
    assert "HTTP/1.1 200 OK" in said


@EACH
def test_of_tls_1_2_only_the_guidelines_ciphers_are_spoken(visitor: Visitor, proxy: str) -> None:
    for cipher in ("AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA384"):
        assert "Cipher is (NONE)" in visitor.handshake(proxy, "-tls1_2", "-cipher", cipher)
    for cipher in FACTS["profiles"]["intermediate"]["ciphers"]:
        if "ECDSA" in cipher:  # the lab's certificates
            assert f"New, TLSv1.2, Cipher is {cipher}" in visitor.handshake(proxy, "-tls1_2", "-cipher", cipher)


@EACH
def test_the_key_exchange_is_safe_from_quantum_computers_where_openssl_can(visitor: Visitor, proxy: str) -> None:
    said = visitor.handshake(proxy)
    if proxy in MODERN_HOSTS:
        assert "Negotiated TLS1.3 group: X25519MLKEM768" in said
    else:
        assert "Peer Temp Key: X25519, 253 bits" in said
    for curve in ("X448", "secp521r1"):
        assert "alert handshake failure" in visitor.handshake(proxy, "-curves", curve)


@EACH
def test_the_chain_is_the_sites_own_and_verifies(visitor: Visitor, proxy: str) -> None:
    said = visitor.handshake(proxy, "-showcerts", name="www.shop.lab.test")
    assert "Verification: OK" in said
    assert "Verified peername: www.shop.lab.test" in said
    assert said.count("BEGIN CERTIFICATE") == 1
    assert "Peer signature type: ecdsa_secp256r1_sha256" in said


@EACH
@pytest.mark.parametrize("name", ["unknown.lab.test", "lab.test", ""])
def test_an_unknown_name_gets_no_handshake(visitor: Visitor, proxy: str, name: str) -> None:
    said = visitor.handshake(proxy, name=name)
    assert "unrecognized name" in said
    assert "BEGIN CERTIFICATE" not in said


@pytest.mark.parametrize("proxy", MODERN_HOSTS)
def test_an_unknown_name_gets_none_over_quic_either(visitor: Visitor, proxy: str) -> None:
    answer = visitor.curl(proxy, "https://unknown.lab.test/", "--http3-only")
    assert answer.code != 0
    assert answer.status == 0


def iana(ciphers: list[str]) -> list[str]:
    """Return OpenSSL's names of ciphers as IANA writes them."""
    names = [cipher.replace("-CHACHA20-POLY1305", "-CHACHA20-POLY1305-SHA256") for cipher in ciphers]
    names = [re.sub(r"-AES(\d+)-", r"-WITH-AES-\1-", name).replace("-CHACHA20", "-WITH-CHACHA20") for name in names]
    return [f"TLS_{name.replace('-', '_')}" for name in names]


@EACH
def test_sslyze_finds_the_guideline_kept(visitor: Visitor, proxy: str, tmp_path: Path) -> None:
    profile = FACTS["profiles"]["intermediate"]
    # Mozilla's own form; what the guideline asks of Diffie-Hellman and RSA does not concern these certificates.
    rules = {
        "certificate_curves": ["prime256v1", "secp384r1"],
        "certificate_signatures": ["ecdsa-with-SHA256", "ecdsa-with-SHA384", "ecdsa-with-SHA512"],
        "certificate_types": profile["certificate_types"],
        "ciphers": {"openssl": profile["ciphers"], "caddy": [], "go": [], "iana": iana(profile["ciphers"])},
        "ciphersuites": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
        "dh_param_size": 2048,
        "ecdh_param_size": 256,
        "hsts_min_age": profile["hsts_min_age"],
        "maximum_certificate_lifespan": profile["maximum_certificate_lifespan"],
        "ocsp_staple": False,
        "recommended_certificate_lifespan": 90,
        "rsa_key_size": 2048,
        "server_preferred_order": False,
        "tls_curves": profile["curves"],
        "tls_versions": profile["protocols"],
    }
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    lock = ROOT / "tests" / "tools" / "sslyze.txt"
    options = ["--custom_tls_config", str(tmp_path / "rules.json"), "--sni", "shop.lab.test"]
    options += ["--certinfo_ca_file", str(visitor.estate.state / "ca" / "ca.pem"), f"{visitor.address(proxy)}:443"]
    scan = subprocess.run(  # noqa: S603
        ["uv", "run", "--quiet", "--isolated", "--no-project", "--with-requirements", str(lock), "sslyze", *options],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert "OK - Compliant" in scan.stdout, scan.stdout.rpartition("COMPLIANCE")[2] or scan.stderr
    assert scan.returncode == 0
