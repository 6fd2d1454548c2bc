"""The records of what the internal CA signed: one file for each certificate, written once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.plugins.loader import action_loader

action_loader.add_directory(str(Path(__file__).resolve().parents[2] / "roles/certificate/action_plugins"))


def keep(folder: Path, certificates: dict[str, str], check: bool = False) -> dict[str, object]:
    """Run the action alone."""
    task = Mock(
        args={"folder": str(folder), "certificates": certificates, "reasons": {"endpoint": "endpoint: it is due"}},
        check_mode=check,
        async_val=0,
    )
    action = action_loader.get(
        "certificate_records", task=task, connection=Mock(), play_context=Mock(), loader=None, templar=None,
        shared_loader_obj=None,
    )  # fmt: skip
    return dict(action.run(task_vars={}))


def test_a_record_is_written_once_and_readable(tmp_path: Path) -> None:
    folder = tmp_path / "issued" / "web1"
    name = f"endpoint.{hashlib.sha256(b'one').hexdigest()[:16]}.pem"
    assert keep(folder, {"endpoint": "one"}, check=True)["changed"] is True
    assert not folder.exists()
    assert keep(folder, {"endpoint": "one"})["changes"] == ["certificate endpoint: it is due"]
    assert (folder / name).read_text() == "one"
    assert (folder.stat().st_mode & 0o777, (folder / name).stat().st_mode & 0o777) == (0o700, 0o644)
    assert keep(folder, {"endpoint": "one"})["changed"] is False
    keep(folder, {"endpoint": "two"})
    assert sorted(path.read_text() for path in folder.iterdir()) == ["one", "two"]


def test_a_record_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "issued").write_text("in the way")
    with pytest.raises(AnsibleActionFail, match="no record of the certificates could be kept"):
        keep(tmp_path / "issued" / "web1", {"endpoint": "one"})
