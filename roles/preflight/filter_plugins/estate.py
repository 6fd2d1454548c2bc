"""What can be wrong between values that are each right: names, addresses, and how sites, upstreams, caches fit.

Every function is pure and returns a list of problems {path, problem, remedy, level}: `path` leads into the
data (['proxy_sites', 0, 'name']), `remedy` says what to write instead, `level` is error or warning. Values
may have any shape: what has the wrong one is left to spec_problems, which says so.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Problem = dict[str, Any]
_UNDEFINED = re.compile(r"(?:^|: )'([^']+)' is undefined|has no (?:attribute|element) '?([^']+?)'?$")


def _problem(path: Sequence[Any], problem: str, remedy: str, level: str = "error") -> Problem:
    return {"path": list(path), "problem": problem, "remedy": remedy, "level": level}


def _entries(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (index, entry) of the mappings in a list; of anything else, nothing."""
    for index, entry in enumerate(value if isinstance(value, (list, tuple)) else ()):
        if isinstance(entry, Mapping):
            yield index, entry


def _names(value: Any) -> list[str]:
    return [str(entry["name"]) for _, entry in _entries(value) if isinstance(entry.get("name"), str)]


def _nearest(name: str, known: Sequence[str]) -> str:
    """Return `write <the nearest>`, or all the choices when none is near."""
    if near := difflib.get_close_matches(name, known, 1):
        return f"write {near[0]}"
    return f"write one of {', '.join(sorted(known))}" if known else "add it, or take this away"


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
    """Return what to say of a template that Ansible cannot evaluate: nothing, or one {problem, remedy}.

    `message`: the innermost cause, as Ansible or a filter says it; `known`: names that may have been meant.
    What depends on facts is known only once a play has gathered them, so nothing is said of it.
    """
    found = _UNDEFINED.search(message.rstrip("."))
    missing = (found[1] or found[2]) if found else ""
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
        return [{"problem": f"uses {missing}, which is not defined", "remedy": remedy}]
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


def proxy_problems(estate: Mapping[str, Any]) -> list[Problem]:
    """Return what does not fit together on one proxy.

    `estate`: {proxy_upstreams, proxy_caches, proxy_sites} with their defaults applied; one that is left out
    could not be evaluated, and then nothing is said of the names in it.
    """
    problems = _upstream_problems(estate.get("proxy_upstreams"), estate.get("hosts", ()))
    owners: dict[str, tuple[int, str]] = {}
    for index, site in _entries(estate.get("proxy_sites")):
        path, title = ["proxy_sites", index], f"site {site.get('name')}"
        names = site.get("server_names")
        names = names if isinstance(names, (list, tuple)) else []
        if isinstance(site.get("server_names"), (list, tuple)) and not names:
            problems.append(_problem([*path, "server_names"], f"of {title} is empty", "write at least one name"))
        for place, name in enumerate(names):
            owner = owners.setdefault(str(name).lower(), (index, title))
            if owner[0] != index:
                problems.append(
                    _problem(
                        [*path, "server_names", place],
                        f"{name} of {title} is a server name of {owner[1]} too",
                        "keep it in one site",
                    )
                )
        problems += _location_problems(estate, site, path)
    return problems


def _upstream_problems(upstreams: Any, hosts: Sequence[str]) -> list[Problem]:
    """Return upstreams without a member, or without one that takes requests, and repeated members."""
    problems = []
    for index, upstream in _entries(upstreams):
        title, members = f"upstream {upstream.get('name')}", upstream.get("members")
        path = ["proxy_upstreams", index, "members"]
        if members is None or (isinstance(members, (list, tuple)) and not members):
            problems.append(
                _problem(
                    path,
                    f"of {title} is empty: it has no member",
                    "write groups['<app>'] | upstream_members(hostvars, <port>) of a group with hosts",
                )
            )
            continue
        entries = list(_entries(members))
        if entries and all(member.get("state", "up") == "drain" for _, member in entries):
            problems.append(
                _problem(
                    path,
                    f"of {title} are all in state drain: it answers nothing but 502",
                    "leave one member up",
                    "warning",
                )
            )
        owners: dict[tuple[str, str], Any] = {}
        for place, member in entries:
            key = (str(member.get("address")), str(member.get("port")))
            owner = owners.setdefault(key, member.get("name"))
            # Two hosts with one address are a problem of their own, reported where the addresses are written.
            if owner != member.get("name") and not {owner, member.get("name")} <= {*hosts}:
                problems.append(
                    _problem(
                        [*path, place, "address"],
                        f"{key[0]} port {key[1]} of {title} is both {owner} and {member.get('name')}",
                        "give each member its own address or port",
                    )
                )
    return problems


def _location_problems(estate: Mapping[str, Any], site: Mapping[str, Any], path: list[Any]) -> list[Problem]:
    """Return what is wrong with the locations of one site: where they point, and repeated paths."""
    problems, title, seen = [], f"site {site.get('name')}", set[str]()
    for index, location in _entries(site.get("locations")):
        here = [*path, "locations", index]
        where = str(location.get("path"))
        if where in seen:
            problems.append(_problem([*here, "path"], f"{where} of {title} is there twice", "keep one location of it"))
        seen.add(where)
        for kind, variable in (("upstream", "proxy_upstreams"), ("cache", "proxy_caches")):
            name = location.get(kind)
            if isinstance(name, str) and name and variable in estate and name not in _names(estate[variable]):
                problems.append(
                    _problem(
                        [*here, kind],
                        f"names the {kind} {json.dumps(name)}, which {variable} lacks",
                        _nearest(name, _names(estate[variable])),
                    )
                )
    return problems


class FilterModule:
    """Offer the functions above to the action plugin `estate_check`, and to tests."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (
            unknown_variables,
            missing_variables,
            evaluation_problems,
            address_problems,
            proxy_problems,
        )
        return {function.__name__: function for function in functions}
