"""Sites and locations: what each of their fields becomes, asserted on the parsed tree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError

from .conftest import Block, render_files
from .test_gixy import findings, waiver

Render = Callable[..., Block]
UPSTREAM = {"name": "app", "transport": "http", "members": [{"name": "app1", "address": "10.10.0.101", "port": 5000}]}
USERS = [{"name": "bob", "password_hash": "$5$salt$bbbbbbbb"}, {"name": "ann", "password_hash": "$5$salt$aaaaaaaa"}]


def estate(*locations: dict[str, Any], site: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the variables of one site with these locations (`/` goes to the application)."""
    places = [{"path": "/", "upstream": "app"}, *locations]
    shop = {"name": "shop", "server_names": ["example.com"], "locations": places, **(site or {})}
    return {"proxy_sites": [shop], "proxy_upstreams": [UPSTREAM], **more}


def place(http: Block, *words: str) -> Block:
    return http.https_server("example.com").one("location", *words)


def test_a_location_that_says_nothing_of_its_own_is_short(render: Render) -> None:
    location = place(render(**estate()), "/")
    usual = "$gatehouse_beyond_get_head_post_put_patch_delete_options"
    assert [(directive.name, *directive.args) for directive in location.block] == [
        ("set", "$gatehouse_methods", usual),
        ("if", usual),
        ("proxy_pass", "http://app"),
    ]
    any_method = place(render(**estate({"path": "/dav/", "upstream": "app", "methods": []})), "/dav/")
    assert [directive.name for directive in any_method.block] == ["proxy_pass"]


def test_other_methods_are_answered_with_those_that_there_are(render: Render) -> None:
    dav = {"path": "/dav/", "upstream": "app", "methods": ["GET", "PROPFIND", "VERSION-CONTROL"]}
    http = render(**estate(dav, {"path": "/files/", "static": {"dir": "/srv"}}))
    beyond = "$gatehouse_beyond_get_propfind_version_control"
    assert place(http, "/dav/").one("if", beyond).block == (Block("return", ("405",), ()),)
    assert place(http, "/dav/").one("set").args == ("$gatehouse_methods", beyond)
    listed = {one.name: one.args[0] for one in http.one("map", "$request_method", beyond).block}
    assert listed == {"default": "GET, PROPFIND, VERSION-CONTROL", "GET": "", "PROPFIND": "", "VERSION-CONTROL": ""}
    assert place(http, "/files/").one("if").args == ("$gatehouse_beyond_get_head",)
    assert ("Allow", "$gatehouse_allow", "always") in http.http_server("example.com").arguments("add_header")


def test_a_policy_on_trial_is_reported_to_a_bounded_place(render: Render) -> None:
    assert "gatehouse_csp" not in json.dumps(render_files(**estate()))
    http = render(**estate(site={"content_security_policy_report_only": "default-src 'self'"}))
    trial = http.one("map", "$upstream_http_content_security_policy_report_only", "$gatehouse_csp_trial_shop")
    assert trial.block[1].args == ("default-src 'self'; report-uri /.gatehouse/csp-reports",)
    reports = place(http, "=", "/.gatehouse/csp-reports")
    assert [one.args[0] for one in http.all("log_format")] == [
        "gatehouse_csp",
        "gatehouse_ascii",
        "gatehouse_beyond_ascii",
    ]
    assert reports.arguments("limit_req")[0] == ("zone=csp_reports", "burst=30", "nodelay")
    assert reports.arguments("client_max_body_size") == [("8k",)]
    assert ("$server_name", "zone=csp_reports:1m", "rate=10r/m") in http.arguments("limit_req_zone")


@pytest.mark.parametrize(
    ("https", "http", "ports"),
    [
        (True, "redirect", {":443": True, ":80": False}),
        (True, "serve", {":443": True, ":80": True}),
        (True, "refuse", {":443": True}),
        (False, "serve", {":80": True}),
    ],
)
def test_ports_of_a_site(render: Render, https: bool, http: str, ports: dict[str, bool]) -> None:
    servers = [
        server
        for server in render(**estate(site={"https": https, "http": http})).all("server")
        if "example.com" in server.one("server_name").args
    ]
    found = {
        listen[0][listen[0].rindex(":") :]: bool(server.all("location", "/"))
        for server in servers
        for listen in server.arguments("listen")
    }
    assert found == ports


