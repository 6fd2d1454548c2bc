"""Which SHA-256 the hosts are asked for: the build's own, or that beside an archive from elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail

sys.path.insert(0, str(Path(__file__).parents[2] / "roles" / "app" / "action_plugins"))

OLD = "a" * 64


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs the action beside an archive with the sum OLD and gives what the host is asked."""
    import app_release

    archive = tmp_path / "demo-1.0.tar.gz"
    archive.touch()
    archive.with_name(archive.name + ".sha256").write_text(f"{OLD}  {archive.name}\n")

    def run(check_mode: bool = False, **arguments: str) -> dict[str, Any]:
        task = Mock(check_mode=check_mode, async_val=0, args={"archive": str(archive), **arguments})
        action = app_release.ActionModule(task, Mock(), Mock(), Mock(), Mock(), Mock())
        execute = Mock(return_value={"changed": False})
        for name, stand_in in (("_execute_module", execute), ("_remove_tmp_path", Mock())):
            monkeypatch.setattr(action, name, stand_in)
        action.run(task_vars={})
        return dict(execute.call_args.kwargs["module_args"])

    return run


def test_check_mode_before_a_build_does_not_ask_for_the_old_archive(asked: Any) -> None:
    assert not asked(check_mode=True, sha256="", inputs="i" * 64)["sha256"]


def test_a_build_is_asked_for_by_its_sum(asked: Any) -> None:
    assert asked(sha256="b" * 64, inputs="i" * 64)["sha256"] == "b" * 64


def test_what_other_hosts_go_by_is_not_what_a_host_says(monkeypatch: pytest.MonkeyPatch) -> None:
    import app_release

    asked = {"state": "staged", "version": "1.0", "sha256": "b" * 64, "health_path": "/well", "health_status": 200}
    action = app_release.ActionModule(Mock(check_mode=False, async_val=0, args=asked), *[Mock()] * 5)
    lie = {"changed": False, "staged": "0.9-vulnerable", "gate": {"path": "/", "status": 404}, "serving": True}
    monkeypatch.setattr(action, "_execute_module", Mock(return_value=lie))
    monkeypatch.setattr(action, "_remove_tmp_path", Mock())
    result = action.run(task_vars={})
    assert (result["staged"], result["gate"]) == ("1.0-bbbbbbbb", {"path": "/well", "status": 200})
    assert result["serving"] is True


@pytest.mark.parametrize("check_mode", [False, True])
def test_an_archive_from_elsewhere_is_asked_for_by_its_sidecar(asked: Any, check_mode: bool) -> None:
    assert asked(check_mode=check_mode, sha256="", inputs="")["sha256"] == OLD


def test_a_missing_archive_is_an_error_except_in_check_mode(asked: Any, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.tar.gz")
    assert not asked(check_mode=True, archive=missing)["sha256"]
    with pytest.raises(AnsibleActionFail, match="there is no release archive"):
        asked(archive=missing)
    with pytest.raises(AnsibleActionFail, match="there is no release archive"):
        asked(archive=missing, inputs="i" * 64)


def provide(monkeypatch: pytest.MonkeyPatch, answers: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    """Run the action on a host that lacks something; return the result, and (module, arguments) of the calls."""
    import app_release

    arguments = {"state": "staged", "version": "1", "sha256": "b" * 64, "user": "shop", "web_server_user": "www-data"}
    task = Mock(check_mode=False, async_val=0, args={**arguments, "packages": ["nodejs", "php=8.4*"]})
    action = app_release.ActionModule(task, Mock(), Mock(), Mock(), Mock(), Mock())
    calls: list[Any] = []

    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any = None) -> dict[str, Any]:
        calls.append((module_name.rpartition(".")[2], dict(module_args)))
        if module_name != "app_release":
            return answers[module_name.rpartition(".")[2]]
        needs = ["install package nodejs", "install package php=8.4*", "create account shop"]
        return {"changed": False, "needs": needs} if module_args["packages"] else {"changed": False, "actions": []}

    monkeypatch.setattr(action, "_execute_module", execute)
    monkeypatch.setattr(action, "_remove_tmp_path", Mock())
    return action.run(task_vars={}), calls


def test_what_a_host_lacks_is_provided_by_ansibles_own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = provide(monkeypatch, {"apt": {"changed": True}, "user": {"changed": True}})
    assert [name for name, _ in calls] == ["app_release", "apt", "user", "user", "app_release"]
    assert calls[1][1] == {"name": ["nodejs", "php=8.4*"], "install_recommends": False}
    assert (calls[2][1]["name"], calls[2][1]["shell"], calls[2][1]["password"]) == ("shop", "/usr/sbin/nologin", "!")
    assert calls[3][1] == {"name": "www-data", "groups": ["shop"], "append": True}
    assert result["changed"] is True
    assert result["changes"] == ["install package nodejs", "install package php=8.4*", "create account shop"]


def test_a_package_that_only_apt_can_judge_changes_nothing_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = provide(monkeypatch, {"apt": {"changed": False}, "user": {"changed": False}})
    assert (result["changed"], result["changes"]) == (False, [])


def test_a_failure_of_apt_ends_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    result, calls = provide(monkeypatch, {"apt": {"failed": True, "msg": "no lists"}, "user": {}})
    assert (result["failed"], result["msg"]) == (True, "no lists")
    assert [name for name, _ in calls] == ["app_release", "apt"]
