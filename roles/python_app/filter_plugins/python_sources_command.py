"""The command of a build that builds packages from source for a target's Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def python_sources_command(version: Any, lock: str, packages: list[str]) -> list[str]:
    """Turn '3.13' into the argument list that builds `packages` into lib/python3.13, see files/python_sources.py.

    `lock`: the lock file of all other packages, beside which their sources were noted.
    """
    words = ["python3", "/build/tools/python_sources.py", "build", str(version), f"lib/python{version}", str(lock)]
    return [*words, *map(str, packages)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"python_sources_command": python_sources_command}
