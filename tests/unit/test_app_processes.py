"""Processes and schedules beside an application's own unit: their commands, their units, and what is due."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.gatehouse.core.plugins.module_utils.app import processes
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import understood
from ansible_collections.gatehouse.core.plugins.module_utils.commands import exec_start

from .conftest import ROOT

ROLE = ROOT / "roles" / "app"
UNIT = """# This file is written by Gatehouse: change the inventory and deploy again.
[Unit]
Description=shop, deployed by Gatehouse
StartLimitIntervalSec=0

[Service]
Type=exec
User=shop
WorkingDirectory=/srv/shop/current
EnvironmentFile=/etc/gatehouse/shop.env
# As root
ExecStartPre=+/usr/sbin/nft -f /etc/gatehouse/shop.nft
ExecStart=/srv/shop/current/bin/start
KillMode=mixed
KillSignal=SIGQUIT
TimeoutStopSec=30
Restart=always
RestartSec=1
RestartSteps=5
StateDirectory=shop
RuntimeDirectory=shop
MemoryMax=80%
TasksMax=1024
SocketBindDeny=tcp
SocketBindAllow=tcp:3000
ProtectSystem=strict

[Install]
WantedBy=multi-user.target
"""
WORKER = {
    "name": "worker", "command": "celery worker", "instances": 2, "hosts": "all", "stop_signal": "SIGTERM",
    "stop_timeout": 60, "readiness_delay": 5, "memory_max": "256M", "tasks_max": 0,
}  # fmt: skip
TIDY = {
    "name": "tidy",
    "command": "python tidy.py",
    "calendar": "daily",
    "hosts": "first",
    "timeout": 600,
    "memory_max": "",
}
PROPERTIES = {
    "ActiveState": "active", "UnitFileState": "enabled", "Result": "success", "NRestarts": "0", "ExecMainStatus": "0",
    "ActiveEnterTimestampMonotonic": str(10**18),
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "started"),
    [
        ("celery --app shop worker", "celery --app shop worker"),
        ("bin/work --fast", "/srv/shop/current/bin/work --fast"),
        ("./work", "/srv/shop/current/work"),
        ("/usr/bin/php artisan queue:work", "/usr/bin/php artisan queue:work"),
        ("celery -n w$APP_INSTANCE@%h", 'celery -n "w${APP_INSTANCE}@%%h"'),
        ("w '${PORT}' 5$", 'w "${PORT}" "5$$"'),
        ("w 'a b\"c' \\\\", 'w "a b\\"c" "\\\\"'),
    ],
)
def test_a_command_is_what_systemd_starts(line: str, started: str) -> None:
    assert exec_start(line, "/srv/shop/current") == started


@pytest.mark.parametrize("line", ["", "a && b", "a > log", "a; b", "a 2>&1", "a\nb", "A=1 b", "'a", "-a", "@a"])
def test_what_a_shell_would_have_to_read_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="; write "):
        exec_start(line, "/srv/shop/current")


def service(text: str) -> list[str]:
    return text.partition("[Service]\n")[2].partition("\n[")[0].splitlines()


def test_a_process_is_confined_as_the_server_and_listens_nowhere() -> None:
    text = processes.process_unit(UNIT, "shop", Path("/srv/shop"), WORKER)
    before, after = service(UNIT), service(text)
    lost = [line for line in before if line not in after and line and line[0] != "#"]
    assert [line.partition("=")[0] for line in lost] == [
        "ExecStart", "KillSignal", "TimeoutStopSec", "RuntimeDirectory", "MemoryMax", "SocketBindAllow",
    ]  # fmt: skip
    assert [line for line in after if line not in before] == [
        "ExecStart=celery worker",
        "Environment=APP_PROCESS=worker",
        "SyslogIdentifier=shop.worker",
        "MemoryMax=256M",
        "Environment=APP_INSTANCE=%i",
        "KillSignal=SIGTERM",
        "TimeoutStopSec=60",
    ]
    assert "StartLimitIntervalSec=0\n" in text
    assert text.endswith("\n[Install]\nWantedBy=multi-user.target\n")
    # What names an application that nobody wants any more goes by its own unit.
    assert ", deployed by Gatehouse" not in text


def test_a_schedules_command_runs_once_and_ends() -> None:
    text = processes.job_unit(UNIT, "shop", Path("/srv/shop"), TIDY)
    assert [line for line in service(text) if line.startswith(("Type", "Restart", "Timeout", "Memory"))] == [
        "MemoryMax=80%", "Type=oneshot", "TimeoutStartSec=600",
    ]  # fmt: skip
    assert "[Install]" not in text
    assert "OnCalendar=daily\n" in processes.timer_unit("shop", TIDY)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd on this machine")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    about = (understood(UNIT.replace("User=shop", "User=daemon"), 0), "shop", Path("/srv/shop"))
    command = {"command": "/bin/true -n w$APP_INSTANCE"}
    files = {
        "shop.worker@.service": processes.process_unit(*about, {**WORKER, **command}),
        "shop.tidy.service": processes.job_unit(*about, {**TIDY, **command}),
        "shop.tidy.timer": processes.timer_unit("shop", TIDY),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    names = [str(tmp_path / name) for name in ("shop.worker@1.service", "shop.tidy.timer")]
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "shop." in line and "nft" not in line]
    assert said == []


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return (those of an application, the units that systemd is said to know, the words that it was given)."""
    states: dict[str, dict[str, str]] = {}
    asked: list[tuple[str, ...]] = []

    def systemctl(*words: str, check: bool = True) -> str:
        if words[0] == "show":
            names = [word for word in words[1:] if not word.startswith("--")]
            known = [unit for unit in states if "*" in names[0] or unit in names]
            return "\n".join(
                "".join(f"{key}={value}\n" for key, value in {"Id": unit, **states[unit]}.items()) for unit in known
            )
        asked.append(words)
        if words[0] == "stop":
            for unit in words[1:]:
                states.get(unit, {}).update(ActiveState="inactive")
        return ""

    monkeypatch.setattr(processes, "systemctl", systemctl)
    monkeypatch.setattr(processes, "POLL", 0)
    made = processes.Processes("shop", Path("/srv/shop"), tmp_path, ([WORKER], [TIDY]))
    for file in made.files(UNIT, 257):
        file.write()
    for unit in made.wanted:
        states[unit] = dict(PROPERTIES)
    return made, states, asked


