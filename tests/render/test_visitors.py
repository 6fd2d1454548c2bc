"""What is between a stranger and a site: each defence in the templates has a test that its deletion fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROLE, Block
from .test_sites import USERS, estate, place

Render = Callable[..., Block]
SPEC = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
UNTRUSTED = SPEC["proxy_passed_headers"]["choices"]
# Those that a review found frameworks to believe.
REVIEWED = {
    "Forwarded", "Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded-Ssl", "X-Forwarded-Protocol",
    "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Original-URL", "X-Rewrite-URL",
    "X-HTTP-Method-Override", "X-Sendfile-Type", "X-Accel-Mapping", "Gatehouse-Trace", "Gatehouse-Member",
}  # fmt: skip


@pytest.fixture
def authority(tmp_path: Path) -> str:
    (tmp_path / "ca.pem").write_text("authority\n")
    return str(tmp_path / "ca.pem")


def combined(authority: str) -> list[dict[str, Any]]:
    """Return a site for every combination of how it is served and who may come, the refused ones of preflight too."""
    sites: list[dict[str, Any]] = []
    for https, http, mode, named, guarded in itertools.product(
        (True, False), ("redirect", "serve", "refuse"), ("none", "optional", "required"), (0, 1), (0, 1)
    ):
        if (not https and (http != "serve" or mode != "none")) or (named and mode == "none"):
            continue
        name = f"s{len(sites)}"
        asked = {"mode": mode, "ca": authority, "names": ["ann"] if named else []} if mode != "none" else {}
        site = {"name": name, "server_names": [f"{name}.test", f"*.{name}.test"], "https": https, "http": http}
        site |= {"client_certificates": asked, "locations": [{"path": "/", "upstream": "app"}], "catch_all": False}
        site |= {"deny": ["10.0.0.0/8"], "basic_auth": {"users": USERS}} if guarded else {}
        site |= {"certificate": {"source": "acme"}} if guarded and https else {}
        sites.append(site)
    return sites


def servers(http: Block, site: dict[str, Any]) -> Iterator[tuple[set[str], Block]]:
    """Yield (ports, server) of a site."""
    for server in http.all("server"):
        if server.one("server_name").args[0] == site["server_names"][0]:
            yield {listen[0].rpartition(":")[2] for listen in server.arguments("listen")}, server


def refusals(server: Block) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return {condition: what is returned} of a server's `if`s."""
    return {one.args: one.one("return").args for one in server.all("if")}


def test_every_combination_of_a_site_keeps_its_guards(render: Render, authority: str) -> None:
    sites = combined(authority)
    http = render(**estate() | {"proxy_sites": sites})
    assert len(sites) > 30
    for site in sites:
        found = list(servers(http, site))
        assert found
        asked = site["client_certificates"].get("mode", "none")
        for ports, server in found:
            refused, locations = refusals(server), {one.args for one in server.all("location")}
            assert refused[("$gatehouse_unprintable",)] == ("400",)
            if not server.all("root"):  # port 80 of a site that is not served there
                assert ports == {"80"}
                assert locations <= {("/",), ("^~", "/.well-known/acme-challenge/")}
                assert (site["https"], site["http"]) != (True, "serve")
                assert not [one for one in server.walk() if one.name == "proxy_pass"]
                continue
            expected: dict[tuple[str, ...], tuple[str, ...]] = {("$gatehouse_unprintable",): ("400",)}
            if asked != "none":
                expected[(f"$gatehouse_client_astray_{site['name']}",)] = ("421",)
            if asked == "required":
                expected[("$ssl_client_verify", "!=", "SUCCESS")] = ("403",)
            if site["client_certificates"].get("names"):
                expected[(f"$gatehouse_client_known_{site['name']}", "=", "0")] = ("403",)
            assert refused == expected
            assert server.arguments("ssl_verify_client") == {"none": [], "optional": [("optional",)]}.get(
                asked, [("on",)]
            )
            guards = [*server.arguments("deny"), *server.arguments("auth_basic")]
            assert guards == ([("10.0.0.0/8",), ("Restricted",)] if "deny" in site else [])
            assert server.one("root").args == ("/nonexistent",)
            if asked != "none" and ports > {"80"}:  # past preflight only
                assert site["http"] == "serve"


