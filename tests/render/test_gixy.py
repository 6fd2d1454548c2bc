"""gixy reads the trees that the role renders, and finds nothing but what is waived here with its reason.

It runs beside the project's own packages, because it brings another `crossplane`. It knows no version of nginx:
Debian mends 1.22 and 1.26 without a new number, so a list of holes by number says nothing of its packages.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, render_files
from .test_proxy import estate

# (gixy's check, words of what it says): why it is right all the same.
WAIVED = {
    (
        "ssl_ecdh_curve",
        "X25519MLKEM768",
    ): "named only on hosts whose OpenSSL knows it, and tested there before it is live",
    (
        "http_splitting",
        "$gatehouse_client_dn",
    ): "OpenSSL writes a name after RFC 2253, with line breaks escaped",
    (
        "http_splitting",
        "$gatehouse_cache_age",
    ): "njs writes digits, and a header that nginx read ends with its line",
    ("http_splitting", "$gatehouse_cache_after"): "njs returns an empty text, for what it does besides",
}


def findings(folder: Path, files: dict[str, str]) -> list[dict[str, Any]]:
    """Return what gixy finds in a tree of {path: text}."""
    for path, text in {**files, "identity.conf": "# nginx_tree writes this file.\n"}.items():
        (folder / "active" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "active" / path).write_text(text)
    (folder / "nginx.conf").symlink_to("active/nginx.conf")
    lock = ROOT / "tests" / "tools" / "gixy.txt"
    run = subprocess.run(
        ["uv", "run", "--quiet", "--isolated", "--no-project", "--with-requirements", str(lock),
         "gixy", "--format", "json", "nginx.conf"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.stdout.startswith("["), run.stderr
    return list(json.loads(run.stdout))


def waiver(finding: dict[str, Any]) -> tuple[str, str] | None:
    """Return the waiver that a finding falls under."""
    words = f"{finding['reason']} {finding['config']}"
    return next((key for key in WAIVED if key[0] == finding["plugin"] and key[1] in words), None)


def shop(**more: Any) -> dict[str, Any]:
    """Return the small estate, with everything in it that TLS has."""
    variables = estate(proxy_http3=True, proxy_cache_age=True, **more)
    site = variables["proxy_sites"][0]
    staff = {**site, "name": "staff", "server_names": ["staff.example.com"], "client_certificates": visitors()}
    return variables | {"proxy_sites": [site, staff]}


def visitors() -> dict[str, str]:
    return {"mode": "required", "ca": "/srv/ca.pem", "crl": "/srv/crl.pem"}


def test_gixy_finds_nothing_in_a_tree(tmp_path: Path) -> None:
    found = findings(tmp_path, render_files(**shop()))
    assert [finding for finding in found if not waiver(finding)] == []
    assert {waiver(finding) for finding in found} == set(WAIVED), "a waiver that nothing needs"


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("ssrf", "server { location ~ ^/(.*)$ { proxy_pass http://$1; } }"),
        ("host_spoofing", "server { location / { proxy_set_header Host $http_host; proxy_pass http://storefront; } }"),
        ("add_header_redefinition", "server { add_header A a; location / { add_header B b; return 200; } }"),
    ],
)
def test_gixy_finds_what_should_not_be_there(tmp_path: Path, check: str, text: str) -> None:
    found = findings(tmp_path, render_files(**shop()) | {"sites/bad.conf": text})
    assert check in {finding["plugin"] for finding in found if not waiver(finding)}
