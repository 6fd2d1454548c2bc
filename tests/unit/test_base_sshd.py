"""What sshd reads, that it is refused where it would lock out, and that the host takes it back by itself."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible_collections.gatehouse.core.plugins.module_utils import sshd as shared

ROLE = Path(__file__).resolve().parents[2] / "roles" / "base"


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module with its files in a scratch folder, and without programs: `runs` has what is run."""
    module: Any = shared
    (tmp_path / "sshd").touch()
    names = {"SETTINGS": "00-gatehouse.conf", "MAIN": "sshd_config", "PENDING": "pending"}
    for name, file in names.items():
        monkeypatch.setattr(module, name, tmp_path / file)
    monkeypatch.setattr(module, "SSHD", str(tmp_path / "sshd"))
    monkeypatch.setattr(module, "login", lambda: "deploy")
    monkeypatch.setattr(module.pwd, "getpwnam", lambda user: SimpleNamespace(pw_dir=str(tmp_path), pw_uid=1000))
    (tmp_path / "authorized_keys").write_text("# mine\nssh-ed25519 AAAA\n")
    monkeypatch.setattr(module, "reported", {"authorizedkeysfile": "authorized_keys"}, raising=False)
    monkeypatch.setattr(module, "runs", [], raising=False)

    def effective(config: Path, user: str) -> dict[str, str]:
        text = module.drop_in([]).splitlines()[1:]
        found: dict[str, str] = {line.lower().split(" ", 1)[0]: line.lower().split(" ", 1)[1] for line in text}
        return {**found, **module.reported}

    def run(*words: str) -> Any:
        module.runs.append(words[0])
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(module, "effective", effective)
    monkeypatch.setattr(module, "_run", run)
    return module


def test_what_is_allowed_is_left_out(sshd: Any) -> None:
    strict = sshd.drop_in([])
    for line in ("PasswordAuthentication no", "PermitRootLogin prohibit-password", "AllowTcpForwarding no",
                 "AllowAgentForwarding no", "X11Forwarding no", "MaxAuthTries 4", "LoginGraceTime 30",
                 "KbdInteractiveAuthentication no", "PermitEmptyPasswords no"):  # fmt: skip
        assert line in strict.splitlines()
    loose = sshd.drop_in(["password", "tcp_forwarding", "agent_forwarding", "x11_forwarding"])
    assert "Password" not in loose.replace("PermitEmptyPasswords", "").replace("prohibit-password", "")
    assert "Forwarding" not in loose
    assert "MaxAuthTries 4" in loose


def test_all_applications_of_a_host_may_come_at_once(sshd: Any) -> None:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROLE.parents[1] / "ansible.cfg")
    forks = config.getint("defaults", "forks")
    settings = dict(line.split(" ", 1) for line in sshd.drop_in([]).splitlines() if not line.startswith("#"))
    # One more for a person, and for connections that a firewall or a scanner leaves half open.
    assert int(settings["MaxSessions"]) > 2 * forks
    assert int(settings["MaxStartups"].split(":")[0]) > 2 * forks


def test_it_goes_live_and_is_kept(sshd: Any) -> None:
    changes, token = sshd.settle(sshd.drop_in([]), False)
    assert changes == [f"{sshd.SETTINGS}: added"]
    assert sshd.runs == ["systemd-run", "systemctl"]
    assert sshd.keep(token) is True
    assert sshd.keep(token) is False
    assert sshd.settle(sshd.drop_in([]), False) == ([], "")
    assert sshd.settle("", False)[0] == [f"{sshd.SETTINGS}: removed"]
    assert not sshd.SETTINGS.exists()


def test_check_mode_changes_nothing(sshd: Any) -> None:
    assert sshd.settle(sshd.drop_in([]), True) == ([f"{sshd.SETTINGS}: added"], "")
    assert not sshd.SETTINGS.exists()


def test_who_has_no_key_is_not_locked_out(sshd: Any, tmp_path: Path) -> None:
    (tmp_path / "authorized_keys").write_text("# none\n")
    with pytest.raises(
        sshd.SshdError, match=r"deploy has no key on this host \(authorized_keys\), .*allow: \[password"
    ):
        sshd.settle(sshd.drop_in([]), False)
    assert not sshd.SETTINGS.exists()
    assert sshd.runs == []
    sshd.reported |= {"authorizedkeyscommand": "/usr/bin/keys"}
    assert sshd.settle(sshd.drop_in([]), False)[1]


def test_what_another_file_overrules_is_taken_back(sshd: Any) -> None:
    sshd.reported |= {"x11forwarding": "yes"}
    with pytest.raises(sshd.SshdError, match=r"would not go by .* \(x11forwarding\), so nothing was changed"):
        sshd.settle(sshd.drop_in([]), False)
    assert not sshd.SETTINGS.exists()
    assert not list(sshd.PENDING.glob("armed-*"))


@pytest.mark.parametrize("former", ["", "# This file had something else\n"])
def test_the_host_takes_it_back_by_itself(sshd: Any, tmp_path: Path, former: str) -> None:
    if former:
        sshd.SETTINGS.write_text(former)
    _, token = sshd.settle(sshd.drop_in([]), False)
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text('#!/bin/sh\necho "$@" > ' + str(tmp_path / "asked"))
    systemctl.chmod(0o755)
    restore = sshd.PENDING / f"restore-{token}"
    subprocess.run([restore], check=True, env={"PATH": f"{systemctl.parent}:/usr/bin:/bin"})
    assert (sshd.SETTINGS.read_text() if sshd.SETTINGS.exists() else "") == former
    assert "ssh.service" in (tmp_path / "asked").read_text()
    assert sshd.keep(token) is False


def test_settings_that_let_nobody_in_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.path.insert(0, str(ROLE / "action_plugins"))
    import apt_packages

    class Connection:
        _shell = Mock(tmpdir="somewhere")
        refuses = True

        def reset(self) -> None:
            if self.refuses:
                raise AnsibleConnectionFailure("Permission denied (publickey)")

    monkeypatch.setattr(apt_packages.time, "sleep", lambda seconds: None)
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(apt_packages.time, "monotonic", lambda: next(clock))
    action = apt_packages.ActionModule(Mock(check_mode=False, async_val=0, args={}), Connection(), *[Mock()] * 4)
    found = {"missing": [], "changes": ["sshd: added"], "changed": True, "ssh_token": "abc"}
    execute = Mock(side_effect=lambda *words, **options: dict(found))
    monkeypatch.setattr(action, "_execute_module", execute)
    with pytest.raises(AnsibleActionFail, match=r"no new connection .* Permission denied \(publickey\)"):
        action.run(task_vars={})
    action._connection.refuses = False
    execute.side_effect = lambda name, arguments, task_vars: (
        {"ssh_kept": True} if arguments["mode"] == "keep" else dict(found)
    )
    assert action.run(task_vars={})["changed"] is True
    assert [call.args[1]["mode"] for call in execute.call_args_list][-2:] == ["look", "keep"]