def test_a_site_without_https_names_no_certificate(render: Render) -> None:
    http = render(**estate(site={"https": False, "http": "serve"}))
    assert not [block for block in http.walk() if block.name == "ssl_certificate"]


def test_a_quiet_site_is_quiet_on_both_ports(render: Render) -> None:
    http = render(**estate(site={"access_log": False}))
    for server in (http.https_server("example.com"), http.http_server("example.com")):
        assert server.arguments("access_log") == [("off",)]


def test_the_proxy_protocol_is_spoken_on_every_port(render: Render) -> None:
    http = render(**estate(proxy_real_ip_header="proxy_protocol", proxy_real_ip_sources=["10.0.0.1"]))
    listens = [listen for server in http.all("server") for listen in server.arguments("listen")]
    assert listens
    assert all("proxy_protocol" in listen for listen in listens)
    assert http.arguments("real_ip_header") == [("proxy_protocol",)]
    assert http.arguments("set_real_ip_from") == [("10.0.0.1",)]
    assert ("X-Request-Id", "$request_id") in http.arguments("proxy_set_header")


def test_behind_a_balancer_its_number_of_a_request_goes_on(render: Render) -> None:
    http = render(**estate(proxy_real_ip_sources=["10.0.0.1"]))
    assert ("X-Request-Id", "$gatehouse_request_id") in http.arguments("proxy_set_header")
    assert http.one("geo", "$realip_remote_addr").block == (Block("default", ("0",), ()), Block("10.0.0.1", ("1",), ()))
    assert not render(**estate()).all("geo", "$realip_remote_addr")
    # Everybody is the default, whose two networks nginx would warn of.
    http = render(**estate(proxy_real_ip_sources=["0.0.0.0/0", "10.0.0.1", "::/0"]))
    assert http.one("geo", "$realip_remote_addr").block == (Block("default", ("1",), ()), Block("10.0.0.1", ("1",), ()))


def test_behind_a_balancer_that_ends_tls_the_application_learns_how_the_visitor_came(render: Render) -> None:
    http = render(**estate(proxy_real_ip_sources=["10.0.0.1"]))
    assert ("X-Forwarded-Proto", "$gatehouse_scheme") in http.arguments("proxy_set_header")
    words = http.one("map", "$gatehouse_from_balancer$http_x_forwarded_proto", "$gatehouse_scheme").block
    # Only what a balancer says (1) counts, and only one of the two schemes.
    assert [(rule.name, *rule.args) for rule in words] == [
        ("default", "$scheme"), ("1http", "http"), ("1https", "https"),
    ]  # fmt: skip
    assert http.one("map", "$gatehouse_scheme", "$gatehouse_https").block
    assert render(**estate()).one("map", "$scheme", "$gatehouse_https").block


def test_headers_of_a_location_come_with_all_the_others(render: Render) -> None:
    http = render(
        **estate(
            {
                "path": "/a/",
                "upstream": "app",
                "request_headers": [{"name": "X-Extra", "value": '"a"; {b} $host'}],
                "response_headers": [{"name": "x-frame-options", "value": "DENY"}],
                "hide_headers": ["X-Secret"],
            },
            site={"content_security_policy": "default-src 'self'; img-src *"},
        )
    )
    location = place(http, "/a/")
    sent: dict[str, str] = dict(location.arguments("proxy_set_header"))  # type: ignore[arg-type]
    usual: dict[str, str] = dict(http.arguments("proxy_set_header"))  # type: ignore[arg-type]
    assert sent == {**usual, "X-Extra": '"a"; {b} $host'}
    site = {words[0].lower(): words[1:] for words in http.https_server("example.com").arguments("add_header")}
    here = {words[0].lower(): words[1:] for words in location.arguments("add_header")}
    assert here == {**site, "x-frame-options": ("DENY", "always")}
    assert site["content-security-policy"] == ("$gatehouse_csp_shop", "always")
    policy = http.one("map", "$upstream_http_content_security_policy").block
    assert policy == (Block("default", ("",), ()), Block("", ("default-src 'self'; img-src *",), ()))
    hidden = {words[0].lower() for words in location.arguments("proxy_hide_header")}
    assert hidden == {words[0].lower() for words in http.arguments("proxy_hide_header")} | {
        "x-secret",
        "x-frame-options",
    }


