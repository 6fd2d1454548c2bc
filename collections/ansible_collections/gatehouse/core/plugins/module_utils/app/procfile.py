"""What an application's own Procfile says: processes beside the one that serves, and what comes before a release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import ArchiveError
from ansible_collections.gatehouse.core.plugins.module_utils.commands import words

_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,30})\s*:\s*(\S.*)")


def read_procfile(source: Path) -> dict[str, Any]:
    """Return {processes: [{name, command}], release: the words of its command, web}, {} where there is no Procfile.

    Names are made those of units. A line that is none, or whose command only a shell could read, is an ArchiveError;
    `web` is left as it is, because each runtime has its own start.
    """
    file = source / "Procfile"
    if file.is_symlink() or not file.is_file():
        return {}
    found: dict[str, Any] = {"processes": [], "release": [], "web": ""}
    seen = set()
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        name = match[1].lower().replace("_", "-") if match else ""
        if not match or name in seen:
            raise _refused(number, f"has {name} a second time" if match else "is no line `worker: command`")
        seen.add(name)
        if name == "web":
            found["web"] = match[2]
            continue
        try:
            parsed = words(match[2])
        except ValueError as error:
            raise _refused(number, f"`{name}` {error}") from None
        if name == "release":
            found["release"] = parsed
        else:
            found["processes"].append({"name": name, "command": match[2]})
    return found


def _refused(number: int, problem: str) -> ArchiveError:
    return ArchiveError(
        f"Procfile, line {number}: {problem}. Correct it, or write app_procfile: false and what runs to app_processes"
    )
