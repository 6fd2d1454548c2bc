"""What preflight says of a proxy's sites, locations, pools, caches and promises: one change each to a sound estate."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.locations import location_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.proxies import proxy_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.sites import site_files, site_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.upstreams import (
    named_members,
    transport_problems,
    upstream_problems,
)
from ansible_collections.gatehouse.core.plugins.module_utils.specs import spec_values
from hypothesis import given
from hypothesis import strategies as st

from .conftest import PROXY_SPEC

OPTIONS = yaml.safe_load(PROXY_SPEC.read_text())["argument_specs"]["main"]["options"]
SOUND: dict[str, Any] = yaml.safe_load("""
proxy_upstreams:
  - name: shop
    transport: http
    members: [{name: a, address: 10.0.0.1, port: 80}, {name: b, address: 10.0.0.2, port: 80}]
proxy_caches: [{name: pages}]
proxy_rate_limits: [{name: login, rate: 5r/s}]
proxy_connection_limits: [{name: each}]
proxy_sites:
  - name: shop
    server_names: [shop.example.org]
    locations: [{path: /, upstream: shop}, {path: /static/, static: {dir: /srv/www}}]
  - name: desk
    server_names: [desk.example.org]
    locations: [{path: /, upstream: shop, cache: {zone: pages}}, {path: /old, redirect: {to: /new}}]
