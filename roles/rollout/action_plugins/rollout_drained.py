"""Who is drained, as files on the controller: `<dir>/drained/<host>.json` with {by, since, kind, reason}.

`kind` is `maintenance` for what an operator drained, and `rollout` for what a deployment drained and will undrain.
"""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase


def note(file: Path, kind: str, reason: str) -> bool:
    """Note that a host is drained, unless that is noted; tell whether it was not."""
    if file.exists():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "by": os.environ.get("SUDO_USER") or getpass.getuser(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "kind": kind,
        "reason": reason,
    }
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(json.dumps(about) + "\n")
    fresh.replace(file)
    return True


def forget(file: Path) -> bool:
    """Note that a host is no longer drained; tell whether it was."""
    was = file.exists()
    file.unlink(missing_ok=True)
    return was


class ActionModule(ActionBase):  # type: ignore[misc]
    """Notes that `hosts` are drained (`state: drained`, with `kind` and `reason`), or no longer (`undrained`)."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = self._task.args
        files = [Path(options["dir"]) / "drained" / f"{host}.json" for host in options["hosts"]]
        if self._task.check_mode:
            return {**result, "skipped": True}
        if options["state"] == "undrained":
            changed = [forget(file) for file in files]
        else:
            changed = [note(file, options["kind"], options["reason"]) for file in files]
        return {**result, "changed": any(changed)}
