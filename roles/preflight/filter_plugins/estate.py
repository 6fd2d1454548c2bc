"""What can be wrong between values that are each right: the names of variables, and the addresses of hosts.

Every function is pure and returns a list of problems {path, problem, remedy, level}: `path` leads into the
data (['proxy_sites', 0, 'name']), `remedy` says what to write instead, `level` is error or warning. Values
may have any shape: what has the wrong one is left to spec_problems, which says so.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Problem = dict[str, Any]
_UNDEFINED = re.compile(r"(?:^|: )'([^']+)' is undefined|has no (?:attribute|element) '?([^']+?)'?$")


def _problem(path: Sequence[Any], problem: str, remedy: str, level: str = "error") -> Problem:
    return {"path": list(path), "problem": problem, "remedy": remedy, "level": level}


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
            near = difflib.get_close_matches(name, known, 1)
            problems.append(
                _problem(
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
            if option.get("required") and name not in (*names, *need["given"], *said):
                said.add(name)
                problems.append(
                    _problem(
                        [name],
                        f"{name} is missing, and the role {role} requires it",
                        f"write it in {folder}/group_vars/{group}/{role}.yml",
                    )
                )
    return problems


def evaluation_problems(
    message: str, template: str, known: Sequence[str], secret: bool = False
) -> list[dict[str, str]]:
    """Return what to say of a template that Ansible cannot evaluate: nothing, or one {problem, remedy, missing}.

    `message`: the innermost cause, as Ansible or a filter says it; `known`: names that may have been meant.
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
    problem, _, remedy = message.rpartition("; write ")
    return [
        {
            "problem": f"cannot be evaluated: {problem or remedy}",
            "remedy": f"write {remedy}" if problem else "",
        }
    ]


def address_problems(hosts: Mapping[str, Mapping[str, Any]]) -> list[Problem]:
    """Return what is wrong with hosts' addresses; `path` is [host] or [host, variable].

    `hosts`: {name: {private_address, ansible_host, public_address, private_network, edge_network}}, each
    optional.
    """
    problems, owners = [], dict[tuple[str, str], str]()
    for host, variables in hosts.items():
        name = next((key for key in ("private_address", "ansible_host") if variables.get(key) is not None), "")
        if not name:
            problems.append(
                _problem([host], f"host {host} has no address", "write private_address (or ansible_host) beside it")
            )
        for kind, key in (("private", name), ("edge", "public_address")):
            if not key or (value := variables.get(key)) is None:
                continue
            try:
                address = ipaddress.ip_address(str(value) if isinstance(value, str) else "")
            except ValueError:
                if key != "ansible_host":
                    problems.append(
                        _problem(
                            [host, key],
                            f"of host {host} must be an IP address, got {json.dumps(value, default=str)}",
                            "write one such as 10.0.0.5",
                        )
                    )
                continue
            owner = owners.setdefault((kind, str(address)), host)
            if owner != host:
                problems.append(
                    _problem(
                        [host, key],
                        f"{address} of host {host} is the address of {owner} too",
                        "give each host its own address",
                    )
                )
            problems += _outside(host, key, address, variables.get(f"{kind}_network"))
    return problems


def _outside(host: str, key: str, address: Any, network: Any) -> list[Problem]:
    """Warn of an address outside its network, which the firewall and the lab are computed from."""
    try:
        inside = address in ipaddress.ip_network(network)
    except (TypeError, ValueError):
        return []
    return (
        []
        if inside
        else [
            _problem(
                [host, key],
                f"{address} of host {host} is outside {network}",
                f"write an address in {network}",
                "warning",
            )
        ]
    )


class FilterModule:
    """Offer the functions above to the action plugin `estate_check`, and to tests."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (
            unknown_variables,
            missing_variables,
            evaluation_problems,
            address_problems,
        )
        return {function.__name__: function for function in functions}