def test_only_the_name_in_the_handshake_leads_to_a_site_with_certificates(render: Render, authority: str) -> None:
    asked = {"client_certificates": {"mode": "optional", "ca": authority, "names": ["ann"]}}
    http = render(**estate(site=asked | {"server_names": ["example.com", "*.example.com"]}))
    met = http.one("map", "$ssl_server_name", "$gatehouse_client_met_shop")
    assert [(one.name, *one.args) for one in met.block] == [
        ("hostnames",), ("default", "0"), ("*.example.com", "1"), ("example.com", "1"),
    ]  # fmt: skip
    astray = http.one("map", "$https$gatehouse_client_met_shop", "$gatehouse_client_astray_shop")
    assert [(one.name, *one.args) for one in astray.block] == [("default", ""), ("on0", "1")]
    known = http.one("map", "$ssl_client_s_dn", "$gatehouse_client_known_shop")
    assert [one.args for one in known.all("default")] == [("0",)]
    assert len(known.block) == 2
    # What answers for every name has met everybody by its own authority already.
    http = render(**estate(site=asked | {"catch_all": True}))
    assert not http.all("map", "$ssl_server_name")


def test_every_upstream_is_spared_what_visitors_claim(render: Render) -> None:
    assert set(UNTRUSTED) >= REVIEWED
    script = {"root": "/srv/app/public", "script": "index.php"}
    http = render(
        **estate(
            {"path": "/live", "upstream": "app", "websocket": True},
            {"path": "/own", "upstream": "app", "request_headers": [{"name": "X-A", "value": "b"}]},
            {"path": "/staff", "upstream": "app", "basic_auth": {"users": USERS}},
            {"path": "/rpc", "upstream": "app", "protocol": "grpc"},
            {"path": "/php", "upstream": "app", "protocol": "fastcgi", "fastcgi": script},
        )
    )
    server = http.https_server("example.com")
    levels = [
        (http, "proxy_set_header"),
        *((place(http, path), "proxy_set_header") for path in ("/live", "/own", "/staff")),
    ]
    levels += [(place(http, "/rpc"), "grpc_set_header")]
    for level, directive in levels:
        assert {(name, "") for name in UNTRUSTED} <= set(level.arguments(directive))
    parameters = set(server.one("location", "@fastcgi_prefix_2f_php").arguments("fastcgi_param"))
    assert {(f"HTTP_{name.upper().replace('-', '_')}", "") for name in UNTRUSTED} <= parameters


def test_a_header_is_let_through_from_balancers_or_whoever_comes(render: Render) -> None:
    passed: dict[str, Any] = {"proxy_passed_headers": ["X-Forwarded-Prefix"]}
    names = [name for name, _ in render(**estate(**passed)).arguments("proxy_set_header")]
    assert "X-Forwarded-Prefix" not in names
    assert "Forwarded" in names
    http = render(**estate(**passed, proxy_real_ip_sources=["10.0.0.1"]))
    assert ("X-Forwarded-Prefix", "$gatehouse_balancer_x_forwarded_prefix") in http.arguments("proxy_set_header")
    believed = http.one("map", "$gatehouse_from_balancer", "$gatehouse_balancer_x_forwarded_prefix")
    assert [(one.name, *one.args) for one in believed.block] == [("default", ""), ("1", "$http_x_forwarded_prefix")]


def test_a_location_may_say_such_a_header_itself(render: Render) -> None:
    own = {"path": "/own", "upstream": "app", "request_headers": [{"name": "x-forwarded-prefix", "value": "/own"}]}
    headers = place(render(**estate(own)), "/own").arguments("proxy_set_header")
    assert [one for one in headers if one[0].lower() == "x-forwarded-prefix"] == [("x-forwarded-prefix", "/own")]


def test_members_do_not_steer_nginx(render: Render) -> None:
    http = render(**estate())
    everything = {f"X-Accel-{name}" for name in ("Redirect", "Expires", "Limit-Rate", "Buffering", "Charset")}
    assert set(http.one("proxy_ignore_headers").args) == everything
    assert set(http.one("fastcgi_ignore_headers").args) == everything
    assert set(http.one("grpc_ignore_headers").args) == {"X-Accel-Redirect", "X-Accel-Charset"}
    nested = {one.name for one in http.walk()} - {one.name for one in http.block}
    assert not [name for name in nested if name.endswith("_ignore_headers")]


def test_a_planted_link_is_not_followed(render: Render) -> None:
    script = {"root": "/srv/app/current/public", "script": "index.php"}
    http = render(
        **estate(
            {"path": "/php", "upstream": "app", "protocol": "fastcgi", "fastcgi": script},
            {"path": "/files/", "static": {"dir": "/srv/files"}},
        )
    )
    for path in ("/php", "/files/"):
        assert place(http, path).arguments("disable_symlinks") == [("if_not_owner", "from=$document_root")]


