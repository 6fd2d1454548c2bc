"""What a change on a host replaces, written down so that a later task or the next run can go back to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.app.service import ManagedFile


@dataclass(frozen=True)
class Former:
    """The release, files and processes that ran before, and which release took their place at what time."""

    release: str
    replaced_by: str
    since: float
    files: Sequence[ManagedFile]
    deploys: bool  # whether a deployment replaced them, and not a rollback
    processes: Sequence[str] = ()

    @classmethod
    def read(cls, path: Path) -> Former | None:
        """Return what is written down; None if nothing is, or not whole."""
        try:
            known = json.loads(path.read_text())
            files = [ManagedFile(Path(file["path"]), file["text"], file["mode"]) for file in known["files"]]
            return cls(
                known["release"], known["replaced_by"], known["since"], files, known["deploys"],
                known.get("processes", []),
            )  # fmt: skip
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write it down, readable for root only: the files hold secrets."""
        files = [{"path": str(file.path), "text": file.text, "mode": file.mode} for file in self.files]
        known = {
            "release": self.release, "replaced_by": self.replaced_by, "since": self.since, "files": files,
            "deploys": self.deploys, "processes": list(self.processes),
        }  # fmt: skip
        ManagedFile(path, json.dumps(known) + "\n", 0o600, secret=True).write()

    def is_of(self, current: str, release: str) -> bool:
        """Return whether this was written by an interrupted change to `release`, where `current` is linked now."""
        return self.replaced_by == release != self.release and current in (release, self.release)
