"""Check everything an inventory says, on the controller, before any host is touched.

The plugin collects (specs of the roles, plays, variables of every host, certificate files), evaluates each
variable leaf by leaf, so that one undefined name hides nothing else, and leaves the judging to pure filters:
spec_problems, unknown_variables, missing_variables, address_problems, proxy_problems, upstream_problems,
transport_problems, endpoint_problems, site_problems, location_problems, unpermitted_names, long_client_names,
acme_problems, source_problems, egress_problems, certificate_problems, application_problems, environment_problems,
group_problems, machine_problems, ownerless_files, example_secrets, purge_problems, waf_problems. What follows in
the wiring, without_wiring leaves out.

Where a value was written comes from ansible-core's Origin tag, which 2.19 keeps on each value read from YAML.
"""

from __future__ import annotations

import difflib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import filter_loader
from ansible_collections.gatehouse.core.plugins.module_utils import applications, sandbox

# Internal to ansible-core: without it the report names variables and hosts instead of lines.
try:
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

ValuePath = tuple[str | int, ...]
_SECRET = re.compile(r"^vault_|_(passphrase|password|secret|secrets|token)$")
# Seconds that all host names of an estate may take to be resolved; what takes longer is not judged.
_RESOLVE_SECONDS = 3.0
_ENDPOINT = ("tls_endpoint_mode", "tls_endpoint_port", "tls_endpoint_ca", "tls_endpoint_clients")
_PERMITTED = "internal_ca_permitted_dns"
_SHARED = (
    "machine",
    "app_name",
    "app_port",
    "app_standby_port",
    "tls_endpoint_port",
    "tls_endpoint_mode",
    "tls_endpoint_locations",
)
_ADDRESSES = ("private_address", "ansible_host", "public_address", "private_network", "edge_network")
# Lookups that do something (make a password, run a command, ask the network) wait for the play that needs
# them.
_ACTS = re.compile(r"(lookup|query|q)\(\s*['\"][a-z_.]*(password|pipe|lines|url|uri|dig)\b")
_ALIAS = re.compile(r"\{\{ (\w+) \}\}")
_WAITS = "(known when its play runs)"
# What upstream_members says: `host web1 has no address; ...` or `web1: member.weight must be ...`.
_BLAME = re.compile(
    r"(?:host (?P<host>\S+) has no address|(?P<owner>\S+): (?P<path>[a-z_.]+) (?P<problem>.+))", re.DOTALL
)
_OWNER = re.compile(r"[a-z_]+(?=\[[0-9]+\])")
_BLAME_SITES = re.compile(r"sites(\[[0-9]+\])? must be ")
_MAGIC = (
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_batch",
    "playbook_dir",
    "inventory_dir",
)


def _pure(name: str, *arguments: Any) -> Any:
    """Call a filter of this project or this role by its name: plugins cannot import each other."""
    return filter_loader.get(name).j2_function(*arguments)


def _place(value: Any) -> Any:
    """Return where `value` was written (path, line_num, col_num, description), or None."""
    return Origin.get_tag(value) if Origin else None


def _place_of_entry(key: Any, value: Any) -> Any:
    """Return the place of one entry of a mapping: its value's, but a container's is where its key stands."""
    at_value, at_key = _place(value), _place(key)
    if at_value and at_key and isinstance(value, (Mapping, list)) and at_key.path == at_value.path:
        return at_key if 0 <= (at_value.line_num or 0) - (at_key.line_num or 0) <= 3 else at_value
    return at_value or at_key


def _children(value: Any) -> list[tuple[Any, Any, Any]]:
    """Return (key or index, child, place) of a container; of anything else, nothing."""
    if isinstance(value, Mapping):
        return [(str(key), child, _place_of_entry(key, child)) for key, child in value.items()]
    if isinstance(value, (list, tuple)):
        return [(index, child, _place(child)) for index, child in enumerate(value)]
    return []


def _is_plain(value: Any) -> bool:
    """Say whether a raw value needs no evaluation, so that its check holds for every host that shares it."""
    if isinstance(value, (Mapping, list)):
        return all(_is_plain(child) for _, child, _ in _children(value))
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    return value is None or isinstance(value, (bool, int, float))