""")
SITE, PLACE, POOL = "proxy_sites.0.", "proxy_sites.0.locations.0.", "proxy_upstreams.0."
FILES, DESK = "proxy_sites.0.locations.1.", "proxy_sites.1.locations.0."
NO_UPSTREAM = "no upstream is asked; take it away"
MADE = "is a header that nginx makes itself"

# What is written where (a path of keys, and its value), and the problem that has to be reported: path, text, remedy.
BROKEN: list[tuple[dict[str, Any], str]] = [
    # sites
    ({SITE + "server_names": []}, "proxy_sites[0].server_names of site shop is empty; write at least one name"),
    ({SITE + "server_names": ["a.b", "A.b"]},
     "proxy_sites[0].server_names[1] A.b of site shop is there twice; keep it once"),
    ({SITE + "server_names": ["x.org", "desk.example.org"]},
     "proxy_sites[1].server_names[0] desk.example.org of site desk is a server name of site shop too; keep it in"
     " one site"),
    ({SITE + "locations": []},
     "proxy_sites[0].locations of site shop is empty: it answers nothing; write at least path: /"),
    ({SITE + "https": False},
     "proxy_sites[0].http redirect leads to HTTPS, and https is false; write http: serve, or https: true"),
    ({SITE + "https": False, SITE + "http": "refuse"},
     "proxy_sites[0].http refuse with https: false leaves nobody to serve; write http: serve, or https: true"),
    ({SITE + "https": False, SITE + "http": "serve", SITE + "certificate": {"source": "acme"}},
     "proxy_sites[0].certificate has no meaning with https: false; take it away, or write https: true"),
    ({SITE + "https": False, SITE + "http": "serve", SITE + "client_certificates": {"mode": "required", "ca": "x"}},
     "proxy_sites[0].client_certificates cannot be asked for with https: false; write https: true"),
    ({SITE + "https": False, SITE + "http": "serve", SITE + "basic_auth": {"users": [{"name": "a"}]}},
     "proxy_sites[0].basic_auth sends passwords in plaintext, because the site has no HTTPS; write https: true"),
    ({SITE + "http": "serve", SITE + "basic_auth": {"users": [{"name": "a"}]}},
     "proxy_sites[0].basic_auth sends passwords in plaintext, because http: serve answers on port 80 too; write http:"
     " redirect, unless only a balancer with TLS comes by port 80"),
    ({SITE + "http": "serve", PLACE + "basic_auth": {"users": [{"name": "a"}]}},
     "proxy_sites[0].locations[0].basic_auth sends passwords in plaintext, because http: serve answers on port 80 too;"
     " write http: redirect, unless only a balancer with TLS comes by port 80"),
    ({SITE + "http": "serve", SITE + "client_certificates": {"mode": "required", "ca": "x"}},
     "proxy_sites[0].client_certificates.mode required lets nobody in who comes in plaintext, and http: serve answers"
     " on port 80; write http: redirect or refuse, or mode: optional"),
    ({SITE + "http": "serve", SITE + "client_certificates": {"mode": "optional", "ca": "x", "names": ["ann"]}},
     "proxy_sites[0].client_certificates.names lets nobody in who comes in plaintext, and http: serve answers on port"
     " 80; write http: redirect or refuse, or take the names away"),
    ({SITE + "client_certificates": {"names": ["ann"]}},
     "proxy_sites[0].client_certificates.names has no meaning with mode: none: everybody would get 403;"
     " write mode: required, or take it away"),
    ({SITE + "catch_all": True, SITE + "client_certificates": {"mode": "optional", "ca": "x", "resume": True},
      "proxy_sites.1.client_certificates": {"mode": "required", "ca": "y"}},
     "proxy_sites[0].client_certificates.resume of a catch_all would let its visitors resume on desk, whose authority"
     " has not seen them; write resume: false"),
    ({"proxy_sites.1.locations.1.allow": ["10.0.0.0/8"]},
     "proxy_sites[1].locations[1].allow guards nothing beside redirect.to, which answers before anybody is asked;"
     " take it away, and guard what the redirect leads to"),
    ({"proxy_sites.1.locations.1.basic_auth": {"users": [{"name": "a"}]}},
     "proxy_sites[1].locations[1].basic_auth guards nothing beside redirect.to, which answers before anybody is asked;"
     " take it away, and guard what the redirect leads to"),
    ({SITE + "certificate": {"chain": "x.pem"}},
     "proxy_sites[0].certificate.chain has no meaning with source: internal_ca, which brings its own;"
     " take it away, or write source: files (controller) or source: host"),
    ({SITE + "certificate": {"source": "host", "chain": "/etc/a.pem"}},
     "proxy_sites[0].certificate.key is required with source: host; write the absolute path of the file on the host"),
    ({SITE + "certificate": {"source": "host", "chain": "/etc/a.pem", "key": "a.key"}},
     'proxy_sites[0].certificate.key "a.key" is no absolute path on the host;'
     " write one such as /srv/www, in letters, digits and ._~+,=:@-"),
    ({SITE + "certificate": {"source": "host", "chain": "/etc/a.pem; }", "key": "/a.key"}},
     'proxy_sites[0].certificate.chain "/etc/a.pem; }" is no absolute path on the host;'
     " write one such as /srv/www, in letters, digits and ._~+,=:@-"),
    ({SITE + "certificate": {"source": "acme"}, SITE + "server_names": ["*.example.org"]},
     "proxy_sites[0].server_names[0] *.example.org cannot be had with source: acme: the challenge on port 80 proves no"
     " wildcard; write the names one by one, or another source"),
    ({SITE + "client_certificates": {"mode": "required"}},
     "proxy_sites[0].client_certificates.ca is required with mode: required; write the path of a file on the"
     " controller"),
    ({SITE + "client_certificates": {"crl": "a.crl"}},
     "proxy_sites[0].client_certificates.crl has no meaning with mode: none: nobody is asked;"
     " write mode: required, or take it away"),
    ({SITE + "allow": ["10.0.0.0/8"], SITE + "deny": ["10.0.0.0/8"]},
     "proxy_sites[0].allow[0] 10.0.0.0/8 is in deny too, which goes first; keep one of them"),
    ({SITE + "basic_auth": {"realm": "off"}},
     "proxy_sites[0].basic_auth.realm off would ask nobody for a password; write another text"),
    ({SITE + "basic_auth": {"realm": 'The "desk"', "users": [{"name": "a"}]}},
     "proxy_sites[0].basic_auth.realm has a quotation mark, which would end it; write it without"),
    ({PLACE + "basic_auth": {"realm": "Staff"}},
     "proxy_sites[0].locations[0].basic_auth.users is empty: nobody would be asked; write users, or take realm away"),
    ({SITE + "catch_all": True, "proxy_sites.1.catch_all": True},
     "proxy_sites[1].catch_all of site desk is that of site shop too, and one site can answer the names that no site"
     " has; write catch_all: false at one of them"),
    ({SITE + "certificate": {"source": "acme"}, FILES + "path": "/.well-known/acme-challenge/x/"},
     "proxy_sites[0].locations[1].path /.well-known/acme-challenge/x/ is the place of the challenges of the"
     " certificate's authority; write another path, or take it away"),
    ({FILES + "path": "/.gatehouse/"},
     "proxy_sites[0].locations[1].path /.gatehouse/ is the place of the proxy's error pages; write another path, or"
     " take it away"),
    # ports
    ({"proxy_https_port": 80},
     "proxy_https_port 80 is proxy_http_port too; give each its own port, such as 80 and 443"),
    ({"proxy_https_port": 0, "proxy_http_port": 0},
     "proxy_https_port 0 is proxy_http_port too: nobody could reach the proxy; give each its own port, such as 80"
     " and 443"),
    ({"proxy_http_port": 0, SITE + "http": "refuse"},
     "proxy_sites[1].http redirect needs proxy_http_port, which is 0; write http: refuse, or a port"),
    ({"proxy_http_port": 0, SITE + "http": "refuse", SITE + "certificate": {"source": "acme"},
      "proxy_sites.1.http": "refuse"},
     "proxy_sites[0].certificate.source acme is asked for its challenge on proxy_http_port, which is 0;"
     " write a port, or another source"),
    ({"proxy_https_port": 0, SITE + "http": "serve", SITE + "https": False},
     "proxy_sites[1].https of site desk needs proxy_https_port, which is 0; write https: false, or a port"),
    ({"proxy_https_port": 0, SITE + "http": "serve", SITE + "https": False, "proxy_sites.1.http": "serve",
      "proxy_sites.1.https": False, "proxy_http3": True},
     "proxy_http3 needs proxy_https_port, which is 0; write proxy_http3: false, or a port"),
    # who answers
    ({PLACE + "upstream": ""},
     "proxy_sites[0].locations[0].upstream is missing, and so are redirect.to and static.dir: nothing would answer;"
     " write one of the three"),
    ({PLACE + "redirect": {"to": "/x"}},
     "proxy_sites[0].locations[0].redirect.to is beside upstream, and only one can answer; keep one of them"),
    ({FILES + "upstream": "shop"},
     "proxy_sites[0].locations[1].static.dir is beside upstream, and only one can answer; keep one of them"),
    ({PLACE + "upstream": "shp"},
     'proxy_sites[0].locations[0].upstream names the upstream "shp", which proxy_upstreams lacks; write shop'),
    ({DESK + "cache": {"zone": "page"}},
     'proxy_sites[1].locations[0].cache.zone names the cache "page", which proxy_caches lacks; write pages'),
    ({PLACE + "rate_limits": [{"name": "logn"}]},
     'proxy_sites[0].locations[0].rate_limits[0].name names the limit "logn", which proxy_rate_limits lacks; write'
     ' login'),
    ({PLACE + "connection_limits": [{"name": "login", "connections": 1}]},
     'proxy_sites[0].locations[0].connection_limits[0].name names the limit "login", which proxy_connection_limits'
     ' lacks;'
     " write one of each"),
    ({PLACE + "rate_limits": [{"name": "login", "delay": 3}]},
     "proxy_sites[0].locations[0].rate_limits[0].delay has no meaning without burst; write burst too"),
    ({FILES + "websocket": True},
     f"proxy_sites[0].locations[1].websocket has no meaning beside static.dir: {NO_UPSTREAM}"),
    ({"proxy_sites.1.locations.1.read_timeout": "5s"},
     f"proxy_sites[1].locations[1].read_timeout has no meaning beside redirect.to: {NO_UPSTREAM}"),
    ({FILES + "cache": {"zone": "pages"}},
     f"proxy_sites[0].locations[1].cache has no meaning beside static.dir: {NO_UPSTREAM}"),
    # paths
    ({FILES + "path": "/"}, "proxy_sites[0].locations[1].path / of site shop is there twice; keep one location of it"),
    ({PLACE + "path": "^/(a|b)$"},
     'proxy_sites[0].locations[0].path "^/(a|b)$" is no path of a location; write it from / on, in letters, digits and'
     " ._~!&()*+,=:@-, such as /api/ (or match: regex)"),
    ({PLACE + "path": "/a//b", PLACE + "match": "exact"},
     'proxy_sites[0].locations[0].path "/a//b" never matches, because nginx resolves //, . and .. first;'
     " write the resolved path"),
    ({PLACE + "match": "regex", PLACE + "upstream_path": "/x/"},
     "proxy_sites[0].locations[0].upstream_path /x/ cannot replace what a regular expression matched;"
     " take it away, or write match: prefix and a plain path"),
    ({PLACE + "path": "/api", PLACE + "upstream_path": "/"},
     "proxy_sites[0].locations[0].upstream_path / turns /api/x into //x, because only one of it and path ends in /;"
     " end both in /, or neither"),
    ({PLACE + "path": "/api/", PLACE + "upstream_path": "/v1"},
     "proxy_sites[0].locations[0].upstream_path /v1 turns /api/x into /v1x, because only one of it and path ends in /;"
     " end both in /, or neither"),
    ({FILES + "path": "/static"},
     "proxy_sites[0].locations[1].path /static would let /static../ reach beside the folder /srv/www;"
     " write /static/, or static.strip_path: false"),
    ({FILES + "match": "exact"},
     "proxy_sites[0].locations[1].static.strip_path cannot take the path off with match: exact;"
     " write strip_path: false, or match: prefix"),
    ({PLACE + "static": {"fallback": "/index.html"}},
     "proxy_sites[0].locations[0].static.fallback has no meaning without static.dir; write dir, or take it away"),
    # what cannot go together
    ({PLACE + "protocol": "grpc", PLACE + "websocket": True},
     "proxy_sites[0].locations[0].websocket cannot be with protocol: grpc; take one of them away"),
    ({PLACE + "protocol": "grpc", PLACE + "upstream_path": "/"},
     "proxy_sites[0].locations[0].upstream_path cannot be with protocol: grpc, whose paths are names of methods;"
     " take it away"),
    *[
        ({DESK + key: value},
         f"proxy_sites[1].locations[0].cache cannot be with {words}, which passes answers on and keeps none;"
         " take one of them away")
        for key, value, words in (
            ("protocol", "grpc", "protocol: grpc"), ("websocket", True, "websocket: true"),
            ("streaming", True, "streaming: true"), ("response_buffering", False, "response_buffering: false"),
        )
    ],
    ({PLACE + "protocol": "fastcgi"},
     "proxy_sites[0].locations[0].fastcgi.root is required with protocol: fastcgi; write the folder of public files"),
    ({PLACE + "fastcgi": {"root": "/srv/shop/public"}},
     "proxy_sites[0].locations[0].fastcgi has no meaning without protocol: fastcgi;"
     " write protocol: fastcgi, or take it away"),
    *[
        ({PLACE + "protocol": "fastcgi", PLACE + "fastcgi": {"root": "/srv/shop/public"}, PLACE + key: value},
         f"proxy_sites[0].locations[0].{key} cannot be with protocol: fastcgi, which has no such thing; take it away")
        for key, value in (("websocket", True), ("upstream_path", "/"))
    ],
    ({PLACE + "protocol": "fastcgi", PLACE + "fastcgi": {"root": "/srv/shop/public"},
      PLACE + "cache": {"zone": "pages"}},
     "proxy_sites[0].locations[0].cache cannot be with protocol: fastcgi, whose answers the zone cannot hold;"
     " take it away, and keep a cache on the proxy before this one"),
    ({PLACE + "protocol": "fastcgi", PLACE + "fastcgi": {"root": "/srv/shop/public"},
      POOL + "next_upstream": ["error", "http_502"]},
     "proxy_sites[0].locations[0].upstream shop asks another member on http_502, which FastCGI does not know;"
     " take it out of next_upstream"),
    ({PLACE + "cache": {"recipe": "standard"}},
     "proxy_sites[0].locations[0].cache.recipe has no meaning without cache.zone; write zone, or take it away"),
    ({PLACE + "cache": {"zone": "pages", "key": "$request_uri"}},
     "proxy_sites[0].locations[0].cache.key $request_uri would give one site's answers to another: desk, shop share"
     " pages;"
     " begin it with $scheme$host, or give each site a zone"),
    # headers and times
    ({PLACE + "request_headers": [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]},
     "proxy_sites[0].locations[0].request_headers[1].name x-a is request_headers[0] again,"
     " for names of headers ignore upper and lower case; keep one of them"),
    ({PLACE + "request_headers": [{"name": "Upgrade", "value": "h2c"}]},
     f"proxy_sites[0].locations[0].request_headers[0].name Upgrade {MADE}; write websocket: true"),
    ({PLACE + "request_headers": [{"name": "Transfer-Encoding", "value": "chunked"}]},
     f"proxy_sites[0].locations[0].request_headers[0].name Transfer-Encoding {MADE}; take it away"),
    ({PLACE + "response_headers": [{"name": "content-length", "value": "0"}]},
     f"proxy_sites[0].locations[0].response_headers[0].name content-length {MADE}; take it away"),
    ({PLACE + "connect_timeout": "0s"},
     "proxy_sites[0].locations[0].connect_timeout 0s leaves no time at all; write a time such as 10s"),
    # pools
    ({POOL + "read_timeout": "0"},
     "proxy_upstreams[0].read_timeout 0 leaves no time at all; write a time such as 10s"),
    ({POOL + "members.1.fail_timeout": "0ms"},
     "proxy_upstreams[0].members[1].fail_timeout 0ms leaves no time at all; write a time such as 10s"),
    ({POOL + "members": []},
     "proxy_upstreams[0].members of upstream shop is empty: it has no member;"
     " write groups['<app>'] | upstream_members(hostvars, <port>) of a group with hosts"),
    ({POOL + "members.0.state": "drain", POOL + "members.1.state": "drain"},
     "proxy_upstreams[0].members of upstream shop are all in state drain: it answers nothing but 502; leave one"
     " member up"),
    ({POOL + "members.0.backup": True, POOL + "members.1.backup": True},
     "proxy_upstreams[0].members of upstream shop are all backup; leave one member without backup: nginx refuses it"),
    *[
        ({POOL + "method": method, POOL + "members.1.backup": True},
         f"proxy_upstreams[0].members[1].backup has no meaning with method: {method}, which knows no order among"
         " members;"
         " take it away, or write method: least_conn")
        for method in ("ip_hash", "hash", "random_two")
    ],
    ({POOL + "members.1.address": "10.0.0.1"},
     "proxy_upstreams[0].members[1].address 10.0.0.1 port 80 of upstream shop is both a and b;"
     " give each member its own address or port"),
    ({POOL + "members.1.port": None},
     "proxy_upstreams[0].members[1].port is required; write the port on which the member serves"),
    ({POOL + "members.1.address": "unix:/run/shop.sock"},
     "proxy_upstreams[0].members[1].port 80 has no meaning for the socket unix:/run/shop.sock;"
     " write the member without port"),
    ({POOL + "next_upstream": []},
     "proxy_upstreams[0].next_upstream is empty; write [off], so that no other member is asked"),
    ({POOL + "next_upstream": ["error", "off"]},
     "proxy_upstreams[0].next_upstream has off beside other conditions; write [off] alone, or take off away"),
    ({POOL + "next_upstream": ["off"], POOL + "retry_non_idempotent": True},
     "proxy_upstreams[0].retry_non_idempotent has no meaning with next_upstream: [off]: no other member is asked;"
     " take it away, or write next_upstream: [error, timeout]"),
    ({POOL + "transport": "mtls", POOL + "tls": {"name": "shop.example.org"}},
     "proxy_upstreams[0].transport mtls of upstream shop has nothing to verify its members by;"
     " write proxy_upstream_ca (the internal CA's trust.pem), or tls.ca, or transport: http"),
    ({POOL + "transport": "https", "proxy_upstream_ca": "/srv/trust.pem", POOL + "tls": {"name": "*.example.org"}},
     "proxy_upstreams[0].tls.name *.example.org is no name that can be asked for; write one full name"),
    ({POOL + "tls": {"name": "shop.example.org"}},
     "proxy_upstreams[0].tls.name has no meaning with transport: http, which is in plaintext (upstream shop);"
     " take it away, or write transport: mtls"),
    ({"proxy_upstreams.1": {**SOUND["proxy_upstreams"][0], "name": "Shop"}},
     "proxy_upstreams[1].name Shop is shop in another case, which nginx ignores; give each its own"
     " name"),
    # one proxy
    ({"proxy_caches.1": {"name": "tls"}},
     "proxy_caches[1].name tls is the name of the memory of the cache of TLS sessions; give the cache another name"),
    ({"proxy_caches.1": {"name": "upstream_shop"}},
     "proxy_caches[1].name upstream_shop is the name of the memory of proxy_upstreams[0]; give the cache another name"),
    ({"proxy_caches.0.size": "16k"}, "proxy_caches[0].size 16k is too little memory for a zone; write at least 32k"),
    ({"proxy_rate_limits.0.size": "2g"},
     "proxy_rate_limits[0].size 2g is more memory than a zone can have; write at most 1g"),
    ({"proxy_rate_limits.0.size": "1000"},
     "proxy_rate_limits[0].size 1000 is too little memory for a zone; write at least 32k"),
    ({"proxy_caches.0.path": "/c", "proxy_caches.1": {"name": "b", "path": "/c/"}},
     "proxy_caches[1].path /c of cache b is the folder of cache pages too; give each cache a folder of its own"),
    ({"proxy_caches.0.path": "/c", "proxy_caches.1": {"name": "b", "path": "/c/b"}},
     "proxy_caches[1].path /c/b of cache b and /c of cache pages are one in the other;"
     " give each cache a folder of its own"),
    ({"proxy_caches.0.max_size": "0"},
     "proxy_caches[0].max_size of cache pages sets no limit, and min_free sets none: the disk may fill up;"
     " write a size such as 10g"),
    ({"proxy_listen": []}, 'proxy_listen is empty: nobody could reach the proxy; write ["*", "[::]"]'),
    ({"proxy_listen": ["*", "*"]}, "proxy_listen[1] repeats *; keep it once"),
    ({"proxy_real_ip_sources": ["0.0.0.0/0"]},
     "proxy_real_ip_sources[0] 0.0.0.0/0 is everybody: each visitor could claim any address,"
     " and get past allow, deny and limits; write the addresses of those you mean"),
    ({"proxy_trace_sources": ["::/0"]},
     "proxy_trace_sources[0] ::/0 is everybody: each visitor could go past the cache and learn the members' addresses;"
     " write the addresses of those you mean"),
    ({"proxy_real_ip_header": "proxy_protocol"},
     "proxy_real_ip_header proxy_protocol needs proxy_real_ip_sources: without them every visitor has the balancer's"
     " address; write the balancers' addresses in proxy_real_ip_sources"),
    ({"proxy_real_ip_header": "proxy_protocol", "proxy_real_ip_sources": ["10.0.0.9"], "proxy_http3": True},
     "proxy_http3 cannot be with proxy_real_ip_header: proxy_protocol, which UDP does not carry;"
     " write proxy_http3: false"),
    ({"proxy_hsts_preload": True, "proxy_hsts_include_subdomains": True, "proxy_hsts_max_age": 300},
     "proxy_hsts_max_age 300 is too short for proxy_hsts_preload: browsers' lists ask for a year;"
     " write at least 31536000, or proxy_hsts_preload: false"),
    ({"proxy_hsts_preload": True},
     "proxy_hsts_preload is refused by browsers' lists without proxy_hsts_include_subdomains;"
     " write proxy_hsts_include_subdomains: true, or proxy_hsts_preload: false"),
    ({"proxy_security_headers.0.name": "Strict-Transport-Security"},
     "proxy_security_headers[0].name Strict-Transport-Security would be sent twice; write proxy_hsts_max_age instead"),
    ({"proxy_security_headers.1.name": "x-content-type-options"},
     'proxy_security_headers[1].name "x-content-type-options" is proxy_security_headers[0] again: it would be sent'
     ' twice;'
     " keep one of them"),
]  # fmt: skip


def written(values: dict[str, Any], path: str, value: Any) -> None:
    """Write `value` at a path such as proxy_sites.0.https; one index beyond a list's end appends."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = values
    for part in way:
        place = place.setdefault(part, {}) if isinstance(part, str) else place[part]
    if isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value


