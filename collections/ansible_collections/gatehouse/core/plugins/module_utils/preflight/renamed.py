"""Names of before in an inventory, by the role's table `files/renamed.yml`, and applications that are loose variables.

Every function is pure and returns a list of problems {path, problem, remedy, level}, see problem.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import applications
from ..renamed import new_name
from .problem import Problem, wrong


def _renamed(path: Sequence[Any], new: str) -> Problem:
    return wrong(path, f"was renamed to {new}", f"write {new}")


def renamed_variables(names: Sequence[str], renamed: Mapping[str, str], known: Sequence[str]) -> list[Problem]:
    """Return a problem for each of `names` (variables set in the inventory) that has another name now.

    `known`: the inputs of all roles. One that is still an input may be set beside its new name.
    """
    found = {name: new_name(name, renamed) for name in names}
    return [_renamed([name], new) for name, new in found.items() if new and not (name in known and new in names)]


def renamed_value(value: Any, path: Sequence[Any], renamed: Mapping[str, Mapping[str, str]]) -> list[Problem]:
    """Return a problem when what is at the end of `path` in a variable's `value` has another name now."""
    for part in path[1:]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return []
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    new = renamed.get(name, {}).get(value) if isinstance(value, str) else None
    return [wrong(path, f"{value} was renamed to {new}", f"write {new}")] if new else []


def renamed_in_page(text: str, path: Sequence[Any], file: str, renamed: Mapping[str, str]) -> list[Problem]:
    """Return a problem for each variable of nginx in an error page that has another name now."""
    return [
        wrong(path, f"names {file}, which shows {old}: that was renamed to {new}", f"write {new} there")
        for old, new in renamed.items()
        if f'var="{old}"' in text
    ]


def moved_variables(
    values: Mapping[str, Any], application: str, renamed: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Return a problem for each loose variable of an application that has no entry in `applications`.

    `values`: the variables of one of its hosts that become keys of an entry; `application`: the name that it should
    have; `renamed`: the table.
    """
    problems = []
    runtime = renamed["values"]["runtime"].get(values.get("runtime"), str(values.get("runtime", "")))
    for name in values:
        variable = new_name(name, renamed["variables"]) or name
        key = "runtime" if name == "runtime" else applications.key_of(variable, runtime)
        if key:
            section, _, field = key.partition(".")
            said = f"{section}: {{{field}: ...}}" if field else f"{key}:"
            said = f"runtime: {runtime}" if key == "runtime" else said
            entry = f"the entry {application} of applications in group_vars/all/applications.yml"
            problems.append(wrong([name], f"was moved to {entry}", f"write {said} there"))
    return problems
