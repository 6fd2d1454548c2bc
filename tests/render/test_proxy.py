"""The role proxy's templates, from its defaults and a small estate, asserted on the parsed tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleError

from .conftest import Block, render_files

Render = Callable[..., Block]


def member(number: int, **more: Any) -> dict[str, Any]:
    return {"name": f"app{number}", "address": f"10.10.0.10{number}", "port": 5000, **more}


def estate(**more: Any) -> dict[str, Any]:
    """Return the variables of one site before one upstream of three members, with a cache."""
    return {
        "proxy_sites": [
            {
                "name": "shop",
                "server_names": ["example.com", "www.example.com"],
                "locations": [
                    {"path": "/", "upstream": "storefront"},
                    {"path": "/static/", "upstream": "storefront", "cache": {"zone": "assets"}},
                    {"path": "/live", "upstream": "storefront", "websocket": True},
                ],
            }
        ],
        "proxy_upstreams": [{"name": "storefront", "transport": "http", "members": [member(1), member(2), member(3)]}],
        "proxy_caches": [{"name": "assets"}],
        **more,
    }


def test_an_upstream_has_its_members_a_shared_zone_and_a_keepalive_pool(render: Render) -> None:
    upstream = render(**estate()).one("upstream", "storefront")
    assert upstream.arguments("server") == [("10.10.0.101:5000",), ("10.10.0.102:5000",), ("10.10.0.103:5000",)]
    assert upstream.arguments("zone") == [("upstream_storefront", "67k")]
    assert upstream.arguments("keepalive") == [("32",)]
    assert not upstream.all("least_conn")


def test_a_method_stands_before_keepalive_as_nginx_wants_it(render: Render) -> None:
    pool = {"name": "storefront", "transport": "http", "method": "least_conn", "members": [member(1)]}
    names = [directive.name for directive in render(**estate(proxy_upstreams=[pool])).one("upstream").block]
    assert names.index("least_conn") < names.index("keepalive")


def test_a_member_keeps_its_weight_and_state(render: Render) -> None:
    members = [member(1, weight=3), member(2, state="drain"), member(3, backup=True)]
    pool = {"name": "storefront", "transport": "http", "keepalive": 0, "members": members}
    upstream = render(**estate(proxy_upstreams=[pool])).one("upstream")
    assert upstream.arguments("server") == [
        ("10.10.0.101:5000", "weight=3"),
        ("10.10.0.102:5000", "down"),
        ("10.10.0.103:5000", "backup"),
    ]
    assert not upstream.all("keepalive")


def test_http_is_redirected_to_the_same_address_over_https(render: Render) -> None:
    server = render(**estate()).http_server("www.example.com")
    assert server.arguments("return") == [("308", "https://$host$request_uri")]
    assert not server.all("location")


def test_a_site_serves_its_own_certificate_on_443(render: Render) -> None:
    http = render(**estate())
    server = http.https_server("example.com")
    assert server.arguments("ssl_certificate") == [("/etc/ssl/gatehouse/shop/fullchain.pem",)]
    assert server.arguments("ssl_certificate_key") == [("/etc/ssl/gatehouse/shop/privkey.pem",)]
    assert http.arguments("ssl_protocols") == [("TLSv1.2", "TLSv1.3")]


@pytest.mark.parametrize(("release", "listen", "directive"), [("12", ("ssl", "http2"), False), ("13", ("ssl",), True)])
def test_http2_is_spelt_as_the_hosts_nginx_knows_it(
    render: Render, release: str, listen: tuple[str, ...], directive: bool
) -> None:
    http = render(**estate(ansible_facts={"distribution_major_version": release}))
    assert http.https_server("example.com").arguments("listen") == [("*:443", *listen), ("[::]:443", *listen)]
    assert http.arguments("http2") == ([("on",)] if directive else [])


def test_unknown_names_are_refused_before_any_site_is_asked(render: Render) -> None:
    servers = [
        server
        for server in render(**estate()).all("server")
        if any("default_server" in a for a in server.arguments("listen"))
    ]
    assert len(servers) == 1
    assert servers[0].arguments("ssl_reject_handshake") == [("on",)]
    assert servers[0].arguments("return") == [("444",)]


def test_the_member_learns_who_asks_and_cannot_be_deceived(render: Render) -> None:
    http = render(**estate())
    location = http.https_server("example.com").one("location", "/")
    assert not location.all("proxy_set_header")
    headers: dict[str, str] = dict(http.arguments("proxy_set_header"))  # type: ignore[arg-type]
    taken_away = [name for name, value in headers.items() if not value]
    assert {"Connection", "Proxy", "Forwarded", "Client-IP", "X-Rewrite-URL", "Gatehouse-Trace"} <= set(taken_away)
    assert {name: value for name, value in headers.items() if value} == {
        "Host": "$host",
        "X-Client-DN": "$gatehouse_client_dn",
        "X-Client-Verify": "$gatehouse_client_verify",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Host": "$host",
        "X-Forwarded-Port": "$server_port",
        "X-Forwarded-Proto": "$scheme",
        "X-Real-IP": "$remote_addr",
        "X-Request-Id": "$request_id",
    }
    assert location.arguments("proxy_pass") == [("http://storefront",)]


def test_only_a_websocket_location_may_upgrade_and_only_to_websocket(render: Render) -> None:
    http = render(**estate())
    server = http.https_server("example.com")
    upgrading = [
        location.args
        for location in server.all("location")
        if ("Upgrade", "$gatehouse_upgrade") in location.arguments("proxy_set_header")
    ]
    assert upgrading == [("/live",)]
    assert http.one("map", "$http_upgrade").block == (
        Block("default", ("",), ()),
        Block("~*^websocket$", ("websocket",), ()),
    )


def test_only_a_location_that_names_a_cache_keeps_answers(render: Render) -> None:
    http = render(**estate())
    server = http.https_server("example.com")
    assert [location.args for location in server.all("location") if location.all("proxy_cache")] == [("/static/",)]
    assert server.one("location", "/static/").arguments("proxy_cache") == [("assets",)]
    path = http.one("proxy_cache_path")
    assert path.args == (
        "/var/lib/nginx/cache-assets",
        "levels=1:2",
        "keys_zone=assets:8m",
        "max_size=1024m",
        "inactive=1h",
    )


def test_a_trace_is_answered_to_trusted_sources_only(render: Render) -> None:
    http = render(**estate(proxy_trace_sources=["10.10.0.10", "10.9.0.0/24"]))
    geo = http.one("geo", "$gatehouse_trace_source")
    assert {(block.name, *block.args) for block in geo.block} == {
        ("default", ""),
        ("10.10.0.10", "1"),
        ("10.9.0.0/24", "1"),
    }
    headers = http.https_server("example.com").arguments("add_header")
    assert ("Gatehouse-Member", "$gatehouse_member", "always") in headers


@pytest.mark.parametrize(
    ("name", "user_agent"), [("ascii", "$http_user_agent"), ("beyond_ascii", "$gatehouse_log_user_agent")]
)
def test_the_access_log_is_one_json_object_a_line(render: Render, name: str, user_agent: str) -> None:
    http = render(**estate())
    form = http.one("log_format", f"gatehouse_{name}")
    text = "".join(form.args[2:])
    assert form.args[1] == "escape=json"
    assert text.startswith('{"time":"$time_iso8601"')
    assert '"bytes":$body_bytes_sent,"seconds":$request_time,' in text
    assert text.endswith(f'"user_agent":"{user_agent}"}}')
    way = ("/var/log/nginx/access.log", f"gatehouse_{name}", "buffer=64k", "flush=100ms", f"if=$gatehouse_log_{name}")
    assert way in http.arguments("access_log")


@pytest.mark.parametrize("name", ["shop; return 200", "shop}", "shop\nreturn 200"])
def test_no_value_can_end_a_directive(name: str) -> None:
    variables = estate()
    variables["proxy_sites"][0]["server_names"] = [name]
    with pytest.raises(AnsibleError, match="server_names"):
        render_files(**variables)


@pytest.mark.parametrize(
    "variables",
    [
        {"proxy_listen": ["*:80; return 200 x; #"]},
        {"proxy_certificate_dir": "/etc/ssl; include /tmp/x.conf; #"},
        {"proxy_trace_sources": ["default"]},
        {"proxy_client_max_body_size": "1m; return 200"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_neither_can_a_value_of_the_whole_proxy(variables: dict[str, Any]) -> None:
    with pytest.raises(AnsibleError):
        render_files(**estate(**variables))


def test_without_sites_the_tree_still_refuses_everybody(render: Render) -> None:
    http = render()
    assert len(http.all("server")) == 1
    assert http.one("server").arguments("return") == [("444",)]
