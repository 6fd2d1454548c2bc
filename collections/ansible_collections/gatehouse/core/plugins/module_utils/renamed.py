"""Names of before, by the table in the role preflight."""

from __future__ import annotations

from collections.abc import Mapping


def new_name(name: str, renamed: Mapping[str, str]) -> str:
    """Return what a name is now, or '' for one that was not renamed.

    `renamed`: {old: new}; a `*` at the end of both is the rest of a name.
    """
    for old, new in renamed.items():
        stem = old.removesuffix("*")
        if name == old or (stem != old and name.startswith(stem)):
            return new.removesuffix("*") + name.removeprefix(stem)
    return ""
