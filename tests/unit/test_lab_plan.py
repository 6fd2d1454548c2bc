"""What a lab is planned to be on this machine, and the exact words for what it cannot be."""

from __future__ import annotations

import ipaddress
import resource
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils import lab_rules as rules

from .conftest import load

ROLE = Path(__file__).resolve().parents[2] / "roles" / "lab"


lab_plan = load("roles/lab/library/lab_plan.py")
lab_filters = load("roles/lab/filter_plugins/lab.py")

RANGES = {
    "private_network": ipaddress.IPv4Network("10.20.0.0/24"),
    "edge_network": ipaddress.IPv4Network("198.18.20.0/24"),
}
CONTROLLER = {
    "controller_address": ipaddress.IPv4Address("10.20.0.1"),
    "controller_edge_address": ipaddress.IPv4Address("198.18.20.1"),
}


def host(name: str, ansible_host: str = "", **more: str) -> dict[str, str]:
    """Describe a host as the filter lab_hosts does, with a release."""
    empty = {"private_address": "", "public_address": "", "release": "trixie"}
    return {"name": name, "ansible_host": ansible_host, **empty, **more}


PROXY = host("proxy1", "10.20.0.11", public_address="198.18.20.11")
WEB = host("web1", "10.20.0.101")
CLIENT = host("client", "198.18.20.254", public_address="198.18.20.254")
COMMON = {
    "cmd_args": ["--runtime", "runc"],
    "ulimit": ["nofile=20000:20000"],
    "volume": ["/var/lib/gatehouse-lab/lab:/etc/ssh/lab:ro"],
}


@pytest.mark.parametrize(
    ("unified", "present", "expected"),
    [
        (True, ["crun", "runc"], "crun"),
        (True, ["runc"], "runc"),
        (False, ["crun", "runc"], "runc"),
        (False, ["crun"], None),
        (True, [], None),
    ],
)
def test_the_runtime_fits_the_control_groups(unified: bool, present: list[str], expected: str | None) -> None:
    assert lab_plan.choose_runtime(unified, present) == expected


CAP_SYS_RESOURCE = 1 << 24
ALL_BUT_SYS_RESOURCE = (1 << 41) - 1 - CAP_SYS_RESOURCE


