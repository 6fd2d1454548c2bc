"""A vault that no given password opens ends a run before it begins, by name: Ansible would ask each time it is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible_collections.gatehouse.core.plugins.module_utils.yaml_text import variable_files

DOCUMENTATION = """
name: vault_password
type: aggregate
short_description: asks for the vault's password by name
description: Ends a run whose inventory has encrypted files of variables that no given password opens.
"""


def closed_vaults(sources: Iterable[str], loader: Any) -> Iterator[Path]:
    """Yield the encrypted files of variables of these inventories that the loader's passwords do not open."""
    for source in map(Path, sources):
        for path in variable_files(source if source.is_dir() else source.parent):
            try:
                with path.open("rb") as file:
                    if file.read(14) == b"$ANSIBLE_VAULT":
                        loader.get_text_file_contents(str(path))
            except (AnsibleError, UnicodeDecodeError):
                yield path
            except OSError:
                continue  # Ansible reports it


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Judges the vaults when a playbook starts, before its hosts' variables are read."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "vault_password"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """End the run with the names of all such files; nothing has been forked or connected to yet."""
        sources = [str(source) for source in context.CLIARGS["inventory"] or constants.DEFAULT_HOST_LIST]
        closed = list(closed_vaults([one for one in sources if Path(one).exists()], playbook._loader))
        for path in closed:
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            problem = f"{shown} is encrypted, and no password was given that opens it"
            self._display.error(f"{problem}\n-> add --ask-vault-pass, or --vault-password-file=FILE", wrap_text=False)
        if closed:
            # Ansible swallows what a callback raises as an error.
            raise SystemExit(4)
