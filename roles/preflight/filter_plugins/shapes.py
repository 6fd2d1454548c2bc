"""What can be wrong with an environment as a whole: its groups, files that nothing reads, secrets of the example.

Every function is pure and returns problems {path, problem, remedy, level}; `path` is [host] or [group], which is named
in `problem` too, because that is where hosts.yml says it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Problem = dict[str, Any]
_EXAMPLE = "change-me"
# Of the files of variables that Ansible reads.
_ENDINGS = (".yml", ".yaml", ".json")


def _problem(path: Sequence[Any], problem: str, remedy: str, level: str = "error") -> Problem:
    return {"path": list(path), "problem": problem, "remedy": remedy, "level": level}


def group_problems(groups: Mapping[str, Sequence[str]], applications: Sequence[str]) -> list[Problem]:
    """Return what is wrong with the groups of an environment: no host is a proxy, or one has no application.

    `groups`: Ansible's; `applications`: the names of the entries. A host may be in several of them.
    """
    problems = []
    if not groups.get("proxies"):
        near = difflib.get_close_matches("proxies", [group for group in groups if groups[group]], 1)
        remedy = f"call {near[0]} proxies" if near else "add the group proxies with its hosts"
        problems.append(_problem(["proxies"], "hosts.yml has no group proxies that has hosts", remedy))
    placed = {host for application in applications for host in groups.get(application) or ()}
    for host in groups.get("apps") or ():
        if host not in placed:
            problem = f"host {host} is in the group apps and in the group of no application"
            remedy = "write an entry with the name of its group in group_vars/all/applications.yml"
            problems.append(_problem([host], problem, remedy))
    # A misspelt group has been told of.
    if all(groups.get(group) for group in ("proxies", *applications)):
        problems += unreached_hosts(groups, placed)
    return problems


def unreached_hosts(groups: Mapping[str, Sequence[str]], placed: set[str]) -> list[Problem]:
    """Return a warning for each host that is in the group of an application that no entry describes.

    `placed`: the hosts in applications' groups. A host in several groups, or in one that `children` make, is the
    operator's own affair.
    """
    known = placed | {host for group in ("proxies", "apps", "machines", "ungrouped") for host in groups.get(group, ())}
    problems = []
    for group, hosts in groups.items():
        lost = [host for host in hosts if host not in known]
        if group not in ("all", "ungrouped") and lost and lost == list(hosts):
            problem = f"group {group} is neither proxies nor an application's: no play reaches {', '.join(lost)}"
            remedy = f"write an entry with name: {group} in group_vars/all/applications.yml, or remove the group"
            problems.append(_problem([lost[0]], problem, remedy, "warning"))
    return problems


def ownerless_files(names: Mapping[str, Iterable[str]], known: Mapping[str, Iterable[str]]) -> list[Problem]:
    """Return the files of variables that no group or host reads; `path` is [folder, name].

    `names`: {"group_vars": names of files and folders there, with their endings, "host_vars": ...}; `known`: the
    names of groups and hosts by the same keys.
    """
    problems = []
    for folder, found in names.items():
        owners, what = sorted(known[folder]), folder.removesuffix("_vars")
        for name in sorted(set(found)):
            ending = next((one for one in _ENDINGS if name.endswith(one)), "")
            stem = name.removesuffix(ending)
            if name.startswith(".") or name.endswith("~") or stem in owners:
                continue
            near = difflib.get_close_matches(stem, owners, 1)
            remedy = f"name it {near[0]}{ending}" if near else f"remove it, or add the {what} {stem} to hosts.yml"
            problem = f"{folder}/{name} belongs to no {what} of hosts.yml, so nothing reads it"
            problems.append(_problem([folder, name], problem, remedy))
    return problems


def example_secrets(values: Mapping[str, Any]) -> list[Problem]:
    """Return the names of secrets that still have the value of vault.example.yml, as problems."""
    return [
        _problem(
            [name],
            "has the value of the example",
            "write a secret of your own, such as `openssl rand -base64 24` prints",
        )
        for name, value in values.items()
        if isinstance(value, str) and value.startswith(_EXAMPLE)
    ]


def purge_problems(purges: Any, sites: Sequence[str]) -> list[Problem]:
    """Return the entries of rollout_purges whose site does not exist; `sites`: the names of all sites."""
    problems = []
    for index, purge in enumerate(purges if isinstance(purges, (list, tuple)) else ()):
        site = purge.get("site") if isinstance(purge, Mapping) else None
        if isinstance(site, str) and site not in sites:
            near = difflib.get_close_matches(site, sites, 1)
            remedy = f"write {near[0] if near else 'one of ' + ', '.join(sites)}"
            problems.append(
                _problem(["rollout_purges", index, "site"], f"is {site}, and proxy_sites has no such site", remedy)
            )
    return problems


class FilterModule:
    """Offer the functions above to the action plugin `estate_check`, and to tests."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        functions = (group_problems, ownerless_files, example_secrets, purge_problems)
        return {function.__name__: function for function in functions}