def _dotted(path: ValuePath) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class _Problems:
    """The problems found, each once however many hosts show it."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], dict[str, Any]] = {}
        self.hosts: dict[str, _Host] = {}

    def add(self, host: str, text: str, found: Mapping[str, Any], place: Any, where: str = "") -> None:
        """Keep a problem: its whole `text`, remedy and level in `found`, its place, or where it is in words."""
        path = str(place.path or "") if place else ""
        line, column = (place.line_num or 0, place.col_num or 0) if place else (0, 0)
        where = _pure("place_text", path, line, column, str(Path.cwd())) if path else str(place or where)
        about = {
            "remedy": found["remedy"],
            "level": found.get("level", "error"),
            "missing": found.get("missing", ""),
            "order": (path, line, column),
        }
        # What is made of a text that is still to be filled in is wrong for no other reason.
        if applications.UNFILLED in text:
            return
        entry = self.found.setdefault((text, where), {"text": text, "where": where, "hosts": [], **about})
        if host and host not in entry["hosts"]:
            entry["hosts"].append(host)


class _Host:
    """The variables of one host, evaluated leaf by leaf, with the place of each part."""

    def __init__(self, name: str, raw: Mapping[str, Any], secrets: set[str], problems: _Problems) -> None:
        self.name, self.secrets, self.problems = name, secrets, problems
        self.raw = {
            key: _WAITS if isinstance(value, str) and _ACTS.search(value) else value for key, value in raw.items()
        }
        self.templar: Any = None
        self.places: dict[ValuePath, Any] = {(str(key),): _place_of_entry(key, value) for key, value in raw.items()}
        self.broken: set[ValuePath] = set()
        self.reported: set[ValuePath] = set()
        self.said: set[tuple[str, str]] = set()
        self.values: dict[str, Any] = {}
        # What its applications' entries say: {input of a role: its path in the list}, as the operator wrote it.
        self.written: dict[str, ValuePath] = {}
        self.application: ValuePath = ()
        for index, app, entry in applications.named(raw.get("applications")):
            if app in (raw.get("group_names") or ()):
                self.application = ("applications", index)
                self.places[self.application] = _place(entry)
                for variable, path in applications.inputs(entry):
                    value: Any = entry
                    for part in path:
                        value = value[part]
                    if variable in raw and _place(raw[variable]) == _place(value):
                        self.written[variable] = (*self.application, *path)

    def place(self, path: ValuePath) -> Any:
        """Return the place of a part, or of the nearest part around it."""
        places = (self.places.get(path[:end]) for end in range(len(path), 0, -1))
        return next((place for place in places if place), None)

    def evaluate(self, name: str) -> Any:
        """Return the value of a variable; a part that cannot be evaluated is null, reported, and `broken`."""
        if name not in self.values:
            self.values[name] = self._part(self.raw[name], (name,))
        return self.values[name]

    def _part(self, raw: Any, path: ValuePath) -> Any:
        for key, _, place in _children(raw):
            self.places[*path, key] = place or self.places.get(path)
        if isinstance(raw, Mapping):
            return {str(key): self._part(child, (*path, str(key))) for key, child in raw.items()}
        if isinstance(raw, list):
            return [self._part(child, (*path, index)) for index, child in enumerate(raw)]
        if _is_plain(raw):
            return raw
        try:
            value = self.templar.template(raw)
        except AnsibleError as error:
            self._explain(error, raw, path)
            self.broken.add(path)
            return None
        self._note(value, path)
        return value

    def note(self, variable: str, value: Any) -> None:
        """Keep the places of a variable that is judged as it is written."""
        self._note(value, (variable,))

    def _note(self, value: Any, path: ValuePath) -> None:
        """Keep the places of the parts of an evaluated value: they may come from another variable's file."""
        for key, child, place in _children(value):
            self.places[*path, key] = place or self.places.get(path)
            self._note(child, (*path, key))

    def _explain(self, error: BaseException, raw: Any, path: ValuePath) -> None:
        """Report a part that has no value, by the innermost cause: the outer ones say where Ansible was."""
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        message = str(getattr(cause, "message", cause))
        if self._blames_another(message):
            return
        secret = self._is_secret(path)
        # A template may fail because of another that it uses: that one is reported, once for all its users. But
        # one that is read through hostvars[...] is right where it stands.
        if not message.startswith("'hostvars'"):
            path = self._find(_place(getattr(cause, "obj", None))) or path
        groups: Any = self.raw["groups"]
        known = [*groups, *self.raw, *groups.get("all", ())]
        secret = secret or self._is_secret(path)
        raw = self.raw.get(str(path[0])) if len(path) == 1 else raw
        template = raw if isinstance(raw, str) else ""  # A vaulted value is no text yet.
        for found in _pure("evaluation_problems", message, template, known, secret):
            self._say(path, found)

    def _is_secret(self, path: ValuePath) -> bool:
        return path[0] in self.secrets or bool(_SECRET.search(str(path[0])))

    def _blames_another(self, message: str) -> bool:
        """Report what upstream_members says of a host's own variable there, where it is written."""
        # What site_certificates says of proxy_sites is reported there, in the words of their spec.
        if _BLAME_SITES.match(message) and "proxy_sites" in self.raw:
            return True
        match = _BLAME.match(message)
        host = self.problems.hosts.get(match["host"] or match["owner"]) if match else None
        if not match or not host:
            return False
        if match["path"]:
            problem, _, remedy = match["problem"].rpartition("; write ")
            path = match["path"].split(".")
            host.evaluate(path[0])
            said = {
                "problem": f"of host {host.name} {problem or remedy}",
                "remedy": f"write {remedy}" if problem else "",
            }
            host.add({"path": path, **said})
        return True  # A host without an address has been reported as such.

    def _find(self, place: Any) -> ValuePath:
        """Return the path of the raw value that was written at `place`, or ()."""
        waiting: list[tuple[ValuePath, Any, Any]] = [((str(key),), one, _place(one)) for key, one in self.raw.items()]
        while place and waiting:
            path, value, at = waiting.pop()
            if at == place and not isinstance(value, (Mapping, list)):
                self.places[path] = place
                return path
            waiting += [((*path, key), child, child_at) for key, child, child_at in _children(value)]
        return ()

    def add(self, found: Mapping[str, Any]) -> None:
        """Report what is wrong with a part, unless that was reported before or lies in a part without a value."""
        path = tuple(found["path"])
        if path in self.reported or any(path[:end] in self.broken for end in range(1, len(path) + 1)):
            return
        # What a template makes of a wrong value is wrong in the same words; those that show no value prove nothing.
        words = (_OWNER.sub("", found["problem"]), found["remedy"])
        if self.is_made(str(path[0])) and '"' in words[0] and words in self.said:
            return
        self.said.add(words)
        self.reported.add(path)
        self._say(path, found)

    def is_made(self, variable: str) -> bool:
        """Say whether a variable as a whole is what a template makes of others."""
        return isinstance(self.raw.get(variable), str) and not _is_plain(self.raw[variable])

    def _say(self, path: ValuePath, found: Mapping[str, Any]) -> None:
        at = (*self.written.get(str(path[0]), path[:1]), *path[1:])
        # What the wiring hands on as it is, is named as the operator wrote it.
        raw = self.raw.get(str(path[0])) if len(path) == 1 else ""
        whole = _ALIAS.fullmatch(raw) if isinstance(raw, str) else None  # a vaulted value is no text yet
        source = (whole[1],) if whole else path
        if source != path and source in self.places:
            at = path = source
        text = f"{_dotted(at)} {found['problem']}"
        # The list is everybody's, so no host is named.
        host = "" if path[0] == "applications" else self.name
        self.problems.add(host, text, found, self.place(path), f"the variable {path[0]}")


