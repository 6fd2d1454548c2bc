"""The inventory plugin behind `wiring.yml`: the wiring between roles, and the applications' entries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.group import Group
from ansible.inventory.host import Host
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.plugins.loader import vars_loader
from ansible_collections.gatehouse.core.plugins.module_utils import applications

DOCUMENTATION = r"""
name: environment
short_description: Wire the roles of an environment together
description:
  - Reads C(wiring.yml), which every environment links beside its C(hosts.yml), and gives each group that it names
    its variables. They rank below C(group_vars/all) and what C(hosts.yml) says, so an environment can override each.
    Its name sorts after that of C(hosts.yml), because it has to know the hosts.
  - Makes a group of each entry of the list C(applications) in C(group_vars/all), a child of the group C(apps), and
    gives it the inputs of roles that the entry says.
  - A host with more to do than one application (several, or one beside a proxy) is a machine, and each application on
    it an instance, C(<host>.<application>), which takes the host's place in the application's group, with the host's
    variables. So no variable of an application reaches another one.
  - All hosts have C(environment_dir), the folder of C(wiring.yml).
  - Each host has C(machine), the host that it is on, C(instances), the names of the applications' hosts on it, and
    C(alone_on_proxy), true for an application whose only machine is the only proxy.
  - The group C(machines) has the hosts with a proxy or an application, and no instance; C(shared_machines) has those
    of them that have instances.
  - The groups C(probed), C(skipped), C(returned) and C(former) are empty. C(playbooks/reach.yml) and
    C(playbooks/sites.yml) fill them in a run, and they are there so that plays can name them.
options:
  plugin:
    description: Name of this plugin.
    required: true
    type: str
    choices: [gatehouse.core.environment]
"""
EXAMPLES = r"""
plugin: gatehouse.core.environment
all:
  state_dir: state/prod
proxies:
  proxy_trace_sources: ["{{ controller_edge_address }}"]
"""

_APPS, _PROXIES, _MACHINES, _SHARED = "apps", "proxies", "machines", "shared_machines"
# Filled by playbooks/reach.yml and playbooks/sites.yml.
_OF_A_RUN = ("probed", "skipped", "returned", "former")
# What Ansible takes for the name of a group; another one is refused as a name of an application.
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Read the wiring and the applications."""

    NAME = "gatehouse.core.environment"

    def verify_file(self, path: str) -> bool:
        """Return whether this is the wiring, by its name."""
        return bool(super().verify_file(path)) and Path(path).name == "wiring.yml"

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the groups and their variables; a list of applications that is no list is left to preflight."""
        super().parse(inventory, loader, path, cache)
        self._folder = str(Path(path).parent)
        wiring = self._read(path)
        if not isinstance(wiring, Mapping):
            raise AnsibleParserError(f"{path} must be a mapping of groups")
        for group, variables in wiring.items():
            if group != "plugin":
                self._give(str(group), variables or {})
        # Ansible's own inventory_dir is not defined for localhost, on which a lab is made.
        self._give("all", {"environment_dir": self._folder})
        for group in (_APPS, *_OF_A_RUN):
            inventory.add_group(group)
        names = []
        for entries in self._applications(Path(path).parent / "group_vars"):
            for _, name, entry in applications.named(entries):
                if _GROUP.fullmatch(name):
                    self._give(name, {"app_name": entry["name"]} | dict(self._inputs(entry)))
                    inventory.add_child(_APPS, name)
                    names.append(name)
        self._place(list(dict.fromkeys(names)))

    def _give(self, name: str, variables: Mapping[str, Any]) -> None:
        self.inventory.add_group(name)
        group = self.inventory.groups[name]
        for key, value in variables.items():
            if key not in group.vars:  # else hosts.yml says it
                self.inventory.set_variable(name, key, value)

    def _place(self, names: Sequence[str]) -> None:
        """Give each host its `machine` and `instances`, and each application its own host where it shares one."""
        groups = self.inventory.groups
        proxies = set(groups[_PROXIES].get_hosts()) if _PROXIES in groups else set()
        placed = {name: list(groups[name].get_hosts()) for name in names}
        self.inventory.add_group(_MACHINES)
        self.inventory.add_group(_SHARED)
        for machine in list(self.inventory.hosts.values()):
            here = [name for name in names if machine in placed[name]]
            shared = len(here) + (machine in proxies) > 1
            instances = [f"{machine.name}.{name}" if shared else machine.name for name in here]
            if machine in proxies or machine in groups[_APPS].get_hosts():
                self.inventory.add_child(_MACHINES, machine.name)
            self.inventory.set_variable(machine.name, "machine", machine.name)
            self.inventory.set_variable(machine.name, "instances", instances)
            self.inventory.set_variable(machine.name, "alone_on_proxy", False)
            if shared:
                self.inventory.add_child(_SHARED, machine.name)
                ours = {*names, _APPS, _PROXIES, _MACHINES, _SHARED, "all"}
                others = [group for group in machine.groups if group.name not in ours]
                for name, instance in zip(here, instances, strict=True):
                    alone = {machine} == proxies == set(placed[name])
                    self._add_instance(instance, machine, others, alone)
                    placed[name][placed[name].index(machine)] = self.inventory.hosts[instance]
        for name, hosts in placed.items():
            if hosts != groups[name].get_hosts():
                self._replace_hosts(groups[name], hosts)

    def _add_instance(self, name: str, machine: Host, groups: Iterable[Group], alone: bool) -> None:
        """Add a host with the machine's variables, also those of its file in host_vars, and in its other groups."""
        self.inventory.add_host(name)
        files = vars_loader.get("host_group_vars").get_vars(self.loader, self._folder, machine)
        own = {"instances": [name], "alone_on_proxy": alone}
        for key, value in ({"ansible_host": machine.name} | machine.vars | files | own).items():
            if key not in ("inventory_file", "inventory_dir"):
                self.inventory.set_variable(name, key, value)
        for group in groups:
            self.inventory.add_child(group.name, name)

    def _replace_hosts(self, group: Group, hosts: Iterable[Host]) -> None:
        """Make these the hosts of a group, also where they came through groups below it."""
        former = list(group.get_hosts())
        for child in list(group.child_groups):
            group.child_groups.remove(child)
            child.parent_groups.remove(group)
        for host in former:
            group.remove_host(host)
            host.remove_group(group)  # where it came through a group below
        group.clear_hosts_cache()
        for host in hosts:
            self.inventory.add_child(group.name, host.name)

    @staticmethod
    def _inputs(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, path in applications.inputs(entry):
            value: Any = entry
            for part in path:
                value = value[part]
            yield name, value

    def _applications(self, folder: Path) -> Iterator[Any]:
        """Yield the list of each file of all hosts' variables that has one; more than one is preflight's to refuse."""
        files = [folder / "all.yml", folder / "all.yaml"]
        files += sorted(path for path in (folder / "all").rglob("*") if path.suffix in (".yml", ".yaml"))
        for path in files:
            # By the text first: a vault is not opened for it, nor is a mistake in another file this plugin's.
            try:
                found = path.is_file() and "applications" in path.read_text(encoding="utf-8")
                data = self._read(str(path)) if found else None
            except (OSError, UnicodeDecodeError, AnsibleError):
                continue
            if isinstance(data, Mapping) and "applications" in data:
                yield data["applications"]

    def _read(self, path: str) -> Any:
        # As Ansible reads group_vars, so that both share one parse, and each value keeps where it was written.
        return self.loader.load_from_file(path, cache="all", unsafe=True, trusted_as_template=True)
