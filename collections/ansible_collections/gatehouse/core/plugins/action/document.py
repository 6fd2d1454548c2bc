"""Hands a document to the callback `progress`, which prints it and nothing else on stdout."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Prints `lines` on stdout and `remarks` on stderr.

    A line is a text, or {text, color} with a colour of Ansible's, which a terminal alone shows. The play says
    `prints_document: true` in its variables, so that the callback knows it before the run begins. With `exit_code`,
    the run ends with that status.
    """

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        lines = [line if isinstance(line, dict) else {"text": line, "color": ""} for line in arguments["lines"]]
        # Another callback than the project's shows it as it shows `debug`.
        return {
            **result,
            "changed": False,
            "document": [[str(line["text"]), str(line["color"])] for line in lines],
            "exit_code": int(arguments.get("exit_code") or 0),
            "remarks": [str(line) for line in arguments.get("remarks") or ()],
            "_ansible_verbose_always": True,
        }
