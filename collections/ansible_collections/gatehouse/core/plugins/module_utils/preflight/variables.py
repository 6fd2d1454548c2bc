"""What can be wrong with the names of variables: misspelt, missing, or used by a template and not defined.

Every function is pure and returns a list of problems {path, problem, remedy, level}: `path` leads into the
data (['proxy_sites', 0, 'name']), `remedy` says what to write instead, `level` is error or warning. Values
may have any shape: what has the wrong one is left to spec_problems, which says so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .problem import Problem, wrong

_UNDEFINED = re.compile(r"(?:^|: )'([^']+)' is undefined|has no (?:attribute|element) '?([^']+?)'?$")

# What is required unless another input is given, which the specs of roles cannot say.
_EITHER = {"python_app_target": "app_web_command"}


def unknown_variables(names: Sequence[str], known: Sequence[str], roles: Sequence[str]) -> list[Problem]:
    """Return a problem for each of `names` (variables set in the inventory) that begins like a role's and is no input.

    `known`: the inputs of all roles; `roles`: their names. A variable that begins with no role's name is
    nobody's.
    """
    problems = []
    by_length = sorted(roles, key=len, reverse=True)
    for name in names:
        role = next((role for role in by_length if name.startswith(role + "_")), "")
        if role and name not in known:
            own = [one for one in known if one.startswith(role + "_")]
            # Another role's is meant only where it is all but the same.
            near = difflib.get_close_matches(name, own, 1, 0.7) or difflib.get_close_matches(name, known, 1, 0.8)
            problems.append(
                wrong(
                    [name],
                    f"is no variable of the role {role}",
                    f"write {near[0]}" if near else f"see `ansible-doc -t role {role}`",
                )
            )
    return problems


def missing_variables(
    needs: Sequence[Mapping[str, Any]],
    options: Mapping[str, Mapping[str, Any]],
    names: Sequence[str],
    groups: Sequence[str],
    folder: str,
) -> list[Problem]:
    """Return a problem for each required variable that a host lacks.

    `needs`: the roles it runs [{role, pattern, sure, given}]; a role that is not `sure` demands nothing.
    `options`: {role: its options}; `names`: the host's variables; `groups`: all groups; `folder`: the
    inventory's.
    """
    problems, said = [], set[str]()
    for need in (need for need in needs if need["sure"]):
        role, group = need["role"], need["pattern"] if need["pattern"] in groups else "<group>"
        for name, option in options.get(role, {}).items():
            other = _EITHER.get(name, "")
            required = option.get("required") or (other and other not in names)
            if required and name not in (*names, *need["given"], *said):
                said.add(name)
                problems.append(
                    wrong(
                        [name],
                        f"{name} is missing, and the role {role} requires it",
                        f"write it in {folder}/group_vars/{group}/{role}.yml",
                    )
                )
    return problems


def evaluation_problems(
    message: str, template: str, known: Sequence[str], secret: bool = False, remedy: str = ""
) -> list[dict[str, str]]:
    """Return what to say of a template that Ansible cannot evaluate: nothing, or one {problem, remedy, missing}.

    `message`: the innermost cause, as Ansible or a filter says it, without the `remedy` of a filter; `known`: names
    that may have been meant.
    What depends on facts is known only once a play has gathered them, so nothing is said of it.
    """
    found = _UNDEFINED.search(message.rstrip("."))
    missing = (found[1] or found[2]) if found else ""
    if missing.isdigit() and (user := re.search(rf"([a-z_]\w*)(?:\['?(\w+)'?\])?\[{missing}\]", template)):
        name = user[2] or user[1]
        problem, remedy = f"needs an entry {missing} of {name}, which has none", f"write at least one entry in {name}"
        return [{"problem": problem, "remedy": remedy, "missing": name}]
    if "ansible_facts" in template or missing.startswith("ansible_"):
        return []
    if missing == "hostvars":
        remedy = "use a variable of this host's own groups: what is read through hostvars[...] sees no hostvars"
        return [{"problem": "leads to a template that uses hostvars in turn", "remedy": remedy}]
    if missing.startswith("vault_"):
        known = [name for name in known if name.startswith("vault_")]
    if missing:
        near = difflib.get_close_matches(missing, known, 1)
        remedy = f"write {near[0]}" if near else f"define {missing}, or correct its name"
        return [{"problem": f"uses {missing}, which is not defined", "remedy": remedy, "missing": missing}]
    if secret:
        return [{"problem": "cannot be evaluated, and being secret is not shown", "remedy": ""}]
    return [{"problem": f"cannot be evaluated: {message}", "remedy": f"write {remedy}" if remedy else ""}]
