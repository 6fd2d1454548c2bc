"""What can be wrong with the list `applications`, and with the environment's name.

Every function is pure and returns a list of problems {path, problem, remedy, level}, as those of estate.py. The
values of an entry are judged as the inputs of roles that they become.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import applications
from ..renamed import new_name
from .problem import Problem, wrong
from .renamed import renamed_value

_LIST = "applications"
_NONE_RENAMED: Mapping[str, Any] = {"variables": {}, "keys": {}, "values": {"runtime": {}}}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
# Groups that are never an application's.
_NO_APPLICATIONS = ("all", "ungrouped", "proxies", "apps", "machines", "shared_machines")


def _problem(path: Sequence[Any], problem: str, remedy: str) -> Problem:
    return wrong([_LIST, *path], problem, remedy)


def application_problems(
    entries: Any,
    known: Sequence[str],
    roles: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    renamed: Mapping[str, Any] = _NONE_RENAMED,
) -> list[Problem]:
    """Return what is wrong with the list's shape: names, runtimes, keys that become no input, groups without hosts.

    `entries`: the list as it is written; `known`: the inputs of all roles; `roles`: their names; `groups`: Ansible's;
    `renamed`: the table of names of before.
    """
    if not isinstance(entries, (list, tuple)):
        shown = json.dumps(entries, default=str)
        return [_problem([], f"must be a list, got {shown}", "write `- name: shop` and its keys below it")]
    problems, seen = [], dict[str, int]()
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            shown = json.dumps(entry, default=str)
            problems.append(_problem([index], f"must be a mapping, got {shown}", "write name: and the other keys"))
            continue
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            problems.append(_problem([index], "has no name", "write name: and the group of its hosts"))
            continue
        if name in seen:
            remedy = "write each application once; its hosts are the group of its name"
            problems.append(_problem([index, "name"], f"{name} is the name of applications[{seen[name]}] too", remedy))
        seen.setdefault(name, index)
        if not _NAME.fullmatch(name) or not groups.get(name):
            problems.append(_nameless(index, name, groups, entries))
        problems += _former(index, entry, renamed)
        runtime = entry.get("runtime")
        present = {renamed["keys"].get(key, key): value for key, value in entry.items()}
        present |= {"runtime": renamed["values"]["runtime"].get(runtime, runtime)} if isinstance(runtime, str) else {}
        problems += _runtime(index, present, roles)
        problems += _keys(index, present, known, roles, renamed["variables"])
    return problems


def _nameless(index: int, name: str, groups: Mapping[str, Sequence[str]], entries: Sequence[Any]) -> Problem:
    """Return the problem of a name that cannot be one, or of which there is no group."""
    taken = {entry.get("name") for entry in entries if isinstance(entry, Mapping)}
    free = [group for group in groups if groups[group] and group not in (*_NO_APPLICATIONS, *taken)]
    near = difflib.get_close_matches(name, free, 1)
    if not _NAME.fullmatch(name):
        problem = f"{json.dumps(name)} names a unit, a folder and an account, so it has at most 31 of a-z, 0-9 and -"
        near = near or (free if len(free) == 1 else ["one such as my-shop"])
        return _problem([index, "name"], problem, f"write {near[0]}")
    remedy = f"write {near[0]}, or add the group {name}" if near else f"add the group {name}"
    problem = f"{name} is no group of hosts.yml that has hosts"
    return _problem([index, "name"], problem, f"{remedy} with its hosts to hosts.yml")


def _former(index: int, entry: Mapping[str, Any], renamed: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the keys and the runtime of an entry that have other names now."""
    for key, new in renamed["keys"].items():
        if key in entry:
            yield _problem([index, key], f"was renamed to {new}", f"write {new}")
    for found in renamed_value(entry, [_LIST, "runtime"], renamed["values"]):
        yield {**found, "path": [_LIST, index, "runtime"]}


def _runtime(index: int, entry: Mapping[str, Any], roles: Sequence[str]) -> Iterator[Problem]:
    runtime, runtimes = entry.get("runtime"), applications.runtimes(roles)
    if "runtime" in entry and runtime not in runtimes:
        near = difflib.get_close_matches(str(runtime), runtimes, 1)
        problem = f"{json.dumps(runtime, default=str)} is no runtime"
        yield _problem([index, "runtime"], problem, f"write {near[0] if near else 'one of ' + ', '.join(runtimes)}")


def _keys(
    index: int, entry: Mapping[str, Any], known: Sequence[str], roles: Sequence[str], renamed: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield the keys of an entry that become no input of a role."""
    runtime = str(entry.get("runtime", ""))
    for section in (*applications.SECTIONS, applications.UPSTREAM, runtime):
        if section in entry and not isinstance(entry[section], Mapping):
            shown = json.dumps(entry[section], default=str)
            yield _problem([index, section], f"must be a mapping, got {shown}", f"write {section}: {{key: value}}")
    for variable, path in applications.inputs(entry):
        if variable in known or variable == "runtime" or path[-1] in (*applications.SECTIONS, runtime):
            continue
        key = path[-1]
        if len(path) == 1 and key in applications.runtimes(roles) and runtime not in applications.runtimes(roles):
            continue  # what is wrong is the runtime
        if len(path) == 1 and key in applications.runtimes(roles):
            remedy = f"take it away, or write runtime: {key}"
            yield _problem([index, key], f"is of another runtime than {runtime or 'none'}", remedy)
            continue
        prefix = variable.removesuffix(key)
        if new := applications.key_of(new_name(variable, renamed), runtime).removeprefix(f"{path[0]}."):
            yield _problem([index, *path], f"was renamed to {new}", f"write {new}")
            continue
        if key.removeprefix(prefix) != key and key in known:
            yield _problem([index, *path], "has the role's prefix", f"write {key.removeprefix(prefix)}")
            continue
        own = [name.removeprefix(prefix) for name in known if name.startswith(prefix)]
        near = difflib.get_close_matches(key, own, 1)
        elsewhere = [name for name in (*applications.SECTIONS, runtime) if f"{_prefix(name, runtime)}{key}" in known]
        remedy = f"write {near[0]}" if near else f"see `ansible-doc -t role {prefix.removesuffix('_')}`"
        if len(path) == 1 and elsewhere:
            remedy = f"write it below {elsewhere[0]}:"
        yield _problem([index, *path], "is no key of an application", remedy)


def _prefix(section: str, runtime: str) -> str:
    return f"{section}_app_" if section == runtime else f"{section}_"


def unfilled_values(value: Any, path: Sequence[Any]) -> list[Problem]:
    """Return a problem for each text in `value` that `make new` left to be filled in: `FILL IN: such as 10.0.0.10`."""
    if isinstance(value, Mapping):
        return [found for key in value for found in unfilled_values(value[key], [*path, str(key)])]
    if isinstance(value, (list, tuple)):
        return [found for index, one in enumerate(value) for found in unfilled_values(one, [*path, index])]
    if not isinstance(value, str) or not value.startswith(applications.UNFILLED):
        return []
    hint = value.removeprefix(applications.UNFILLED).lstrip(": ") or "the value"
    return [wrong(path, "is still to be filled in", f"write {hint}")]


def environment_problems(name: Any, others: Mapping[str, str]) -> list[Problem]:
    """Return a problem where another environment has the same name, since state and CA follow from it.

    `name`: environment_name; `others`: {inventory: its environment_name} of the other environments beside this one.
    """
    return [
        wrong(
            ["environment_name"],
            f"is {name}, as that of {inventory}: both would share one state folder, with the CA in it",
            "write another name",
        )
        for inventory, other in others.items()
        if other == name
    ]
