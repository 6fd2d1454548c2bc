"""Controller side of host_logs: how far the host's clock is from the controller's."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


def offset(asked: float, answered: float, clock: list[float]) -> float:
    """Return by how many seconds a clock is ahead at least, or behind (less than 0); 0 where it may be right.

    The host was asked after `asked` and had answered before `answered`, by the controller's clock. What lies in between
    may all have been on the way: a busy host's clock is not wrong.
    """
    began, ended = clock
    return ended - answered if ended > answered else began - asked if began < asked else 0.0


class ActionModule(ActionBase):  # type: ignore[misc]
    """Adds `clock_offset`, in seconds: more than 0 for a host that is ahead."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        asked = time.time()
        result |= self._execute_module("host_logs", dict(self._task.args), task_vars=task_vars)
        if "clock" in result:
            result["clock_offset"] = offset(asked, time.time(), result["clock"])
        result.pop("invocation", None)
        return result
