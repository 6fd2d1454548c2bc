"""The checks of preflight, in their order: what each looks at, and where it reports what is wrong.

The judging is done by the pure functions beside this file. A check of one proxy's inputs is an entry of PROXY_CHECKS,
one of a host's variables an entry of HOST_CHECKS, and one that looks at more a function in CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import applications, sandbox
from ..audit.report import waiver_problems
from ..former_endpoints import recorded_endpoints
from ..specs import spec_problems, spec_values
from .addresses import address_problems
from .applications import application_problems, environment_problems, unfilled_values
from .certificates import acme_problems, long_client_names, unpermitted_names
from .environment import (
    group_problems,
    ownerless_files,
    purge_problems,
    service_problems,
    unclaimed_groups,
    unread_variables,
    weak_secrets,
)
from .estate import Estate
from .evaluation import SECRET, Host, is_plain, place_of, shown_path
from .files import certificate_file_problems, missing_files
from .locations import location_problems
from .machines import machine_problems, passed_ports
from .problem import Problem, numbered
from .project import Roles
from .proxies import proxy_problems
from .renamed import moved_variables, renamed_value, renamed_variables
from .report import WIRING
from .resolver import unresolved_members
from .sites import site_files, site_problems
from .sources import egress_problems, source_folder_problems, source_problems
from .upstreams import (
    closed_ports,
    endpoint_problems,
    replaced_pools,
    transport_problems,
    upstream_ca_files,
    upstream_problems,
)
from .variables import missing_variables, unknown_variables
from .waf import waf_problems

Values = Mapping[str, Any]
_PERMITTED = "internal_ca_permitted_dns"
_SHARED = (
    "machine",
    "app_name",
    "app_port",
    "app_standby_port",
    "tls_endpoint_port",
    "asked_on_loopback",
)
_ADDRESSES = ("private_address", "ansible_host", "public_address", "private_network", "edge_network")

# Of a proxy's inputs with their defaults; one that could not be evaluated is left out.
PROXY_CHECKS: tuple[Callable[[Values, Estate], Iterable[Problem]], ...] = (
    lambda inputs, estate: proxy_problems(inputs),
    lambda inputs, estate: location_problems(inputs, estate.absent),
    lambda inputs, estate: site_problems(inputs.get("proxy_sites")),
    lambda inputs, estate: waf_problems(inputs, estate.waf_rules),
    lambda inputs, estate: upstream_problems(inputs.get("proxy_upstreams"), list(estate.problems.hosts)),
    lambda inputs, estate: transport_problems(inputs, estate.endpoints),
    lambda inputs, estate: closed_ports(inputs.get("proxy_upstreams"), estate.opened),
    lambda inputs, estate: missing_files(estate, site_files(inputs.get("proxy_sites"))),
    lambda inputs, estate: missing_files(estate, upstream_ca_files(inputs.get("proxy_upstreams"))),
    lambda inputs, estate: unresolved_members(estate, inputs.get("proxy_upstreams")),
)
# Of the variables of any host, as far as they have a value.
HOST_CHECKS: tuple[Callable[[Values, Estate], Iterable[Problem]], ...] = (
    lambda values, estate: unpermitted_names(values),
    lambda values, estate: long_client_names(values),
    lambda values, estate: acme_problems(values),
    lambda values, estate: source_problems(values),
    lambda values, estate: egress_problems(values, estate.applications),
    lambda values, estate: service_problems(values.get("firewall_services")),
    lambda values, estate: purge_problems(values.get("rollout_purges"), estate.sites),
    lambda values, estate: certificate_file_problems(estate, values),
    lambda values, estate: waiver_problems(values.get("audit_waivers"), list(estate.problems.hosts)),
)


def check_controller(estate: Estate) -> None:
    """Report that this controller cannot build, where a release is to be built."""
    names = {name for need in estate.needs if need["role"] == "app" for name in need["hosts"]}
    hosts = [estate.problems.hosts[name] for name in names]
    if all("app_archive" in host.raw and host.evaluate("app_archive") for host in hosts):
        return
    try:
        sandbox.check()
    except sandbox.SandboxError as error:
        estate.problems.add("", error.problem, {"remedy": error.remedy}, None, "this controller")


def check_renamed(estate: Estate) -> None:
    """Check that an environment has the wiring, and that its variables have the names of now."""
    renamed = estate.roles.renamed
    for host in estate.hosts:
        estate.unwired |= host.in_environment and "machine" not in host.raw
        # What no file says is Ansible's own, what the wiring says is right, and entries have a check of their own.
        names = [name for name in host.raw if name not in host.written]
        places = {name: str(getattr(host.places.get((name,)), "path", "") or "") for name in names}
        given = [name for name, path in places.items() if path and Path(path).name != WIRING]
        if host.is_loose:
            mine = {name: host.raw[name] for name in given if name not in estate.roles.wired}
            host.add_all(moved_variables(mine, str(host.raw["app_name"]), renamed))
            given = [name for name in given if (name,) not in host.reported]
        host.add_all(renamed_variables(given, renamed["variables"], list(estate.roles.known)))
    if estate.unwired:
        shown = shown_path(estate.inventory)
        former = [name for name in renamed["links"] if (estate.inventory / name).is_symlink()]
        source = f"../{WIRING}" if (estate.inventory.parent / WIRING).is_file() else estate.roles.wiring
        text = f"{former[0]} was renamed to {WIRING}" if former else f"{WIRING}, which joins the roles, is missing"
        remedy = f"run ln -s {source} {shown}/{WIRING}" + (f" and remove {former[0]}" if former else "")
        estate.problems.add("", text, {"remedy": remedy}, None, shown)


def check_applications(estate: Estate) -> None:
    """Check the list of applications, and that no other environment has the same state folder."""
    if not estate.hosts:
        return
    host, others = estate.hosts[0], {}
    for path in sorted(estate.inventory.parent.glob("*/group_vars/all/environment.yml")):
        if path.parents[2] != estate.inventory:
            said = estate.load(path)
            others[path.parents[2].name] = str((said if isinstance(said, Mapping) else {}).get("environment_name"))
    entries = host.raw.get("applications", [])
    host.note("applications", entries)
    host.add_all(environment_problems(host.raw.get("environment_name"), others))
    roles = estate.roles
    known, names = list(roles.known), list(roles.options)
    host.add_all(application_problems(entries, known, names, estate.groups, roles.renamed))


def check_shape(estate: Estate) -> None:
    """Check the groups, the files of variables that nobody reads, and that no secret is the example's."""
    if not estate.hosts:
        return
    host, groups, shown = estate.hosts[0], estate.groups, shown_path(estate.inventory)
    problems = estate.problems
    names = [name for _, name, _ in applications.named(host.raw.get("applications"))]
    # Without the wiring, which says `machine`, only the plays say what a group is for.
    if "machine" in host.raw:
        asked, readable = estate.asked, isinstance(host.raw.get("applications", []), list)
        estate.absent |= {name for name in names if not groups.get(name)}
        estate.absent |= asked.intersection(unclaimed_groups(groups, names))
        proxies = [problems.hosts[name] for name in groups.get("proxies", ())]
        _check_pools(estate, proxies, names)
        for found in group_problems(groups if readable else {"proxies": groups.get("proxies", [])}, names, asked):
            named = problems.hosts.get(found["path"][0])
            if named and named.is_loose:
                continue
            estate.rootless |= found["path"] == ["proxies"]
            place = problems.places.get(found["path"][0])
            problems.add("", found["problem"], found, place, f"{shown}/hosts.yml")
        if proxies and not any(proxy.raw.get("proxy_sites") for proxy in proxies):
            about = {"remedy": "write proxy_sites: with a site for each name that visitors use", "level": "warning"}
            problems.add("", "there is no site, so the proxies answer nobody", about, None, f"{shown}/group_vars")
        for proxy in proxies:
            if "public_address" not in proxy.raw:
                about = {"remedy": "write public_address: beside it, the address that visitors reach"}
                problems.add("", f"host {proxy.name} has no public_address", about, problems.places[proxy.name])
    folders = ("group_vars", "host_vars")
    files = {folder: [path.name for path in (estate.inventory / folder).glob("*")] for folder in folders}
    known = dict(zip(folders, (list(groups), list(problems.hosts)), strict=True))
    for found in ownerless_files(files, known):
        problems.add("", found["problem"], found, None, "/".join([shown, *found["path"]]))
    host.add_all(weak_secrets({name: one for name, one in host.raw.items() if SECRET.search(name) and is_plain(one)}))


