"""What can be wrong with an environment as a whole: its groups, files that nothing reads, secrets of the example.

Every function is pure and returns problems {path, problem, remedy, level}; `path` is [host] or [group], which is named
in `problem` too, because that is where hosts.yml says it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from .problem import Problem, numbered, wrong

_EXAMPLE = "change-me"
# Characters, as derived_secret wants them.
_PASSPHRASE = 16
# Of the files of variables that Ansible reads.
_ENDINGS = (".yml", ".yaml", ".json")


def group_problems(
    groups: Mapping[str, Sequence[str]], applications: Sequence[str], asked: Collection[str] = ()
) -> list[Problem]:
    """Return what is wrong with the groups of an environment: no host is a proxy, or one has no application.

    `groups`: Ansible's; `applications`: the names of the entries; `asked`: the upstreams that sites name. A host may be
    in several groups.
    """
    problems = []
    if not groups.get("proxies"):
        near = difflib.get_close_matches("proxies", [group for group in groups if groups[group]], 1)
        remedy = f"call {near[0]} proxies" if near else "add the group proxies with its hosts"
        problems.append(wrong(["proxies"], "hosts.yml has no group proxies that has hosts", remedy))
    placed = {host for application in applications for host in groups.get(application) or ()}
    for host in groups.get("apps") or ():
        if host not in placed:
            problem = f"host {host} is in the group apps and in the group of no application"
            remedy = "write an entry with the name of its group in group_vars/all/applications.yml"
            problems.append(wrong([host], problem, remedy))
    # A misspelt group is named where the application is.
    if all(groups.get(group) for group in ("proxies", *applications)):
        for group in unclaimed_groups(groups, applications):
            lost = list(groups[group])
            problem = f"group {group} is neither proxies nor an application's: no play reaches {', '.join(lost)}"
            remedy = f"write an entry with name: {group} in group_vars/all/applications.yml, or remove the group"
            problems.append(wrong([lost[0]], problem, remedy, "error" if group in asked else "warning"))
    return problems


def unclaimed_groups(groups: Mapping[str, Sequence[str]], applications: Sequence[str]) -> list[str]:
    """Return the groups of which no host is a proxy or has an application, as that of one which no entry describes.

    A host in several groups, or in one that `children` make, is the operator's own affair.
    """
    known = {
        host
        for group in ("proxies", "apps", "machines", "ungrouped", *applications)
        for host in groups.get(group) or ()
    }
    return [group for group, hosts in groups.items() if group != "all" and hosts and not known.intersection(hosts)]


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
            problems.append(wrong([folder, name], problem, remedy))
    return problems


def weak_secrets(values: Mapping[str, Any]) -> list[Problem]:
    """Return the secrets that still have the value of vault.example.yml, and passphrases that are too short."""
    remedy = "write a secret of your own, such as `openssl rand -base64 24` prints"
    problems = []
    for name, value in values.items():
        if isinstance(value, str) and value.startswith(_EXAMPLE):
            problems.append(wrong([name], "has the value of the example", remedy))
        elif name.endswith("_passphrase") and isinstance(value, str) and len(value) < _PASSPHRASE:
            problems.append(wrong([name], f"is shorter than {_PASSPHRASE} characters", remedy))
    return problems


def unread_variables(places: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Return the inputs of roles that are written for hosts on which the role does not run.

    `places`: [{variable, file, roles: those that read it, key: where an entry of applications says it, or ''}].
    """
    problems = []
    for one in places:
        roles = " or ".join(one["roles"])
        problem = f"is an input of the role {roles}, which runs on no host that {one['file']} is for"
        remedy = f"write {one['key']}: in the application's entry" if one["key"] else "write it for hosts that run it"
        problems.append(wrong([one["variable"]], problem, f"{remedy}, or remove it"))
    return problems


def service_problems(services: Any) -> list[Problem]:
    """Return the entries of firewall_services with too many ports, or with none although their protocol has ports."""
    problems = []
    for index, service in numbered(services):
        given = [key for key in ("port", "ports") if service.get(key) is not None]
        protocol, path = service.get("protocol") or "tcp", ["firewall_services", index]
        if protocol not in ("tcp", "udp", "sctp"):
            problems += [wrong([*path, key], f"has no meaning with {protocol}", "leave it out") for key in given]
        elif not given:
            problems.append(wrong(path, "has no port", "write port: 9100, or ports: 9100-9110"))
        elif len(given) > 1:
            problems.append(wrong([*path, "ports"], "is there beside port", "keep one of them"))
    return problems


def purge_problems(purges: Any, sites: Sequence[str]) -> list[Problem]:
    """Return the entries of rollout_purges whose site does not exist; `sites`: the names of all sites."""
    problems = []
    for index, purge in enumerate(purges if isinstance(purges, (list, tuple)) else ()):
        site = purge.get("site") if isinstance(purge, Mapping) else None
        if isinstance(site, str) and site not in sites:
            near = difflib.get_close_matches(site, sites, 1)
            remedy = f"write {near[0] if near else 'one of ' + ', '.join(sites)}"
            problems.append(
                wrong(["rollout_purges", index, "site"], f"is {site}, and proxy_sites has no such site", remedy)
            )
    return problems
