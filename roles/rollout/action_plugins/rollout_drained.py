"""Who is drained, as files on the controller: `<dir>/drained/<host>.json` with {by, since, kind, reason, outdated}.

`kind` is `maintenance` for what an operator drained, `rollout` for what a deployment and `rotation` for what a rotation
drained and will undrain, `standby` for an application whose standby serves, and `unreachable` for a host without which
a run has gone on; a deployment undrains it. A run undoes its own kind only: an operator may take a host over while a
run has it. `outdated` is true where a run has gone on without a host that was drained before.
"""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


def noted(file: Path) -> dict[str, Any]:
    """Return the note of a host; {} if it is not drained."""
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        return {}


def write(file: Path, about: dict[str, Any]) -> None:
    """Write a note, in one rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(json.dumps(about) + "\n")
    fresh.replace(file)


def note(file: Path, kind: str, reason: str) -> bool:
    """Note that a host is drained, unless that or an operator's own is noted; return whether it was not."""
    before = noted(file)
    was = before.get("kind", "")
    if kind == "unreachable" and was in ("maintenance", "rollout"):
        write(file, {**before, "outdated": True})
        return False
    if was in (kind, "maintenance"):
        return False
    about = {
        "by": os.environ.get("SUDO_USER") or getpass.getuser(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "kind": kind,
        "reason": reason,
    }
    outdated = kind == "maintenance" and (was == "unreachable" or before.get("outdated"))
    write(file, {**about, "outdated": True} if outdated else about)
    return True


def forget(file: Path, kind: str) -> bool:
    """Note that a host is no longer drained by this kind, or by any for `maintenance`; return whether it was."""
    before = noted(file)
    was = before.get("kind", "")
    if (was, kind) == ("maintenance", "rollout") and before.pop("outdated", False):
        write(file, before)  # a deployment has found it well
    if not was or kind not in (was, "maintenance"):
        return False
    file.unlink(missing_ok=True)
    return True


class ActionModule(ActionBase):  # type: ignore[misc]
    """Notes that `hosts` are drained (`state: drained`, with `kind` and `reason`), or no longer (`undrained`)."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self._task.args
        files = [Path(options["dir"]) / "drained" / f"{host}.json" for host in options["hosts"]]
        if self._task.check_mode:
            return {**result, "skipped": True}
        if options["state"] == "undrained":
            changed = [forget(file, options["kind"]) for file in files]
        else:
            changed = [note(file, options["kind"], options["reason"]) for file in files]
        hosts = [str(host) for host, was in zip(options["hosts"], changed, strict=True) if was]
        return {**result, "changed": any(changed), "changes": [f"{host}: {options['state']}" for host in hosts]}
