"""The filters of members.py and upstreams.py: hosts become members, and members become text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

Filters = Callable[[str], Callable[..., Any]]
OWN = "port, weight, max_conns, max_fails, fail_timeout, backup, state, tls_name"
HOSTVARS = {
    "web1": {"private_address": "10.0.0.11", "ansible_host": "192.0.2.1"},
    "web2": {"ansible_host": "10.0.0.12", "member": {"weight": 2, "state": "drain", "port": 5001}},
    "web3": {"private_address": "FD00::13"},
    "named": {"ansible_host": "web4.internal.example"},
    "bare": {},
    "mistyped": {"private_address": "10.0.0.300"},
    "heavy": {"private_address": "10.0.0.14", "member": {"weight": 0}},
    "odd": {"private_address": "10.0.0.15", "member": {"wieght": 2}},
    "asleep": {"private_address": "10.0.0.16", "member": {"state": "down"}},
    "flat": {"private_address": "10.0.0.17", "member": "drain"},
}


def member(name: str, address: str, port: int = 5000, weight: int = 1, state: str = "up") -> dict[str, Any]:
    return {"name": name, "address": address, "port": port, "weight": weight, "state": state}


@pytest.mark.parametrize(
    ("hosts", "result"),
    [
        ([], []),
        (["web1"], [member("web1", "10.0.0.11")]),
        (["web2", "web1"], [member("web2", "10.0.0.12", 5001, 2, "drain"), member("web1", "10.0.0.11")]),
        (["web3", "named"], [member("web3", "fd00::13"), member("named", "web4.internal.example")]),
    ],
)
def test_members(filters: Filters, hosts: list[str], result: list[Any]) -> None:
    assert filters("upstream_members")(hosts, HOSTVARS, 5000) == result


@pytest.mark.parametrize(
    ("hosts", "port", "message"),
    [
        (
            ["bare"],
            5000,
            "host bare has no address; write private_address (or ansible_host) beside it in the inventory",
        ),
        (["web9"], 5000, "the inventory has no host web9"),
        ("web1", 5000, "hosts must be a list of inventory hosts, got \"web1\"; write groups['storefront']"),
        (["web1"], 70000, "port must be an integer from 1 to 65535, got 70000"),
        (["web1"], "5000", 'port must be an integer from 1 to 65535, got "5000"'),
        (["web1"], True, "port must be an integer from 1 to 65535, got true"),
        (["mistyped"], 1, 'mistyped: private_address must be an IP address or a host name, got "10.0.0.300"'),
        (["heavy"], 1, "heavy: member.weight must be an integer from 1 to 65535, got 0"),
        (["odd"], 1, "odd: member has the unknown key wieght; write one of " + OWN),
        (["asleep"], 1, 'asleep: member.state must be one of up, drain, got "down"'),
        (["flat"], 1, 'flat: member must be a mapping, got "drain"'),
    ],
)
def test_members_refused(filters: Filters, hosts: Any, port: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("upstream_members")(hosts, HOSTVARS, port)
    assert error.value.message == message


@pytest.mark.parametrize(
    ("one", "result"),
    [
        (member("a", "10.0.0.101"), "10.0.0.101:5000"),
        (member("a", "10.0.0.101", weight=2), "10.0.0.101:5000 weight=2"),
        (member("a", "10.0.0.101", state="drain"), "10.0.0.101:5000 down"),
        ({**member("a", "10.0.0.101", weight=3), "backup": True}, "10.0.0.101:5000 weight=3 backup"),
        (member("a", "fd00::5", port=80), "[fd00::5]:80"),
        (member("a", "web4.internal.example"), "web4.internal.example:5000"),
        ({"address": "unix:/run/shop.sock"}, "unix:/run/shop.sock"),
        ({"address": "10.0.0.1", "port": 1}, "10.0.0.1:1"),
    ],
)
def test_server(filters: Filters, one: dict[str, Any], result: str) -> None:
    assert filters("upstream_server")(one) == result


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ({"name": "a"}, "a: address must be an IP address or a host name, got null"),
        (member("a", "10.0.0.1; x"), 'a: address must be an IP address or a host name, got "10.0.0.1; x"'),
        (member("a", "unix:/run/shop.sock"), "a: a unix: socket has no port; write the member without port"),
        ({"address": "unix:run x"}, 'member: address must be unix: and a plain absolute path, got "unix:run x"'),
        ({"address": "10.0.0.1"}, "member: port must be an integer from 1 to 65535, got null"),
        (
            {"address": "10.0.0.1", "port": 1, "max": 1},
            "member has the unknown key max; write one of name, address, " + OWN,
        ),
        (["a"], 'member must be a mapping, got ["a"]'),
    ],
)
def test_server_refused(filters: Filters, one: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("upstream_server")(one)
    assert error.value.message == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "500ms",
            '"500ms" has milliseconds, which nginx does not count here; write a time of whole seconds, such as 10s',
        ),
        ("1s500ms", '"1s500ms" has milliseconds, which nginx does not count here;'),
        ("soon", '"soon" is no duration; write whole numbers with'),
    ],
)
def test_whole_seconds(filters: Filters, value: str, message: str) -> None:
    assert [filters("whole_seconds")(one) for one in ("10s", "1h 30m", 90)] == ["10s", "1h30m", "90s"]
    with pytest.raises(AnsibleFilterError) as error:
        filters("whole_seconds")(value)
    assert error.value.message.startswith(message)
    with pytest.raises(AnsibleFilterError) as error:
        filters("upstream_server")(member("a", "10.0.0.1") | {"fail_timeout": value})
    assert error.value.message.startswith("a: fail_timeout ")


def test_private_addresses(filters: Filters) -> None:
    hosts = ["web3", "web2", "web3"]
    assert filters("private_addresses")(hosts, HOSTVARS) == ["fd00::13", "10.0.0.12"]
    with pytest.raises(AnsibleFilterError) as error:
        filters("private_addresses")(["named"], HOSTVARS)
    assert error.value.message == (
        "host named has the name web4.internal.example where a firewall needs an address;"
        " write its IP address as private_address"
    )


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ([], ["internal.a.test"]),
        ([{"server_names": ["b.test"], "certificate": {"source": "acme"}}], ["internal.a.test"]),
        ([{"server_names": ["b.test"], "https": False}], ["internal.a.test"]),
        ([{"server_names": ["*.B.test"]}], ["internal.a.test", "b.test"]),
        ([{"server_names": ["shop.a.test", "myb.test"], "certificate": {"source": "internal_ca"}}], ["a.test"]),
        (["none", {"certificate": 1}, {"server_names": None}], ["internal.a.test"]),
        ("none", ["internal.a.test"]),
    ],
)
def test_domains_that_the_internal_ca_signs_for(filters: Filters, sites: Any, expected: list[str]) -> None:
    assert filters("signed_domains")(sites, "internal.a.test", ["a.test", "b.test"]) == expected


def test_site_certificates(filters: Filters) -> None:
    own = {"source": "files", "chain": "shop.pem", "key": "shop.key"}
    sites = [
        {"name": "shop", "server_names": ["Shop.example.org", "*.shop.example.org"]},
        {"name": "desk", "server_names": ["desk.example.org"], "certificate": own},
        {"name": "kept", "server_names": ["kept.example.org"], "certificate": {**own, "source": "host"}},
        {"name": "pump", "server_names": ["pump.example.org"], "https": False},
        {"name": "open", "server_names": ["open.example.org"], "certificate": {"source": "acme"}},
    ]
    assert filters("site_certificates")(sites) == [
        {
            "name": "shop",
            "names": ["shop.example.org", "*.shop.example.org"],
            "source": "internal_ca",
            "chain": "",
            "key": "",
            "used_by": "site shop",
        },
        {"name": "desk", "names": ["desk.example.org"], **own, "used_by": "site desk"},
        {
            "name": "open",
            "names": ["open.example.org"],
            "source": "acme",
            "chain": "",
            "key": "",
            "used_by": "site open",
        },
    ]


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ({"shop": {}}, 'sites must be a list, got {"shop": {}}'),
        ([{"name": "shop"}], "sites[0] must be a mapping with a name and server_names"),
    ],
)
def test_site_certificates_refused(filters: Filters, sites: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("site_certificates")(sites)
    assert error.value.message == message


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("hosts | upstream_members(estate, 5000)", [member("web1", "10.0.0.11"), member("web3", "fd00::13")]),
        (
            "hosts | upstream_members(estate, 5000) | map('upstream_server') | list",
            ["10.0.0.11:5000", "[fd00::13]:5000"],
        ),
        ("hosts | private_addresses(estate)", ["10.0.0.11", "fd00::13"]),
        ("(sites | site_certificates)[0].names", ["shop.example.org"]),
    ],
)
def test_through_templar(render: Callable[..., Any], expression: str, result: object) -> None:
    sites = [{"name": "shop", "server_names": ["shop.example.org"]}]
    assert render(expression, hosts=["web1", "web3"], estate=HOSTVARS, sites=sites) == result
