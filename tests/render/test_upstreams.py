"""Pools: whatever the input, a clear error or a block that reads back as the same data; and ten thousand members."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import time
from collections.abc import Callable
from typing import Any

import crossplane
import pytest
import yaml
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, lookup_loader
from ansible.template import Templar, trust_as_template
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import ROLE, Block, render_anew, render_files

Render = Callable[..., Block]
OPTIONS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
TEMPLATE = (ROLE / "templates/upstreams/upstream.conf.j2").read_text()
METHODS: dict[str, tuple[str, ...]] = {
    "round_robin": (),
    "least_conn": ("least_conn",),
    "ip_hash": ("ip_hash",),
    "random_two": ("random", "two", "least_conn"),
}


def member(number: int, **more: Any) -> dict[str, Any]:
    return {"name": f"app{number}", "address": f"10.10.0.10{number}", "port": 5000, **more}


def pool(*members: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "shop", "transport": "http", "members": list(members), **more}


def parsed(upstream: dict[str, Any], addresses: dict[str, list[str]], folder: Any) -> Block:
    """Return the upstream as nginx would read what the filter and the template make of it."""
    blocks = filter_loader.get("upstream_blocks").j2_function([upstream], OPTIONS["proxy_upstreams"], addresses)
    templar = Templar(DataLoader(), {"upstream": blocks[0]})
    file = folder / "upstream.conf"
    file.write_text(templar.template(trust_as_template(TEMPLATE), overrides={"trim_blocks": True}))
    # nginx reads a file of the tree inside `http`.
    payload = crossplane.parse(str(file), check_ctx=False, check_args=False)
    assert payload["errors"] == []
    (directive,) = [one for one in payload["config"][0]["parsed"] if one["directive"] != "#"]
    return Block.of(directive)


def read_back(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Return the member that a `server` directive describes, with nginx's own defaults."""
    found: dict[str, Any] = {
        "weight": 1, "max_conns": 0, "max_fails": 1, "fail_timeout": "10s", "backup": False, "state": "up",
        "port": None,
    }  # fmt: skip
    endpoint, *words = arguments
    found["address"] = endpoint
    if not endpoint.startswith("unix:"):
        host, _, port = endpoint.rpartition(":")
        found |= {"address": str(ipaddress.ip_address(host.strip("[]"))), "port": int(port)}
    for word in words:
        key, _, value = word.partition("=")
        if key == "down":
            found["state"] = "drain"
        else:
            found[key] = int(value) if value.isdigit() else value or True
            # nginx reads no blank inside a time.
            found[key] = "1h 30m" if value == "1h30m" else found[key]
    return found


NAME = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
KNOWN = {"web.example.org": ["10.9.9.9", "fd00::9"], "lost.example.org": []}
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "weight": st.integers(1, 1000),
    "max_conns": st.integers(0, 1000),
    "max_fails": st.integers(0, 10),
    "fail_timeout": st.sampled_from(["10s", "1h", "1h 30m"]),
    "backup": st.booleans(),
    "state": st.sampled_from(["up", "drain"]),
}
BY_PORT = st.one_of(st.ip_addresses().map(str), st.sampled_from([*KNOWN, "FD00:0::1"]))
MEMBERS = st.one_of(
    st.fixed_dictionaries({"name": NAME, "address": BY_PORT, "port": st.integers(1, 65535)}, optional=RIGHT),
    st.fixed_dictionaries({"name": NAME, "address": st.just("unix:/run/app.sock")}, optional=RIGHT),
)
OF_POOL: dict[str, st.SearchStrategy[Any]] = {
    "method": st.sampled_from([*METHODS, "hash"]),
    "hash_key": st.sampled_from(["$request_uri", "$arg_id$host"]),
    "hash_consistent": st.booleans(),
    "keepalive": st.integers(0, 100),
    "keepalive_timeout": st.sampled_from(["60s", "1h 30m"]),
}
POOL = st.fixed_dictionaries(
    {
        "name": NAME,
        "transport": st.just("http"),
        "members": st.lists(MEMBERS, min_size=1, max_size=4, unique_by=lambda one: one["name"]),
    },
    optional=OF_POOL,
)
WRONG: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["", ";", "{", "}", "$x", '"', "'", "\n", "#", " ", "\\", "../x", "up; include /x", "ü"]),
    st.sampled_from(["unix:x y", "10.0.0.300", "$request_uri;", "a..b", -1, 0, 70000, True, 1.5, None, [], {}]),
    st.text(max_size=8),
)