def test_the_way_to_the_upstream(render: Render) -> None:
    http = render(
        **estate(
            {"path": "/moved/", "upstream": "app", "upstream_path": "/"},
            {"path": "/slow/", "upstream": "app", "read_timeout": "5m", "max_body_size": "1g"},
            {"path": "/raw/", "upstream": "app", "request_buffering": False, "response_buffering": False},
            {"path": "/live/", "upstream": "app", "streaming": True},
            {"path": "/chat/", "upstream": "app", "websocket": True},
            {"path": "/rpc/", "upstream": "app", "protocol": "grpc"},
        )
    )
    assert place(http, "/moved/").arguments("proxy_pass") == [("http://app/",)]
    assert place(http, "/slow/").arguments("proxy_read_timeout") == [("5m",)]
    assert place(http, "/slow/").arguments("client_max_body_size") == [("1024m",)]
    for path in ("/raw/", "/live/"):
        assert place(http, path).arguments("proxy_buffering") == [("off",)]
        assert place(http, path).arguments("proxy_request_buffering") == [("off",)]
    assert place(http, "/live/").arguments("client_body_timeout") == [("1h",)]
    for path in ("/live/", "/chat/"):
        assert place(http, path).arguments("proxy_read_timeout") == [("1h",)]
    grpc = place(http, "/rpc/")
    assert grpc.arguments("grpc_pass") == [("grpc://app",)]
    assert ("X-Request-Id", "$request_id") in grpc.arguments("grpc_set_header")
    assert ("X-Powered-By",) in grpc.arguments("grpc_hide_header")
    assert not grpc.all("proxy_pass")


def test_fastcgi_files_are_served_and_everything_else_is_the_scripts(render: Render) -> None:
    fastcgi = {"root": "/srv/shop/current/public"}
    php = {"path": "/shop/", "upstream": "app", "protocol": "fastcgi", "fastcgi": fastcgi}
    http = render(**estate({**php, "max_body_size": "64m", "allow": ["10.0.0.0/8"], "read_timeout": "5m"}))
    outer = place(http, "/shop/")
    assert outer.arguments("root") == [("/srv/shop/current/public",)]
    assert outer.arguments("try_files") == [("$gatehouse_public_file", "@fastcgi_prefix_2f_shop_2f_")]
    assert outer.arguments("expires") == [("-1",)]
    assert not outer.all("fastcgi_pass")
    inner = place(http, "@fastcgi_prefix_2f_shop_2f_")
    assert inner.arguments("fastcgi_pass") == [("app",)]
    assert inner.arguments("root") == outer.arguments("root")
    assert inner.arguments("fastcgi_read_timeout") == [("5m",)]
    sent = {words[0]: words[1:] for words in inner.arguments("fastcgi_param")}
    assert sent["SCRIPT_FILENAME"] == ("$realpath_root/index.php",)
    assert sent["HTTPS"] == ("$gatehouse_https", "if_not_empty")
    assert sent["HTTP_HOST"] == ("$host",)
    assert sent["HTTP_X_FORWARDED_PROTO"] == ("$scheme",)
    assert sent["HTTP_PROXY"] == ("",)
    assert ("X-Powered-By",) in inner.arguments("fastcgi_hide_header")
    # nginx looks at a named location anew, so what holds for one holds for both.
    for name in ("client_max_body_size", "allow", "deny"):
        assert outer.arguments(name) == inner.arguments(name) != []
    assert not [block for block in inner.walk() if block.name.startswith(("proxy_", "grpc_"))]


def test_the_text_of_a_script_and_hidden_files_are_no_public_files(render: Render) -> None:
    rules = render(**estate()).one("map", "$uri", "$gatehouse_public_file").block
    patterns = [re.compile(rule.name.removeprefix("~*").removeprefix("~"), re.I) for rule in rules[1:]]
    assert {rule.args for rule in rules[1:]} == {("",)}

    def public(path: str) -> bool:
        return not any(pattern.search(path) for pattern in patterns)

    hidden = ("/index.php", "/a/x.PHP", "/x.phtml", "/x.phar", "/x.php8", "/.env", "/.git/config", "/a/.htaccess")
    assert [path for path in hidden if public(path)] == []
    shown = ("/", "/app.css", "/php/logo.svg", "/x.php.txt", "/.well-known/security.txt", "/phone", "/a.b/c")
    assert [path for path in shown if not public(path)] == []