@pytest.mark.parametrize(
    ("capabilities", "nofile", "nproc", "expected"),
    [
        (CAP_SYS_RESOURCE, 1024, 1024, []),
        (ALL_BUT_SYS_RESOURCE, 20000, 4096, ["nofile=20000:20000", "nproc=4096:4096"]),
        (ALL_BUT_SYS_RESOURCE, 1 << 20, 1 << 20, ["nofile=65536:65536", "nproc=16384:16384"]),
        (0, resource.RLIM_INFINITY, resource.RLIM_INFINITY, ["nofile=65536:65536", "nproc=16384:16384"]),
    ],
)
def test_limits_are_not_above_the_machines(capabilities: int, nofile: int, nproc: int, expected: list[str]) -> None:
    assert lab_plan.container_limits(capabilities, {"nofile": nofile, "nproc": nproc}) == expected


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "private_network",
            "10.20.0.5/24",
            "private_network is '10.20.0.5/24' (10.20.0.5/24 has host bits set): "
            "write an IPv4 range such as 10.20.0.0/24 in the inventory's hosts.yml",
        ),
        (
            "edge_network",
            "fd00::/64",
            "edge_network is 'fd00::/64' (Expected 4 octets in 'fd00::'): "
            "write an IPv4 range such as 10.20.0.0/24 in the inventory's hosts.yml",
        ),
        (
            "controller_address",
            "bastion.example.com",
            "controller_address is 'bastion.example.com' (Expected 4 octets in 'bastion.example.com'): "
            "write an IPv4 address such as 10.20.0.1 in the inventory's hosts.yml",
        ),
    ],
)
def test_a_setting_that_is_not_well_written_is_refused(variable: str, text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole message is compared
        rules.read_setting(variable, text)
    assert str(error.value) == message


def test_settings_are_read() -> None:
    assert rules.read_setting("edge_network", "198.18.20.0/24") == RANGES["edge_network"]
    assert rules.read_setting("controller_edge_address", "198.18.20.1") == CONTROLLER["controller_edge_address"]


@pytest.mark.parametrize(
    ("lab", "hosts", "message"),
    [
        (
            "my lab",
            [WEB],
            "lab_name 'my lab' cannot name a container: use letters, digits, '.', '_' and '-', 64 at most",
        ),
        (
            "lab",
            [host("a/b", "10.20.0.5")],
            "host 'a/b' cannot name a container: use letters, digits, '.', '_' and '-', 64 at most",
        ),
        (
            "lab",
            [host("web1", "10.20.0.5", release="sid")],
            "host web1: there is no image of lab_release 'sid': write bookworm or trixie",
        ),
        (
            "lab",
            [host("client", "10.20.0.5")],
            "host client has the name of a host of the lab's own: "
            "rename it, or set lab_client to another name or to ''",
        ),
        (
            "lab",
            [host("pebble", "10.20.0.5")],
            "host pebble has the name of a host of the lab's own: rename it, or set lab_acme to another name or to ''",
        ),
    ],
)
def test_names_that_no_container_can_have_are_refused(lab: str, hosts: list[dict[str, str]], message: str) -> None:
    assert rules.name_problems(lab, hosts, {"client": "lab_client", "pebble": "lab_acme"}) == [message]


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        ({}, []),
        ({"private_network": "10.20.0.0/29"}, []),
        (
            {"private_network": "10.20.0.0/30"},
            ["private_network 10.20.0.0/30 is too small for a lab: write a /29 or a larger range"],
        ),
        (
            {"edge_network": "10.20.0.0/16", "controller_edge_address": "10.20.1.1"},
            [
                "private_network 10.20.0.0/24 and edge_network 10.20.0.0/16 overlap: "
                "write two ranges that have nothing in common"
            ],
        ),
        (
            {"controller_address": "10.21.0.1", "controller_edge_address": "198.18.20.0"},
            [
                "controller_address 10.21.0.1 is no address for a host in private_network 10.20.0.0/24: "
                "write one of it",
                "controller_edge_address 198.18.20.0 is no address for a host in edge_network 198.18.20.0/24: "
                "write one of it",
            ],
        ),
    ],
)
def test_the_labs_own_ranges(changed: dict[str, str], messages: list[str]) -> None:
    settings = {name: str(value) for name, value in (RANGES | CONTROLLER).items()} | changed
    read: dict[str, Any] = {name: rules.read_setting(name, text) for name, text in settings.items()}
    ranges = {name: read[name] for name in RANGES}
    assert rules.network_problems(ranges, {name: read[name] for name in CONTROLLER}) == messages


@pytest.mark.parametrize(
    ("changed", "hosts", "found"),
    [
        ({}, [PROXY, WEB], ["10.20.0.1", "198.18.20.1"]),
        # A laptop, or a machine of CI, on neither network.
        (
            {"controller_address": "192.0.2.9", "controller_edge_address": "192.0.2.9"},
            [PROXY, WEB],
            ["10.20.0.1", "198.18.20.1"],
        ),
        (
            {"controller_address": "192.0.2.9", "controller_edge_address": "192.0.2.9"},
            [host("web1", "198.18.20.1", public_address="198.18.20.1"), host("web2", "10.20.0.1")],
            ["10.20.0.2", "198.18.20.2"],
        ),
        ({"controller_edge_address": "198.18.20.254"}, [PROXY], ["10.20.0.1", "198.18.20.254"]),
    ],
    ids=["on both", "on neither", "where hosts are first", "on another place"],
)
def test_the_controller_is_on_the_labs_networks(
    changed: dict[str, str], hosts: list[dict[str, str]], found: list[str]
) -> None:
    controller = CONTROLLER | {name: ipaddress.IPv4Address(text) for name, text in changed.items()}
    assert [str(one) for one in rules.controller_in_lab(RANGES, controller, hosts).values()] == found


