"""What the project asks of an inventory: the inputs of its roles, and which hosts its playbooks run which role on."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from .. import applications
from .evaluation import Host, Problems
from .plays import included_roles, play_roles, role_needs, spec_options
from .report import WIRING

# A parsed YAML file, or None where there is no such file.
Load = Callable[[Path], Any]
HostsOf = Callable[[str], list[str]]
# Who needs which role: {role, pattern, hosts, sure, given: variables that its play gives}.
Need = Mapping[str, Any]


class Roles:
    """The roles in a folder: their options, their defaults, and the roles that each brings along."""

    def __init__(self, folder: Path, load: Load) -> None:
        self.options: dict[str, dict[str, Any]] = {}
        self.defaults: dict[str, Any] = {}
        self.brings: dict[str, list[dict[str, Any]]] = {}
        for role in sorted(one for one in folder.iterdir() if one.is_dir()):
            self.options[role.name] = spec_options(load(role / "meta" / "argument_specs.yml"))
            self.defaults |= load(role / "defaults" / "main.yml") or {}
            tasks = [load(path) for path in sorted((role / "tasks").glob("*.yml"))]
            self.brings[role.name] = included_roles(load(role / "meta" / "main.yml"), tasks)
        self.renamed: Mapping[str, Any] = load(folder / "preflight" / "files" / "renamed.yml")
        self.waf_rules = folder / "proxy" / "files" / "waf" / "rules.yml"
        self.wiring = folder.parent / "inventories" / WIRING
        groups = (load(self.wiring) or {}).values()
        # What the wiring says of any group.
        self.wired = {str(name) for variables in groups if isinstance(variables, Mapping) for name in variables}
        self.known = {name: option for options in self.options.values() for name, option in options.items()}


class Plays:
    """The plays of playbooks, with those that they import."""

    def __init__(self, roles: Roles, problems: Problems, load: Load, hosts_of: HostsOf) -> None:
        self.roles, self.problems, self.load, self.hosts_of = roles, problems, load, hosts_of

    def needs(self, playbooks: Sequence[str]) -> Iterator[Need]:
        """Yield who needs which role."""
        seen, waiting = set[Path](), [Path(playbook) for playbook in playbooks]
        while waiting:
            path = waiting.pop(0).resolve()
            if path in seen:
                continue
            seen.add(path)
            if not path.is_file():
                found = {"remedy": "write the path of a playbook there is"}
                text = f"the playbook {path.name} does not exist"
                self.problems.add("", text, found, None, "preflight_playbooks, or an import_playbook")
            plays = play_roles(self.load(path))
            waiting += [path.parent / play["import"] for play in plays if "import" in play]
            named = [part for play in plays for part in self._named(play)]
            for need in role_needs(named, self.roles.brings):
                yield {**need, "hosts": self._hosts(need["pattern"])}

    def _hosts(self, pattern: str) -> list[str]:
        """Return the hosts of a play; a pattern that is known only while it runs names none, so nothing is demanded."""
        return [] if not pattern or "{{" in pattern else self.hosts_of(pattern)

    def _named(self, play: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the play; one whose roles are named by a template, as one play for each host with its own roles."""
        if not any("{{" in role["name"] for role in play.get("roles", ())):
            return [play]
        hosts = [self.problems.hosts[name] for name in self._hosts(play["hosts"])]
        return [{**play, "hosts": host.name, "roles": self._roles_on(host, play["roles"])} for host in hosts]

    def _roles_on(self, host: Host, roles: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the roles with the names that they have on one host; report a name that leads to no role."""
        found, options = [], self.roles.options
        for role in roles:
            try:
                name = str(host.templar.template(role["name"]))
            except AnsibleError as error:
                if host.application:
                    remedy = "write runtime: and one of " + ", ".join(applications.runtimes(options))
                    host.add({"path": host.application, "problem": "lacks runtime", "remedy": remedy})
                    continue
                if host.is_loose:  # moved_variables names each
                    continue
                remedy = "describe the application in group_vars/all/applications.yml"
                text = f"a play runs the role {role['name']}, and {getattr(error, 'message', error)}"
                self.problems.add(host.name, text, {"remedy": remedy}, None, "the variables of these hosts")
                continue
            if name in options:
                found.append({**role, "name": name})
            elif not host.application and not host.is_loose:  # their runtime is named where it is written
                near = difflib.get_close_matches(name, options, 1)
                wanted = near[0] if near else "one of " + ", ".join(options)
                remedy = f"change that variable so that it becomes {wanted}"
                text = f"a play runs the role {role['name']}, which is {name} here, and there is no such role"
                self.problems.add(host.name, text, {"remedy": remedy}, None, "the variables of these hosts")
        return found
