"""Who holds an application's lock, what its log says, and who is noted as drained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail

sys.path.insert(0, str(Path(__file__).parents[2] / "roles" / "rollout" / "action_plugins"))


@pytest.fixture
def ledger_module() -> Any:
    import rollout_ledger

    return rollout_ledger


@pytest.fixture
def mine(ledger_module: Any) -> dict[str, Any]:
    """Return the lock of this run, whose process lives."""
    lock: dict[str, Any] = ledger_module.own_lock("shop", "deploy 2.0.0")
    return lock


@pytest.fixture
def ledger(ledger_module: Any, tmp_path: Path) -> Any:
    return ledger_module.Ledger(tmp_path / "deploys" / "shop")


def log(ledger: Any) -> list[dict[str, Any]]:
    """Return the lines of the log."""
    return [json.loads(line) for line in ledger.log.read_text().splitlines()] if ledger.log.exists() else []


def dead(mine: dict[str, Any]) -> dict[str, Any]:
    """Return the lock of a run whose process is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {**mine, "pid": process.pid, "owner": "ann", "what": "deploy 1.9.0"}


def test_a_run_that_changed_something_leaves_a_line_and_no_lock(ledger: Any, mine: dict[str, Any]) -> None:
    assert ledger.open(mine) == ("", "")
    assert json.loads(ledger.lock.read_text())["what"] == "deploy 2.0.0"
    ledger.close(mine, "done", {"release": "2.0.0-aaaaaaaa"})
    assert not ledger.lock.exists()
    [line] = log(ledger)
    assert (line["outcome"], line["what"], line["release"]) == ("done", "deploy 2.0.0", "2.0.0-aaaaaaaa")
    assert line["since"] <= line["ended"]


def test_a_run_that_changed_nothing_leaves_no_line(ledger: Any, mine: dict[str, Any]) -> None:
    ledger.open(mine)
    ledger.close(mine, "unchanged", {})
    assert log(ledger) == []
    assert not ledger.lock.exists()


def test_what_a_host_said_is_kept_without_commanding_a_terminal(ledger: Any, mine: dict[str, Any]) -> None:
    ledger.open(mine)
    ledger.close(mine, "failed", {"reason": "\x1b]0;owned\x07 \u202egnp", "hosts": {"web1": ""}})
    [line] = log(ledger)
    assert (line["reason"], line["hosts"]) == (r"\x1b]0;owned\x07 \u202egnp", {"web1": ""})


def test_a_migration_that_has_run_is_known_to_who_takes_the_lock_over(ledger: Any, mine: dict[str, Any]) -> None:
    gone = dead(mine)
    ledger.open(gone)
    ledger.migrated(gone, "2.0.0-aaaaaaaa")
    ledger.migrated(mine, "9.9.9-bbbbbbbb")  # not ours to say yet
    assert ledger.open(mine)[1] == "2.0.0-aaaaaaaa"
    assert ledger.open(mine)[1] == "2.0.0-aaaaaaaa"
    ledger.close(mine, "done", {})
    assert ledger.open(mine) == ("", "")


def test_a_second_closing_does_nothing(ledger: Any, mine: dict[str, Any]) -> None:
    ledger.open(mine)
    ledger.close(mine, "done", {})
    ledger.close(mine, "failed", {})
    assert [line["outcome"] for line in log(ledger)] == ["done"]


def test_a_second_run_is_refused_with_the_owner(ledger: Any, mine: dict[str, Any]) -> None:
    other = {**mine, "pid": os.getpid(), "owner": "ann", "what": "deploy 1.9.0"}
    other["started"] = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    ledger.open(other)
    with pytest.raises(
        AnsibleActionFail, match=r"shop is being changed: deploy 1.9.0 by ann on .* \(process \d+\), since"
    ):
        ledger.open(mine)
    ledger.close(mine, "failed", {})
    assert json.loads(ledger.lock.read_text()) == other