def same(upstream: dict[str, Any], folder: Any) -> None:
    """Assert that the block reads back as the upstream that it was made of."""
    block = parsed(upstream, KNOWN, folder)
    assert block.args == (upstream["name"],)
    expected = []
    for one in upstream["members"]:
        for address in KNOWN.get(one["address"], [one["address"]]):
            plain = address if address.startswith("unix:") else str(ipaddress.ip_address(address))
            given = {key: value for key, value in one.items() if key != "name" and value is not None}
            expected.append(read_back(("unix:/x",)) | given | {"address": plain})
    assert [read_back(one) for one in block.arguments("server")] == expected
    method = upstream.get("method") or "round_robin"
    words = METHODS.get(method)
    if method == "hash":
        consistent = ("consistent",) if upstream.get("hash_consistent") is not False else ()
        words = ("hash", upstream.get("hash_key") or "$request_uri", *consistent)
    others = {"zone", "server", "keepalive", "keepalive_requests", "keepalive_timeout"}
    assert [(one.name, *one.args) for one in block.block if one.name not in others] == ([words] if words else [])


def resolves(upstream: dict[str, Any]) -> bool:
    return any(KNOWN.get(one["address"]) != [] for one in upstream["members"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(upstream=POOL.filter(resolves))
def test_a_right_pool_reads_back_as_the_same_data(tmp_path: Any, upstream: dict[str, Any]) -> None:
    same(upstream, tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(upstream=POOL, wrong=WRONG, where=st.sampled_from(["name", "address", "port", *RIGHT, *OF_POOL, "other"]))
def test_a_wrong_value_is_refused_or_reads_back_as_it_is(
    tmp_path: Any, upstream: dict[str, Any], wrong: Any, where: str
) -> None:
    if where in OF_POOL:
        changed = {**upstream, where: wrong}
    else:
        changed = {**upstream, "members": [{**upstream["members"][0], where: wrong}, *upstream["members"][1:]]}
    with contextlib.suppress(AnsibleError):
        same(changed, tmp_path)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([{"name": "a", "address": "10.0.0.300", "port": 1}], "is no address of a member"),
        ([member(1, weight=True)], "weight must be an integer, got true"),
        ([member(1, state="backup")], "state must be one of up, drain"),
        (
            [member(1, fail_timeout="500ms")],
            'fail_timeout "500ms" has milliseconds, which nginx does not count here',
        ),
        ([{"name": "a", "address": "lost.example.org", "port": 1}], "none of its members has an address"),
        ([], "none of its members has an address (it has no members); write a member that has one"),
    ],
)
def test_a_pool_that_nginx_could_not_use_is_refused(tmp_path: Any, members: list[Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        parsed(pool(*members), {}, tmp_path)
    assert words in error.value.message


def test_a_name_stands_behind_its_addresses_and_a_lost_one_is_a_comment() -> None:
    lookup = lookup_loader.get("host_addresses")
    found = lookup.run([["localhost", "lost.example.invalid"]])[0]
    assert found["lost.example.invalid"] == []
    assert "127.0.0.1" in found["localhost"]
    assert lookup.run([[]]) == [{}]
    local = {"name": "local", "address": "localhost", "port": 80}
    lost = {"name": "lost", "address": "lost.example.invalid", "port": 80}
    text = render_files(proxy_upstreams=[pool(local, lost)])["upstreams/shop.conf"]
    assert "    server 127.0.0.1:80; # localhost\n" in text
    assert "    # lost.example.invalid has no address\n" in text


@pytest.mark.parametrize("form", ["written", "group"])
def test_ten_thousand_members_are_rendered_in_seconds(form: str) -> None:
    """Count what they add, in processor time, because the machine has other work. Measured: 0.6 and 1.1 s."""
    count = 10_000
    hosts = {f"app{n}": {"ansible_host": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"} for n in range(count)}
    written = [{"name": name, "address": host["ansible_host"], "port": 5000} for name, host in hosts.items()]
    group = trust_as_template("{{ names | upstream_members(estate, 5000) }}")
    pools = [pool() | {"members": written if form == "written" else group}]
    times = [time.process_time()]
    render_anew()
    times.append(time.process_time())
    files = render_anew(proxy_upstreams=pools, names=list(hosts), estate=hosts)
    times.append(time.process_time())
    without, spent = times[1] - times[0], times[2] - times[1]
    assert files["upstreams/shop.conf"].count("\n    server 10.") == count
    # Far above what it takes on a busy machine, and far below what a loop over all pairs would.
    assert spent - without < 8, f"{spent:.1f} s, {without:.1f} s without members"


TLS_MEMBERS = [{"name": "a", "address": "10.0.0.1", "port": 443}, {"name": "b", "address": "fd00::2", "port": 443}]


def over_tls(**upstream: Any) -> dict[str, Any]:
    """Return an estate whose one location asks members over TLS."""
    pool = {"name": "shop-1", "tls": {"name": "shop.example.org"}, "members": TLS_MEMBERS, **upstream}
    protocol = upstream.pop("protocol", "http")
    pool.pop("protocol", None)
    location = {"path": "/", "upstream": "shop-1", "protocol": protocol}
    return {
        "proxy_upstreams": [pool],
        "proxy_upstream_ca": "/srv/trust.pem",
        "proxy_upstream_crl": "/srv/crl.pem",
        "proxy_sites": [{"name": "shop", "server_names": ["shop.example.org"], "locations": [location]}],
    }


def tls_words(location: Block, kind: str = "proxy") -> dict[str, tuple[str, ...]]:
    prefix = f"{kind}_ssl_"
    return {block.name.removeprefix(prefix): block.args for block in location.block if block.name.startswith(prefix)}


@pytest.mark.parametrize(("protocol", "kind", "scheme"), [("http", "proxy", "https"), ("grpc", "grpc", "grpcs")])
def test_over_tls_members_are_verified_and_shown_a_certificate(
    render: Render, protocol: str, kind: str, scheme: str
) -> None:
    http = render(**over_tls(protocol=protocol))
    location = http.https_server("shop.example.org").one("location", "/")
    assert location.arguments(f"{kind}_pass") == [(f"{scheme}://shop-1",)]
    assert tls_words(location, kind) == {
        "protocols": ("TLSv1.2", "TLSv1.3"),
        "verify": ("on",),
        "verify_depth": ("1",),
        "trusted_certificate": ("active/upstreams/ca.pem",),
        "crl": ("active/upstreams/crl.pem",),
        "server_name": ("on",),
        "name": ("shop.example.org",),
        "certificate": ("/etc/ssl/gatehouse/upstreams/fullchain.pem",),
        "certificate_key": ("/etc/ssl/gatehouse/upstreams/privkey.pem",),
    }


def test_over_https_members_are_shown_nothing_and_may_have_an_authority_of_their_own(render: Render) -> None:
    own = {"name": "shop.example.org", "ca": "/srv/own.pem", "protocols": ["TLSv1.3"], "depth": 2}
    words = tls_words(
        render(**over_tls(transport="https", tls=own)).https_server("shop.example.org").one("location", "/")
    )
    assert words["trusted_certificate"] == ("active/upstreams/shop-1.ca.pem",)
    assert (words["protocols"], words["verify_depth"]) == (("TLSv1.3",), ("2",))
    assert not {"crl", "certificate", "certificate_key"} & set(words)


def test_members_with_names_of_their_own_are_asked_for_them(render: Render) -> None:
    members = [{**one, "tls_name": f"{one['name']}.example.org"} for one in TLS_MEMBERS]
    http = render(**over_tls(tls={}, members=members))
    names = http.one("map", "$upstream_addr", "$gatehouse_tls_name_shop_2d_1")
    assert [(block.name, *block.args) for block in names.block] == [
        ("volatile",),
        ("default", "unknown.invalid"),
        ("~(^|[ ])10\\.0\\.0\\.1:443$", "a.example.org"),
        ("~(^|[ ])\\[fd00::2\\]:443$", "b.example.org"),
    ]
    location = http.https_server("shop.example.org").one("location", "/")
    assert tls_words(location)["name"] == ("$gatehouse_tls_name_shop_2d_1",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"proxy_upstream_ca": ""}, "transport mtls has nothing to verify its members by; write proxy_upstream_ca"),
        (
            over_tls(tls={}),
            "nothing says which name the certificate of a must be for; write tls.name, or the member's tls_name",
        ),
    ],
)
def test_what_could_not_be_verified_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=re.escape(message)):
        render_files(**{**over_tls(), **changes})
