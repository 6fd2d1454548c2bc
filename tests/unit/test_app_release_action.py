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