@pytest.mark.parametrize(
    ("hosts", "messages"),
    [
        ([PROXY, WEB, CLIENT], []),
        ([host("web1", "10.20.0.101", private_address="10.20.0.101")], []),
        # A host may be reached on the edge.
        ([host("p", "198.18.20.12", public_address="198.18.20.12", private_address="10.20.0.12")], []),
        (
            [host("web1")],
            [
                "host web1 has no address: write ansible_host in the inventory's hosts.yml, "
                "an address in private_network 10.20.0.0/24"
            ],
        ),
        (
            [host("web1", "10.21.0.101")],
            [
                "host web1: ansible_host 10.21.0.101 is no address for a host in private_network 10.20.0.0/24: "
                "write one that is, or widen the range"
            ],
        ),
        (
            [host("web1", "10.20.0.255")],
            [
                "host web1: ansible_host 10.20.0.255 is no address for a host in private_network 10.20.0.0/24: "
                "write one that is, or widen the range"
            ],
        ),
        (
            [PROXY | {"public_address": "10.20.0.12"}],
            [
                "host proxy1: public_address 10.20.0.12 is no address for a host in edge_network 198.18.20.0/24: "
                "write one that is, or widen the range"
            ],
        ),
        (
            [host("web1", "web1.example.com")],
            [
                "host web1: ansible_host web1.example.com is not an IPv4 address: "
                "a lab has no names, so write one in 10.20.0.0/24"
            ],
        ),
        (
            [WEB, host("web2", "10.20.0.101")],
            ["host web2: ansible_host 10.20.0.101 is taken by host web1: write another one"],
        ),
        (
            [host("web1", "10.20.0.1")],
            ["host web1: ansible_host 10.20.0.1 is taken by the controller (controller_address): write another one"],
        ),
        (
            [host("web1", "203.0.113.9", private_address="10.20.0.101")],
            [
                "host web1: ansible_host 203.0.113.9 cannot be reached in a lab, "
                "where the host has 10.20.0.101 only: write ansible_host: 10.20.0.101"
            ],
        ),
        (
            [host("p", "", private_address="10.20.0.9", public_address="198.18.20.9")],
            [
                "host p: ansible_host (not written) cannot be reached in a lab, "
                "where the host has 10.20.0.9 and 198.18.20.9 only: write ansible_host: 10.20.0.9"
            ],
        ),
    ],
)
def test_addresses_that_a_lab_cannot_give_are_refused(hosts: list[dict[str, str]], messages: list[str]) -> None:
    assert rules.address_problems(hosts, RANGES, CONTROLLER) == messages


def network(name: str, subnet: str, interface: str) -> dict[str, Any]:
    """Describe a network as podman lists it."""
    gateway = subnet.replace(".0/24", ".1")
    return {
        "name": name,
        "network_interface": interface,
        "subnets": [{"subnet": subnet, "gateway": gateway}],
        "dns_enabled": False,
        "options": {"isolate": "true"},
    }


REMEDY = "write another range in the inventory's hosts.yml and move the addresses into it"


@pytest.mark.parametrize(
    ("networks", "routes", "messages"),
    [
        ([], [{"dst": "default", "dev": "eth0"}, {"dst": "192.0.2.0/24", "dev": "eth0"}], []),
        # Its own network, and the route to it.
        (
            [network("gatehouse-lab-private", "10.20.0.0/24", "podman1")],
            [{"dst": "10.20.0.0/24", "dev": "podman1"}],
            [],
        ),
        (
            [network("gatehouse-my-prod-edge", "198.18.20.0/24", "podman1")],
            [{"dst": "198.18.20.0/24", "dev": "podman1"}],
            [
                "edge_network 198.18.20.0/24 is in use already by the lab 'my-prod', which has 198.18.20.0/24: "
                f"take that lab down (make lab-down ENV=its inventory), or {REMEDY}"
            ],
        ),
        (
            [network("podman", "10.20.0.0/24", "podman0")],
            [],
            [
                "private_network 10.20.0.0/24 is in use already by podman network 'podman', "
                f"which has 10.20.0.0/24: {REMEDY}"
            ],
        ),
        (
            [],
            [{"dst": "10.0.0.0/8", "dev": "tun0"}],
            [
                "private_network 10.20.0.0/24 is in use already by this machine's interface tun0, "
                f"which has 10.0.0.0/8: {REMEDY}"
            ],
        ),
        (
            [],
            [{"dst": "198.18.20.7", "dev": "eth1"}],
            [
                "edge_network 198.18.20.0/24 is in use already by this machine's interface eth1, "
                f"which has 198.18.20.7/32: {REMEDY}"
            ],
        ),
        # The two halves of a default route, as VPNs set them.
        ([], [{"dst": "0.0.0.0/1", "dev": "tun0"}, {"dst": "128.0.0.0/1", "dev": "tun0"}], []),
        ([{"name": "six", "subnets": [{"subnet": "fd00::/64"}]}, {"name": "none", "subnets": None}], [], []),
    ],
)
def test_ranges_that_something_else_uses_are_refused(
    networks: list[dict[str, Any]], routes: list[dict[str, Any]], messages: list[str]
) -> None:
    assert rules.range_problems(RANGES, networks, routes, "lab") == messages