def test_with_all_as_it_should_be_nothing_is_due(host: Any) -> None:
    made, _, _ = host
    here = made.here()
    assert sorted(here) == ["shop.tidy.timer", "shop.worker@1.service", "shop.worker@2.service"]
    assert made.due(here, set(), "", []) == {}
    assert made.orphans(here) == []
    assert not any(file.differs() for file in made.files(UNIT, 257) if file.text is None)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"ActiveState": "inactive"}, "it is inactive"),
        ({"ActiveState": "activating"}, "it is activating"),
        ({"UnitFileState": "disabled"}, "it is not enabled"),
        ({"ActiveEnterTimestampMonotonic": "0"}, "it was started before {folder}/shop.worker@.service was changed"),
    ],
)
def test_one_that_was_stopped_or_is_older_than_its_file_is_due(
    host: Any, tmp_path: Path, state: dict[str, str], reason: str
) -> None:
    made, states, _ = host
    states["shop.worker@2.service"].update(state)
    assert made.due(made.here(), set(), "", []) == {"shop.worker@2.service": reason.format(folder=tmp_path)}


def test_another_command_is_due_for_its_own_process_only(host: Any, tmp_path: Path) -> None:
    made, _, _ = host
    due = made.due(made.here(), {tmp_path / "shop.worker@.service"}, "", [])
    assert due == dict.fromkeys(("shop.worker@1.service", "shop.worker@2.service"), "new settings")
    assert set(made.due(made.here(), set(), "a new release", [])) == set(made.wanted)


def test_what_the_inventory_does_not_name_is_an_orphan(host: Any, tmp_path: Path) -> None:
    _, states, _ = host
    (tmp_path / "shop-admin.worker@.service").write_text("another application's")
    (tmp_path / "shop.service").write_text("the application's own")
    states["shop.worker@7.service"] = {**PROPERTIES, "UnitFileState": "disabled"}  # somebody started it by hand
    fewer = processes.Processes("shop", Path("/srv/shop"), tmp_path, ([{**WORKER, "instances": 1}], []))
    assert fewer.orphans(fewer.here()) == ["shop.tidy.timer", "shop.worker@2.service", "shop.worker@7.service"]
    gone = [file.path.name for file in fewer.files(UNIT, 257) if file.text is None]
    assert gone == ["shop.tidy.service", "shop.tidy.timer"]


