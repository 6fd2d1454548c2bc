"""Keeps a record of certificates on the controller: a file for each, `<folder>/<name>.<head of its SHA-256>.pem`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Writes `certificates`, {name: PEM}, into `folder`, and says by `reasons`, {name: why it was signed}, what is new.

    What is there is left alone.

    An action without a module: the controller need not start a program for each of its own files.
    """

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        folder = Path(self._task.args["folder"])
        reasons, written = self._task.args["reasons"], []
        try:
            for name, pem in self._task.args["certificates"].items():
                path = folder / f"{name}.{hashlib.sha256(pem.encode()).hexdigest()[:16]}.pem"
                if not self._is_there(path, str(pem)):
                    written.append(f"certificate {reasons[name]}")
        except OSError as error:
            raise AnsibleActionFail(f"no record of the certificates could be kept: {error}") from error
        return {**result, "changed": bool(written), "changes": written}

    def _is_there(self, path: Path, text: str) -> bool:
        """Write a record unless it is there, in one rename; return whether it was."""
        if path.is_file() and path.read_text() == text:
            return True
        if not self._task.check_mode:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_text(text)
            fresh.chmod(0o644)
            fresh.replace(path)
        return False
