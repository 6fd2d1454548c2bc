"""The lock of an application's deployments and their log, in a folder on the controller that its operators share.

`<dir>/deploys/<app>/lock` names who deploys; `<dir>/deploys/<app>/log` has a line of JSON for each deployment.
A lock whose process is gone is taken over. A process of another controller cannot be looked at: its lock counts.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible

Lock = dict[str, Any]


def started(pid: int) -> str:
    """Return when a process was started, in the kernel's ticks; '' if it is gone. Numbers of processes come again."""
    try:
        # proc_pid_stat(5): field 22; the name in field 2 may hold anything, also blanks and brackets.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def own_lock(app: str, what: str) -> Lock:
    """Return what the lock of this run says. An action runs in a worker: the run itself is its parent."""
    pid = os.getppid()
    return {
        "app": app,
        "what": what,
        "owner": os.environ.get("SUDO_USER") or getpass.getuser(),
        "host": platform.node(),
        "pid": pid,
        "started": started(pid),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def holds(lock: Lock) -> bool:
    """Return whether the process that took the lock may still run."""
    return bool(lock["host"] != platform.node() or started(lock["pid"]) == lock["started"])


def same_run(one: Lock, other: Lock) -> bool:
    """Return whether two locks are those of one run."""
    return all(one.get(key) == other.get(key) for key in ("host", "pid", "started"))


class Ledger:
    """The folder of one application."""

    def __init__(self, folder: Path) -> None:
        self.lock = folder / "lock"
        self.log = folder / "log"
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one run at a time look at the lock and change it."""
        with (self.lock.parent / ".guard").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def held(self) -> Lock:
        """Return the lock as it is, {} if there is none."""
        try:
            found: Lock = json.loads(self.lock.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise AnsibleActionFail(f"{self.lock} is no lock that Gatehouse wrote; look at it and remove it") from None
        return found

    def open(self, mine: Lock) -> tuple[str, str]:
        """Take the lock; return (a word about a run that left it behind, the release whose migration has run last).

        That is the one which the run that was left behind had migrated to, else the one that the last completed run
        deployed.
        """
        with self.alone():
            lock = self.held()
            word, migrated = "", str(lock.get("migrated", ""))
            if lock and not same_run(lock, mine):
                who = f"{lock['owner']} on {lock['host']} (process {lock['pid']}), since {lock['since']}"
                if holds(lock):
                    raise AnsibleActionFail(
                        f"{lock['app']} is being changed: {lock['what']} by {who}. Wait until that has ended; "
                        f"if that run is gone for certain, remove {self.lock}"
                    )
                word = f"took over the lock of {lock['app']}: {lock['what']} by {who} did not come to its end"
                self.write(lock, "interrupted", {})
            if not lock or word:
                self.hold({**mine, **({"migrated": migrated} if migrated else {})})
        return word, migrated or self.current()

    def current(self) -> str:
        """Return the release that the last completed run deployed, by the log; '' if there was none."""
        lines = self.log.read_text().splitlines() if self.log.is_file() else []
        for line in reversed(lines):
            with suppress(ValueError, AttributeError):
                entry = json.loads(line)
                if entry.get("outcome") == "done":
                    return str(entry.get("release", ""))
        return ""

    def hold(self, lock: Lock) -> None:
        """Write the lock, in one rename."""
        fresh = self.lock.with_name(".lock.new")
        fresh.write_text(json.dumps(lock) + "\n")
        fresh.replace(self.lock)

    def migrated(self, mine: Lock, release: str) -> None:
        """Note in the lock that a release's migration has run, for a run that has to take it over."""
        with self.alone():
            lock = self.held()
            if same_run(lock, mine):
                self.hold({**lock, "migrated": release})

    def close(self, mine: Lock, outcome: str, facts: dict[str, Any]) -> None:
        """Give the lock back and write down how it ended; a run that changed nothing leaves no line."""
        with self.alone():
            lock = self.held()
            if not same_run(lock, mine):
                return
            if outcome != "unchanged":
                self.write(lock, outcome, facts)
            self.lock.unlink(missing_ok=True)

    def write(self, lock: Lock, outcome: str, facts: dict[str, Any]) -> None:
        """Add a line to the log."""
        about = {key: lock[key] for key in ("app", "what", "owner", "host", "since")}
        # What a failure says may be a host's words, and the log is read on a terminal too.
        reported = {name: visible(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        line = {**about, "ended": datetime.now(UTC).isoformat(timespec="seconds"), "outcome": outcome, **reported}
        with self.log.open("a") as log:
            log.write(json.dumps(line) + "\n")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Opens an application's ledger (`state: open`, with `what`) or closes it (`closed`, `outcome` and `facts`).

    In between, `migrated` notes of which `release` the migration has run; `open` returns what was noted so before.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self._task.args
        if self._task.check_mode:
            return {**result, "skipped": True}
        ledger = Ledger(Path(options["dir"]) / "deploys" / options["app"])
        mine = own_lock(options["app"], str(options.get("what", "")))
        if options["state"] == "closed":
            ledger.close(mine, options["outcome"], options.get("facts") or {})
        elif options["state"] == "migrated":
            ledger.migrated(mine, str(options["release"]))
        else:
            word, result["migrated"] = ledger.open(mine)
            if word:
                self._display.warning(word)
        return {**result, "changed": False}