def problems(values: dict[str, Any]) -> list[str]:
    """Return what the filters say of the values, with their defaults, as preflight words it."""
    full = {name: spec_values(values.get(name), option, name) for name, option in OPTIONS.items()}
    found = [*proxy_problems(full), *location_problems(full)]
    found += transport_problems(full, {})
    found += [*site_problems(full["proxy_sites"]), *upstream_problems(full["proxy_upstreams"])]
    texts = []
    for one in found:
        at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["path"]).removeprefix(".")
        texts.append(f"{at} {one['problem']}; {one['remedy']}")
    return texts


def test_a_sound_estate_has_no_problem() -> None:
    assert problems(SOUND) == []


@pytest.mark.parametrize(("change", "text"), BROKEN, ids=lambda one: one if isinstance(one, str) else "")
def test_one_problem_alone(change: dict[str, Any], text: str) -> None:
    values = copy.deepcopy(SOUND)
    values["proxy_security_headers"] = copy.deepcopy(OPTIONS["proxy_security_headers"]["default"])
    for path, value in change.items():
        written(values, path, copy.deepcopy(value))
    assert problems(values) == [text]


def test_what_is_right_in_the_same_places() -> None:
    values = copy.deepcopy(SOUND)
    for path, value in {
        SITE + "certificate": {"source": "host", "chain": "/etc/ssl/a.pem", "key": "/etc/ssl/a.key"},
        SITE + "client_certificates": {"mode": "optional", "ca": "ca.pem"},
        PLACE + "upstream_path": "/v1/",
        PLACE + "rate_limits": [{"name": "login", "burst": 5, "delay": 3}],
        PLACE + "request_headers": [{"name": "Host", "value": "$host"}],
        FILES + "path": "/app",
        FILES + "static": {"dir": "/srv/www", "strip_path": False, "fallback": "/index.html"},
        DESK + "cache": {"zone": "pages", "key": "$request_uri"},
        POOL + "members.1": {"name": "b", "address": "unix:/run/b.sock", "backup": True},
        "proxy_caches.1": {"name": "b", "path": "/var/cache/b"},
        "proxy_real_ip_header": "proxy_protocol",
        "proxy_real_ip_sources": ["10.0.0.9"],
        "proxy_hsts_preload": True,
        "proxy_hsts_include_subdomains": True,
        SITE + "catch_all": True,
        "proxy_https_port": 8443,
    }.items():
        written(values, path, value)
    assert problems(values) == []


