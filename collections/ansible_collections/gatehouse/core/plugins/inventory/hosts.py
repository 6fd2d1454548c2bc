"""The inventory plugin of `hosts.yml`: Ansible's own for YAML, which reads the environment's other files first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.inventory.yaml import InventoryModule as YamlInventory
from ansible_collections.gatehouse.core.plugins.module_utils import yaml_text

DOCUMENTATION = r"""
name: hosts
short_description: Read hosts.yml, and find the mistakes of every file of variables beside it
description:
  - Does what P(ansible.builtin.yaml#inventory) does. Before that it ends the run with every mistake of YAML in that
    file, C(group_vars) and C(host_vars), each with its place, the line and what to write. Ansible itself would name
    the first, once a play wants it. An encrypted file that no given password opens is left out.
options:
  yaml_extensions:
    description: Endings of a file's name that it reads.
    type: list
    elements: str
    default: [.yaml, .yml, .json]
"""
EXAMPLES = "# ansible.cfg names it first in enable_plugins\n"

_VAULT = "$ANSIBLE_VAULT"


def shown_mistakes(path: Path, text: str, secret: bool, hosts: bool = False) -> Iterator[str]:
    """Yield a message for each mistake of a file: its place, the line itself unless it is secret, and what to write.

    `hosts`: whether the file says groups and hosts, not variables.
    """
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    lines = text.splitlines() or [""]
    for one in yaml_text.mistakes(text) or (yaml_text.host_mistakes(text) if hosts else []):
        excerpt = "(encrypted)" if secret else lines[min(one.line, len(lines)) - 1].expandtabs(2).strip()
        yield f"{shown}:{one.line}:{one.column} {one.problem}\n     {excerpt}\n     -> {one.remedy}"


class InventoryModule(YamlInventory):  # type: ignore[misc]
    """Ansible's reader of YAML inventories, behind a check of all files."""

    NAME = "gatehouse.core.hosts"

    def verify_file(self, path: str) -> bool:
        """Return whether this is a file of hosts: the wiring has a plugin of its own."""
        ending = Path(path).suffix in (".yml", ".yaml", ".json")  # a name without one may be an INI file's
        return ending and bool(super().verify_file(path)) and Path(path).name != "wiring.yml"

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Read the file, or end the run with what is wrong with it and with the files beside it."""
        found = self._mistakes(Path(path).absolute(), loader, hosts=True)
        for file in yaml_text.variable_files(Path(path).absolute().parent):
            found += self._mistakes(file, loader)
        if found:
            for message in found:
                self.display.error(message, wrap_text=False)
            # Ansible makes warnings of what a plugin raises as an error, and tries the next plugin.
            raise SystemExit(4)
        super().parse(inventory, loader, path, cache)

    @staticmethod
    def _mistakes(path: Path, loader: Any, hosts: bool = False) -> list[str]:
        try:
            text = path.read_text(encoding="utf-8")
            if secret := text.startswith(_VAULT):
                text = loader.get_text_file_contents(str(path)).encode().decode()  # without Ansible's tags
        except (AnsibleError, OSError, UnicodeDecodeError):
            return []  # a vault may stay closed until a play wants it; the others Ansible reports
        return list(shown_mistakes(path, text, secret, hosts))
