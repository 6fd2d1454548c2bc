"""Filter firewall_rules and the template: tables of input to rules, or to the exact message."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError, AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader
from ansible.template import Templar, trust_as_template
from hypothesis import given
from hypothesis import strategies as st

from .conftest import load

ROLE = Path(__file__).resolve().parents[2] / "roles" / "firewall"
ADMINS = ["10.10.0.0/24"]
APP = {"name": "app", "port": 5000, "sources": ["10.10.0.11"]}


firewall_rules = load("roles/firewall/filter_plugins/firewall_rules.py").firewall_rules


def render(**inputs: Any) -> str:
    """The template through Ansible's own Templar, from the role's defaults and `inputs`."""
    filter_loader.add_directory(str(ROLE / "filter_plugins"))
    variables = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    variables |= {"firewall_admin_sources": ADMINS, **inputs}
    text = (ROLE / "templates" / "nftables.conf.j2").read_text()
    templar = Templar(loader=DataLoader(), variables=variables)
    # As the template action sets it: block lines leave nothing behind.
    return str(templar.copy_with_new_env().template(trust_as_template("#jinja2: trim_blocks: True\n" + text)))


def test_what_is_forwarded_is_dropped_or_left_to_others() -> None:
    assert "type filter hook forward priority filter; policy drop;" in render()
    assert "forward" not in render(firewall_forwarding=True)


def said(services: Any, admins: Any = ADMINS, port: Any = 22) -> list[str]:
    """The problems that the filter names."""
    with pytest.raises(AnsibleFilterError) as refused:
        firewall_rules(services, admins, port)
    head, *lines = str(refused.value.message).splitlines()
    assert head == "The firewall's input is wrong:"
    return [line.removeprefix("- ") for line in lines]


@pytest.mark.parametrize(
    ("services", "admins", "rules"),
    [
        pytest.param([], ADMINS, ["ip saddr { 10.10.0.0/24 } tcp 22 ssh"], id="ssh only"),
        pytest.param(
            [APP],
            ADMINS,
            ["ip saddr { 10.10.0.0/24 } tcp 22 ssh", "ip saddr { 10.10.0.11 } tcp 5000 app"],
            id="app",
        ),
        pytest.param(
            [
                {"name": "https", "port": 443},
                {"name": "quic", "port": 443, "protocol": "udp"},
                {"name": "http", "port": 80},
            ],
            ["10.0.0.1"],
            ["ip saddr { 10.0.0.1 } tcp 22 ssh", "tcp 80 http", "tcp 443 https", "udp 443 quic"],
            id="anyone, sorted by port and protocol",
        ),
        pytest.param(
            [],
            ["fd00::1", "10.0.0.9", "fd00:1::/64", "10.0.0.1"],
            ["ip saddr { 10.0.0.1, 10.0.0.9 } tcp 22 ssh", "ip6 saddr { fd00::1, fd00:1::/64 } tcp 22 ssh"],
            id="both families, sorted",
        ),
        pytest.param(
            [],
            ["10.0.0.0/8", "10.1.0.0/16", "10.0.0.1"],
            ["ip saddr { 10.0.0.0/8 } tcp 22 ssh"],
            id="overlap",
        ),
        pytest.param([], ["10.0.0.0/25", "10.0.0.128/25"], ["ip saddr { 10.0.0.0/24 } tcp 22 ssh"], id="adjacent"),
        pytest.param(
            [
                {"name": "vrrp", "protocol": "vrrp", "sources": ["10.10.0.12"]},
                {"name": "media", "ports": "40000-40100", "protocol": "udp"},
            ],
            ["10.0.0.1"],
            [
                "ip saddr { 10.0.0.1 } tcp 22 ssh",
                "ip saddr { 10.10.0.12 } meta l4proto 112 vrrp",
                "udp 40000-40100 media",
            ],
            id="a range, and a protocol without ports",
        ),
        pytest.param([], ["FD00::0001"], ["ip6 saddr { fd00::1 } tcp 22 ssh"], id="canonical spelling"),
    ],
)
def test_rules(services: Any, admins: Any, rules: list[str]) -> None:
    got = firewall_rules(services, admins, 22)
    assert [f"{rule['match']}{rule['what']} {rule['name']}".replace("dport ", "") for rule in got] == rules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"port": 70000}, "firewall_services[0].port must be an integer from 1 to 65535, got 70000"),
        ({"port": 0}, "firewall_services[0].port must be an integer from 1 to 65535, got 0"),
        ({"port": "5000"}, "firewall_services[0].port must be an integer from 1 to 65535, got string '5000'"),
        ({"port": True}, "firewall_services[0].port must be an integer from 1 to 65535, got True"),
        (
            {"protocol": "icmp"},
            "firewall_services[0].protocol must be one of tcp, udp, sctp, igmp, gre, esp, ah, ospf, vrrp, got 'icmp'",
        ),
        ({"protocol": "vrrp"}, "firewall_services[0].port has no meaning with protocol vrrp: leave it out"),
        ({"ports": "1-2"}, "firewall_services[0].ports is there beside port: keep one of them"),
        (
            {"port": None, "ports": "20-30"},
            "firewall_services[0].ports 22 is the SSH port: list who may reach it in firewall_admin_sources",
        ),
        ({"port": None, "ports": "9-8"}, "firewall_services[0].ports must be a range such as 8000-8010, got '9-8'"),
        ({"port": None, "ports": 80}, "firewall_services[0].ports must be a range such as 8000-8010, got 80"),
        (
            {"name": 'x" accept #'},
            "firewall_services[0].name must be letters, digits and _.- (at most 63), got 'x\" accept #'",
        ),
        (
            {"name": "app\n"},
            "firewall_services[0].name must be letters, digits and _.- (at most 63), got 'app\\n'",
        ),
        (
            {"source": []},
            "firewall_services[0].source is not known: write one of name, port, ports, protocol, sources",
        ),
        (
            {"sources": []},
            "firewall_services[0].sources is empty: list who is admitted, or leave sources out to admit anyone",
        ),
        (
            {"sources": "10.0.0.1"},
            "firewall_services[0].sources must be a list of addresses or CIDRs, got '10.0.0.1'",
        ),
        (
            {"sources": ["10.0.0.1", "foo"]},
            "firewall_services[0].sources[1] must be an address or a CIDR such as 10.10.0.0/24, got 'foo'",
        ),
        (
            {"sources": [1]},
            "firewall_services[0].sources[0] must be an address or a CIDR such as 10.10.0.0/24, got 1",
        ),
        (
            {"sources": ["10.0.0.5/24"]},
            "firewall_services[0].sources[0] has host bits set: write 10.0.0.0/24 or 10.0.0.5, got '10.0.0.5/24'",
        ),
        (
            {"port": 22},
            "firewall_services[0].port 22 is the SSH port: list who may reach it in firewall_admin_sources",
        ),
    ],
)
def test_a_wrong_service_is_named(change: dict[str, Any], message: str) -> None:
    assert said([{**APP, **change}]) == [message]


def test_the_rest_of_the_input_is_checked() -> None:
    assert said([{"name": "a"}]) == ["firewall_services[0].port is missing"]
    assert said([{"port": 1}]) == ["firewall_services[0].name is missing"]
    assert said(["http"]) == [
        "firewall_services[0] must be a mapping with name, port, protocol and sources, got 'http'"
    ]
    assert said("http") == ["firewall_services must be a list, got 'http'"]
    assert said([APP, APP]) == ["firewall_services[1].name 'app' is taken by firewall_services[0]: choose another"]
    assert said([], ADMINS, 0) == ["firewall_ssh_port must be an integer from 1 to 65535, got 0"]
    assert said([], []) == [
        "firewall_admin_sources is empty: list who may reach SSH, the controller's address among them"
    ]
    assert said([], ["foo"]) == [
        "firewall_admin_sources[0] must be an address or a CIDR such as 10.10.0.0/24, got 'foo'"
    ]


def test_every_problem_is_named_at_once() -> None:
    assert len(said([{**APP, "port": 0}, {"name": "b", "port": 1, "protocol": "x"}], ["foo"])) == 3


@given(st.text(), st.text())
def test_no_text_becomes_a_rule_of_its_own(name: str, source: str) -> None:
    """Whatever is let in has neither quotes, braces nor a second line."""
    try:
        rules = firewall_rules([{"name": name, "port": 1, "sources": [source]}], ADMINS, 22)
    except AnsibleFilterError:
        return
    for rule in rules:
        assert not set(rule["name"]) & set("\"'\\{};\n\r ")
        assert not set(rule["match"].replace(" saddr { ", "").replace(" } ", "")) - set("ip0123456789abcdef.:/, ")


def test_the_order_of_the_input_does_not_matter() -> None:
    https = {"name": "https", "port": 443}
    assert render(firewall_services=[APP, https]) == render(firewall_services=[https, APP])


def test_logging_comes_last_before_the_drop() -> None:
    lines = [line.strip() for line in render(firewall_log_drops=True).splitlines()]
    assert lines[lines.index("drop") - 1] == 'limit rate 5/minute burst 10 packets log prefix "gatehouse drop: "'
    assert not any("log prefix" in line for line in render().splitlines())


def test_the_template_refuses_wrong_input() -> None:
    with pytest.raises(AnsibleError, match=r"firewall_services\[0\].port must be an integer"):
        render(firewall_services=[{**APP, "port": 70000}])


@pytest.mark.skipif(not shutil.which("nft") or not shutil.which("unshare"), reason="needs nft and unshare")
@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {
            "firewall_log_drops": True,
            "firewall_services": [
                APP,
                {"name": "dns", "port": 53, "protocol": "udp"},
                {"name": "media", "ports": "40000-40100", "protocol": "udp"},
                {"name": "sip", "port": 5060, "protocol": "sctp"},
                *(
                    {"name": protocol, "protocol": protocol}
                    for protocol in ("igmp", "gre", "esp", "ah", "ospf", "vrrp")
                ),
            ],
        },
        {"firewall_admin_sources": ["0.0.0.0/0", "::/0", "10.0.0.0/8", "fd00::1", "192.0.2.1"]},
    ],
)
def test_nft_loads_the_text_twice_and_keeps_other_tables(inputs: dict[str, Any], tmp_path: Path) -> None:
    """In a network namespace of its own, so that this machine's rules are never touched."""
    path = tmp_path / "nftables.conf"
    path.write_text(render(**inputs))
    script = f"nft add table inet engine && nft -f {path} && nft -f {path} && nft list ruleset"
    # A user namespace lends the right to load rules to whoever runs the tests.
    own = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    if subprocess.run([*own, "nft list ruleset"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no network namespace")
    done = subprocess.run([*own, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("table inet") == 2
    ssh = [line.strip() for line in done.stdout.splitlines() if 'comment "ssh"' in line]
    assert ssh
    assert all("saddr" in line and "tcp dport 22 accept" in line for line in ssh)
    assert done.stdout.split("chain forward")[0].rstrip().splitlines()[-2].strip() == "drop"
