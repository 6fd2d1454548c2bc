"""The units of an application beside the one that serves: its processes and its schedules.

A process is `<name>.<process>@<number>.service`, from one template unit; a schedule `<name>.<schedule>.timer` with the
`.service` that it starts. No application's name has a dot, so that all of them are known by their names. They have
account, settings, sandbox and limits of the serving unit, from whose text theirs are made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.app.service import (
    HEADER,
    ManagedFile,
    ServiceError,
    changed_since,
    run,
    systemctl,
    understood,
)
from ansible_collections.gatehouse.core.plugins.module_utils.commands import exec_start

HOSTS = {"type": "str", "choices": ["all", "first"]}
PROCESS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "command": {"type": "str", "required": True},
    "instances": {"type": "int", "default": 1},
    "hosts": {**HOSTS, "default": "all"},
    "stop_signal": {"type": "str", "default": "SIGTERM"},
    "stop_timeout": {"type": "int", "default": 60},
    "readiness_delay": {"type": "int", "default": 5},
    "memory_max": {"type": "str", "default": ""},
    "tasks_max": {"type": "int", "default": 0},
}
SCHEDULE: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "command": {"type": "str", "required": True},
    "calendar": {"type": "str", "required": True},
    "hosts": {**HOSTS, "default": "first"},
    "timeout": {"type": "int", "default": 3600},
    "memory_max": {"type": "str", "default": ""},
}
SHOWN = "Id,ActiveState,UnitFileState,Result,NRestarts,ExecMainStatus,ActiveEnterTimestampMonotonic"
# What is the serving unit's own: how it starts and ends, and the socket that it answers at.
OF_THE_SERVER = {
    "ExecStart", "KillSignal", "RuntimeDirectory", "RuntimeDirectoryMode", "SocketBindAllow", "TimeoutStopSec",
}  # fmt: skip
OF_RESTARTS = {"Restart", "RestartMaxDelaySec", "RestartSec", "RestartSteps", "Type"}
ENDED = ("", "failed", "inactive")
POLL = 0.25
# systemd ends what takes longer than its unit says. This is more than any unit may say (86400 s, then 3600 s to stop).
LONGEST = 91_000


def derived(text: str, description: str, without: Iterable[str], own: Sequence[str], install: str = "") -> str:
    """Return a unit made of the serving unit's text: without some settings of [Service], and with `own` lines."""
    unit, _, rest = text.partition("[Service]\n")
    unit = re.sub(r"^Description=.*$", f"Description={description}", unit, flags=re.MULTILINE)
    left_out = set(without)
    lines = [line for line in rest.partition("\n[")[0].splitlines() if "=" in line and line[0] not in "#;"]
    kept = [line for line in lines if line.partition("=")[0] not in left_out]
    section = "".join(f"{line}\n" for line in (*kept, *own))
    return f"{unit}[Service]\n{section}" + (f"\n[Install]\nWantedBy={install}\n" if install else "")