def test_what_could_not_be_evaluated_is_not_judged() -> None:
    full = {name: spec_values(SOUND.get(name), option, name) for name, option in OPTIONS.items()}
    for name in ("proxy_upstreams", "proxy_caches", "proxy_rate_limits"):
        left = {key: value for key, value in full.items() if key != name}
        assert [*proxy_problems(left), *location_problems(left)] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=5), one, max_size=2),
    max_leaves=4,
)
PATHS = sorted({path for change, _ in BROKEN for path in change if not path.endswith(".1") or "members" in path})


@given(path=st.sampled_from(PATHS), value=JSON)
def test_a_value_of_any_shape_breaks_nothing(path: str, value: Any) -> None:
    values = copy.deepcopy(SOUND)
    values["proxy_security_headers"] = copy.deepcopy(OPTIONS["proxy_security_headers"]["default"])
    written(values, path, value)
    assert isinstance(problems(values), list)
    site_files(values["proxy_sites"])
    named_members(values["proxy_upstreams"])


def test_the_files_and_the_names_that_have_to_be_looked_for() -> None:
    values = copy.deepcopy(SOUND)
    written(values, SITE + "client_certificates", {"ca": "ca.pem", "crl": ""})
    written(values, "proxy_sites.1.maintenance", {"page": "page.html"})
    written(values, "proxy_sites.1.error_page", "error.html")
    assert site_files(values["proxy_sites"]) == [
        {"path": ["proxy_sites", 0, "client_certificates", "ca"], "file": "ca.pem"},
        {"path": ["proxy_sites", 1, "maintenance", "page"], "file": "page.html"},
        {"path": ["proxy_sites", 1, "error_page"], "file": "error.html"},
    ]
    for number, address in enumerate(["db.example.org", "unix:/run/a", "fd00::1"]):
        written(values, f"{POOL}members.{number}", {"name": "a", "address": address})
    path = ["proxy_upstreams", 0, "members", 0, "address"]
    assert named_members(values["proxy_upstreams"]) == [{"path": path, "name": "db.example.org"}]
