"""A misspelt extra variable (`-e verison=1.4.0`) ends a run before it begins: Ansible itself would say nothing.

Known are the words of the playbooks, the inputs of the roles, and whatever the environment's own files name. A file of
variables (`-e @file`) is preflight's to judge, as the inventory is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible import context
from ansible.parsing.splitter import parse_kv
from ansible.plugins.callback import CallbackBase
from ansible_collections.gatehouse.core.plugins.module_utils.renamed import new_name

DOCUMENTATION = """
name: extra_variables
type: aggregate
short_description: refuses misspelt extra variables
description: Ends a run whose extra variables are neither a playbook's, nor a role's, nor the environment's.
"""

ROOT = Path(__file__).resolve().parents[1]
# What the playbooks take; the inputs of the roles keep their own names.
WORDS = (
    "app",
    "command",
    "fail",
    "format",
    "grep",
    "host",
    "internal_ca_replace",
    "lines",
    "page",
    "purge_path",
    "purge_prefix",
    "purge_site",
    "reason",
    "release",
    "remove_data",
    "request",
    "since",
    "skip_unreachable",
    "stop_on_failure",
    "until",
    "version",
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPTION = re.compile(r"^ {6}([a-z][a-z0-9_]*):", re.MULTILINE)


def role_inputs(root: Path) -> Iterator[str]:
    """Yield the inputs of the roles, by their specs."""
    for spec in root.glob("roles/*/meta/argument_specs.yml"):
        yield from _OPTION.findall(spec.read_text(encoding="utf-8"))


def environment_names(sources: Iterable[str]) -> set[str]:
    """Return every name that occurs in an inventory's files: its variables, and what their templates use."""
    names: set[str] = set()
    for source in sources:
        path = Path(source)
        files = [path] if path.is_file() else path.rglob("*.y*ml") if path.is_dir() else []
        for file in files:
            names.update(_NAME.findall(file.read_text(encoding="utf-8", errors="replace")))
    return names


def names_given(options: Iterable[str]) -> set[str]:
    """Return the names that `-e name=value` and `-e '{"name": value}'` give; what else is wrong there is Ansible's."""
    names: set[str] = set()
    for option in options:
        if option.startswith("{"):
            said = yaml.safe_load(option)
            names.update(str(name) for name in (said if isinstance(said, Mapping) else {}))
        elif not option.startswith("@"):
            names.update(str(name) for name in parse_kv(option))
    return names - {"_raw_params"}


def unquoted(options: Iterable[str]) -> list[str]:
    """Return a message for each `-e name=value more`: Ansible takes `value` alone, and is silent about the rest."""
    messages = []
    for option in options:
        said = {} if option.startswith(("{", "@", "[")) else parse_kv(option)
        if rest := said.pop("_raw_params", ""):
            name = next(iter(said), "name")
            remedy = f"""write -e "{name}='{option.partition("=")[2]}'\"""" if said else "write -e name=value"
            messages.append(f"-e {option} has more after its value: {rest}\n-> {remedy}")
    return messages


def names_of_before(root: Path) -> dict[str, str]:
    """Return {old: new} of the variables that were renamed."""
    return dict(yaml.safe_load((root / "roles/preflight/files/renamed.yml").read_text(encoding="utf-8"))["variables"])


def refusals(extra: Iterable[str], known: Iterable[str], renamed: Mapping[str, str]) -> list[str]:
    """Return a message for each extra variable that nobody knows; `renamed` are names of before."""
    known = set(known)
    messages = []
    for name in sorted(set(extra) - known):
        if not name.startswith(("ansible_", "vault_")):
            if new := new_name(name, renamed):
                messages.append(f"-e {name}=... was renamed to {new}\n-> write -e {new}=...")
                continue
            near = difflib.get_close_matches(name, sorted(known), 1, 0.7)
            remedy = f"write -e {near[0]}=..." if near else f"write one of {', '.join(WORDS)}, or an input of a role"
            messages.append(f"-e {name}=... is no variable of a playbook, a role or this environment\n-> {remedy}")
    return messages


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Judges the command line when a playbook of the project starts."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "extra_variables"
    CALLBACK_NEEDS_ENABLED = False

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """End the run with the messages, if there are any; nothing has been forked or connected to yet."""
        options = [str(option) for option in context.CLIARGS["extra_vars"] or ()]
        extra = names_given(options)
        # A playbook of somebody else has words of its own, and new.yml has an environment to come.
        path = Path(playbook._file_name or "").resolve()
        if not options or path.parent not in (ROOT, ROOT / "playbooks") or path.name == "new.yml":
            return
        unknown = set(extra) - set(WORDS)
        known = (
            (*WORDS, *role_inputs(ROOT), *environment_names(context.CLIARGS["inventory"] or ())) if unknown else WORDS
        )
        if messages := unquoted(options) + refusals(extra, known, names_of_before(ROOT) if unknown else {}):
            for message in messages:
                self._display.error(message, wrap_text=False)
            # Ansible swallows what a callback raises as an error.
            raise SystemExit(4)