def limits(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings for the limits that an entry has of its own."""
    named = {"MemoryMax": entry["memory_max"], "TasksMax": entry.get("tasks_max")}
    return {name: str(value) for name, value in named.items() if value}


def own_settings(app: str, home: Path, entry: Mapping[str, Any]) -> list[str]:
    """Return the lines that processes and schedules alike have of their own."""
    folder, name = f"{home}/current", entry["name"]
    return [
        f"ExecStart={exec_start(entry['command'], folder)}",
        f"Environment=APP_PROCESS={name}",
        f"SyslogIdentifier={app}.{name}",
        *(f"{setting}={value}" for setting, value in limits(entry).items()),
    ]


def process_unit(text: str, app: str, home: Path, entry: Mapping[str, Any]) -> str:
    """Return the text of a process's template unit."""
    own = own_settings(app, home, entry)
    own += ["Environment=APP_INSTANCE=%i", f"KillSignal={entry['stop_signal']}"]
    own += [f"TimeoutStopSec={entry['stop_timeout']}"]
    description = f"Process {entry['name']} of {app}, run by Gatehouse"
    return derived(text, description, {*OF_THE_SERVER, *limits(entry)}, own, "multi-user.target")


def job_unit(text: str, app: str, home: Path, entry: Mapping[str, Any]) -> str:
    """Return the text of the unit that a schedule's timer starts."""
    own = ["Type=oneshot", *own_settings(app, home, entry), f"TimeoutStartSec={entry['timeout']}"]
    description = f"Schedule {entry['name']} of {app}, run by Gatehouse"
    return derived(text, description, {*OF_THE_SERVER, *OF_RESTARTS, *limits(entry)}, own)


def timer_unit(app: str, entry: Mapping[str, Any]) -> str:
    """Return the text of a schedule's timer. What was due while the host was off, or the timer, is run at once."""
    return (
        f"{HEADER}[Unit]\nDescription=Schedule {entry['name']} of {app}, run by Gatehouse\n\n"
        f"[Timer]\nOnCalendar={entry['calendar']}\nAccuracySec=1s\nPersistent=yes\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


class Processes:
    """Those of one application on this host. `entries`: of `app_processes`, and of `app_schedules`."""

    def __init__(
        self, name: str, home: Path, units: Path, entries: tuple[Sequence[Mapping[str, Any]], ...] = ((), ())
    ) -> None:
        self.name, self.home, self.folder = name, home, units
        self.processes, self.schedules = entries
        # The units that are to run, and for how many seconds each has to before it counts as started.
        self.wanted = {
            f"{name}.{entry['name']}@{number}.service": int(entry["readiness_delay"])
            for entry in self.processes
            for number in range(1, entry["instances"] + 1)
        } | {f"{name}.{entry['name']}.timer": 0 for entry in self.schedules}
        self._file = re.compile(rf"{re.escape(name)}\.[a-z][a-z0-9-]*(@\.service|\.service|\.timer)")
        self._unit = re.compile(rf"{re.escape(name)}\.[a-z][a-z0-9-]*(@[^.@]+\.service|\.service|\.timer)")

    def keep(self, here: Mapping[str, Mapping[str, str]]) -> None:
        """Want what is here, in place of what the inventory says: for a release that is gone back to."""
        self.wanted = dict.fromkeys(self.enabled(here), int(PROCESS["readiness_delay"]["default"]))

    def paths(self, files: Iterable[ManagedFile]) -> set[Path]:
        """Return the paths among these files that are units of processes and schedules."""
        return {file.path for file in files if self._file.fullmatch(file.path.name)}

    def owned(self) -> list[Path]:
        """Return the unit files that are here."""
        return sorted(path for path in self.folder.glob(f"{self.name}.*") if self._file.fullmatch(path.name))

    def files(self, text: str, version: int) -> list[ManagedFile]:
        """Return the unit files as they should be, from the serving unit's text; those of nobody any more as not there.

        `version`: systemd's on this host.
        """
        about = (understood(text, version), self.name, self.home)
        texts = {f"{self.name}.{entry['name']}@.service": process_unit(*about, entry) for entry in self.processes}
        for entry in self.schedules:
            texts[f"{self.name}.{entry['name']}.service"] = job_unit(*about, entry)
            texts[f"{self.name}.{entry['name']}.timer"] = timer_unit(self.name, entry)
        gone = [path for path in self.owned() if path.name not in texts]
        return [ManagedFile(self.folder / name, text, 0o644) for name, text in texts.items()] + [
            ManagedFile(path, None, 0o644) for path in gone
        ]

    def check(self, changed: Iterable[ManagedFile]) -> None:
        """Ask systemd itself whether it takes the calendar of each timer that is new."""
        for file in changed:
            if file.path.suffix == ".timer" and file.text:
                expression = next(line for line in file.text.splitlines() if line.startswith("OnCalendar="))[11:]
                try:
                    run(["systemd-analyze", "calendar", expression])
                except ServiceError as error:
                    raise ServiceError(
                        f"app_schedules: this host's systemd does not take a calendar: {error}"
                    ) from error

    def here(self) -> dict[str, dict[str, str]]:
        """Return {unit: its properties} of those that systemd knows of: running, enabled or failed."""
        if not self.wanted and not self.owned():
            return {}
        return self.show([f"{self.name}.*"])

    def show(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return {unit: its properties} of units, or of a pattern's; without a running systemd none."""
        try:
            output = systemctl("show", *names, f"--property={SHOWN}", check=False)
        except OSError:
            return {}
        found = [
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in output.split("\n\n")
        ]
        return {one["Id"]: one for one in found if self._unit.fullmatch(one.get("Id", ""))}

    def enabled(self, here: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Return the processes and timers that are meant to run, whoever said so."""
        return sorted(unit for unit, state in here.items() if state.get("UnitFileState") == "enabled")

    def orphans(self, here: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Return those that are enabled or running although nobody wants them."""
        jobs = {unit.replace(".timer", ".service") for unit in self.wanted if unit.endswith(".timer")}
        known = {*self.wanted, *jobs}
        return sorted(
            unit
            for unit, state in here.items()
            if unit not in known and (state.get("UnitFileState") == "enabled" or state["ActiveState"] not in ENDED)
        )

    def due(
        self, here: Mapping[str, Mapping[str, str]], changed: set[Path], renewed: str, since: Sequence[Path]
    ) -> dict[str, str]:
        """Return {unit: why it has to start anew}.

        `changed`: files that are about to be; `renewed`: why all of them have to; `since`: what a process has to be
        younger than, beside its own unit.
        """
        found = {}
        for unit in self.wanted:
            state = here.get(unit, {})
            file = self.folder / re.sub(r"@.*\.", "@.", unit)
            if renewed:
                reason = renewed
            elif file in changed:
                reason = "new settings"
            elif state.get("ActiveState") != "active":
                reason = f"it is {state.get('ActiveState') or 'not there'}"
            elif state.get("UnitFileState") != "enabled":
                reason = "it is not enabled"
            else:
                files = [file] if unit.endswith(".timer") else [file, *since]
                newer = changed_since(state["ActiveEnterTimestampMonotonic"], files)
                reason = f"it was started before {newer} was changed" if newer else ""
            if reason:
                found[unit] = reason
        return found

    def stop(self, units: Iterable[str], say: Callable[[str], None]) -> None:
        """Ask units to end, and wait until they have; a schedule's job that runs ends by itself.

        Says which of them systemd had to kill, because its time to stop, or to run, was over.
        """
        names = sorted(units)
        if not names:
            return
        jobs = [unit.replace(".timer", ".service") for unit in names if unit.endswith(".timer")]
        for kind in (".timer", ".service"):  # once no timer starts it, a job that has ended stays so
            if asked := [unit for unit in names if unit.endswith(kind) and (kind == ".timer" or "@" in unit)]:
                systemctl("stop", *([] if kind == ".timer" else ["--no-block"]), *asked, check=False)
        whole = sorted({*names, *jobs})
        deadline = time.monotonic() + LONGEST
        while time.monotonic() < deadline:
            states = self.show(whole)
            if all(state["ActiveState"] in ENDED for state in states.values()):
                break
            time.sleep(POLL)
        for unit, state in states.items():
            if state["ActiveState"] == "failed" and state["Result"] == "timeout":
                say(f"{unit} did not end in time and was killed")
        systemctl("reset-failed", *whole, check=False)

    def disable(self, units: Sequence[str]) -> None:
        """Take units that have ended out of what systemd starts; while their files are there."""
        if units:
            systemctl("disable", "--quiet", *units, check=False)
        if timers := [unit for unit in units if unit.endswith(".timer")]:
            # When it last ran: one of the same name would be taken to have missed its time.
            systemctl("clean", "--what=state", *timers, check=False)

    def start(self, units: Sequence[str]) -> dict[str, str]:
        """Enable and start units, and watch them; {unit: what became of it} of those that do not stay."""
        if not units:
            return {}
        systemctl("enable", "--quiet", *units)
        # One that cannot start at all is found below, with the others.
        systemctl("start", *units, check=False)
        began = time.monotonic()
        watched = {unit: self.wanted.get(unit, PROCESS["readiness_delay"]["default"]) for unit in units}
        while True:
            states = self.show(units)
            failed = {unit: ended(states.get(unit, {})) for unit in units}
            failed = {unit: how for unit, how in failed.items() if how}
            if failed or time.monotonic() - began >= max(watched.values()):
                return failed
            time.sleep(POLL)


def ended(state: Mapping[str, str]) -> str:
    """Say how a unit ended that was to stay; '' if it did."""
    if state.get("ActiveState") == "active" and state.get("NRestarts", "") in ("", "0"):
        return ""
    status = state.get("ExecMainStatus", "")
    return f"{state.get('Result') or 'it is not there'}{f', status {status}' if status not in ('', '0') else ''}"
