"""The pools that follow from the applications, and the secrets that follow from a passphrase."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader

HOSTS: dict[str, dict[str, Any]] = {
    "shop1": {"ansible_host": "10.0.0.1"},
    "shop2": {"ansible_host": "10.0.0.2", "member": {"weight": 3}},
}
GROUPS = {"shop": ["shop1", "shop2"], "desk": []}


def pools(*entries: Any, hosts: dict[str, dict[str, Any]] | None = None) -> Any:
    return filter_loader.get("application_upstreams").j2_function(
        list(entries), GROUPS, hosts or HOSTS, "in.test", "proxy1"
    )


def test_an_application_has_a_pool_of_its_groups_hosts() -> None:
    assert pools({"name": "shop"}) == [
        {
            "name": "shop",
            "transport": "mtls",
            "tls": {"name": "shop.in.test"},
            "members": [
                {"name": "shop1", "address": "10.0.0.1", "port": 443, "weight": 1, "state": "up"},
                {"name": "shop2", "address": "10.0.0.2", "port": 443, "weight": 3, "state": "up"},
            ],
        }
    ]


def test_an_entry_says_what_is_special_of_its_pool() -> None:
    pool = pools({"name": "shop", "upstream": {"method": "least_conn", "tls": {"name": "other.test"}}})[0]
    assert (pool["method"], pool["tls"], len(pool["members"])) == ("least_conn", {"name": "other.test"}, 2)


@pytest.mark.parametrize(
    ("endpoint", "transport", "port", "named"),
    [
        ({}, "mtls", 443, True),
        ({"tls_endpoint_mode": "https", "tls_endpoint_port": 8443}, "https", 8443, True),
        ({"tls_endpoint_mode": "http", "tls_endpoint_port": 8000}, "http", 8000, False),
        ({"tls_endpoint_mode": "none", "app_port": 5000}, "http", 5000, False),
    ],
)
def test_transport_and_port_follow_from_the_endpoint(
    endpoint: dict[str, Any], transport: str, port: int, named: bool
) -> None:
    pool = pools({"name": "shop"}, hosts={name: {**about, **endpoint} for name, about in HOSTS.items()})[0]
    assert (pool["transport"], "tls" in pool) == (transport, named)
    assert [member["port"] for member in pool["members"]] == [port, port]


def test_each_member_is_reached_at_the_port_of_its_own_endpoint() -> None:
    ports = {"shop1": 443, "shop2": 13000}
    pool = pools({"name": "shop"}, hosts={name: {**HOSTS[name], "tls_endpoint_port": ports[name]} for name in ports})[0]
    assert {member["name"]: member["port"] for member in pool["members"]} == ports


@pytest.mark.parametrize(
    ("about", "member"),
    [
        ({"app_port": 3000}, {"address": "127.0.0.1", "port": 3000}),
        (
            {"app_port": 9000, "tls_endpoint_app_address": "unix:/run/shop/fastcgi.sock"},
            {"address": "unix:/run/shop/fastcgi.sock"},
        ),
    ],
)
def test_what_is_on_the_only_proxy_is_asked_there(about: dict[str, Any], member: dict[str, Any]) -> None:
    hosts = {"proxy1.shop": {"ansible_host": "10.0.0.11", "machine": "proxy1", **about}}
    upstreams = filter_loader.get("application_upstreams").j2_function
    groups = {"shop": list(hosts)}
    pool = upstreams([{"name": "shop"}], groups, hosts, "internal.test", "proxy1")[0]
    assert pool["transport"] == "http"
    assert pool["members"] == [{"name": "proxy1.shop", "weight": 1, "state": "up", **member}]
    # Another proxy has to come over the network.
    assert upstreams([{"name": "shop"}], groups, hosts, "x", "proxy2")[0]["transport"] == "mtls"


@pytest.mark.parametrize(
    ("more", "about", "transport", "ports"),
    [
        # nginx asks all members of a pool in one way.
        ({"web1": {"ansible_host": "10.0.0.1", "machine": "web1", "tls_endpoint_port": 443}}, {}, "mtls", [13000, 443]),
        # What is before the application is more than TLS.
        ({}, {"tls_endpoint_locations": [{"path": "/build/"}]}, "mtls", [13000]),
        ({}, {"tls_endpoint_mode": "http"}, "http", [13000]),
        ({}, {"tls_endpoint_mode": "none"}, "http", [3000]),
    ],
    ids=["other-members", "locations", "plaintext", "no-endpoint"],
)
def test_a_proxy_asks_what_is_beside_it_by_its_endpoint(
    more: dict[str, Any], about: dict[str, Any], transport: str, ports: list[int]
) -> None:
    beside = {"ansible_host": "10.0.0.11", "machine": "proxy1", "app_port": 3000, "tls_endpoint_port": 13000, **about}
    hosts = {"proxy1.shop": beside, **more}
    upstreams = filter_loader.get("application_upstreams").j2_function
    pool = upstreams([{"name": "shop"}], {"shop": list(hosts)}, hosts, "x", "proxy1")[0]
    assert (pool["transport"], [one["port"] for one in pool["members"]]) == (transport, ports)
    assert {one["address"] for one in pool["members"]} <= {"10.0.0.11", "10.0.0.1"}


def test_each_proxy_is_verified_by_the_members_as_it_asks_them() -> None:
    hosts: dict[str, Any] = {
        name: {"public_address": address} for name, address in (("proxy1", "192.0.2.1"), ("proxy2", "192.0.2.2"))
    }
    ports = {"app_port": 3000, "tls_endpoint_port": 13000}
    hosts["proxy1.shop"] = {"ansible_host": "10.0.0.11", "machine": "proxy1", **ports}
    groups = {"proxies": ["proxy1", "proxy2"], "shop": ["proxy1.shop"]}
    verified = filter_loader.get("verified_proxies").j2_function
    pools = [{"name": "shop", "members": []}, {"name": "stock", "members": []}]
    found = verified(["proxy1", "proxy2"], [{"name": "shop"}], groups, hosts, "x", pools, ["proxy1.shop"])
    assert [(one["name"], one["address"]) for one in found] == [("proxy1", "192.0.2.1"), ("proxy2", "192.0.2.2")]
    members = [one["upstreams"][0]["members"][0] for one in found]
    assert [(one["address"], one["port"], one["state"]) for one in members] == [
        ("127.0.0.1", 3000, "drain"),
        ("10.0.0.11", 13000, "drain"),
    ]
    assert [one["upstreams"][1] for one in found] == [pools[1], pools[1]]
    # A single proxy, or applications on other hosts: all that is asked is the same.
    for other in ({**groups, "proxies": ["proxy1"]}, {**groups, "shop": []}):
        alone = verified(["proxy1"], [{"name": "shop"}], other, hosts, "x", pools, [])
        assert alone == [{"name": "proxy1", "address": "192.0.2.1", "upstreams": []}]


def test_a_standby_on_the_proxy_serves_in_place_of_the_application() -> None:
    said = {"ansible_host": "10.0.0.11", "machine": "proxy1", "app_port": 3000}
    said |= {"app_standby_port": 23000, "serves_from_standby": True}
    upstreams = filter_loader.get("application_upstreams").j2_function
    groups = {"shop": ["proxy1.shop"]}
    members = upstreams([{"name": "shop"}], groups, {"proxy1.shop": said}, "internal.test", "proxy1")[0]["members"]
    assert [(one["name"], one["port"], one["state"]) for one in members] == [
        ("proxy1.shop", 3000, "drain"),
        ("proxy1.shop-standby", 23000, "up"),
    ]


def test_an_application_without_hosts_has_no_pool() -> None:
    assert pools({"name": "desk"}, {"name": "gone"}, {"port": 3}, "shop") == []


def derived(*arguments: Any) -> Any:
    return filter_loader.get("derived_secret").j2_function(*arguments)


def test_a_secret_is_the_same_for_one_purpose_and_differs_for_another() -> None:
    passphrase = " ".join(["correct", "horse", "battery", "staple"])
    # Not to change: whatever an environment sealed with it would be lost.
    assert derived(passphrase, "session tickets") == "Bhz4fIS8Qizyg3dksti6eu5gN0rb5NbU-K30jZgherQ"
    assert derived(passphrase, "shop") != derived(passphrase, "session tickets")
    assert derived(passphrase + "!", "shop") != derived(passphrase, "shop")


@pytest.mark.parametrize(
    ("passphrase", "purpose", "message"),
    [
        ("short", "tickets", "the passphrase that secrets are derived from must be a text of 16 characters or more"),
        (None, "tickets", "the passphrase that secrets are derived from must be a text of 16 characters or more"),
        ("x" * 16, "", 'a derived secret needs a purpose, got ""'),
    ],
)
def test_what_no_secret_can_be_derived_from_is_refused(passphrase: Any, purpose: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message) as refused:
        derived(passphrase, purpose)
    assert "short" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "short", "aGVsbG8taGVsbG8taGVsbG8=", "aGVsbG8taGVsbG8taGVsbG8+", "a" * 25, 7])
def test_a_key_of_an_authority_is_in_base64url_and_not_shown(text: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="the key is not in base64url"):
        filter_loader.get("base64url_key").j2_function(text)