class _EstateRefusedError(AnsibleActionFail):  # type: ignore[misc]
    """The failure: a short message for Ansible's own error line, and the report as the task's message."""

    @property
    def result_contribution(self) -> dict[str, Any]:
        """Return the task's result; the parent would put the short message in place of the report."""
        return {**self._result, "failed": True}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Run the whole check in one task of the controller, whatever hosts the play has."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect, check, and end with the report; see the role's argument_specs for the arguments."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {
            "roles": {"type": "path", "required": True},
            "playbooks": {"type": "list", "elements": "path", "default": []},
            "certificate_days": {"type": "int", "default": 30},
        }
        _, args = self.validate_argument_spec(argument_spec=spec)
        self.problems, self.days = _Problems(), args["certificate_days"]
        self.files: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        self.resolved: dict[str, bool] = {}
        self.rootless = False  # no group proxies, which all of the wiring reads
        self._read_roles(Path(args["roles"]))
        hosts = self._read_hosts(task_vars or {})
        needs = self._read_plays(args["playbooks"], (task_vars or {})["hostvars"])
        self._check_controller(needs)
        inventory = Path(str((task_vars or {}).get("inventory_dir") or "inventory")).resolve()
        self._check_environment(hosts, inventory)
        self._check_addresses(hosts)
        self._check_keys(hosts)
        self._check_values(hosts, needs)
        self._check_names(hosts, needs, inventory)
        self.endpoints = self._endpoints()
        sites = [site for host in hosts for site in host.values.get("proxy_sites") or () if isinstance(site, Mapping)]
        self.sites = sorted({str(site.get("name")) for site in sites})
        self.applications = {str(host.values["app_name"]) for host in hosts if "app_name" in host.values}
        for host in hosts:
            self._check_proxy(host)
            for found in _pure("endpoint_problems", self.endpoints.get(host.name, {})):
                host.add(found)
        self._check_machines(hosts)
        problems = _pure("without_wiring", list(self.problems.found.values()), self.rootless)
        problems = sorted(problems, key=lambda problem: problem["order"])
        report = _pure("problem_report", problems, [host.values for host in hosts])
        result |= {"msg": report, "changed": False, "_ansible_verbose_always": True}
        if errors := sum(problem["level"] == "error" for problem in problems):
            raise _EstateRefusedError(f"errors in the inventory: {errors}, listed below", result=result)
        return result

    def _load(self, path: Path) -> Any:
        """Return a parsed YAML file, or None where there is no such file."""
        # As it is, because a copy of each spec was a fifth of what preflight took; nothing here changes them.
        if not path.is_file():
            return None
        return self._loader.load_from_file(str(path), "none", unsafe=True, trusted_as_template=True)

    def _read_roles(self, folder: Path) -> None:
        """Read each role's options, its defaults, and the roles it brings along."""
        self.options: dict[str, dict[str, Any]] = {}
        self.defaults: dict[str, Any] = {}
        self.brings: dict[str, list[dict[str, Any]]] = {}
        for role in sorted(one for one in folder.iterdir() if one.is_dir()):
            self.options[role.name] = _pure("spec_options", self._load(role / "meta" / "argument_specs.yml"))
            self.defaults |= self._load(role / "defaults" / "main.yml") or {}
            tasks = [self._load(path) for path in sorted((role / "tasks").glob("*.yml"))]
            self.brings[role.name] = _pure("brought_roles", self._load(role / "meta" / "main.yml"), tasks)
        self.known = {name: option for options in self.options.values() for name, option in options.items()}
        self.rules_file = folder / "proxy" / "files" / "waf" / "rules.yml"

    def _read_hosts(self, task_vars: Mapping[str, Any]) -> list[_Host]:
        """Return every host of the inventory, whatever --limit says, and what evaluates its variables."""
        magic = {name: task_vars[name] for name in (*_MAGIC, "hostvars") if name in task_vars}
        secrets = {name for name, option in self.known.items() if option.get("no_log")}
        hostvars, hosts = task_vars["hostvars"], []
        self.places = {str(name): _place(name) for name in hostvars}
        for name in self.places:
            host = _Host(name, hostvars.raw_get(name), secrets, self.problems)
            known = {**self.defaults, **magic, **host.raw}
            host.templar = self._templar.copy_with_new_env(available_variables=known)
            self.problems.hosts[name] = host
            hosts.append(host)
        return hosts

    def _read_plays(self, playbooks: Sequence[str], hostvars: Any) -> list[dict[str, Any]]:
        """Return who needs which role: [{role, pattern, hosts, sure, given: variables that its play gives}]."""
        needs, seen = [], set[Path]()
        waiting = [Path(playbook) for playbook in playbooks]
        while waiting:
            path = waiting.pop(0).resolve()
            if path in seen:
                continue
            seen.add(path)
            if not path.is_file():
                found = {"remedy": "write the path of a playbook there is"}
                text = f"the playbook {path.name} does not exist"
                self.problems.add("", text, found, None, "preflight_playbooks, or an import_playbook")
            plays = _pure("play_roles", self._load(path))
            waiting += [path.parent / play["import"] for play in plays if "import" in play]
            named = [part for play in plays for part in self._named(play, hostvars)]
            for need in _pure("role_needs", named, self.brings):
                needs.append({**need, "hosts": self._hosts_of(need["pattern"], hostvars)})
        return needs

    @staticmethod
    def _hosts_of(pattern: str, hostvars: Any) -> list[str]:
        """Return the hosts of a play; a pattern that is known only while it runs names none, so nothing is demanded."""
        if not pattern or "{{" in pattern:
            return []
        found = hostvars._inventory.get_hosts(pattern, ignore_limits=True, ignore_restrictions=True)
        return [str(host.name) for host in found]

    def _named(self, play: Mapping[str, Any], hostvars: Any) -> list[Mapping[str, Any]]:
        """Return the play; one whose roles are named by a template, as one play for each host with its own roles."""
        if not any("{{" in role["name"] for role in play.get("roles", ())):
            return [play]
        hosts = [self.problems.hosts[name] for name in self._hosts_of(play["hosts"], hostvars)]
        return [{**play, "hosts": host.name, "roles": self._roles_on(host, play["roles"])} for host in hosts]

    def _roles_on(self, host: _Host, roles: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the roles with the names that they have on one host; report a name that leads to no role."""
        found = []
        for role in roles:
            try:
                name = str(host.templar.template(role["name"]))
            except AnsibleError as error:
                if host.application:
                    remedy = "write runtime: and one of " + ", ".join(applications.runtimes(self.options))
                    host.add({"path": host.application, "problem": "lacks runtime", "remedy": remedy})
                    continue
                remedy = "describe the application in group_vars/all/applications.yml"
                text = f"a play runs the role {role['name']}, and {getattr(error, 'message', error)}"
                self.problems.add(host.name, text, {"remedy": remedy}, None, "the variables of these hosts")
                continue
            if name in self.options:
                found.append({**role, "name": name})
            elif not host.application:  # of an entry's runtime application_problems tells
                near = difflib.get_close_matches(name, self.options, 1)
                wanted = near[0] if near else "one of " + ", ".join(self.options)
                remedy = f"change that variable so that it becomes {wanted}"
                text = f"a play runs the role {role['name']}, which is {name} here, and there is no such role"
                self.problems.add(host.name, text, {"remedy": remedy}, None, "the variables of these hosts")
        return found

    def _check_controller(self, needs: Sequence[Mapping[str, Any]]) -> None:
        """Report that this controller cannot build, where a release is to be built."""
        names = {name for need in needs if need["role"] == "app" for name in need["hosts"]}
        hosts = [self.problems.hosts[name] for name in names]
        if all("app_archive" in host.raw and host.evaluate("app_archive") for host in hosts):
            return
        try:
            sandbox.check()
        except sandbox.SandboxError as error:
            self.problems.add("", error.problem, {"remedy": error.remedy}, None, "this controller")

    def _check_values(self, hosts: Sequence[_Host], needs: Sequence[Mapping[str, Any]]) -> None:
        """Check every input of every role on the hosts that run it (on all, for a role in no play)."""
        # {role: {host: the inputs that each of its plays gives, whatever the inventory says}}
        runs: dict[str, dict[str, set[str]]] = {}
        for need in needs:
            for name in need["hosts"]:
                given = set(need["given"])
                runs.setdefault(need["role"], {})[name] = given & runs.get(need["role"], {}).get(name, given)
        checked: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for host in hosts:
            inputs = [
                variable
                for role, options in self.options.items()
                if role not in runs or host.name in runs[role]
                for variable in options
                if variable in host.raw and variable not in runs.get(role, {}).get(host.name, ())
            ]
            # Those that are made of others come last, because what is wrong with those is reported where it stands.
            for variable in sorted(inputs, key=host.is_made):
                self._check_value(host, variable, checked)

    def _check_value(self, host: _Host, variable: str, checked: dict[tuple[str, int], Any]) -> None:
        """Check one input against its spec; a plain value that hosts share (a group's) is walked once."""
        value, raw = host.evaluate(variable), host.raw[variable]
        if value is None and (default := self.known[variable].get("default")) is not None:
            # Ansible takes an empty value for the value: the role's default would not come in its place.
            remedy = "take the line away for the default" if default != "" else 'write ""'
            host.add({"path": [variable], "problem": "is empty", "remedy": remedy})
        key = (variable if _is_plain(raw) else f"{variable} of {host.name}", id(raw))
        if key not in checked:
            secret = {"no_log": True} if _SECRET.search(variable) else {}
            checked[key] = _pure("spec_problems", value, {**self.known[variable], **secret}, variable)
        for found in checked[key]:
            host.add(found)

    def _check_addresses(self, hosts: Sequence[_Host]) -> None:
        """Check the addresses of the machines but the controller, which is not reached over the network."""
        machines = (host for host in hosts if host.raw.get("machine", host.name) == host.name)
        by_name = {host.name: host for host in machines if host.raw.get("ansible_connection") != "local"}
        given = {
            name: {key: host.evaluate(key) for key in _ADDRESSES if key in host.raw} for name, host in by_name.items()
        }
        for found in _pure("address_problems", given):
            name, *path = found["path"]
            if path:
                by_name[name].add({**found, "path": path})
            else:
                self.problems.add("", found["problem"], found, self.places[name], f"the host {name}")

    def _check_keys(self, hosts: Sequence[_Host]) -> None:
        """Check that SSH's keys are here: without them a lab that is down would be asked for at its addresses."""
        for host in (host for host in hosts if "ansible_ssh_private_key_file" in host.raw):
            key = host.evaluate("ansible_ssh_private_key_file")
            if key and not Path(key).expanduser().is_file():
                problem = f"names {_pure('place_text', key, 0, 0, str(Path.cwd()))}, which is not on this machine"
                remedy = "write the path of the key, or for a lab bring it up first (make lab)"
                host.add({"path": ["ansible_ssh_private_key_file"], "problem": problem, "remedy": remedy})

    def _check_environment(self, hosts: Sequence[_Host], inventory: Path) -> None:
        """Check the list of applications, and that no other environment has the same state folder."""
        if not hosts:
            return
        host = hosts[0]
        others = {}
        for path in sorted(inventory.parent.glob("*/group_vars/all/environment.yml")):
            if path.parents[2] != inventory:
                said = self._load(path)
                others[path.parents[2].name] = str((said if isinstance(said, Mapping) else {}).get("environment_name"))
        found = _pure("environment_problems", host.raw.get("environment_name"), others)
        entries = host.raw.get("applications", [])
        host.note("applications", entries)
        arguments = (list(self.known), list(self.options), host.raw["groups"])
        for one in [*found, *_pure("application_problems", entries, *arguments)]:
            host.add(one)
        self._check_shape(host, inventory)
        unfilled: dict[int, list[dict[str, Any]]] = {}
        for host in hosts:
            for name in [name for name, value in host.raw.items() if (name,) in host.places and _place(value)]:
                value = host.raw[name]
                if id(value) not in unfilled:
                    unfilled[id(value)] = _pure("unfilled_values", value, [name])
                for one in unfilled[id(value)]:
                    host.note(name, value)
                    host.add(one)

    def _check_shape(self, host: _Host, inventory: Path) -> None:
        """Check the groups, the files of variables that nobody reads, and that no secret is the example's."""
        every: Any = host.raw["groups"]
        groups = {str(name): list(hosts) for name, hosts in every.items()}
        shown = _pure("place_text", str(inventory), 0, 0, str(Path.cwd()))
        names = [name for _, name, _ in applications.named(host.raw.get("applications"))]
        # Without the wiring, which says `machine`, only the plays say what a group is for.
        if "machine" in host.raw:
            for found in _pure("group_problems", groups, names):
                self.rootless |= found["path"] == ["proxies"]
                self.problems.add("", found["problem"], found, self.places.get(found["path"][0]), f"{shown}/hosts.yml")
            for name in groups.get("proxies", ()):
                if "public_address" not in self.problems.hosts[name].raw:
                    about = {"remedy": "write public_address: beside it, the address that visitors reach"}
                    self.problems.add("", f"host {name} has no public_address", about, self.places[name])
        folders = ("group_vars", "host_vars")
        files = {folder: [path.name for path in (inventory / folder).glob("*")] for folder in folders}
        known = dict(zip(folders, (list(groups), list(self.problems.hosts)), strict=True))
        for found in _pure("ownerless_files", files, known):
            self.problems.add("", found["problem"], found, None, "/".join([shown, *found["path"]]))
        secrets = {name: value for name, value in host.raw.items() if _SECRET.search(name) and _is_plain(value)}
        for found in _pure("example_secrets", secrets):
            host.add(found)

    def _check_names(self, hosts: Sequence[_Host], needs: Sequence[Mapping[str, Any]], inventory: Path) -> None:
        """Check that no variable is misspelt, and that none is missing."""
        roles = [role for role, options in self.options.items() if options]
        folder = _pure("place_text", str(inventory), 0, 0, str(Path.cwd()))
        for host in hosts:
            for found in _pure(
                "unknown_variables", [name for name in host.raw if name not in host.written], list(self.known), roles
            ):
                host.add(found)
            own = [need for need in needs if host.name in need["hosts"]]
            groups = [str(group) for group in host.raw["groups"]]
            for found in _pure("missing_variables", own, self.options, list(host.raw), groups, folder):
                key = applications.key_of(found["path"][0], str(host.raw.get("runtime")))
                if host.application and key:
                    host.add({**found, "path": host.application, "problem": f"lacks {key}", "remedy": f"write {key}:"})
                else:
                    self.problems.add(host.name, found["problem"], found, None, folder)

    def _check_proxy(self, host: _Host) -> None:
        """Check how sites, upstreams and caches of one proxy fit together, and the files that they name."""
        options = self.options.get("proxy", {})
        if any(name in host.values for name in options):
            estate = {
                name: _pure("spec_values", host.values.get(name), option, name)
                for name, option in options.items()
                if (name,) not in host.broken
            }
            sites, upstreams = estate.get("proxy_sites"), estate.get("proxy_upstreams")
            problems = [*_pure("proxy_problems", estate), *_pure("location_problems", estate)]
            problems += _pure("site_problems", sites)
            problems += _pure("waf_problems", estate, self._waf_rules(sites))
            problems += _pure("upstream_problems", upstreams, list(self.problems.hosts))
            problems += _pure("transport_problems", estate, self.endpoints)
            wanted = [*_pure("site_files", sites), *_pure("upstream_ca_files", upstreams)]
            problems += self._missing_files(wanted) + self._unresolved(upstreams)
            for found in problems:
                host.add(found)
        if _PERMITTED in host.raw:
            host.evaluate(_PERMITTED)
        for judge in ("unpermitted_names", "long_client_names", "acme_problems", "source_problems"):
            for found in _pure(judge, host.values):
                host.add(found)
        for found in _pure("egress_problems", host.values, self.applications):
            host.add(found)
        if "rollout_purges" in host.values:
            for found in _pure("purge_problems", host.values["rollout_purges"], self.sites):
                host.add(found)
        for wanted in _pure("certificate_files", host.values):
            key = (wanted["chain"], wanted["key"], *wanted["names"])
            if key not in self.files:
                self.files[key] = self._certificate(wanted)
            for found in self.files[key]:
                host.add({**found, "path": [*wanted["path"], found["part"]]})

    def _waf_rules(self, sites: Any) -> Mapping[Any, Any]:
        """Return the rules of the application firewall, which most environments need not read."""
        return (self._load(self.rules_file) or {}) if _pure("uses_waf", sites) else {}

    def _check_machines(self, hosts: Sequence[_Host]) -> None:
        """Check that applications which share a machine, or the proxy's, can."""
        groups: Any = hosts[0].raw["groups"]
        by_name = {host.name: host for host in hosts if "app_name" in host.raw and "machine" in host.raw}
        given = {
            name: {key: host.evaluate(key) for key in _SHARED if key in host.raw and (key,) not in host.broken}
            for name, host in by_name.items()
        }
        for found in _pure("machine_problems", given, list(groups.get("proxies", ()))):
            name, variable = found["path"]
            by_name[name].add({**found, "path": [variable]})

    def _endpoints(self) -> dict[str, dict[str, Any]]:
        """Return {host: what _ENDPOINT names, with defaults} of the hosts that have an endpoint."""
        found = {}
        for host in self.problems.hosts.values():
            if "tls_endpoint_address" not in host.raw:
                continue
            about = {name: self.known[name].get("default") for name in _ENDPOINT if name in self.known}
            about |= {name: host.evaluate(name) for name in _ENDPOINT if name in host.raw}
            if about.get("tls_endpoint_mode") != "none":
                found[host.name] = about
        return found

    def _missing_files(self, files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the files that are not where `copy` would look for them, as problems."""
        problems = []
        for wanted in files:
            try:
                self._find_needle("files", wanted["file"])
            except AnsibleError:
                problem = f"names {wanted['file']}, which is no file that can be read"
                problems.append({**wanted, "problem": problem, "remedy": "put it there, or correct the path"})
        return problems

    def _unresolved(self, upstreams: Any) -> list[dict[str, Any]]:
        """Return the members by name that have no address here, where the role proxy looks for it too.

        Such a member is left out, so it is a warning, unless its upstream has no other.
        """
        named = _pure("named_members", upstreams)
        names = sorted({one["name"] for one in named} - set(self.resolved))
        # Threads of their own: a resolver without network takes long, and cannot be stopped.
        threads = [threading.Thread(target=self._resolve, args=(names[n::8],), daemon=True) for n in range(8)]
        deadline = time.monotonic() + _RESOLVE_SECONDS
        for thread in threads[: len(names)]:
            thread.start()
        for thread in threads[: len(names)]:
            thread.join(max(0.0, deadline - time.monotonic()))
        lost = [one for one in named if self.resolved.get(one["name"]) is False]
        count = Counter(one["path"][1] for one in lost)
        problems = []
        for one in lost:
            alone = count[one["path"][1]] == len(upstreams[one["path"][1]]["members"])
            what = "its upstream has no other" if alone else "the member is left out"
            problem = f"{one['name']} has no address that this machine knows: {what}"
            about = {"remedy": "correct it, or write the member's IP address", "level": "error" if alone else "warning"}
            problems.append({"path": one["path"], "problem": problem, **about})
        return problems

    def _resolve(self, names: Sequence[str]) -> None:
        """Note of each name whether it has an address."""
        for name in names:
            try:
                self.resolved[name] = bool(socket.getaddrinfo(name, None))
            except OSError:
                self.resolved[name] = False

    def _certificate(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return what is wrong with a chain and its key, looked for where `copy` would look, vaulted or not."""
        texts, problems = {"chain": "", "key": ""}, []
        for part in texts:
            try:
                texts[part] = str(self._loader.get_text_file_contents(self._find_needle("files", wanted[part])))
            except (AnsibleError, OSError, UnicodeDecodeError):
                problems += _pure("unreadable_file", part, wanted[part])
        if texts["chain"]:
            arguments = (texts["chain"], wanted["names"], texts["key"], "", self.days)
            problems += _pure("certificate_problems", *arguments)
        return problems
