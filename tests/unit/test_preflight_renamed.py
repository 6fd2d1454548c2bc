"""Names of before: each is answered with the name of now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.applications import application_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.renamed import (
    moved_variables,
    renamed_in_page,
    renamed_value,
    renamed_variables,
)
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.variables import unknown_variables
from ansible_collections.gatehouse.core.plugins.module_utils.renamed import new_name

ROOT = Path(__file__).resolve().parents[2]
TABLE: dict[str, Any] = yaml.safe_load((ROOT / "roles/preflight/files/renamed.yml").read_text())


def found(judge: Callable[..., list[dict[str, Any]]], *arguments: Any) -> list[tuple[Any, ...]]:
    """Return (path, problem, remedy) of what a check says."""
    said = judge(*arguments)
    assert all(one["level"] == "error" for one in said)
    return [(one["path"], one["problem"], one["remedy"]) for one in said]


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("flask_app_target", "python_app_target"),
        ("flask_app_python_versions", "python_app_versions"),
        ("python_app_python_versions", "python_app_versions"),
        ("lab_name", "environment_name"),
        ("lab_names", ""),
        ("flask_ap", ""),
    ],
)
def test_a_name_of_before_has_a_new_one(name: str, new: str) -> None:
    assert new_name(name, TABLE["variables"]) == new


def test_renamed_variables_are_answered_once() -> None:
    names = ["lab_name", "flask_app_workers", "proxy_sites"]
    assert found(renamed_variables, names, TABLE["variables"], []) == [
        (["lab_name"], "was renamed to environment_name", "write environment_name"),
        (["flask_app_workers"], "was renamed to python_app_workers", "write python_app_workers"),
    ]


@pytest.mark.parametrize(("names", "count"), [(["lab_name"], 1), (["lab_name", "environment_name"], 0)])
def test_an_input_may_be_set_beside_its_new_name(names: list[str], count: int) -> None:
    assert len(found(renamed_variables, names, TABLE["variables"], ["lab_name"])) == count


@pytest.mark.parametrize("value", ["python", {"a": 1}, None, ["flask"]])
def test_other_values_have_their_names(value: Any) -> None:
    assert found(renamed_value, value, ["runtime"], TABLE["values"]) == []


def test_a_value_is_found_at_any_depth() -> None:
    sites, path = [{"locations": [{"cache": {"recipe": "old"}}]}], ["proxy_sites", 0, "locations", 0, "cache", "recipe"]
    renamed = {"recipe": {"old": "new"}}
    assert found(renamed_value, sites, path, renamed) == [(path, "old was renamed to new", "write new")]
    assert found(renamed_value, sites, ["proxy_sites", 1, "recipe"], renamed) == []


def test_an_error_page_names_the_variable_of_now() -> None:
    page, path = '<b><!--# echo var="proxy_request_id" --></b>', ["proxy_sites", 0, "error_page"]
    problem = "names sorry.html, which shows proxy_request_id: that was renamed to gatehouse_request_id"
    remedy = "write gatehouse_request_id there"
    assert found(renamed_in_page, page, path, "sorry.html", TABLE["page_variables"]) == [(path, problem, remedy)]
    now = page.replace("proxy_", "gatehouse_")
    assert found(renamed_in_page, now, path, "sorry.html", TABLE["page_variables"]) == []


def test_loose_variables_move_into_an_entry() -> None:
    loose = {"app_name": "shop", "app_port": 5000, "runtime": "flask", "flask_app_target": "a:b", "rollout_batch": 2}
    there = "was moved to the entry shop of applications in group_vars/all/applications.yml"
    assert found(moved_variables, {**loose, "private_network": "x"}, "shop", TABLE) == [
        (["app_name"], there, "write name: there"),
        (["app_port"], there, "write port: there"),
        (["runtime"], there, "write runtime: python there"),
        (["flask_app_target"], there, "write python: {target: ...} there"),
        (["rollout_batch"], there, "write rollout: {batch: ...} there"),
    ]


@pytest.mark.parametrize("runtime", ["flask", "python"])
def test_an_entry_of_before_is_answered_key_by_key(runtime: str) -> None:
    entry = {"name": "shop", "runtime": runtime, "flask": {"target": "a:b", "python_versions": ["3.13"]}}
    known, roles = ["app_name", "python_app_target", "python_app_versions"], ["app", "python_app"]
    path = ["applications", 0]
    wanted = [([*path, "flask"], "was renamed to python", "write python")]
    if runtime == "flask":
        wanted.append(([*path, "runtime"], "flask was renamed to python", "write python"))
    wanted.append(([*path, "python", "python_versions"], "was renamed to versions", "write versions"))
    assert found(application_problems, [entry], known, roles, {"shop": ["shop1"]}, TABLE) == wanted


def test_a_key_below_a_runtime_of_before_has_a_new_one() -> None:
    entry = {"name": "shop", "runtime": "node", "node": {"start_command": ["/usr/bin/node", "main.js"]}}
    path = ["applications", 0, "node", "start_command"]
    found_here = found(
        application_problems, [entry], ["app_name", "app_web_command"], ["node_app"], {"shop": ["a"]}, TABLE
    )
    assert found_here == [(path, "was renamed to web_command", "write web_command")]


def test_the_table_leads_to_names_that_there_are() -> None:
    specs = {
        option
        for path in ROOT.glob("roles/*/meta/argument_specs.yml")
        for point in yaml.safe_load(path.read_text())["argument_specs"].values()
        for option in point.get("options") or {}
    }
    for new in TABLE["variables"].values():
        stem = new.removesuffix("*")
        assert any(name.startswith(stem) if stem != new else name == new for name in [*specs, "environment_name"]), new
    for new in [*TABLE["keys"].values(), *TABLE["values"]["runtime"].values()]:
        assert (ROOT / "roles" / f"{new}_app").is_dir()
    for old, new in TABLE["playbooks"].items():
        assert f"playbooks/{old} was renamed; write playbooks/{new}" in (ROOT / "playbooks" / old).read_text()
        assert (ROOT / "playbooks" / new).is_file()
    for new in TABLE["links"].values():
        assert (ROOT / "inventories" / new).is_file()


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("nginx_packages", "see `ansible-doc -t role nginx`"),
        ("nginx_open_file", "write nginx_open_files"),
        ("app_standby_port", "write tls_standby_port"),
    ],
)
def test_what_was_removed_is_not_taken_for_another_roles(name: str, remedy: str) -> None:
    known = ["nginx_open_files", "app_packages", "tls_standby_port"]
    assert found(unknown_variables, [name], known, ["nginx", "app", "tls"]) == [
        ([name], f"is no variable of the role {name.partition('_')[0]}", remedy)
    ]