def test_who_may_come(render: Render) -> None:
    http = render(
        **estate(
            {"path": "/a/", "upstream": "app", "deny": ["10.0.0.9"], "basic_auth": {"open": True}},
            {"path": "/b/", "upstream": "app", "basic_auth": {"realm": 'The "b"', "users": USERS}},
            site={"allow": ["10.0.0.0/8"], "basic_auth": {"users": USERS[:1]}},
        )
    )
    server = http.https_server("example.com")
    assert server.arguments("allow") == [("10.0.0.0/8",)]
    assert server.arguments("deny") == [("all",)]
    assert server.arguments("auth_basic_user_file") == [("active/secrets/shop/site.users",)]
    first = place(http, "/a/")
    rules = [(block.name, *block.args) for block in first.block if block.name in ("allow", "deny")]
    assert rules == [("deny", "10.0.0.9"), ("allow", "10.0.0.0/8"), ("deny", "all")]
    assert first.arguments("auth_basic") == [("off",)]
    second = place(http, "/b/")
    assert second.arguments("auth_basic") == [('The "b"',)]
    assert re.fullmatch(r"active/secrets/shop/[0-9a-f]{12}\.users", second.one("auth_basic_user_file").args[0])
    assert ("Authorization", "") in second.arguments("proxy_set_header")


def test_the_users_stand_in_secret_files_and_nowhere_else() -> None:
    files = render_files(**estate(site={"basic_auth": {"users": USERS}}))
    assert files["secrets/shop/site.users"] == "ann:$5$salt$aaaaaaaa\nbob:$5$salt$bbbbbbbb\n"
    assert not [path for path, text in files.items() if "$5$" in text and not path.startswith("secrets/")]


def test_a_hash_that_is_none_is_refused_and_not_shown() -> None:
    users = [{"name": "ann", "password_hash": "open sesame"}]
    with pytest.raises(AnsibleError, match="password_hash") as caught:
        render_files(**estate(site={"basic_auth": {"users": users}}))
    assert "open sesame" not in str(caught.value)


def test_limits_name_their_zones(render: Render) -> None:
    http = render(
        **estate(
            {
                "path": "/a/",
                "upstream": "app",
                "rate_limits": [{"name": "login", "burst": 5}],
                "connection_limits": [{"name": "few", "connections": 2}],
            },
            proxy_rate_limits=[{"name": "login", "rate": "5r/s"}],
            proxy_connection_limits=[{"name": "few", "key": "site"}],
        )
    )
    usual = ("zone=client_rate", "burst=2000", "nodelay")
    assert place(http, "/a/").arguments("limit_req") == [("zone=rate_login", "burst=5", "nodelay"), usual]
    assert http.https_server("example.com").arguments("limit_req") == [usual]
    assert place(http, "/a/").arguments("limit_conn")[0] == ("connections_few", "2")
    assert http.arguments("limit_req_zone") == [
        ("$binary_remote_addr", "zone=rate_login:1m", "rate=5r/s"),
        ("$binary_remote_addr", "zone=client_rate:10m", "rate=1000r/s"),
    ]
    assert http.arguments("limit_conn_zone")[0] == ("$server_name", "zone=connections_few:1m")
    assert (http.arguments("limit_req_status"), http.arguments("limit_conn_status")) == ([("429",)], [("429",)])


def test_files_and_redirects(render: Render) -> None:
    http = render(
        **estate(
            {"path": "/docs/", "static": {"dir": "/srv/docs", "max_age": "1h"}},
            {"path": "/spa/", "static": {"dir": "/srv/spa", "fallback": "/index.html"}},
            {"path": "/old/", "redirect": {"to": "/new$request_uri", "status": 302}},
        )
    )
    docs, spa = place(http, "/docs/"), place(http, "/spa/")
    assert (docs.arguments("alias"), docs.arguments("expires")) == ([("/srv/docs/",)], [("1h",)])
    assert not docs.all("try_files")
    assert spa.arguments("try_files") == [("$uri", "$uri/index.html", "/index.html", "=404")]
    for location in (docs, spa):
        assert location.one("location", "~", "/[.](?!well-known/)").arguments("return") == [("404",)]
    assert place(http, "/old/").arguments("return") == [("302", "/new$request_uri")]