def test_the_lock_of_a_process_that_is_gone_is_taken_over(ledger: Any, mine: dict[str, Any]) -> None:
    ledger.open(dead(mine))
    word, _ = ledger.open(mine)
    assert word.startswith("took over the lock of shop: deploy 1.9.0 by ann on ")
    assert [(line["outcome"], line["owner"]) for line in log(ledger)] == [("interrupted", "ann")]
    assert json.loads(ledger.lock.read_text()) == mine


def test_a_process_number_that_came_again_holds_nothing(ledger: Any, mine: dict[str, Any]) -> None:
    ledger.open({**mine, "pid": os.getpid(), "started": "1"})
    assert "took over" in ledger.open(mine)[0]


def test_the_lock_of_another_controller_counts(ledger: Any, mine: dict[str, Any]) -> None:
    ledger.open({**dead(mine), "host": "another"})
    with pytest.raises(AnsibleActionFail, match=r"on another .*if that run is gone for certain, remove .*/shop/lock"):
        ledger.open(mine)


def test_what_is_no_lock_is_not_taken_for_one(ledger: Any, mine: dict[str, Any]) -> None:
    ledger.lock.write_text("mine!\n")
    with pytest.raises(AnsibleActionFail, match="is no lock that Gatehouse wrote; look at it and remove it"):
        ledger.open(mine)


def test_who_is_drained_is_noted_once(tmp_path: Path) -> None:
    import rollout_drained

    file = tmp_path / "drained" / "web1.json"
    assert rollout_drained.note(file, "maintenance", "new memory")
    assert not rollout_drained.note(file, "rollout", "shop 2.0.0")
    assert {key: json.loads(file.read_text())[key] for key in ("kind", "reason")} == {
        "kind": "maintenance",
        "reason": "new memory",
    }
    assert [path.name for path in file.parent.iterdir()] == ["web1.json"]
    assert not rollout_drained.forget(file, "rollout")
    assert rollout_drained.forget(file, "maintenance")
    assert not rollout_drained.forget(file, "maintenance")


def test_an_operator_takes_over_a_host_that_a_run_drained(tmp_path: Path) -> None:
    import rollout_drained

    file = tmp_path / "drained" / "web1.json"
    assert rollout_drained.note(file, "rollout", "shop 2.0.0")
    assert not rollout_drained.forget(file, "rotation")
    assert rollout_drained.note(file, "maintenance", "debugging")
    assert not rollout_drained.forget(file, "rollout")
    assert rollout_drained.noted(file)["kind"] == "maintenance"


def test_a_host_without_which_a_run_went_on_is_outdated_until_a_deployment_found_it_well(tmp_path: Path) -> None:
    import rollout_drained

    file = tmp_path / "drained" / "web1.json"

    def noted() -> tuple[str, bool]:
        about = json.loads(file.read_text())
        return about["kind"], about.get("outdated", False)

    assert rollout_drained.note(file, "unreachable", "it could not be reached")
    assert noted() == ("unreachable", False)
    # Whoever drains it by hand does not make it right, nor does a rotation.
    assert rollout_drained.note(file, "maintenance", "a new disk")
    assert noted() == ("maintenance", True)
    assert not rollout_drained.forget(file, "rotation")
    assert noted() == ("maintenance", True)
    assert not rollout_drained.forget(file, "rollout")
    assert noted() == ("maintenance", False)
    assert not rollout_drained.note(file, "unreachable", "it could not be reached")
    assert noted() == ("maintenance", True)


@pytest.mark.parametrize(
    ("was", "then"), [("rollout", "rollout"), ("rotation", "unreachable"), ("standby", "unreachable")]
)
def test_only_a_deployment_undrains_what_could_not_be_reached(was: str, then: str, tmp_path: Path) -> None:
    import rollout_drained

    file = tmp_path / "drained" / "web1.json"
    rollout_drained.note(file, was, "")
    rollout_drained.note(file, "unreachable", "it could not be reached")
    assert json.loads(file.read_text())["kind"] == then
    assert rollout_drained.note(file, "rollout", "shop 2.0.0") == (was != "rollout")
    assert rollout_drained.forget(file, "rollout")
