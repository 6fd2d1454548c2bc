"""What preflight says of an environment as a whole: groups, files, secrets, purges, and the wiring."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.plugins.loader import filter_loader

from .conftest import ROOT

filter_loader.add_directory(str(ROOT / "roles" / "preflight" / "filter_plugins"))


def pure(name: str, *arguments: Any) -> Any:
    return filter_loader.get(name).j2_function(*arguments)


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
    assert said(pure("group_problems", groups, ["shop", "desk"])) == found


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
    assert said(pure("ownerless_files", {folder: [name]}, known)) == [(folder, name, problem, remedy)]


def test_the_file_of_a_host_with_dots_is_read() -> None:
    names = {"host_vars": ["web1.example.com", "web1.example.com.yaml", ".hidden", "old.yml~"]}
    assert pure("ownerless_files", names, {"host_vars": ["web1.example.com"]}) == []


def test_a_secret_of_the_example_is_refused() -> None:
    values = {"vault_key": "change-me-too", "vault_own": "Xq3...", "vault_count": 5}
    remedy = "write a secret of your own, such as `openssl rand -base64 24` prints"
    assert said(pure("example_secrets", values)) == [("vault_key", "has the value of the example", remedy)]


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
    assert said(pure("purge_problems", [{"site": site, "prefix": "/"}], ["desk", "shop"])) == found


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
    assert pure("without_wiring", [WRITTEN, wired], False) == [WRITTEN] + [wired] * kept


def test_a_name_that_the_wiring_misses_is_to_be_written_in_group_vars() -> None:
    wired = [
        problem("a uses domains, which is not defined", "env/wiring.yml:9", "domains", ("p1",)),
        problem("b uses domains, which is not defined", "env/wiring.yml:12", "domains", ("p1", "w1")),
        problem("c uses vault_passphrase, which is not defined", "env/wiring.yml:13", "vault_passphrase"),
    ]
    found = pure("without_wiring", wired, False)
    assert [(one["text"], one["where"], one["remedy"], one["hosts"]) for one in found] == [
        ("domains is not defined", "env/group_vars/all/environment.yml", "write domains: there", ["p1", "w1"]),
        ("vault_passphrase is not defined", "env/group_vars/all/vault.yml", "write vault_passphrase: there", []),
    ]


def test_a_name_that_another_problem_tells_of_is_said_once() -> None:
    host = problem("host p1 has no public_address", "env/hosts.yml:4")
    wired = problem("v uses public_address, which is not defined", "env/wiring.yml:9", "public_address")
    assert pure("without_wiring", [host, wired], False) == [host]


def test_without_proxies_nothing_is_said_of_the_wiring() -> None:
    wired = problem("x_clients is empty", "env/wiring.yml:80")
    assert pure("without_wiring", [WRITTEN, wired], True) == [WRITTEN]


def test_an_empty_list_is_named_where_its_first_entry_is_used() -> None:
    message = "object of type 'list' has no attribute 0"
    for template, name in (("x.{{ domains[0] }}", "domains"), ("{{ hostvars[groups['proxies'][0]] }}", "proxies")):
        found = pure("evaluation_problems", message, template, [])
        text = f"needs an entry 0 of {name}, which has none"
        assert found == [{"problem": text, "remedy": f"write at least one entry in {name}", "missing": name}]
