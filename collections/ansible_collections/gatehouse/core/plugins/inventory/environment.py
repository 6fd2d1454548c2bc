"""The inventory plugin behind `gatehouse.yml`: the wiring between roles, and the applications' entries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.gatehouse.core.plugins.module_utils import applications

DOCUMENTATION = r"""
name: environment
short_description: Wire the roles of an environment together
description:
  - Reads C(gatehouse.yml), which every environment links beside its C(hosts.yml), and gives each group that it names
    its variables. They rank below C(group_vars/all), so an environment can override each.
  - Makes a group of each entry of the list C(applications) in C(group_vars/all), a child of the group C(apps), and
    gives it the inputs of roles that the entry says.
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

_APPS = "apps"
# What Ansible takes for the name of a group; another one is refused as a name of an application.
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Read the wiring and the applications."""

    NAME = "gatehouse.core.environment"

    def verify_file(self, path: str) -> bool:
        """Return whether this is the wiring, by its name."""
        return bool(super().verify_file(path)) and Path(path).name == "gatehouse.yml"

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the groups and their variables; a list of applications that is no list is left to preflight."""
        super().parse(inventory, loader, path, cache)
        wiring = self._read(path)
        if not isinstance(wiring, Mapping):
            raise AnsibleParserError(f"{path} must be a mapping of groups")
        for group, variables in wiring.items():
            if group != "plugin":
                self._give(str(group), variables or {})
        inventory.add_group(_APPS)
        for entries in self._applications(Path(path).parent / "group_vars"):
            for _, name, entry in applications.named(entries):
                if _GROUP.fullmatch(name):
                    self._give(name, {"app_name": entry["name"]} | dict(self._inputs(entry)))
                    inventory.add_child(_APPS, name)

    def _give(self, group: str, variables: Mapping[str, Any]) -> None:
        self.inventory.add_group(group)
        for name, value in variables.items():
            self.inventory.set_variable(group, name, value)

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
                found = path.is_file() and "\napplications:" in f"\n{path.read_text(encoding='utf-8')}"
                data = self._read(str(path)) if found else None
            except (OSError, UnicodeDecodeError, AnsibleError):
                continue
            if isinstance(data, Mapping) and "applications" in data:
                yield data["applications"]

    def _read(self, path: str) -> Any:
        # As Ansible reads group_vars, so that both share one parse, and each value keeps where it was written.
        return self.loader.load_from_file(path, cache="all", unsafe=True, trusted_as_template=True)