def _check_pools(estate: Estate, proxies: Iterable[Host], applications: Sequence[str]) -> None:
    """Check that the applications' pools are not hidden by others."""
    for proxy in proxies:
        pools = proxy.raw.get("proxy_upstreams")
        for found in replaced_pools(pools, applications, estate.asked) if isinstance(pools, list) else ():
            estate.absent.update(found["absent"])
            proxy.add(found)


def check_unfilled(estate: Estate) -> None:
    """Report what `make new` left to be filled in."""
    unfilled: dict[int, list[Problem]] = {}
    for host in estate.hosts:
        for name in [name for name, value in host.raw.items() if (name,) in host.places and place_of(value)]:
            value = host.raw[name]
            if id(value) not in unfilled:
                unfilled[id(value)] = unfilled_values(value, [name])
            for one in unfilled[id(value)]:
                host.note(name, value)
                host.add(one)


def check_addresses(estate: Estate) -> None:
    """Check the addresses of the machines but the controller, which is not reached over the network."""
    machines = (host for host in estate.hosts if host.raw.get("machine", host.name) == host.name)
    by_name = {host.name: host for host in machines if host.raw.get("ansible_connection") != "local"}
    given = {name: {key: host.evaluate(key) for key in _ADDRESSES if key in host.raw} for name, host in by_name.items()}
    for found in address_problems(given):
        name, *path = found["path"]
        if path:
            by_name[name].add({**found, "path": path})
        else:
            estate.problems.add("", found["problem"], found, estate.problems.places[name], f"the host {name}")


