"""Controller side of host_logs: how far the host's clock is from the controller's, when the answer arrives."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Adds `clock_offset`, in seconds: more than 0 for a host that is ahead."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result |= self._execute_module("host_logs", dict(self._task.args), task_vars=task_vars)
        if "clock" in result:
            result["clock_offset"] = result["clock"] - time.time()
        result.pop("invocation", None)
        return result
