"""Files that need not be there."""

from __future__ import annotations

from pathlib import Path


def read(path: Path) -> bytes | None:
    """Return the bytes of a file, None when there is no such file."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