def check_keys(estate: Estate) -> None:
    """Check that SSH's keys are here: without them a lab that is down would be asked for at its addresses."""
    for host in (host for host in estate.hosts if "ansible_ssh_private_key_file" in host.raw):
        key = host.evaluate("ansible_ssh_private_key_file")
        if key and not Path(key).expanduser().is_file():
            problem = f"names {shown_path(key)}, which is not on this machine"
            remedy = "write the path of the key, or for a lab bring it up first (make lab)"
            host.add({"path": ["ansible_ssh_private_key_file"], "problem": problem, "remedy": remedy})


def check_values(estate: Estate) -> None:
    """Check every input of every role on the hosts that run it (on all, for a role in no play)."""
    runs = estate.runs
    checked: dict[tuple[str, int], list[Problem]] = {}
    for host in estate.hosts:
        inputs = [
            variable
            for role, options in estate.roles.options.items()
            if role not in runs or host.name in runs[role]
            for variable in options
            if variable in host.raw and variable not in runs.get(role, {}).get(host.name, ())
        ]
        # Those that are made of others come last, because what is wrong with those is reported where it is written.
        for variable in sorted(inputs, key=host.is_made):
            _check_value(host, variable, estate.roles, checked)


def _check_value(host: Host, variable: str, roles: Roles, checked: dict[tuple[str, int], Any]) -> None:
    """Check one input against its spec; a plain value that hosts share (a group's) is walked once."""
    value, raw, option = host.evaluate(variable), host.raw[variable], roles.known[variable]
    if value is None and (default := option.get("default")) is not None:
        # Ansible takes an empty value for the value: the role's default would not come in its place.
        remedy = "take the line away for the default" if default != "" else 'write ""'
        host.add({"path": [variable], "problem": "is empty", "remedy": remedy})
    key = (variable if is_plain(raw) else f"{variable} of {host.name}", id(raw))
    if key not in checked:
        secret = {"no_log": True} if SECRET.search(variable) else {}
        found = spec_problems(value, {**option, **secret}, variable)
        former = roles.renamed["values"]
        checked[key] = [next(iter(renamed_value(value, one["path"], former)), one) for one in found]
    host.add_all(checked[key])


def check_readers(estate: Estate) -> None:
    """Check that each input of a role is written for a host on which the role reads it."""
    if estate.rootless or estate.unwired:
        return
    runs, roles = estate.runs, dict[str, list[str]]()
    for role in runs:
        for variable in estate.roles.options.get(role, ()):
            roles.setdefault(variable, []).append(role)
    # A host that no play reaches is for other playbooks.
    reached = {name for on in runs.values() for name in on}
    unread, read = dict[tuple[str, str, int], tuple[Host, dict[str, Any]]](), set[tuple[str, str, int]]()
    former = estate.roles.renamed["values"]["runtime"]
    known = (host for host in estate.hosts if not host.is_loose and host.raw.get("runtime") not in former)
    for host in (host for host in known if host.name in reached):
        for variable in (name for name in host.raw if name in roles and name not in host.written):
            place = place_of(host.raw[variable])
            if not place or not place.path or Path(place.path).name == WIRING:
                continue
            key = (variable, str(place.path), place.line_num or 0)
            if any(variable not in runs[role].get(host.name, {variable}) for role in roles[variable]):
                read.add(key)
                continue
            file = "/".join(Path(place.path).parts[-2:]).removeprefix("all/")
            entry = applications.key_of(variable, str(host.raw.get("runtime")))
            unread.setdefault(key, (host, {"variable": variable, "roles": roles[variable], "file": file, "key": entry}))
    for key, (host, about) in unread.items():
        if key not in read:
            host.add_all(unread_variables([about]))


