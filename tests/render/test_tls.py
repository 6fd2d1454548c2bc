"""TLS, the versions of HTTP, and who is refused, asserted on the parsed tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from .conftest import ROLE, Block
from .test_proxy import estate

Render = Callable[..., Block]
FACTS = yaml.safe_load((ROLE / "files" / "tls_profiles.yml").read_text())
KEYS = "/var/lib/gatehouse/session-tickets"


def staffed(**wanted: Any) -> dict[str, Any]:
    """Return the small estate with a site beside it that asks for certificates."""
    variables = estate()
    site = variables["proxy_sites"][0]
    staff = {**site, "name": "staff", "server_names": ["staff.example.com"], "client_certificates": wanted}
    return variables | {"proxy_sites": [site, staff]}


@pytest.mark.parametrize("profile", ["modern", "intermediate"])
def test_a_profile_is_rendered_as_the_guideline_has_it(render: Render, profile: str) -> None:
    http, facts = render(**estate(proxy_tls_profile=profile)), FACTS["profiles"][profile]
    assert http.arguments("ssl_protocols") == [tuple(facts["protocols"])]
    assert http.arguments("ssl_ciphers") == ([(":".join(facts["ciphers"]),)] if facts["ciphers"] else [])
    assert http.arguments("ssl_ecdh_curve") == [("X25519MLKEM768:X25519:prime256v1:secp384r1",)]
    assert http.arguments("ssl_prefer_server_ciphers") == [("off",)]


def test_the_modern_profile_has_no_version_below_1_3() -> None:
    assert FACTS["profiles"]["modern"]["protocols"] == ["TLSv1.3"]


def test_a_curve_that_the_hosts_openssl_has_not_is_left_out(render: Render) -> None:
    http = render(**estate(ansible_facts={"distribution_major_version": "12"}))
    assert http.arguments("ssl_ecdh_curve") == [("X25519:prime256v1:secp384r1",)]


def test_tickets_are_sealed_by_the_first_of_three_keys_and_no_cache_stands_beside_them(render: Render) -> None:
    http = render(**estate())
    assert http.arguments("ssl_session_ticket_key") == [
        (f"{KEYS}/{name}.key",) for name in ("current", "next", "previous")
    ]
    assert http.arguments("ssl_session_tickets") == [("on",)]
    assert "ssl_session_cache" not in {directive.name for directive in http.walk()}


def test_http_3_listens_beside_http_2_and_says_so(render: Render) -> None:
    http = render(**estate(proxy_http3=True))
    site = http.https_server("example.com")
    assert ("*:443", "quic") in site.arguments("listen")
    assert ("[::]:443", "quic") in site.arguments("listen")
    # Once for each address: nginx refuses a second `reuseport`.
    with_sockets = [
        listen for server in http.all("server") for listen in server.arguments("listen") if "reuseport" in listen
    ]
    assert with_sockets == [
        ("*:443", "quic", "default_server", "reuseport"),
        ("[::]:443", "quic", "default_server", "reuseport"),
    ]
    assert ("Alt-Svc", "$gatehouse_alt_svc", "always") in site.arguments("add_header")
    assert http.one("map", "$https", "$gatehouse_alt_svc").one("on").args == ('h3=":443"; ma=86400',)


def test_without_http_3_nothing_speaks_of_it(render: Render) -> None:
    http = render(**estate())
    assert not [block for block in http.walk() if "quic" in block.args or "Alt-Svc" in block.args]


@pytest.mark.parametrize(("mode", "directive"), [("required", "on"), ("optional", "optional")])
def test_a_site_that_asks_for_certificates_holds_them_against_its_authorities(
    render: Render, mode: str, directive: str
) -> None:
    http = render(**staffed(mode=mode, ca="/srv/ca.pem", crl="/srv/crl.pem", depth=2))
    site = http.https_server("staff.example.com")
    assert site.arguments("ssl_verify_client") == [(directive,)]
    assert site.arguments("ssl_verify_depth") == [("2",)]
    assert site.arguments("ssl_client_certificate") == [("active/clients/staff/ca.pem",)]
    assert site.arguments("ssl_crl") == [("active/clients/staff/crl.pem",)]
    # A resumed session would not be held against the revocation list.
    assert site.arguments("ssl_session_tickets") == [("off",)]
    assert not [block for block in http.https_server("example.com").walk() if block.name.startswith("ssl_verify")]


def test_a_site_knows_its_visitors_by_their_names(render: Render) -> None:
    http = render(**staffed(mode="required", ca="/srv/ca.pem", names=["ada.lab.test"]))
    known = http.one("map", "$ssl_client_s_dn", "$gatehouse_client_known_staff")
    # Within quotes nginx reads two backslashes as one, and crossplane both.
    patterns = {block.name.replace("\\\\", "\\"): block.args for block in known.block}
    assert patterns == {"default": ("0",), r"~*(^|(?<!\\),)CN=ada\.lab\.test(,|$)": ("1",)}


def test_without_a_revocation_list_none_is_named(render: Render) -> None:
    site = render(**staffed(mode="required", ca="/srv/ca.pem")).https_server("staff.example.com")
    assert not site.all("ssl_crl")


def test_what_a_member_gets_of_a_certificate_comes_from_nginx_alone(render: Render) -> None:
    http = render(**estate())
    for name, said in (("verify", "SUCCESS"), ("dn", "$ssl_client_s_dn")):
        reported = http.one("map", "$ssl_client_verify", f"$gatehouse_client_{name}")
        assert {block.name: block.args for block in reported.block} == {"default": ("",), "SUCCESS": (said,)}
