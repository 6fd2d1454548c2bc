"""Action plugin and module nftables_ruleset: the decisions that need no host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

from .conftest import load

ROLE = Path(__file__).resolve().parents[2] / "roles" / "firewall"


action, module = (load(f"roles/firewall/{kind}/nftables_ruleset.py") for kind in ("action_plugins", "library"))


@pytest.mark.parametrize(
    ("sources", "address", "answer"),
    [
        (["10.0.0.0/24"], "10.0.0.7", True),
        (["10.0.0.0/24"], "10.0.1.7", False),
        (["10.0.0.7"], "10.0.0.7", True),
        (["10.0.0.0/24", "fd00::/8"], "fd00::1", True),
        (["10.0.0.0/24"], "fd00::1", False),
        (["fe80::/10"], "fe80::1", True),
        (["10.0.0.0/24"], "::ffff:10.0.0.7", True),
    ],
)
def test_admits(sources: list[str], address: str, answer: bool) -> None:
    assert action.admits(sources, address) is answer


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("10.0.0.1 50000 10.0.0.2 22\n", ("10.0.0.1", 22)),
        ("fe80::1%eth0 50000 fe80::2%eth0 2222", ("fe80::1", 2222)),
        ("\n", None),
        ("", None),
        ("noise", None),
    ],
)
def test_client(text: str, seen: tuple[str, int] | None) -> None:
    assert action.client(text) == seen


def test_the_refusal_names_address_and_variable() -> None:
    assert action.uncovered("10.0.0.1", ["10.9.0.0/16"]) == (
        "These rules would lock this controller out, so nothing was changed on the host: it sees us as "
        "10.0.0.1, and firewall_admin_sources holds only 10.9.0.0/16. Add 10.0.0.1 to firewall_admin_sources."
    )


class Connection(ConnectionBase):  # type: ignore[misc]
    """A connection that counts its resets."""

    transport = "fake"
    resets = 0

    def __init__(self) -> None:
        """Needs no play context."""

    def _connect(self) -> Any:
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        raise NotImplementedError

    put_file = fetch_file = close = exec_command

    def reset(self) -> None:
        self.resets += 1


class Action(action.ActionModule):  # type: ignore[misc, name-defined]
    """The action over a host that answers from a list."""

    def __init__(self, *answers: Any, timeout: int = 15) -> None:
        self.asked: list[str] = []
        self.answers, self._connection = list(answers), Connection()
        self._args = {"admin_sources": ["10.0.0.0/24"], "ssh_port": 22, "confirm_timeout": timeout}

    def _step(self, mode: str, token: str = "") -> dict[str, Any]:
        self.asked.append(mode)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, dict)
        return answer


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action.time, "sleep", lambda _seconds: None)


def test_rules_are_kept_only_over_a_new_connection() -> None:
    run = Action({"changed": True}, {"changed": True, "restored": False})
    assert run._load(("10.0.0.1", 22))["changed"] is True
    assert (run.asked, run._connection.resets) == (["apply", "keep"], 1)


def test_a_refused_ruleset_is_not_waited_for() -> None:
    run = Action({"failed": True, "msg": "nft refuses"})
    assert run._load(None) == {"failed": True, "msg": "nft refuses"}
    assert (run.asked, run._connection.resets) == (["apply"], 0)


def test_a_lockout_waits_for_the_restore_and_names_the_port() -> None:
    run = Action(
        {"changed": True},
        AnsibleConnectionFailure("timed out"),
        AnsibleConnectionFailure("timed out"),
        {"restored": True},
    )
    run._args["ssh_port"] = 2222
    with pytest.raises(AnsibleActionFail) as failed:
        run._load(("10.0.0.1", 22))
    assert failed.value.message == (
        "The new rules cut this controller off: no new connection came in before the automatic restore, and "
        "the host has put its previous rules back. The new rules admit SSH at port 2222 from 10.0.0.0/24 and "
        "nothing else; this controller came from 10.0.0.1 to port 22. "
        "Set firewall_ssh_port to the port that sshd listens on. (What the connection said: timed out)"
    )
    assert run._connection.resets == 3


def test_a_host_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(action.time, "monotonic", lambda: next(clock))
    run = Action({"changed": True}, *[AnsibleConnectionFailure("timed out")] * 9)
    with pytest.raises(AnsibleActionFail, match="does not answer 45 s after its restore was due"):
        run._load(None)


def test_whoever_renames_first_decides(tmp_path: Path) -> None:
    """The restore script does nothing once the controller has claimed the folder, else it acts once."""
    nft = tmp_path / "nft"
    nft.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\n')
    nft.chmod(0o755)
    script = tmp_path / "restore.sh"
    script.write_text(module.RESTORE.format(pending=tmp_path, token="t", nft=nft))
    assert subprocess.run(["/bin/sh", str(script)], capture_output=True, check=False).returncode == 0
    assert not (tmp_path / "said").exists()
    (tmp_path / "armed-t").mkdir()
    for _ in range(2):
        subprocess.run(["/bin/sh", str(script)], capture_output=True, check=True)
    assert (tmp_path / "said").read_text() == f"-f {tmp_path}/restored-t/previous.nft\n"


@pytest.mark.parametrize(
    ("text", "conffiles", "answer"),
    [
        (None, "", False),
        ("# This file is written by Gatehouse\n", "", False),
        ("mine\n", " /etc/nftables.conf 78b91c3ba9b2ee18e67b5a0ceb5ff4cb\n", True),
        ("shipped\n", " /etc/nftables.conf {digest}\n", False),
    ],
)
def test_only_an_operators_own_file_is_foreign(
    text: str | None, conffiles: str, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = module.hashlib.md5(b"shipped\n", usedforsecurity=False).hexdigest()
    monkeypatch.setattr(module, "run", lambda _argv: (0, conffiles.replace("{digest}", digest)))
    assert module.foreign(text) is answer


@pytest.mark.parametrize("record", [None, "", "not json", "[]", '{"text": "x"}'])
def test_a_lost_record_is_a_difference_not_an_error(record: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read", lambda _path: record)
    assert module.recorded() == {}


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "nftables.conf"
    path.write_text("old")
    module.write(str(path), "new", 0o755)
    assert (path.read_text(), path.stat().st_mode & 0o777, len(list(tmp_path.iterdir()))) == ("new", 0o755, 1)