def test_long_names_have_room_in_nginxs_tables(render: Render) -> None:
    def tables(http: Block) -> dict[str, str]:
        return {one.name: one.args[0] for one in http.block if one.name.endswith("_bucket_size")}

    usual = {"server_names_hash_bucket_size": "128", "proxy_headers_hash_bucket_size": "128"}
    usual |= {"variables_hash_bucket_size": "512"}
    assert tables(render(**estate())) == usual
    long = {"name": "a-" * 31, "server_names": [f"{'a' * 63}.{'b' * 63}.example.com"]}
    asked = {"client_certificates": {"mode": "optional", "ca": __file__}}
    found = tables(render(**estate(site=long | asked)))
    wide = ("server_names_hash_bucket_size", "map_hash_bucket_size")
    assert found == usual | dict.fromkeys(wide, "512")


def test_a_folder_without_its_slash_is_redirected(render: Render) -> None:
    http = render(
        **estate(
            {"path": "/docs/", "static": {"dir": "/srv/docs"}},
            {"path": "/news/", "static": {"dir": "/srv/news"}},
            {"path": "/news", "match": "exact", "upstream": "app"},
        )
    )
    assert place(http, "=", "/docs").arguments("return") == [("301", "/docs/$is_args$args")]
    assert place(http, "=", "/news").all("proxy_pass")


def test_text_files_say_their_character_set(render: Render) -> None:
    places = (
        {"path": "/a/", "static": {"dir": "/srv/a"}},
        {"path": "/b/", "static": {"dir": "/srv/b", "charset": "off"}},
    )
    http = render(**estate(*places))
    assert (place(http, "/a/").arguments("charset"), place(http, "/b/").arguments("charset")) == (
        [("utf-8",)],
        [("off",)],
    )
    assert {block.args: block.name for block in http.one("types").block}["mjs",] == "application/javascript"
    assert not place(http, "/").all("charset")
    assert "http/files.conf" not in render_files(**estate())


@pytest.mark.parametrize(
    ("location", "memory"),
    [
        ({}, [("proxy_buffer_size", "32k"), ("proxy_buffers", "8", "32k")]),
        ({"protocol": "grpc"}, [("grpc_buffer_size", "32k")]),
        (
            {"protocol": "fastcgi", "fastcgi": {"root": "/srv/app"}},
            [("fastcgi_buffer_size", "32k"), ("fastcgi_buffers", "8", "32k")],
        ),
    ],
)
def test_an_upstream_may_send_long_headers(render: Render, location: dict[str, Any], memory: list[Any]) -> None:
    wordy = {**UPSTREAM, "response_header_size": "32k"}
    http = render(**estate({"path": "/w/", "upstream": "app", **location}) | {"proxy_upstreams": [wordy]})
    kind = location.get("protocol", "proxy").replace("http", "proxy")
    [found] = [
        block for block in http.https_server("example.com").walk() if block.all(f"{kind}_pass") and block.args != ("/",)
    ]
    assert [(one.name, *one.args) for one in found.block if "buffer" in one.name] == memory


def test_other_headers_with_underscores_pass_when_asked(render: Render) -> None:
    assert not render(**estate()).all("underscores_in_headers")
    own = {"path": "/own/", "upstream": "app", "request_headers": [{"name": "X-Extra-Word", "value": "1"}]}
    php = {"path": "/php/", "upstream": "app", "protocol": "fastcgi", "fastcgi": {"root": "/srv/app"}}
    http = render(**estate(own, php, proxy_underscores_in_headers=True))
    assert http.arguments("underscores_in_headers") == [("on",)]
    usual: dict[str, str] = dict(http.arguments("proxy_set_header"))  # type: ignore[arg-type]
    for name in (
        "X_Forwarded_For",
        "X-Forwarded_For",
        "X_Forwarded-For",
        "X_Real_IP",
        "Client_IP",
        "X_Forwarded_Prefix",
    ):
        assert usual[name] == ""
    assert usual["X-Forwarded-For"] == "$remote_addr"
    beside: dict[str, str] = dict(place(http, "/own/").arguments("proxy_set_header"))  # type: ignore[arg-type]
    assert (beside["X_Extra-Word"], beside["X_Extra_Word"], beside["X-Extra-Word"]) == ("", "", "1")
    reported = [block.args for block in http.https_server("example.com").walk() if block.name == "fastcgi_param"]
    assert [value for name, *value in reported if name == "HTTP_X_FORWARDED_FOR"] == [["$remote_addr"]]


