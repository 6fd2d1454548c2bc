"""Four basic configurations of nginx, each from an inventory alone: same directives, arguments and nesting.

What is rendered has more (logs, limits, headers); nothing of them may be missing or elsewhere. Three things are read as
nginx reads them: a `server` outside `http` is one inside, `zone=` of `proxy_cache_path` is `keys_zone=` (nginx refuses
both as they are written here), and `listen 80` is `listen *:80`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crossplane
import pytest

from .conftest import Block

Render = Callable[..., Block]

UPSTREAM = """
http {{
    upstream backend {{
        server 10.10.0.101:{port};
        server 10.10.0.102:{port};
        server 10.10.0.103:{port};
    }}
}}
"""
BASIC = """
server {
    listen 80;
    server_name example.com www.example.com;

    location / {
        proxy_pass http://backend/;
    }
}
"""
TLS = """
server {{
    listen 443 ssl;
    server_name example.com www.example.com;

    ssl_certificate     /etc/nginx/ssl/server.crt;
    ssl_certificate_key /etc/nginx/ssl/server.key;
    ssl_protocols       TLSv1.2 TLSv1.3;

    location / {{
        proxy_pass {scheme}://backend/;
    }}
}}
"""
CACHE = """
http {
    proxy_cache_path /var/lib/nginx/cache levels=1:2 zone=app_cache:8m;
    proxy_cache_key "$scheme$request_method$host$request_uri$is_args$args";
    proxy_cache_valid 200 302 10m;
    proxy_cache_valid 404 1m;
}

server {
    listen 80;
    server_name example.com www.example.com;

    location / {
        proxy_cache        app_cache;
        proxy_cache_bypass $http_cache_control;
        proxy_set_header   Host $host;
        proxy_set_header   X-Real-IP $remote_addr;
        proxy_pass         http://backend/;
    }
}
"""


def estate(site: dict[str, Any], location: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return an inventory's variables: three members behind example.com, and what a configuration has of its own."""
    port, transport, tls = more.pop("port", 80), more.pop("transport", "http"), more.pop("tls", {})
    members = [{"name": f"app{n}", "address": f"10.10.0.10{n}", "port": port} for n in (1, 2, 3)]
    path = {"path": "/", "upstream": "backend", "upstream_path": "/", **(location or {})}
    names = {"name": "example", "server_names": ["example.com", "www.example.com"]}
    return {
        "proxy_listen": ["*"],
        "proxy_upstreams": [{"name": "backend", "transport": transport, "tls": tls, "members": members}],
        "proxy_sites": [{**names, **site, "locations": [path]}],
        **more,
    }


# That nginx verifies nobody. Ours says by what and for which name, or does not speak TLS to a member at all.
VERIFIED = {"name": "backend.example.com", "ca": "/srv/ca.pem"}
IN_CLEAR = {"https": False, "http": "serve"}
HOSTS_FILES = {"source": "host", "chain": "/etc/nginx/ssl/server.crt", "key": "/etc/nginx/ssl/server.key"}
HEADERS = [{"name": "Host", "value": "$host"}, {"name": "X-Real-IP", "value": "$remote_addr"}]
ZONE = {"name": "app_cache", "size": "8m", "max_size": "0", "inactive": "10m", "path": "/var/lib/nginx/cache"}

CONFIGURATIONS = [
    pytest.param(UPSTREAM.format(port=80) + BASIC, estate(IN_CLEAR), id="basic HTTP reverse proxy"),
    pytest.param(
        UPSTREAM.format(port=80) + TLS.format(scheme="http"),
        estate({"certificate": HOSTS_FILES}),
        id="HTTPS termination at the proxy",
    ),
    pytest.param(
        UPSTREAM.format(port=443) + TLS.format(scheme="https"),
        estate({"certificate": HOSTS_FILES}, port=443, transport="https", tls=VERIFIED),
        id="end-to-end TLS encryption",
    ),
    pytest.param(
        CACHE,
        estate(
            IN_CLEAR,
            {"cache": {"zone": "app_cache"}, "request_headers": HEADERS},
            proxy_caches=[ZONE],
            proxy_cache_recipe="basic",
        ),
        id="sample cache configuration",
    ),
]


def written(text: str, folder: Path) -> Block:
    """Return a configuration as one http block."""
    path = folder / "basic.conf"
    path.write_text(text.replace("zone=app_cache", "keys_zone=app_cache"))
    parsed = crossplane.parse(str(path), check_ctx=False)
    assert not parsed["errors"], parsed["errors"]
    found = [Block.of(item) for item in parsed["config"][0]["parsed"]]
    inside = [child for block in found for child in (block.block if block.name == "http" else (block,))]
    return Block("http", (), tuple(inside))


def same(wanted: Block, given: Block) -> bool:
    """Say whether two directives have one name and the same arguments."""
    arguments = given.args
    if wanted.name == "listen":
        arguments = (arguments[0].removeprefix("*:"), *arguments[1:])
    return (wanted.name, wanted.args) == (given.name, arguments)


def missing(wanted: Block, given: Block) -> Iterator[str]:
    """Yield the directives in `wanted` that `given` does not have at the same place."""
    for child in wanted.block:
        title = " ".join([child.name, *child.args])
        alike = [other for other in given.block if same(child, other)]
        if not alike:
            yield title
        lacks = [list(missing(child, other)) for other in alike or [Block(child.name, child.args, ())]]
        yield from (f"{title} / {text}" for text in min(lacks, key=len))


@pytest.mark.parametrize(("text", "variables"), CONFIGURATIONS)
def test_an_inventory_alone_produces_it(render: Render, tmp_path: Path, text: str, variables: dict[str, Any]) -> None:
    assert list(missing(written(text, tmp_path), render(**variables))) == []


def test_what_is_missing_is_named(render: Render, tmp_path: Path) -> None:
    wanted = written(CACHE, tmp_path)
    lacks = list(missing(wanted, render(**estate(IN_CLEAR))))
    assert "proxy_cache_valid 404 1m" in lacks
    assert "server / location / / proxy_cache app_cache" in lacks
    assert "server / listen 80" not in lacks
