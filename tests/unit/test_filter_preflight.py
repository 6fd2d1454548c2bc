"""Preflight on small inventories: each breakage alone, and several at once, with exact words, places and remedies."""

from __future__ import annotations

from typing import Any

import pytest

PROXY = "group_vars/proxies/proxy.yml"
APP = "group_vars/apps/app.yml"
HOSTS = "hosts.yml"
MEMBERS = "\"{{ groups['storefront'] | upstream_members(hostvars, 5000) }}\""

# What is broken (file, old text, new text), and the lines of the report after its first.
BREAKAGES: dict[str, tuple[tuple[str, str, str], list[str]]] = {
    "a host without an address": (
        ("hosts.yml", "web1: {private_address: 10.0.0.11}", "web1:"),
        [
            "host web1 has no address",
            "inventory/hosts.yml:11:13",
            "-> write private_address (or ansible_host) beside it",
        ],
    ),
    "two hosts with one address": (
        ("hosts.yml", "10.0.0.12", "10.0.0.11"),
        [
            "ansible_host 10.0.0.11 of host web2 is the address of web1 too",
            "inventory/hosts.yml:12:34 (web2)",
            "-> give each host its own address",
        ],
    ),
    "an address that is none": (
        ("hosts.yml", "10.0.0.11", "10.0.0.111.1"),
        [
            'private_address of host web1 must be an IP address, got "10.0.0.111.1"',
            "inventory/hosts.yml:11:37 (web1)",
            "-> write one such as 10.0.0.5",
        ],
    ),
    "an unknown key of a member": (
        ("hosts.yml", "weight: 2", "wieght: 2"),
        [
            "member of host web2 has the unknown key wieght",
            "inventory/hosts.yml:12:45 (web2)",
            "-> write one of port, weight, max_conns, max_fails, fail_timeout, backup, state, tls_name",
        ],
    ),
    "a weight that is none": (
        ("hosts.yml", "weight: 2", "weight: heavy"),
        [
            'member.weight of host web2 must be an integer from 1 to 65535, got "heavy"',
            "inventory/hosts.yml:12:62 (web2)",
        ],
    ),
    "two members with one address": (
        (
            "group_vars/proxies/proxy.yml",
            "\"{{ groups['storefront'] | upstream_members(hostvars, 5000) }}\"",
            "[{name: a, address: 10.0.0.9, port: 1}, {name: b, address: 10.0.0.9, port: 1}]",
        ),
        [
            "proxy_upstreams[0].members[1].address 10.0.0.9 port 1 of upstream storefront is both a and b",
            "inventory/group_vars/proxies/proxy.yml:4:73 (proxy1, proxy2)",
            "-> give each member its own address or port",
        ],
    ),
    "an upstream with no member": (
        ("group_vars/proxies/proxy.yml", "\"{{ groups['storefront'] | upstream_members(hostvars, 5000) }}\"", "[]"),
        [
            "proxy_upstreams[0].members of upstream storefront is empty: it has no member",
            "inventory/group_vars/proxies/proxy.yml:4:5 (proxy1, proxy2)",
            "-> write groups['<app>'] | upstream_members(hostvars, <port>) of a group with hosts",
        ],
    ),
    "a group that does not exist": (
        ("group_vars/proxies/proxy.yml", "groups['storefront']", "groups['storefrnt']"),
        [
            "proxy_upstreams[0].members uses storefrnt, which is not defined",
            "inventory/group_vars/proxies/proxy.yml:4:14 (proxy1, proxy2)",
            "-> write storefront",
        ],
    ),
    "a filter that does not exist": (
        ("group_vars/proxies/proxy.yml", "upstream_members", "upstream_member"),
        [
            "proxy_upstreams[0].members cannot be evaluated: No filter named 'upstream_member'.",
            "inventory/group_vars/proxies/proxy.yml:4:14 (proxy1, proxy2)",
        ],
    ),
    "a template that is none": (
        ("group_vars/proxies/proxy.yml", "5000) }}", "5000 }}"),
        [
            "proxy_upstreams[0].members cannot be evaluated: unexpected '}', expected ')'",
            "inventory/group_vars/proxies/proxy.yml:4:14 (proxy1, proxy2)",
        ],
    ),
    "a location that names an unknown upstream": (
        (
            "group_vars/proxies/proxy.yml",
            "      - path: /\n        upstream: storefront",
            "      - path: /\n        upstream: storefornt",
        ),
        [
            'proxy_sites[0].locations[0].upstream names the upstream "storefornt", which proxy_upstreams lacks',
            "inventory/group_vars/proxies/proxy.yml:13:19 (proxy1, proxy2)",
            "-> write storefront",
        ],
    ),
    "a location that names an unknown cache": (
        ("group_vars/proxies/proxy.yml", "zone: pages", "zone: page"),
        [
            'proxy_sites[0].locations[1].cache.zone names the cache "page", which proxy_caches lacks',
            "inventory/group_vars/proxies/proxy.yml:16:23 (proxy1, proxy2)",
            "-> write pages",
        ],
    ),
    "two sites with one name": (
        (
            "group_vars/proxies/proxy.yml",
            "proxy_sites:\n",
            "proxy_sites:\n  - {name: shop, server_names: [a.example.org], locations: [{path: /, upstream:"
            " storefront}]}\n",
        ),
        [
            'proxy_sites[1].name repeats "shop", the name of proxy_sites[0]',
            "inventory/group_vars/proxies/proxy.yml:10:11 (proxy1, proxy2)",
            "-> give each its own name",
        ],
    ),
    "one server name in two sites": (
        (
            "group_vars/proxies/proxy.yml",
            "proxy_sites:\n",
            "proxy_sites:\n  - {name: a, server_names: [Shop.example.org], locations: [{path: /, upstream:"
            " storefront}]}\n",
        ),
        [
            "proxy_sites[1].server_names[0] shop.example.org of site shop is a server name of site a too",
            "inventory/group_vars/proxies/proxy.yml:11:20 (proxy1, proxy2)",
            "-> keep it in one site",
        ],
    ),
    "two locations with one path": (
        ("group_vars/proxies/proxy.yml", "/static/", "/"),
        [
            "proxy_sites[0].locations[1].path / of site shop is there twice",
            "inventory/group_vars/proxies/proxy.yml:14:15 (proxy1, proxy2)",
            "-> keep one location of it",
        ],
    ),
    "a port out of range": (
        ("group_vars/apps/app.yml", "app_name: storefront\n", "app_name: storefront\napp_port: 70000\n"),
        [
            "app_port 70000 is no port",
            "inventory/group_vars/apps/app.yml:2:11 (web1, web2)",
            "-> write an integer from 1 to 65535",
        ],
    ),
    "a wrong type": (
        ("group_vars/apps/app.yml", "'1.10'", "1.10"),
        [
            "app_version must be text, got 1.1",
            "inventory/group_vars/apps/app.yml:2:14 (web1, web2)",
            "-> write it in quotes",
        ],
    ),
    "an unknown key": (
        ("group_vars/proxies/proxy.yml", "    transport: http\n", "    transport: http\n    methd: least_conn\n"),
        [
            "proxy_upstreams[0].methd is unknown",
            "inventory/group_vars/proxies/proxy.yml:4:12 (proxy1, proxy2)",
            "-> write method",
        ],
    ),
    "a bad choice": (
        ("group_vars/proxies/proxy.yml", "    transport: http\n", "    transport: http\n    method: leastconn\n"),
        [
            "proxy_upstreams[0].method must be one of round_robin, least_conn, ip_hash, hash, random_two, got"
            ' "leastconn"',
            "inventory/group_vars/proxies/proxy.yml:4:13 (proxy1, proxy2)",
            "-> write least_conn",
        ],
    ),
    "a missing key": (
        ("group_vars/proxies/proxy.yml", "    server_names: [shop.example.org]\n", ""),
        [
            "proxy_sites[0].server_names is required",
            "inventory/group_vars/proxies/proxy.yml:9:5 (proxy1, proxy2)",
            "-> write it",
        ],
    ),
    "a size that is none": (
        ("group_vars/proxies/proxy.yml", "size: 8m", "size: 8 megs"),
        [
            'proxy_caches[0].size "8 megs" is no size',
            "inventory/group_vars/proxies/proxy.yml:7:11 (proxy1, proxy2)",
            "-> write bytes, or a whole number followed by k, m or g, such as 8m",
        ],
    ),
    "a duration that is none": (
        ("group_vars/proxies/proxy.yml", "    size: 8m\n", "    inactive: 1 hour\n"),
        [
            'proxy_caches[0].inactive "1 hour" is no duration',
            "inventory/group_vars/proxies/proxy.yml:7:15 (proxy1, proxy2)",
            "-> write whole numbers with ms, s, m, h, d, w, M or y, the largest unit first, such as 10m or 1h30m",
        ],
    ),
    "an unknown variable": (
        ("group_vars/proxies/proxy.yml", "proxy_caches:", "proxy_cachez:"),
        [
            "proxy_cachez is no variable of the role proxy",
            "inventory/group_vars/proxies/proxy.yml:5:1 (proxy1, proxy2)",
            "-> write proxy_caches",
            'proxy_sites[0].locations[1].cache.zone names the cache "pages", which proxy_caches lacks',
            "inventory/group_vars/proxies/proxy.yml:16:23 (proxy1, proxy2)",
            "-> add it, or take this away",
        ],
    ),
    "a required variable that is missing": (
        ("group_vars/apps/app.yml", "app_name: storefront\n", ""),
        [
            "app_name is missing, and the role app requires it",
            "inventory (web1, web2)",
            "-> write it in inventory/group_vars/apps/app.yml",
        ],
    ),
    "text that would end a directive": (
        ("group_vars/apps/app.yml", "app_name: storefront\n", "app_name: storefront\napp_note: 'x; return 200'\n"),
        [
            'app_note "x; return 200" has a ;, which ends or opens an nginx directive',
            "inventory/group_vars/apps/app.yml:2:11 (web1, web2)",
            "-> write it without ;",
        ],
    ),
    "text that would be a variable": (
        ("group_vars/apps/app.yml", "app_name: storefront\n", "app_name: storefront\napp_note: 'x $host'\n"),
        [
            'app_note "x $host" has a $, which nginx reads as a variable',
            "inventory/group_vars/apps/app.yml:2:11 (web1, web2)",
            "-> write it without $",
        ],
    ),
    "a server name that would end a directive": (
        ("group_vars/proxies/proxy.yml", "[shop.example.org]", "['shop.example.org;']"),
        [
            'proxy_sites[0].server_names[0] "shop.example.org;" is no server name',
            "inventory/group_vars/proxies/proxy.yml:10:20 (proxy1, proxy2)",
            "-> write a DNS name such as shop.example.org or *.example.org (other scripts as punycode, xn--...)",
        ],
    ),
    "a secret that is not defined": (
        ("group_vars/apps/app.yml", "{token: hidden}", "{token: '{{ vault_tokn }}'}\nvault_token: hidden"),
        [
            "app_secrets.token uses vault_tokn, which is not defined",
            "inventory/group_vars/apps/app.yml:3:22 (web1, web2)",
            "-> write vault_token",
        ],
    ),
    "a secret of the wrong type": (
        ("group_vars/apps/app.yml", "app_secrets: {token: hidden}", "app_secrets: hidden"),
        [
            "app_secrets must be a mapping, got text",
            "inventory/group_vars/apps/app.yml:3:14 (web1, web2)",
        ],
    ),
    "a certificate file that does not exist": (
        (
            "group_vars/proxies/proxy.yml",
            "    locations:\n",
            "    certificate: {source: files, chain: no.pem, key: no.key}\n    locations:\n",
        ),
        [
            "proxy_sites[0].certificate.chain names no.pem, which is no file that can be read",
            "inventory/group_vars/proxies/proxy.yml:11:41 (proxy1, proxy2)",
            "-> put it there, or correct the path",
            "proxy_sites[0].certificate.key names no.key, which is no file that can be read",
            "inventory/group_vars/proxies/proxy.yml:11:54 (proxy1, proxy2)",
            "-> put it there, or correct the path",
        ],
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_one_breakage_alone(estate: Any, name: str) -> None:
    (file, old, new), expected = BREAKAGES[name]
    estate.edit(file, old, new)
    failed, report = estate.check()
    assert estate.lines(report) == expected
    assert failed


def test_every_problem_at_once_and_each_once(estate: Any) -> None:
    alone = ("a host without an address", "a wrong type", "an unknown key", "a location that names an unknown cache")
    for (file, old, new), _ in (BREAKAGES[name] for name in alone):
        estate.edit(file, old, new)
    failed, report = estate.check()
    assert failed
    # Sorted by file and line, and the upstream's members, which the host without an address breaks, are not another.
    assert report.splitlines() == [
        "environment of 4 hosts, 1 site, 1 upstream: 4 errors",
        "  1. app_version must be text, got 1.1",
        "     inventory/group_vars/apps/app.yml:2:14 (web1, web2)",
        "     -> write it in quotes",
        "  2. proxy_upstreams[0].methd is unknown",
        "     inventory/group_vars/proxies/proxy.yml:4:12 (proxy1, proxy2)",
        "     -> write method",
        '  3. proxy_sites[0].locations[1].cache.zone names the cache "page", which proxy_caches lacks',
        "     inventory/group_vars/proxies/proxy.yml:17:23 (proxy1, proxy2)",
        "     -> write pages",
        "  4. host web1 has no address",
        "     inventory/hosts.yml:11:13",
        "     -> write private_address (or ansible_host) beside it",
    ]