@pytest.mark.parametrize(
    ("site", "schemes"),
    [
        ({"http": "redirect"}, {"80": "example.com", "443": "example.com"}),
        ({"http": "serve"}, {"80": "example.com", "443": "example.com"}),
        ({"http": "refuse"}, {"80": "", "443": "example.com"}),
        ({"http": "refuse", "certificate": {"source": "acme"}}, {"80": "example.com", "443": "example.com"}),
        ({"http": "serve", "https": False}, {"80": "example.com", "443": ""}),
    ],
)
@pytest.mark.parametrize("more", [{}, {"proxy_real_ip_sources": ["10.0.0.1"]}], ids=["alone", "behind a balancer"])
def test_an_unknown_name_meets_the_same_site_on_each_port(
    render: Render, site: dict[str, Any], schemes: dict[str, str], more: dict[str, Any]
) -> None:
    http = render(**estate(site={"catch_all": True, **site}, **more))
    found: dict[str, set[str]] = {}
    for server in http.all("server"):
        for listen in server.arguments("listen"):
            if "default_server" in listen:
                found.setdefault(listen[0].rpartition(":")[2], set()).add(server.one("server_name").args[0])
    assert found == {port: {name} for port, name in schemes.items()}


def test_other_ports_are_named_and_led_to(render: Render) -> None:
    http = render(**estate(proxy_http_port=8080, proxy_https_port=8443, proxy_http3=True))
    headers: dict[str, str] = dict(http.arguments("proxy_set_header"))  # type: ignore[arg-type]
    assert (headers["Host"], headers["X-Forwarded-Host"]) == ("$host$gatehouse_port_suffix",) * 2
    assert headers["X-Forwarded-Port"] == "$server_port"
    suffix = http.one("map", "$server_port", "$gatehouse_port_suffix").block
    assert [(rule.name, *rule.args) for rule in suffix] == [("default", ":$server_port"), ("80", ""), ("443", "")]
    [plain] = [server for server in http.all("server") if server.all("return", "308")]
    assert plain.arguments("return") == [("308", "https://$host:8443$request_uri")]
    assert Block("on", ('h3=":8443"; ma=86400',), ()) in http.one("map", "$https", "$gatehouse_alt_svc").block


def test_behind_a_balancer_that_ends_tls_nobody_is_sent_in_circles(render: Render) -> None:
    http = render(**estate(proxy_real_ip_sources=["10.0.0.1"], site={"certificate": {"source": "acme"}}))
    [server] = [server for server in http.all("server") if server.one("server_name").args == ("example.com",)]
    assert {listen[0] for listen in server.arguments("listen")} == {"*:80", "[::]:80", "*:443", "[::]:443"}
    assert server.one("if", "$gatehouse_in_clear").arguments("return") == [("308", "https://$host$request_uri")]
    assert ("active/acme/challenge.conf",) in server.arguments("include") or server.all("location", "^~")
    in_clear = http.one("map", "$gatehouse_scheme $uri", "$gatehouse_in_clear").block
    assert [(rule.name, *rule.args) for rule in in_clear] == [
        ("default", ""), (r"~^http /(?!\.well-known/acme-challenge/)", "1"),
    ]  # fmt: skip
    assert Block("https", ("max-age=63072000",), ()) in http.one("map", "$gatehouse_scheme", "$gatehouse_hsts").block
    headers: dict[str, str] = dict(http.arguments("proxy_set_header"))  # type: ignore[arg-type]
    assert headers["X-Forwarded-Port"] == "$gatehouse_port"


def test_maintenance_is_asked_in_each_location_and_not_for_the_page(render: Render) -> None:
    closed = {"maintenance": {"enabled": True, "allow": ["10.0.0.0/8"]}}
    http = render(**estate({"path": "/old/", "redirect": {"to": "/new"}}, site=closed))
    server = http.https_server("example.com")
    assert not server.all("if", "$gatehouse_maintenance_shop")
    for path in ("/", "/old/"):
        assert place(http, path).all("if")[0].args == ("$gatehouse_maintenance_shop",)
        assert place(http, path).block[0].name == "if"
    page = place(http, "^~", "/.gatehouse/")
    assert not page.all("if")
    assert page.all("internal")
    assert ("503", "/.gatehouse/maintenance.$gatehouse_page_type") in server.arguments("error_page")
    assert http.one("geo", "$gatehouse_maintenance_shop").block == (
        Block("default", ("1",), ()),
        Block("10.0.0.0/8", ("0",), ()),
    )
    assert not [block for block in render(**estate()).walk() if block.args == ("$gatehouse_maintenance_shop",)]