def test_timers_end_first_and_what_was_killed_is_said(host: Any) -> None:
    made, states, asked = host
    said: list[str] = []
    states["shop.worker@1.service"]["Result"] = "timeout"
    made.stop(made.wanted, said.append)
    assert asked[:2] == [
        ("stop", "shop.tidy.timer"),
        ("stop", "--no-block", "shop.worker@1.service", "shop.worker@2.service"),
    ]
    assert said == []
    states["shop.worker@1.service"]["ActiveState"] = "failed"
    made.stop(["shop.worker@1.service"], said.append)
    assert said == []  # the stand-in's stop makes it inactive
    states["shop.tidy.service"] = {**PROPERTIES, "ActiveState": "failed", "Result": "timeout"}
    made.stop(["shop.tidy.timer"], said.append)
    assert said == ["shop.tidy.service did not end in time and was killed"]


def test_one_that_does_not_stay_is_named(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, states, _ = host
    monkeypatch.setitem(made.wanted, "shop.worker@1.service", 0)
    monkeypatch.setitem(made.wanted, "shop.worker@2.service", 0)
    assert made.start(list(made.wanted)) == {}
    states["shop.worker@2.service"] |= {"ActiveState": "activating", "Result": "exit-code", "ExecMainStatus": "1"}
    assert made.start(list(made.wanted)) == {"shop.worker@2.service": "exit-code, status 1"}


def test_the_modules_defaults_are_those_of_the_role() -> None:
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    for name, known in (("app_processes", processes.PROCESS), ("app_schedules", processes.SCHEDULE)):
        spec = options[name]["options"]
        assert {key: one.get("default") for key, one in spec.items()} == {
            key: one.get("default") for key, one in known.items()
        }
        assert {key: one["type"] for key, one in spec.items()} == {key: one["type"] for key, one in known.items()}


EVENTS = [
    "*-*-* 03:00:00", "daily", "Mon..Fri 08:30", "Sat,Sun *-*-* 12:00", "*:0/5", "2026-01-01", "*-*~03",
    "*-02~03 04:00", "Mon *-05..07-01/7 10:00:30 Europe/Berlin",
    "*-*-1,15 0..6/2:00", "03:00 UTC", "12-24 18:00", "hourly",
]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS)
def test_a_calendar_event_is_taken(filters: Callable[[str], Callable[..., Any]], event: str) -> None:
    assert filters("calendar_event")(event) == event


WRONG = [
    ("*/5 * * * *", "is of cron; write"),
    ("0 3 * * 1-5", "is of cron; write"),
    ("25:00", "25 is no hour; write one from 0 to 23"),
    ("*:61", "61 is no minute; write one from 0 to 59"),
    ("*-13-01", "13 is no month; write one from 1 to 12"),
    ("*/2:00", "*/2 is no hour; write 0/2"),
    ("Mon..Fri", ""),
    ("Montag 08:00", "Montag is no date; write *-*-01"),
    ("03:00 *-*-*", "*-*-* has no place there; write days"),
    ("every day", "day has no place there"),
    ("10:5..3", "5..3 is no minute"),
    ("daily 03:00", "03:00 is after daily; write"),
    ("", "it has to have a date or a time; write"),
    ("03:00\nUnit=x", "no minute"),
    (None, "it has to have a date or a time; write"),
]


@pytest.mark.parametrize(("event", "said"), WRONG)
def test_what_is_no_calendar_event_says_what_to_write(
    filters: Callable[[str], Callable[..., Any]], event: Any, said: str
) -> None:
    if not said:
        assert filters("calendar_event")(event) == event
        return
    with pytest.raises(AnsibleFilterError) as error:
        filters("calendar_event")(event)
    assert said in error.value.message
    assert "; write " in error.value.message


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd on this machine")
def test_systemd_agrees_on_calendar_events() -> None:
    for event, said in [*((event, "") for event in EVENTS), *WRONG]:
        if event:
            done = subprocess.run(["systemd-analyze", "calendar", event], capture_output=True, check=False)
            assert (done.returncode == 0) is (said == ""), event