def test_macs_are_the_same_each_time_and_locally_administered() -> None:
    assert lab_plan.mac_address("10.20.0.11") == "0a:ba:57:45:e4:f7"
    macs = {lab_plan.mac_address(f"10.20.0.{last}") for last in range(256)}
    assert len(macs) == 256
    assert {mac[:2] for mac in macs} == {"0a"}


def test_containers_are_what_podman_containers_takes() -> None:
    proxy, web, client = lab_plan.plan_containers("lab", [PROXY, WEB | {"release": "bookworm"}, CLIENT], "cafe", COMMON)
    assert proxy == {
        "name": "lab-proxy1",
        "hostname": "proxy1",
        "image": "localhost/gatehouse-lab-trixie:cafe",
        "network": [
            "gatehouse-lab-private:ip=10.20.0.11,mac=0a:ba:57:45:e4:f7",
            "gatehouse-lab-edge:ip=198.18.20.11,mac=0a:bf:88:9b:0f:45",
        ],
        "state": "started",
        "systemd": "always",
        "cap_add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"],
        "label": {"gatehouse.lab": "lab"},
        **COMMON,
    }
    assert web["image"] == "localhost/gatehouse-lab-bookworm:cafe"
    assert [entry.partition(":")[0] for entry in web["network"]] == ["gatehouse-lab-private"]
    assert [entry.partition(":")[0] for entry in client["network"]] == ["gatehouse-lab-edge"]


def inspected(running: bool = True, **replaced: str) -> dict[str, Any]:
    """Describe the standing container of WEB as `podman container inspect` does, some words replaced."""
    words = (
        "podman container run --name lab-web1 --cap-add NET_ADMIN --cap-add NET_RAW --cap-add SYS_ADMIN --runtime runc "
        "--detach=True --hostname web1 --label gatehouse.lab=lab --network NETWORK --systemd=always --ulimit LIMIT "
        "--volume /var/lib/gatehouse-lab/lab:/etc/ssh/lab:ro IMAGE"
    )
    values = {
        "NETWORK": f"gatehouse-lab-private:ip=10.20.0.101,mac={lab_plan.mac_address('10.20.0.101')}",
        "LIMIT": "nofile=20000:20000",
        "IMAGE": "localhost/gatehouse-lab-trixie:cafe",
    } | replaced
    return {
        "State": {"Running": running},
        "Config": {"CreateCommand": [values.get(word, word) for word in words.split()]},
    }


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (inspected(), True),
        (inspected(running=False), False),
        (inspected(IMAGE="localhost/gatehouse-lab-trixie:old"), False),
        (inspected(LIMIT="nofile=1024:1024"), False),
        (inspected(NETWORK="gatehouse-lab-private:ip=10.20.0.102,mac=0a:00:00:00:00:01"), False),
        ({"State": {"Running": True}, "Config": {}}, False),
    ],
)
def test_a_container_stands_if_it_was_made_by_the_same_words(standing: dict[str, Any], expected: bool) -> None:
    (container,) = lab_plan.plan_containers("lab", [WEB], "cafe", COMMON)
    assert lab_plan.is_current(container, standing) is expected


def test_a_container_without_limits_of_its_own_stands() -> None:
    (container,) = lab_plan.plan_containers("lab", [WEB], "cafe", COMMON | {"ulimit": []})
    standing = inspected()
    words = standing["Config"]["CreateCommand"]
    del words[words.index("--ulimit") : words.index("--ulimit") + 2]
    assert lab_plan.is_current(container, standing)


@pytest.mark.parametrize(
    ("running", "monitors", "expected"),
    [
        (True, {"7": "/usr/bin/conmon\0-c\0deadbeef\0"}, False),
        (True, {}, True),
        # Its number went to another process.
        (True, {"7": "/usr/bin/conmon\0-c\0cafe\0"}, True),
        # podman knows.
        (False, {}, False),
    ],
)
def test_a_container_whose_monitor_is_gone_was_killed(
    tmp_path: Path, running: bool, monitors: dict[str, str], expected: bool
) -> None:
    for number, words in monitors.items():
        (tmp_path / number).mkdir()
        (tmp_path / number / "cmdline").write_text(words)
    one = {"Id": "deadbeef", "State": {"Running": running, "ConmonPid": 7}}
    assert lab_plan.was_killed(one, tmp_path) is expected