def test_the_pages_for_programs_are_json() -> None:
    files = render_files(**estate(site={"maintenance": {"enabled": True}}))
    for name in ("unavailable", "maintenance"):
        text = files[f"pages/shop/{name}.json"]
        filled = text.replace('<!--# echo var="status" -->', "502").replace('<!--# echo var="request_id" -->', "abc")
        assert json.loads(filled)["request_id"] == "abc"
        assert '<code><!--# echo var="request_id" --></code>' in files[f"pages/shop/{name}.html"]


def test_compression_is_one_switch(render: Render) -> None:
    on, off = render(**estate()), render(**estate(proxy_compression=False))
    assert on.arguments("brotli_types") == on.arguments("gzip_types")
    assert not {"text/html", "text/event-stream", "image/png"} & set(on.one("gzip_types").args)
    assert off.arguments("gzip") == [("off",)]
    assert not [block for block in off.block if block.name.startswith("brotli")]


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (b"", True),
        (b"plain / text?", True),
        ("ü € 😀 \u2028".encode(), True),
        (b"\xff", False),
        (b"abc\xc3", False),
        (b"\xc0\xaf", False),
        (b"\xed\xa0\x80", False),
        (b"\xf4\x90\x80\x80", False),
        (b"\x80", False),
        (b"\xe0\x80\x80", False),
    ],
)
def test_the_log_knows_utf_8(render: Render, text: bytes, valid: bool) -> None:
    usual, pattern = render(**estate()).one("map", "$http_user_agent").block
    assert (usual.args, pattern.args) == (("$http_user_agent",), ("(not UTF-8)",))
    found = re.compile(pattern.name.removeprefix("~").encode()).search(text)
    assert bool(found) is not valid


# (gixy's check, words of its finding): why it is right all the same.
WAIVED = {
    (
        "return_bypasses_allow_deny",
        "$gatehouse_maintenance_shop",
    ): "maintenance is meant for those whom `allow` lets in, too",
    ("return_bypasses_allow_deny", "$gatehouse_beyond_"): "a method that is not let through is refused to all",
    ("proxy_pass_normalized", "location /moved/"): "that is what upstream_path is for, and docs/sites.md says so",
}


def test_gixy_finds_nothing_else_in_a_site_with_everything(tmp_path: Path) -> None:
    http = {"header": [{"name": "X-Frame-Options", "value": "DENY"}], "host": [{"name": "X-Extra", "value": "$host"}]}
    places: list[dict[str, Any]] = [
        {"path": "/a/", "upstream": "app", "request_headers": http["host"], "response_headers": http["header"]},
        {"path": "/moved/", "upstream": "app", "upstream_path": "/"},
        {"path": "/live/", "upstream": "app", "streaming": True},
        {"path": "/chat/", "upstream": "app", "websocket": True},
        {"path": "/rpc/", "upstream": "app", "protocol": "grpc"},
        {"path": "/php/", "upstream": "app", "protocol": "fastcgi", "fastcgi": {"root": "/srv/php/public"}},
        {"path": "^/img/.+[.]png$", "match": "regex", "upstream": "app"},
        {"path": "/docs/", "static": {"dir": "/srv/docs", "max_age": "1h"}},
        {"path": "/spa/", "static": {"dir": "/srv/spa", "fallback": "/index.html"}},
        {"path": "/old/", "redirect": {"to": "https://$host/new$request_uri"}},
        {"path": "/in/", "upstream": "app", "allow": ["10.0.0.0/8"], "basic_auth": {"users": USERS}},
    ]
    site = {"content_security_policy": "default-src 'self'", "http": "serve", "maintenance": {"enabled": True}}
    found = findings(tmp_path, render_files(**estate(*places, site=site, proxy_real_ip_sources=["10.0.0.1"])))
    mine = {key: [one for one in found if one["plugin"] == key[0] and key[1] in one["config"]] for key in WAIVED}
    assert all(mine.values()), "a waiver that nothing needs"
    assert [
        one for one in found if not waiver(one) and one not in [two for group in mine.values() for two in group]
    ] == []
