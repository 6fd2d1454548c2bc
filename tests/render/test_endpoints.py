"""TLS endpoints in the tree of a proxy: each hands on what comes as it comes, and the sites beside it are as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .conftest import Block
from .test_proxy import estate

Render = Callable[..., Block]
ENDPOINT = {
    "name": "endpoint.desk",
    "address": "10.0.0.11",
    "port": 13000,
    "names": ["desk.in.test"],
    "ca": "/etc/ssl/trust.pem",
    "clients": ["proxy2.in.test"],
    "app_port": 3000,
}


def beside(render: Render, *locations: dict[str, Any], **more: Any) -> tuple[Block, Block, Block]:
    """Return the http block of a proxy with an endpoint, the endpoint's server, and the site's."""
    endpoint = {**ENDPOINT, "locations": list(locations)} | more.pop("endpoint", {})
    http = render(**estate(**more), proxy_endpoints=[endpoint], ansible_check_mode=True)
    found = [one for one in http.all("server") if one.one("server_name").args == ("desk.in.test",)]
    assert len(found) == 1
    return http, found[0], http.https_server("example.com")


def test_an_endpoint_is_on_the_private_address_alone(render: Render) -> None:
    _, endpoint, site = beside(render)
    assert endpoint.arguments("listen") == [("10.0.0.11:13000", "ssl", "default_server")]
    assert not [one for one in site.arguments("listen") if "10.0.0.11" in one[0]]
    _, endpoint, _ = beside(render, endpoint={"address": "fd00::11"}, proxy_real_ip_header="proxy_protocol",
                            proxy_real_ip_sources=["10.9.0.1"])  # fmt: skip
    # What a balancer before the sites says is not said to an endpoint.
    assert endpoint.arguments("listen") == [("[fd00::11]:13000", "ssl", "default_server")]


def test_nobody_but_the_proxies_gets_in(render: Render) -> None:
    http, endpoint, site = beside(render)
    assert endpoint.arguments("ssl_verify_client") == [("on",)]
    assert endpoint.arguments("ssl_verify_depth") == [("10",)]
    assert endpoint.arguments("ssl_protocols") == [("TLSv1.3",)]
    known = http.one("map", "$ssl_client_s_dn")
    assert [one.args for one in known.block] == [("0",), ("1",)]
    assert not site.all("ssl_verify_client")


def test_what_comes_is_handed_on_as_it_comes(render: Render) -> None:
    _, endpoint, site = beside(render, proxy_compression=True)
    place = endpoint.one("location", "/")
    assert sorted(place.arguments("proxy_set_header")) == [
        ("Connection", "$gatehouse_connection"),
        ("Host", "$http_host"),
        ("Upgrade", "$gatehouse_upgrade"),
    ]
    assert place.arguments("proxy_pass") == [("http://endpoint.desk",)]
    assert endpoint.arguments("client_max_body_size") == [("0",)]
    # Limits count visitors, and these are proxies.
    assert not [one for one in endpoint.walk() if one.name in ("limit_conn", "limit_req", "add_header")]
    assert site.all("limit_conn")
    assert site.all("limit_req")
    # Longer than what a proxy keeps open to it, so that no request meets a connection that is being closed.
    assert endpoint.arguments("keepalive_timeout") == [("75s",)]
    assert (endpoint.arguments("gzip"), site.arguments("gzip")) == ([("off",)], [])
    assert endpoint.arguments("real_ip_header") == [("X-Real-IP",)]
    assert not site.all("real_ip_header")


def test_headers_with_underscores_pass_where_the_application_says_so(render: Render) -> None:
    assert beside(render)[1].arguments("underscores_in_headers") == [("off",)]
    endpoint = beside(render, endpoint={"underscores_in_headers": True})[1]
    assert endpoint.arguments("underscores_in_headers") == [("on",)]


def test_an_application_and_its_endpoint_have_pools_of_their_own(render: Render) -> None:
    http, _, _ = beside(render, endpoint={"standby_port": 23000})
    pool = http.one("upstream", "endpoint.desk")
    assert pool.arguments("server") == [("127.0.0.1:3000", "down"), ("127.0.0.1:23000",)]
    assert http.one("upstream", "storefront").all("server")


def test_names_that_no_site_has_are_refused_beside_an_endpoint(render: Render) -> None:
    http, _, _ = beside(render)
    refused = [one for one in http.all("server") if one.arguments("ssl_reject_handshake") == [("on",)]]
    assert [one[0] for one in refused[0].arguments("listen")] == ["*:80", "*:443", "[::]:80", "[::]:443"]


def test_a_script_behind_an_endpoint_knows_how_the_visitor_came(render: Render) -> None:
    scheme = "$gatehouse_endpoint_https"
    fastcgi = {"path": "/", "upstream": "app", "protocol": "fastcgi", "fastcgi": {"root": "/srv/desk/current/public"}}
    http, endpoint, _ = beside(render, fastcgi, endpoint={"app_address": "unix:/run/desk/fastcgi.sock", "app_port": 0})
    parameters = [one for one in endpoint.walk() if one.name == "fastcgi_param"]
    assert ("HTTPS", scheme, "if_not_empty") in [one.args for one in parameters]
    assert ("SERVER_PORT", "$server_port") in [one.args for one in parameters]
    assert http.one("map", "$http_x_forwarded_proto", scheme).block