STANDING = network("gatehouse-lab-private", "10.20.0.0/24", "podman1")


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ([STANDING], True),
        ([], False),
        ([STANDING | {"name": "gatehouse-prod-private"}], False),
        ([STANDING | {"subnets": [{"subnet": "10.20.0.0/24", "gateway": "10.20.0.9"}]}], False),
        ([STANDING | {"dns_enabled": True}], False),
        # Not isolated, this machine would route between the two networks.
        ([STANDING | {"options": None}], False),
    ],
)
def test_a_network_stands_if_it_is_as_wanted(networks: list[dict[str, Any]], expected: bool) -> None:
    wanted = {"name": "gatehouse-lab-private", "subnet": "10.20.0.0/24", "gateway": "10.20.0.1"}
    assert lab_plan.network_stands(wanted, networks) is expected


def test_images_of_old_recipes_are_outdated_unless_another_lab_uses_them() -> None:
    images = [
        {"Id": "1", "Names": ["localhost/gatehouse-lab-trixie:new"]},
        {"Id": "2", "Names": ["localhost/gatehouse-lab-trixie:old"]},
        {"Id": "3", "Names": ["localhost/gatehouse-lab-bookworm:old"]},
        {"Id": "4", "Names": ["localhost/gatehouse-lab-bookworm:older"]},
        {"Id": "5", "Names": ["localhost/somebody-elses:old"]},
        {"Id": "6", "Names": None},
    ]
    containers = [
        {"ImageID": "2", "Labels": {"gatehouse.lab": "lab"}},
        {"ImageID": "3", "Labels": {"gatehouse.lab": "prod"}},
        {"ImageID": "9", "Labels": None},
    ]
    outdated = ["localhost/gatehouse-lab-bookworm:older", "localhost/gatehouse-lab-trixie:old"]
    assert lab_plan.outdated_images(images, containers, "new", "lab") == outdated


@pytest.mark.parametrize(("prepared", "outdated"), [("", ["old", "old-1"]), ("new-2", ["new-1", "old", "old-1"])])
def test_prepared_images_are_outdated_with_either_recipe(prepared: str, outdated: list[str]) -> None:
    tags = ("new", "new-1", "new-2", "old", "old-1")
    images = [{"Id": tag, "Names": [f"localhost/gatehouse-lab-trixie:{tag}"]} for tag in tags]
    found = lab_plan.outdated_images(images, [], "new", "lab", prepared)
    assert [name.rpartition(":")[2] for name in found] == outdated


@pytest.mark.parametrize(
    ("present", "prepared", "expected"),
    [
        ([], "", (["bookworm", "trixie"], [])),
        (["trixie:new"], "", (["bookworm"], [])),
        ([], "new-1", (["bookworm", "trixie"], ["bookworm", "trixie"])),
        (["trixie:new"], "new-1", (["bookworm"], ["bookworm", "trixie"])),
        # A prepared image does without the bare one that it was made from.
        (["trixie:new-1"], "new-1", (["bookworm"], ["bookworm"])),
        (["trixie:new-1", "bookworm:new-1"], "new-1", ([], [])),
        (["trixie:new-1", "bookworm:new-1"], "", (["bookworm", "trixie"], [])),
    ],
)
def test_only_images_that_are_missing_are_made(
    present: list[str], prepared: str, expected: tuple[list[str], list[str]]
) -> None:
    names = {f"localhost/gatehouse-lab-{name}" for name in present}
    assert lab_plan.missing_images(["trixie", "bookworm"], names, "new", prepared) == expected


def test_the_filter_lists_what_the_inventory_says() -> None:
    hostvars = {
        "proxy1": {"ansible_host": "10.20.0.11", "public_address": "198.18.20.11", "lab_release": "bookworm", "x": 1},
        "web1": {"private_address": "10.20.0.101"},
        "bare": {},
    }
    assert lab_filters.lab_hosts(["proxy1", "web1", "bare"], hostvars) == [
        host("proxy1", "10.20.0.11", public_address="198.18.20.11", release="bookworm"),
        host("web1", private_address="10.20.0.101", release=""),
        host("bare", release=""),
    ]
