"""What every check of preflight returns, and how it looks into values that may have any shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# {path, problem, remedy, level}: `path` leads into the data (['proxy_sites', 0, 'name']).
Problem = dict[str, Any]


def wrong(path: Sequence[Any], problem: str, remedy: str, level: str = "error") -> Problem:
    """Return a problem: what is wrong at `path`, what to write instead, and whether it is an error or a warning."""
    return {"path": list(path), "problem": problem, "remedy": remedy, "level": level}


def numbered(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (index, entry) of the mappings in a list; of anything else, nothing: spec_problems reports that."""
    for index, entry in enumerate(value if isinstance(value, (list, tuple)) else ()):
        if isinstance(entry, Mapping):
            yield index, entry


def mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` when it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}