def test_one_address_has_generous_limits_everywhere(render: Render) -> None:
    few = {"path": "/few/", "upstream": "app", "connection_limits": [{"name": "few", "connections": 2}]}
    http = render(**estate(few, proxy_connection_limits=[{"name": "few"}]))
    assert http.one("keepalive_requests").args == ("1000",)
    assert http.one("max_ranges").args == ("16",)
    limits = [("client_requests", "2000"), ("websocket_clients", "500")]
    assert http.https_server("example.com").arguments("limit_conn") == limits
    assert place(http, "/few/").arguments("limit_conn") == [("connections_few", "2"), *limits]
    zones = http.arguments("limit_conn_zone")
    assert {key for key, zone in zones if "client" in zone} == {"$binary_remote_addr", "$gatehouse_websocket_client"}
    counted = http.one("map", "$gatehouse_upgrade", "$gatehouse_websocket_client")
    assert [(one.name, *one.args) for one in counted.block] == [("default", ""), ("websocket", "$binary_remote_addr")]
    without = render(**estate(proxy_client_requests=0, proxy_client_websockets=0))
    assert not [one for one in without.walk() if one.name == "limit_conn"]


def test_whom_nginx_refuses_reads_why_from_nobody_but_nginx(render: Render) -> None:
    guarded = {"deny": ["10.0.0.0/8"], "basic_auth": {"users": USERS}}
    page = place(render(**estate(site=guarded)), "^~", "/.gatehouse/")
    assert page.arguments("allow") == [("all",)]
    assert page.arguments("auth_basic") == [("off",)]
    assert page.all("internal")
    assert ("Cache-Control", "no-store", "always") in page.arguments("add_header")


def test_an_endpoint_without_its_application_closes(render: Render) -> None:
    server = render(**estate(site={"unavailable": "close"})).https_server("example.com")
    assert server.arguments("error_page") == [("502", "504", "=", "@close")]
    assert server.one("location", "@close").arguments("return") == [("444",)]


def test_hsts_is_said_over_https_only(render: Render) -> None:
    reported = render(**estate()).one("map", "$https", "$gatehouse_hsts")
    assert [(one.name, *one.args) for one in reported.block] == [("default", ""), ("on", "max-age=63072000")]


def test_slow_visitors_and_forged_addresses_meet_their_limits(render: Render) -> None:
    http = render(**estate(proxy_client_timeout=7, proxy_real_ip_sources=["10.0.0.1"]))
    assert http.arguments("client_header_timeout") == [("7s",)]
    assert http.arguments("client_body_timeout") == [("7s",)]
    assert http.arguments("reset_timedout_connection") == [("on",)]
    assert http.arguments("real_ip_recursive") == [("on",)]
    assert http.arguments("absolute_redirect") == [("off",)]


def test_each_authority_has_a_cache_of_sessions_of_its_own(render: Render, authority: str) -> None:
    names = set()
    for text in ("one", "other"):
        Path(authority).write_text(text)
        asked = {"client_certificates": {"mode": "required", "ca": authority, "resume": True}}
        server = render(**estate(site=asked), ansible_check_mode=False, authority=text).https_server("example.com")
        assert server.arguments("ssl_session_tickets") == [("off",)]
        names |= set(server.arguments("ssl_session_cache"))
    assert len(names) == 2


def test_an_index_is_the_one_that_was_named(render: Render) -> None:
    files = {"path": "/files/", "static": {"dir": "/srv/files", "index": "start.html"}}
    assert place(render(**estate(files)), "/files/").one("index").args == ("start.html",)


def test_answers_to_credentials_are_for_one(render: Render) -> None:
    http = render(**estate(proxy_caches=[{"name": "pages"}]))
    shared = http.one("map", "$upstream_http_cache_control", "$gatehouse_cache_unshared")
    assert shared.one("default").args == ("1",)
    private = http.one("map", "$http_authorization", "$gatehouse_cache_private")
    assert [(one.name, *one.args) for one in private.block] == [("default", "$gatehouse_cache_unshared"), ("", "")]
    vary = http.one("map", "$upstream_http_vary", "$gatehouse_cache_vary_all")
    assert [(one.name, *one.args) for one in vary.block] == [("default", ""), ("~[*]", "1")]
