"""What preflight says of an environment as a whole: groups, files, secrets, purges, and the wiring."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.environment import (
    group_problems,
    ownerless_files,
    purge_problems,
    service_problems,
    unclaimed_groups,
    unread_variables,
    weak_secrets,
)
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.report import without_wiring
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.sources import source_folder_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.upstreams import closed_ports, replaced_pools
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.variables import evaluation_problems


def said(problems: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(*problem["path"], problem["problem"], problem["remedy"]) for problem in problems]


NO_PROXIES = "hosts.yml has no group proxies that has hosts"


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ({"proxies": ["p1"], "apps": ["w1"], "shop": ["w1"], "desk": ["w1"]}, []),
        (
            {
                "proxies": ["p1"],
                "shop": ["w1.shop"],
                "desk": ["w1.desk"],
                "machines": ["p1", "w1"],
                "shared_machines": ["w1"],
            },
            [],
        ),
        ({"proxy": ["p1"], "shop": ["p1"]}, [("proxies", NO_PROXIES, "call proxy proxies")]),
        (
            {
                "proxies": ["p1"],
                "shop": ["w1"],
                "desk": ["w1"],
                "mail": ["m1", "m2"],
                "rack": ["m1", "w1"],
                "all": ["m1"],
            },
            [
                (
                    "m1",
                    "group mail is neither proxies nor an application's: no play reaches m1, m2",
                    "write an entry with name: mail in group_vars/all/applications.yml, or remove the group",
                )
            ],
        ),
        ({"proxies": [], "shop": ["p1"]}, [("proxies", NO_PROXIES, "add the group proxies with its hosts")]),
        (
            {"proxies": ["p1"], "apps": ["w1", "w2"], "shop": ["w1"]},
            [
                (
                    "w2",
                    "host w2 is in the group apps and in the group of no application",
                    "write an entry with the name of its group in group_vars/all/applications.yml",
                )
            ],
        ),
    ],
)
def test_groups_have_proxies_and_applications(groups: dict[str, list[str]], found: list[Any]) -> None:
    assert said(group_problems(groups, ["shop", "desk"])) == found


@pytest.mark.parametrize(
    ("folder", "name", "remedy"),
    [
        ("group_vars", "shops.yml", "name it shop.yml"),
        ("group_vars", "shops", "name it shop"),
        ("host_vars", "web2.example.com.yml", "name it web1.example.com.yml"),
        ("host_vars", "mail.yml", "remove it, or add the host mail to hosts.yml"),
        ("host_vars", "web1.example.com.txt", "name it web1.example.com"),
    ],
)
def test_a_file_that_nothing_reads_is_named(folder: str, name: str, remedy: str) -> None:
    known = {"group_vars": ["all", "shop"], "host_vars": ["web1.example.com"]}
    problem = f"{folder}/{name} belongs to no {folder[:-5]} of hosts.yml, so nothing reads it"
    assert said(ownerless_files({folder: [name]}, known)) == [(folder, name, problem, remedy)]


def test_the_file_of_a_host_with_dots_is_read() -> None:
    names = {"host_vars": ["web1.example.com", "web1.example.com.yaml", ".hidden", "old.yml~"]}
    assert ownerless_files(names, {"host_vars": ["web1.example.com"]}) == []


def test_a_secret_of_the_example_is_refused() -> None:
    values = {"vault_key": "change-me-too", "vault_own": "Xq3...", "vault_count": 5}
    remedy = "write a secret of your own, such as `openssl rand -base64 24` prints"
    assert said(weak_secrets(values)) == [("vault_key", "has the value of the example", remedy)]


@pytest.mark.parametrize(
    ("site", "found"),
    [
        ("shop", []),
        ("shopp", [("rollout_purges", 0, "site", "is shopp, and proxy_sites has no such site", "write shop")]),
        ("x", [("rollout_purges", 0, "site", "is x, and proxy_sites has no such site", "write one of desk, shop")]),
        (5, []),  # of another type: its spec says so
    ],
)
def test_a_purge_names_a_site(site: Any, found: list[Any]) -> None:
    assert said(purge_problems([{"site": site, "prefix": "/"}], ["desk", "shop"])) == found


def problem(text: str, where: str, missing: str = "", hosts: tuple[str, ...] = ()) -> dict[str, Any]:
    path, line = where.split(":")
    return {"text": text, "where": where, "order": (path, int(line), 1), "missing": missing, "hosts": list(hosts)}


WRITTEN = problem("applications[0].port 70000 is no port", "env/group_vars/all/applications.yml:7")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x_port 70000 is out of range", False),
        ("x_port must be an integer, got 70000", False),
        ("x_port 7000 is out of range", True),
        ("x_port must be an integer, got 7", True),
        ("x_clients is empty", True),
    ],
)
def test_what_follows_in_the_wiring_is_said_once(text: str, kept: bool) -> None:
    wired = problem(text, "env/wiring.yml:80")
    assert without_wiring([WRITTEN, wired], False) == [WRITTEN] + [wired] * kept


def test_a_name_that_the_wiring_misses_is_to_be_written_in_group_vars() -> None:
    wired = [
        problem("a uses domains, which is not defined", "env/wiring.yml:9", "domains", ("p1",)),
        problem("b uses domains, which is not defined", "env/wiring.yml:12", "domains", ("p1", "w1")),
        problem("c uses vault_passphrase, which is not defined", "env/wiring.yml:13", "vault_passphrase"),
    ]
    found = without_wiring(wired, False)
    assert [(one["text"], one["where"], one["remedy"], one["hosts"]) for one in found] == [
        ("domains is not defined", "env/group_vars/all/environment.yml", "write domains: there", ["p1", "w1"]),
        ("vault_passphrase is not defined", "env/group_vars/all/vault.yml", "write vault_passphrase: there", []),
    ]


def test_a_name_that_another_problem_names_is_said_once() -> None:
    host = problem("host p1 has no public_address", "env/hosts.yml:4")
    wired = problem("v uses public_address, which is not defined", "env/wiring.yml:9", "public_address")
    assert without_wiring([host, wired], False) == [host]


def test_without_proxies_nothing_is_said_of_the_wiring() -> None:
    wired = problem("x_clients is empty", "env/wiring.yml:80")
    assert without_wiring([WRITTEN, wired], True) == [WRITTEN]


def test_an_empty_list_is_named_where_its_first_entry_is_used() -> None:
    message = "object of type 'list' has no attribute 0"
    for template, name in (("x.{{ domains[0] }}", "domains"), ("{{ hostvars[groups['proxies'][0]] }}", "proxies")):
        found = evaluation_problems(message, template, [])
        text = f"needs an entry 0 of {name}, which has none"
        assert found == [{"problem": text, "remedy": f"write at least one entry in {name}", "missing": name}]


def test_a_short_passphrase_is_refused() -> None:
    remedy = "write a secret of your own, such as `openssl rand -base64 24` prints"
    values = {"vault_passphrase": "short", "other_passphrase": "x" * 16, "vault_token": "short"}
    assert said(weak_secrets(values)) == [("vault_passphrase", "is shorter than 16 characters", remedy)]


@pytest.mark.parametrize(
    ("groups", "names", "found"),
    [
        ({"all": ["w1"], "proxies": ["p1"], "shop": ["w1"]}, ["shop"], []),
        ({"all": ["w1"], "proxies": ["p1"], "shop": ["w1"], "desk": []}, [], ["shop"]),
        # Another group of hosts that have an application, or of the proxies.
        ({"proxies": ["p1"], "shop": ["w1", "w2"], "rack": ["w1"], "edge": ["p1"]}, ["shop"], []),
    ],
)
def test_a_group_without_an_application_is_found(groups: Any, names: list[str], found: list[str]) -> None:
    assert unclaimed_groups(groups, names) == found


def test_a_group_that_sites_name_is_an_error() -> None:
    groups = {"proxies": ["p1"], "shop": ["w1"], "mail": ["m1"]}
    levels = {problem["path"][0]: problem["level"] for problem in group_problems(groups, [], {"shop"})}
    assert levels == {"w1": "error", "m1": "warning"}


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("version", "write version: in the application's entry, or remove it"),
        ("", "write it for hosts that run it, or remove it"),
    ],
)
def test_an_input_that_nobody_reads_is_named_with_its_role(key: str, remedy: str) -> None:
    place = {"variable": "app_version", "file": "group_vars/proxies.yml", "roles": ["app"], "key": key}
    problem = "is an input of the role app, which runs on no host that group_vars/proxies.yml is for"
    assert said(unread_variables([place])) == [("app_version", problem, remedy)]


def test_a_port_that_the_members_host_does_not_open_is_found() -> None:
    members = [
        {"name": "w1", "address": "10.0.0.1", "port": 443},
        {"name": "w1", "address": "10.0.0.1", "port": 5000},
        {"name": "w2", "address": "10.0.0.2", "port": 80},
        {"name": "elsewhere", "address": "192.0.2.1", "port": 80},
    ]
    opened: dict[str, dict[str, Any]] = {
        "w1": {"addresses": {"10.0.0.1"}, "ports": {443}},
        "w2": {"addresses": {"10.0.0.2"}, "ports": set()},
    }
    at = ("proxy_upstreams", 0, "members")
    assert said(closed_ports([{"name": "shop", "members": members}], opened)) == [
        (*at, 1, "port", "5000 of member w1 is closed on host w1, whose firewall opens 443",
         "write 443, or open it in extra_services of w1"),
        (*at, 2, "port", "80 of member w2 is closed on host w2, whose firewall opens none",
         "open it in extra_services of w2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("upstreams", "asked", "absent"),
    [
        ([{"name": "mine"}], {"shop"}, [["shop"]]),
        ([{"name": "shop"}], {"shop"}, []),
        ([{"name": "mine"}], {"mine"}, []),
    ],
)
def test_pools_that_hide_those_of_applications_are_found(upstreams: Any, asked: set[str], absent: Any) -> None:
    assert [one["absent"] for one in replaced_pools(upstreams, ["shop", "desk"], asked)] == absent


def test_a_folder_of_source_is_there(tmp_path: Any) -> None:
    def found(values: Any, given: Any, usual: str = "") -> list[tuple[str, str]]:
        return [(one["level"], one["problem"]) for one in source_folder_problems(values, given, usual)]

    assert found({}, str(tmp_path)) == []
    assert found({}, None, str(tmp_path)) == []
    assert found({"app_source_git": {"repository": "x"}}, "nowhere") == []
    assert found({}, f"{tmp_path}/shop") == [("error", f"{tmp_path}/shop is no folder of this machine")]
    [(level, text)] = found({}, None, f"{tmp_path}/shop")
    assert level == "warning"
    assert text.startswith("has no source: ")
    assert found({}, "../shop") == [("error", "../shop is relative, and each playbook would begin elsewhere")]


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ({"name": "a", "port": 1}, []),
        ({"name": "a", "ports": "1-2", "protocol": "udp"}, []),
        ({"name": "a", "protocol": "vrrp"}, []),
        ({"name": "a"}, [("firewall_services", 0, "has no port", "write port: 9100, or ports: 9100-9110")]),
        ({"port": 1, "ports": "1-2"}, [("firewall_services", 0, "ports", "is there beside port", "keep one of them")]),
        (
            {"port": 1, "protocol": "gre"},
            [("firewall_services", 0, "port", "has no meaning with gre", "leave it out")],
        ),
    ],
)
def test_a_service_has_ports_where_its_protocol_has(service: Any, found: Any) -> None:
    assert said(service_problems([service])) == found
