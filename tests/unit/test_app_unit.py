"""The unit of an application as its template writes it, for each systemd, and what a journal says of its sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.gatehouse.core.plugins.module_utils.app import service
from ansible_collections.gatehouse.core.plugins.module_utils.unit_failures import explain

ROLE = Path(__file__).parents[2] / "roles" / "app"


def unit(**inputs: Any) -> dict[str, list[str]]:
    """Return the settings of the unit that the role writes, name to values in their order."""
    loader = DataLoader()
    known: dict[str, Any] = {"ansible_search_path": [str(ROLE)], "ansible_config_file": "/srv/ansible.cfg"}
    for path in (ROLE / "defaults" / "main.yml", ROLE / "vars" / "main.yml"):
        known |= loader.load_from_file(str(path), trusted_as_template=True)
    known |= {"app_name": "shop", "app_address": "127.0.0.1", "app_port": 3000, "inventory_hostname": "shop1", **inputs}
    text = trust_as_template((ROLE / "templates" / "app.service.j2").read_text())
    written = Templar(loader, known).template(text, overrides={"trim_blocks": True})
    found: dict[str, list[str]] = {}
    for line in written.splitlines():
        if "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_a_program_has_a_home_a_cache_and_a_temporary_folder() -> None:
    found = unit()
    assert "HOME=/var/lib/shop XDG_CACHE_HOME=/var/cache/shop" in found["Environment"]
    assert (found["StateDirectory"], found["CacheDirectory"], found["CacheDirectoryMode"]) == (
        ["shop"],
        ["shop"],
        ["0750"],
    )
    assert any(value.startswith("/tmp:") for value in found["TemporaryFileSystem"])  # noqa: S108 (the unit's own)


def test_the_inventory_has_a_start_of_its_own() -> None:
    runtime = ["/usr/bin/node", "main.js"]
    assert unit(app_start_command=runtime)["ExecStart"] == ["/usr/bin/node main.js"]
    found = unit(app_start_command=runtime, app_web_command="flower --port=$APP_PORT --title '100%'")
    assert found["ExecStart"] == ['flower "--port=${APP_PORT}" --title "100%%"']
    # A bare name is the release's program, then the host's.
    assert found["ExecSearchPath"] == ["/srv/shop/current/bin:/usr/local/bin:/usr/bin:/bin"]


def test_a_program_may_list_interfaces() -> None:
    assert unit()["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX AF_NETLINK"]


@pytest.mark.parametrize(("given", "said"), [(True, "yes"), (False, "no")])
def test_executable_memory_is_an_input(given: bool, said: str) -> None:
    assert unit(app_memory_deny_write_execute=given)["MemoryDenyWriteExecute"] == [said]


def test_a_unit_is_started_again_without_end() -> None:
    found = unit()
    names = ("Restart", "StartLimitIntervalSec", "RestartSec", "RestartSteps", "RestartMaxDelaySec")
    assert [found[name] for name in names] == [["always"], ["0"], ["1"], ["5"], ["15"]]


@pytest.mark.parametrize(("version", "left"), [(0, 2), (252, 2), (254, 4), (257, 4)])
def test_an_older_systemd_gets_what_it_understands(version: int, left: int) -> None:
    text = "[Service]\nRestartSec=1\nRestartSteps=5\nRestartMaxDelaySec=15\n"
    written = service.understood(text, version)
    assert len(written.splitlines()) == left
    assert "RestartSec=1\n" in written


@pytest.mark.parametrize(
    ("said", "version"), [("systemd 257 (257.8-1~deb13u2)\n+PAM", 257), ("systemd 252 (252.39)", 252), ("", 0)]
)
def test_the_version_of_systemd(monkeypatch: pytest.MonkeyPatch, said: str, version: int) -> None:
    monkeypatch.setattr(service, "run", lambda *words, **how: said)
    assert service.systemd_version() == version


def waited(monkeypatch: pytest.MonkeyPatch, restarts: list[int]) -> tuple[str, int]:
    """Wait for a unit whose page is refused, restarted as often as each look says; return the problem and the looks."""
    seen = iter(restarts)
    usual = dict.fromkeys(service.SHOWN.split(","), "") | {"ActiveState": "activating", "Result": "exit-code"}
    unit = service.Service("shop", "shop")
    monkeypatch.setattr(unit, "show", lambda: {**usual, "NRestarts": str(next(seen))})
    monkeypatch.setattr(unit, "healthy", lambda gate, timeout: "Connection refused")
    monkeypatch.setattr(service, "POLL", 0)
    problem = unit.wait(service.Gate("127.0.0.1", 1, "/", 60))
    return problem, len(restarts) - len(list(seen))


def test_a_release_that_cannot_start_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Connection refused; the unit ended 3 times"
    assert waited(monkeypatch, [0, 1, 1, 2, 3, 9]) == (said, 5)


@pytest.mark.parametrize(
    ("log", "rule", "remedy"),
    [
        ("shop.service: Main process exited, code=exited, status=203/EXEC", "203/EXEC", "app_packages"),
        ("shop.service: Control process exited, code=exited, status=226/NAMESPACE", "226/", "app_writable_paths"),
        ("shop.service: Main process exited, code=exited, status=200/CHDIR", "200/CHDIR", "app_root"),
        ("shop.service: Main process exited, code=dumped, status=31/SYS", "SIGSYS", "no input"),
        ("shop.service: Main process exited, code=exited, status=97/n/a", "AddressFamilies", "no input"),
        ("uv_interface_addresses returned Unknown system error 97", "RestrictAddressFamilies=", "no input"),
        (
            "MemoryError: Cannot allocate write+execute memory for ffi.callback()",
            "MemoryDenyWriteExecute=",
            "app_memory_deny_write_execute: false",
        ),
        ("Error: EROFS: read-only file system, mkdir '/srv/shop/current/.cache'", "ProtectSystem=", "XDG_CACHE_HOME"),
        ("shop.service: Failed with result 'oom-kill'.", "MemoryMax=", "app_memory_max"),
        ("RuntimeError: can't start new thread", "TasksMax=", "app_tasks_max"),
        ("[Errno 24] Too many open files: '/x'", "LimitNOFILE=", "app_files_max"),
        ("OSError: [Errno 28] No space left on device: '/tmp/upload'", "/tmp", "app_tmp_max"),  # noqa: S108
        ("connect EHOSTUNREACH 10.0.0.5:5432", "app_egress", "app_egress"),
        ("Error: listen EPERM: operation not permitted 0.0.0.0:3001", "SocketBindDeny=", "APP_PORT"),
    ],
)
def test_a_rule_that_was_hit_is_named_with_its_input(log: str, rule: str, remedy: str) -> None:
    [said] = explain(f"starting\n{log}\nstopped")
    assert rule in said
    assert remedy in said


@pytest.mark.parametrize(
    "log",
    [
        "",
        "listening on port 3000, 97 routes",
        "shop.service: Main process exited, code=exited, status=1/FAILURE",
        "connect ECONNREFUSED 127.0.0.1:5432",
        "permission denied for table orders",
        "shop.service: Main process exited, code=killed, status=9/KILL",
    ],
)
def test_what_is_no_rule_of_the_sandbox_is_not_called_one(log: str) -> None:
    assert explain(log) == []
