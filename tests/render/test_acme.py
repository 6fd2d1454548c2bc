"""What a site whose certificate comes over ACME adds to the tree, and what another one does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Block, render_files

Render = Callable[..., Block]
CHALLENGE = ("^~", "/.well-known/acme-challenge/")


def estate(http: str = "redirect", source: str = "acme", **more: Any) -> dict[str, Any]:
    """Return the variables of one site."""
    away = [{"path": "/", "redirect": {"to": "https://else.example.com/"}}]
    site = {"name": "shop", "server_names": ["shop.example.com"], "http": http, "locations": away}
    return {"proxy_sites": [{**site, "certificate": {"source": source}}], **more}


@pytest.mark.parametrize(("http", "answer"), [("redirect", ("308", "https://$host$request_uri")), ("refuse", ("444",))])
def test_port_80_answers_the_authority_before_anything_else(render: Render, http: str, answer: tuple[str, ...]) -> None:
    server = render(**estate(http)).http_server("shop.example.com")
    assert server.one("location", *CHALLENGE).arguments("root") == [("/var/lib/gatehouse/acme/webroot",)]
    assert server.one("location", "/").arguments("return") == [answer]
    # A `return` of the server itself would be carried out before any location is looked for.
    assert server.arguments("return") == []


def test_a_site_in_clear_answers_the_authority_whoever_else_is_kept_out(render: Render) -> None:
    variables = estate("serve")
    variables["proxy_sites"][0] |= {"allow": ["10.0.0.0/8"]}
    tree = render(**variables)
    # One server for both ports, besides the one that refuses.
    server = next(one for one in tree.all("server") if one.arguments("server_name") == [("shop.example.com",)])
    place = server.one("location", *CHALLENGE)
    assert (place.arguments("allow"), place.arguments("auth_basic")) == ([("all",)], [("off",)])


def test_a_lone_proxy_asks_nobody(render: Render) -> None:
    tree = render(**estate())
    place = tree.http_server("shop.example.com").one("location", *CHALLENGE)
    assert place.arguments("try_files") == [("$uri", "=404")]
    assert not tree.all("upstream", "gatehouse_acme")


def test_a_proxy_asks_the_others_once(render: Render) -> None:
    tree = render(**estate(proxy_acme_peers=["10.0.0.2", "fd00::2"]))
    assert tree.one("upstream", "gatehouse_acme").arguments("server") == [("10.0.0.2:80",), ("[fd00::2]:80",)]
    server = tree.http_server("shop.example.com")
    assert server.one("location", *CHALLENGE).arguments("try_files") == [("$uri", "@acme_peers")]
    peers = server.one("location", "@acme_peers")
    assert peers.one("if", "$http_gatehouse_acme").arguments("return") == [("404",)]
    assert ("Gatehouse-Acme", "1") in peers.arguments("proxy_set_header")


@pytest.mark.parametrize("source", ["internal_ca", "files"])
def test_another_source_adds_nothing(source: str) -> None:
    files = render_files(**estate(source=source, proxy_acme_peers=["10.0.0.2"]))
    assert not [path for path, text in files.items() if "acme" in path or "acme" in text]


def test_files_that_the_host_keeps_are_used_where_they_are(render: Render) -> None:
    variables = estate()
    own = {"source": "host", "chain": "/etc/kept/chain.pem", "key": "/etc/kept/key.pem"}
    variables["proxy_sites"][0]["certificate"] = own
    server = render(**variables).https_server("shop.example.com")
    assert server.arguments("ssl_certificate") == [("/etc/kept/chain.pem",)]
    assert server.arguments("ssl_certificate_key") == [("/etc/kept/key.pem",)]
