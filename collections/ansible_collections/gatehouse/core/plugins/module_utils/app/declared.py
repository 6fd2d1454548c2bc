"""The version of its runtime that a source declares: `.python-version`, `.nvmrc`, `engines` of package.json."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "package.json"
# 3.13, python-3.13.2, v20.
_DECLARED = re.compile(r"\s*(?:[a-z]+-|v)?([0-9]+(?:\.[0-9]+)*)")
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~>?)?\s*v?(\d+)((?:\.[\dxX*]+)*)\S*")


def other_version(file: Path, known: Sequence[str]) -> str:
    """Return what a file of the source declares if no version of `known` (`3.13`, `20`) is that; '' if one is."""
    text = "" if file.is_symlink() or not file.is_file() else file.read_text(errors="replace")
    if file.name == PACKAGE:
        wanted = engine(text)
        return "" if any(_admits(wanted, int(one)) for one in known) else f"engines.node {wanted}"
    found = _DECLARED.match(text)
    wanted_parts = found[1].split(".") if found else []
    # `3.13` is as good as 3.13.2, and the other way round.
    same = not found or any(all(map(str.__eq__, wanted_parts, str(one).split("."))) for one in known)
    return "" if same or not found else found[1]


def engine(text: str) -> str:
    """Return `engines.node` of a package.json, '' if it says none or is not to be read."""
    try:
        wanted = json.loads(text)["engines"]["node"]
    except (ValueError, TypeError, KeyError):
        return ""
    return wanted if isinstance(wanted, str) else ""


def _admits(wanted: str, major: int) -> bool:
    """Return whether some version of a major one is in a range as npm writes it; what is not understood is."""
    return any(_some(alternative, major) for alternative in wanted.split("||"))


def _some(alternative: str, major: int) -> bool:
    low, high = [major], [major + 1]
    left, between, right = alternative.partition(" - ")
    spelled = f">={left.strip()} <={right.strip()}" if between else alternative
    for operator, number, rest in _COMPARATOR.findall(spelled):
        first = [int(number), *(int(part) for part in rest.split(".")[1:] if part.isdigit())]
        # The end of what it stands for: `1.2` is all of 1.2, `~1.2.3` too, and `^1.2.3` all of 1.
        said = first[:1] if operator == "^" else first[:2] if operator.startswith("~") else first
        end = [*said[:-1], said[-1] + 1]
        if operator not in ("<", "<="):
            low = max(low, end if operator == ">" else first)
        if operator not in (">", ">="):
            high = min(high, first if operator == "<" else end)
    return low < high
