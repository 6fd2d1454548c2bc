"""What preflight says of the list of applications, and of the environment's name."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.applications import (
    application_problems,
    environment_problems,
    unfilled_values,
)

KNOWN = ["app_name", "app_port", "app_health_path", "rollout_batch", "python_app_target", "node_app_script"]
ROLES = ["app", "python_app", "node_app", "proxy"]
GROUPS = {"shop": ["web1"], "desk": []}
SHOP = {"name": "shop", "runtime": "python", "port": 5000, "rollout": {"batch": 1}, "python": {"target": "a:b"}}


def problems(entries: Any) -> list[tuple[Any, ...]]:
    found = application_problems(entries, KNOWN, ROLES, GROUPS)
    assert all(one["level"] == "error" and one["path"][0] == "applications" for one in found)
    return [(*one["path"][1:], one["problem"], one["remedy"]) for one in found]


def test_an_entry_of_known_keys_is_right() -> None:
    assert problems([SHOP | {"upstream": {"method": "least_conn"}}]) == []


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ("shop", ('must be a list, got "shop"', "write `- name: shop` and its keys below it")),
        (["shop"], (0, 'must be a mapping, got "shop"', "write name: and the other keys")),
        ([{"port": 1}], (0, "has no name", "write name: and the group of its hosts")),
        (
            [SHOP, SHOP],
            (
                1,
                "name",
                "shop is the name of applications[0] too",
                "write each application once; its hosts are the group of its name",
            ),
        ),
        (
            [SHOP | {"name": "shpo"}],
            (
                0,
                "name",
                "shpo is no group of hosts.yml that has hosts",
                "write shop, or add the group shpo with its hosts to hosts.yml",
            ),
        ),
        (
            [SHOP | {"name": "desk"}],
            (
                0,
                "name",
                "desk is no group of hosts.yml that has hosts",
                "add the group desk with its hosts to hosts.yml",
            ),
        ),
    ],
)
def test_the_list_has_entries_with_groups(entries: Any, found: tuple[Any, ...]) -> None:
    assert problems(entries) == [found]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"runtime": "pythn", "python": {}}, ("runtime", '"pythn" is no runtime', "write python")),
        ({"prot": 5}, ("prot", "is no key of an application", "write port")),
        ({"batch": 5}, ("batch", "is no key of an application", "write it below rollout:")),
        ({"zzz": 5}, ("zzz", "is no key of an application", "see `ansible-doc -t role app`")),
        ({"app_port": 5}, ("app_port", "has the role's prefix", "write port")),
        ({"python": {"targt": "a:b"}}, ("python", "targt", "is no key of an application", "write target")),
        ({"rollout": 2}, ("rollout", "must be a mapping, got 2", "write rollout: {key: value}")),
        ({"node": {}}, ("node", "is of another runtime than python", "take it away, or write runtime: node")),
    ],
)
def test_a_key_that_becomes_no_input_is_named(keys: dict[str, Any], found: tuple[Any, ...]) -> None:
    assert (0, *found) in problems([SHOP | keys])


def test_two_environments_cannot_share_a_name() -> None:
    assert environment_problems("prod", {"staging": "staging"}) == []
    assert environment_problems("prod", {"copy": "prod", "staging": "staging"}) == [
        {
            "path": ["environment_name"],
            "problem": "is prod, as that of copy: both would share one state folder, with the CA in it",
            "remedy": "write another name",
            "level": "error",
        }
    ]


def test_what_is_to_be_filled_in_is_found_at_any_depth() -> None:
    value = {"hosts": [{"address": "FILL IN: such as 10.0.0.10"}, {"address": "10.0.0.1"}], "note": "FILL IN"}
    found = unfilled_values(value, ["x"])
    assert [(one["path"], one["remedy"]) for one in found] == [
        (["x", "hosts", 0, "address"], "write such as 10.0.0.10"),
        (["x", "note"], "write the value"),
    ]
