"""Renders a role's whole tree as a play would, and parses it as nginx would."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crossplane
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "proxy"
# Debian's nginx brings it; the machine that runs the tests need not have it.
FOREIGN = "/etc/nginx/mime.types"

filter_loader.add_directory(str(ROOT / "filter_plugins"))
filter_loader.add_directory(str(ROLE / "filter_plugins"))
lookup_loader.add_directory(str(ROLE / "lookup_plugins"))
init_plugin_loader([])


@dataclass(frozen=True)
class Block:
    """One nginx directive with what is in its braces."""

    name: str
    args: tuple[str, ...]
    block: tuple[Block, ...]

    @classmethod
    def of(cls, parsed: dict[str, Any]) -> Block:
        inside = tuple(cls.of(child) for child in parsed.get("block") or () if child["directive"] != "#")
        return cls(parsed["directive"], tuple(parsed["args"]), inside)

    def all(self, name: str, *args: str) -> list[Block]:
        """Return the directives of that name here whose first arguments are `args`."""
        return [child for child in self.block if child.name == name and child.args[: len(args)] == args]

    def one(self, name: str, *args: str) -> Block:
        found = self.all(name, *args)
        assert len(found) == 1, f"{name} {args}: {len(found)} of them in {self.name} {self.args}"
        return found[0]

    def arguments(self, name: str) -> list[tuple[str, ...]]:
        return [child.args for child in self.all(name)]

    def walk(self) -> Iterator[Block]:
        for child in self.block:
            yield child
            yield from child.walk()

    def https_server(self, name: str) -> Block:
        """Return the server that answers for a name on 443."""
        return self._server(name, "443")

    def http_server(self, name: str) -> Block:
        """Return the server that answers for a name on 80."""
        return self._server(name, "80")

    def _server(self, name: str, port: str) -> Block:
        found = [
            server
            for server in self.all("server")
            if name in server.one("server_name").args
            and all(listen[0].endswith(f":{port}") for listen in server.arguments("listen"))
        ]
        assert len(found) == 1, f"{len(found)} servers for {name} on {port}"
        return found[0]


@functools.cache
def role_variables() -> dict[str, Any]:
    """Return the role's defaults and constants, not templated."""
    known: dict[str, Any] = {"role_path": str(ROLE), "ansible_facts": {"distribution_major_version": "13"}}
    for path in (ROLE / "defaults" / "main.yml", *sorted((ROLE / "vars" / "main").iterdir())):
        known |= DataLoader().load_from_file(str(path), trusted_as_template=True)
    return known


# A third of the tests ask for a tree that another one has asked for.
RENDERED: dict[str, dict[str, str]] = {}


def render_files(**variables: Any) -> dict[str, str]:
    """Return the tree of the role proxy, path to text, from its defaults and the given variables."""
    key = json.dumps(variables, sort_keys=True, default=repr)
    if "{{" in key:  # whether a text is trusted as a template, JSON does not say
        return render_anew(**variables)
    if key not in RENDERED:
        RENDERED[key] = render_anew(**variables)
    return dict(RENDERED[key])


def render_anew(**variables: Any) -> dict[str, str]:
    """Do so, whether or not a test has asked for the same before."""
    loader, known = DataLoader(), role_variables() | variables
    # As nginx_tree does: each of these once, and those after it see its value.
    for name in known["__proxy_evaluated_once"]:
        known |= {name: Templar(loader, known).template(known[name])}
    templar, files = Templar(loader, known), {}
    for item in templar.template(trust_as_template("{{ __proxy_templates }}")):
        source = ROLE / "templates" / item["src"]
        environment = templar.copy_with_new_env(
            searchpath=[str(ROLE / "templates")],
            available_variables={**known, **item.get("vars", {})},
        )
        text = trust_as_template(source.read_text())
        files[item["dest"]] = environment.template(text, overrides={"trim_blocks": True})
    return files


@pytest.fixture
def render(tmp_path: Path) -> Callable[..., Block]:
    """Return the http block of the tree that the given variables make."""

    def parse(**variables: Any) -> Block:
        active = tmp_path / "active"
        files = render_files(**variables) | {"identity.conf": "# The module nginx_tree writes this file.\n"}
        for path, text in files.items():
            (active / path).parent.mkdir(parents=True, exist_ok=True)
            (active / path).write_text(text)
        start = tmp_path / "nginx.conf"
        start.write_text(files["nginx.conf"])
        payload = crossplane.parse(str(start), combine=True)
        errors = [error for error in payload["errors"] if FOREIGN not in error["error"]]
        assert not errors, errors
        main = Block("main", (), tuple(Block.of(item) for item in payload["config"][0]["parsed"]))
        return main.one("http")

    return parse