def check_names(estate: Estate) -> None:
    """Check that no variable is misspelt, and that none is missing."""
    known, options = estate.roles.known, estate.roles.options
    roles = [role for role, own in options.items() if own]
    folder = shown_path(estate.inventory)
    for host in estate.hosts:
        host.add_all(unknown_variables([name for name in host.raw if name not in host.written], list(known), roles))
        if estate.unwired or host.is_loose:
            continue
        own = [need for need in estate.needs if host.name in need["hosts"]]
        for found in missing_variables(own, options, list(host.raw), list(estate.groups), folder):
            key = applications.key_of(found["path"][0], str(host.raw.get("runtime")))
            if host.application and key:
                host.add({**found, "path": host.application, "problem": f"lacks {key}", "remedy": f"write {key}:"})
            else:
                estate.problems.add(host.name, found["problem"], found, None, folder)


def check_hosts(estate: Estate) -> None:
    """Check how the inputs of each host fit together, and the files that they name."""
    options = estate.roles.options.get("proxy", {})
    for host in estate.hosts if not estate.unwired else ():
        if any(name in host.values for name in options):
            inputs = {
                name: spec_values(host.values.get(name), option, name)
                for name, option in options.items()
                if (name,) not in host.broken
            }
            host.add_all(found for check in PROXY_CHECKS for found in check(inputs, estate))
        if _PERMITTED in host.raw:
            host.evaluate(_PERMITTED)
        host.add_all(found for check in HOST_CHECKS for found in check(host.values, estate))
        host.add_all(endpoint_problems(estate.endpoints.get(host.name, {})))
        _check_source(estate, host)


def _check_source(estate: Estate, host: Host) -> None:
    """Check that an application's source is there, where it is a folder."""
    if "app_name" not in host.values or "app_source" not in estate.roles.known or host.values.get("app_archive"):
        return
    given = host.evaluate("app_source") if "app_source" in host.raw else None
    usual = host.templar.template(estate.roles.defaults["app_source"]) if given is None else ""
    for found in source_folder_problems(host.values, given, str(usual)):
        host.add({**found, "path": ["app_name"]} if given is None else found)


def _ports_of_sites(proxy: Host) -> set[Any]:
    """Return the ports on which a proxy listens for visitors."""
    usual = {"proxy_http_port": 80, "proxy_https_port": 443}
    own = {site.get("port") for _, site in numbered(proxy.values.get("proxy_sites"))}
    return {proxy.values.get(name, port) for name, port in usual.items()} | (own - {None, 0})


def check_machines(estate: Estate) -> None:
    """Check that applications which share a machine, or the proxy's, can."""
    by_name = {host.name: host for host in estate.hosts if "app_name" in host.raw and "machine" in host.raw}
    given = {
        name: {key: host.evaluate(key) for key in _SHARED if key in host.raw and (key,) not in host.broken}
        for name, host in by_name.items()
    }
    proxies = {name: _ports_of_sites(estate.problems.hosts[name]) for name in estate.groups.get("proxies", [])}
    for found in machine_problems(given, proxies):
        name, variable = found["path"]
        by_name[name].add({**found, "path": [variable]})
    machines = {host.name: host for host in estate.hosts if "endpoints" in host.raw}
    if machines and (folder := next(iter(machines.values())).evaluate("state_dir")):
        now = {name: host.evaluate("endpoints") for name, host in machines.items()}
        for found in passed_ports(recorded_endpoints(folder), {name: said for name, said in now.items() if said}):
            machine = found["path"][0]
            estate.problems.add("", found["problem"], found, estate.problems.places[machine], f"the host {machine}")


CHECKS: tuple[Callable[[Estate], None], ...] = (
    check_controller,
    check_renamed,
    check_applications,
    check_shape,
    check_unfilled,
    check_addresses,
    check_keys,
    check_values,
    check_readers,
    check_names,
    check_hosts,
    check_machines,
)
