"""What the pages have a reader write and run, tried as it is there.

A YAML block begins with a comment that says where it goes; put there, in a copy of inventories/prod, it passes
preflight. A command names a playbook, extra variables, make targets, roles and log fields that exist.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#+ .*$", re.MULTILINE)
# What preflight says of files and names that a reader has and this machine has not.
_MISSING = re.compile(r"(which )?is no (file|folder)\b|has no address that this machine knows")
_SPEC = importlib.util.spec_from_file_location("extra_variables", ROOT / "callback_plugins" / "extra_variables.py")
assert _SPEC
assert _SPEC.loader
extra_variables = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(extra_variables)


class Block(NamedTuple):
    """A fenced block: its page and line, its language, its text without indentation, the headings above it."""

    place: str
    language: str
    text: str
    heading: str

    @property
    def first(self) -> str:
        return self.text.split("\n", 1)[0]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        body = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        # A comment of a block is no heading.
        above = _HEADING.findall(_BLOCK.sub("", text[: match.start()]))
        found.append(Block(f"{page.name}:{line}", match["language"], body, above[-1] if above else ""))
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
# The README's blocks are excerpts, which stand side by side.
YAML = [block for block in BLOCKS if block.language == "yaml" and not block.place.startswith("README")]


class Inventory:
    """A copy of inventories/prod into which blocks are put, each under names of its own.

    All go into one, because preflight takes seconds: the block at index n has `-n` behind the names of its
    applications, sites and pools, which a problem then names.
    """

    def __init__(self, root: Path) -> None:
        self.root = root / "prod"
        shutil.copytree(ROOT / "inventories" / "prod", self.root, symlinks=True)
        (self.root / "vault.example.yml").unlink()
        (root / "wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
        self.vault = dict.fromkeys(("vault_passphrase", "vault_storefront_secret_key"), "f3b1a7d2c95e480b6d17a2e4")

    def read(self, name: str) -> Any:
        return yaml.safe_load((self.root / name).read_text()) if (self.root / name).exists() else {}

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(yaml.safe_dump(dict(content), sort_keys=False))

    def put(self, number: int, block: Block) -> None:
        """Put what a block says where its first line says."""
        content, where = yaml.safe_load(block.text), block.first.removeprefix("# ")
        for name in re.findall(r"\bvault_\w+", block.text):
            self.vault[name] = "$5$saltsalt$" + "a" * 43 if name.endswith("_hash") else "f3b1a7d2c95e480b6d17a2e4"
        if where.startswith("hosts.yml"):
            self.write("hosts.yml", {**self.read("hosts.yml"), **content})
        elif where.startswith("a host of hosts.yml"):
            hosts = self.read("hosts.yml")
            hosts[next(iter(content)).rstrip("0123456789")]["hosts"].update(content)
            self.write("hosts.yml", hosts)
        elif where.startswith("in its entry of group_vars/all/applications.yml"):
            self.add_application(number, entry_for(block) | content)
        elif where.startswith("in a location of group_vars/all/sites.yml"):
            location = {"path": "/", "upstream": "storefront", **content}
            site = {"name": "one", "server_names": ["example.com"], "certificate": {"source": "acme"}}
            self.merge("group_vars/all/sites.yml", number, {"proxy_sites": [{**site, "locations": [location]}]})
        elif where.endswith("one of these"):
            for key, value in content.items():
                name = self.add_application(number, {**entry_for(block), "name": key.replace("_", "-")})
                self.write(f"group_vars/{name}/app.yml", {key: value})
        else:
            named = re.match(r"(group_vars/\w+/\w+\.yml)", where)
            assert named, f"{block.place}: the first line has to be a comment that says where the block goes"
            self.merge(named[1], number, content)

    def merge(self, file: str, number: int, content: Mapping[str, Any]) -> None:
        """Add to the file what has names of its own, and set the rest."""
        present = self.read(file)
        for key, value in content.items():
            if key == "applications":
                for entry in value:
                    self.add_application(number, entry)
                present[key] = self.read(file)[key]
            elif key == "proxy_sites":
                sites = [{**one, "name": f"{one.get('name')}-{number}"} for one in value]
                for site in sites:
                    site["server_names"] = [f"b{number}.{name}" for name in site.get("server_names", ())] or None
                present[key] = [*present.get(key, ()), *({k: v for k, v in one.items() if v} for one in sites)]
            elif key == "extra_upstreams":
                present[key] = [*present.get(key, ()), *({**one, "name": f"{one['name']}-{number}"} for one in value)]
            elif key in ("proxy_caches", "proxy_rate_limits", "proxy_connection_limits"):
                named = {one["name"]: one for one in [*present.get(key, ()), *value]}
                present[key] = list(named.values())
            else:
                present[key] = value
        self.write(file, present)

    def add_application(self, number: int, entry: Mapping[str, Any]) -> str:
        """Add an application of one host; return its name."""
        file = "group_vars/all/applications.yml"
        name, present, hosts = f"{entry['name']}-{number}", self.read(file), self.read("hosts.yml")
        sourced = {"source": str(ROOT / "apps" / "storefront")} | dict(entry) | {"name": name}
        self.write(file, {**present, "applications": [*present["applications"], sourced]})
        self.write(
            "hosts.yml", {**hosts, name: {"hosts": {f"{name}-host": {"ansible_host": f"10.10.0.{120 + len(hosts)}"}}}}
        )
        return name

    def problems(self) -> list[str]:
        """Return what preflight finds, each with its place and remedy, but for files that are not on this machine."""
        self.write("group_vars/all/vault.yml", self.vault)
        command = ["ansible-playbook", "playbooks/preflight.yml", "-i", str(self.root)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        found = [" ".join(one.split()) for one in re.split(r"\n\s+\d+\. ", run.stdout)[1:]]
        assert run.returncode == 0 or found, run.stdout + run.stderr
        return [one for one in found if not _MISSING.search(one)]


def entry_for(block: Block) -> dict[str, Any]:
    """Return a whole application but for what a block says, of the runtime that it or the heading above it names."""
    own = re.search(r"^ *(node|rails|laravel):", block.text, re.MULTILINE)
    runtime = re.search(r"`(node|rails|laravel)`", block.heading) or own
    entry: dict[str, Any] = {
        "name": "shop",
        "runtime": runtime[1] if runtime else "python",
        "version": "1.0.0",
        "port": 5000,
    }
    return entry if runtime else {**entry, "python": {"target": "storefront:create_app()"}}


def test_every_block_of_yaml_passes_where_it_goes(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path)
    placed = [block for block in YAML if not block.first.startswith("# roles/")]
    assert len(placed) >= 20
    for number, block in enumerate(placed):
        inventory.put(number, block)
    assert "\n".join(inventory.problems()) == "", dict(enumerate(block.place for block in placed))


def test_wrong_blocks_are_refused(tmp_path: Path) -> None:
    site = "# group_vars/all/sites.yml\nproxy_sites:\n  - name: shop\n    server_name: [shop.example.com]\n"
    entry = "# in its entry of group_vars/all/applications.yml\negres: []\n"
    inventory = Inventory(tmp_path)
    for number, text in enumerate((site, entry)):
        inventory.put(number, Block("a page", "yaml", text, ""))
    found = inventory.problems()
    assert any("server_name is unknown" in one for one in found), found
    assert any("egres" in one and "egress" in one for one in found), found


def role_options() -> dict[str, set[str]]:
    """Return the inputs of each role."""
    found = {}
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        points = yaml.safe_load(path.read_text())["argument_specs"].values()
        found[path.parts[-3]] = {name for point in points for name in point.get("options") or {}}
    return found


def test_a_new_runtime_is_whole_and_sets_inputs_of_the_role_app() -> None:
    texts = {
        block.first.removeprefix("# roles/binary_app/"): block.text for block in BLOCKS if "binary_app/" in block.first
    }
    others = [{str(path.relative_to(role)) for path in role.rglob("*.yml")} for role in ROOT.glob("roles/*_app")]
    needed = set.intersection(*others)
    assert set(texts) == {name for name in needed if not name.startswith(("meta/", "vars/"))}
    (main,) = yaml.safe_load(texts["tasks/main.yml"])
    assert main["ansible.builtin.import_tasks"] == "run.yml"
    (task,) = yaml.safe_load(texts["tasks/run.yml"])
    assert set(task["vars"]) <= role_options()[task["ansible.builtin.import_role"]["name"]]


def commands() -> list[tuple[str, str]]:
    """Return (place, command) for each command of the blocks, and for each in a line of text."""
    found = []
    for block in BLOCKS:
        if block.language in ("sh", ""):
            found += [(block.place, line.strip()) for line in block.text.splitlines()]
    for page in PAGES:
        plain = _BLOCK.sub("", page.read_text())
        found += [(page.name, " ".join(text.split())) for text in re.findall(r"`([^`]+)`", plain)]
    return found


COMMANDS = commands()
STARTS = ("ansible-playbook ", "playbooks/", "site.yml ")
PLAYS = [(place, text) for place, text in COMMANDS if text.startswith(STARTS) and "..." not in text]


def test_commands_are_found() -> None:
    assert len(PLAYS) >= 30


@pytest.mark.parametrize(("place", "text"), PLAYS, ids=[f"{place} {text}" for place, text in PLAYS])
def test_a_playbook_and_its_extra_variables_exist(place: str, text: str) -> None:
    words = list(itertools.takewhile(lambda word: word != "|", shlex.split(text, comments=True)))
    words = words[1:] if words[0] == "ansible-playbook" else words
    playbook = words[0] if "/" in words[0] or (ROOT / words[0]).exists() else f"playbooks/{words[0]}"
    assert (ROOT / playbook).is_file(), f"{place}: no {playbook}"
    extra = [value for flag, value in itertools.pairwise(words) if flag == "-e"]
    for option in extra:
        # A blank ends a value: the rest would be lost without a word.
        given = extra_variables.parse_kv(option) if not option.startswith("{") else {}
        assert "_raw_params" not in given, f'{place}: write -e \'{{"name": "value"}}\' for {option}'
    known = [*extra_variables.WORDS, *extra_variables.role_inputs(ROOT)]
    known += [*extra_variables.environment_names([str(ROOT / "inventories" / "prod")])]
    assert extra_variables.refusals(extra_variables.names_given(extra), known, {}) == [], place
    inventories = [value for flag, value in itertools.pairwise(words) if flag == "-i"]
    assert set(inventories) <= {"prod", "staging", "mine"}, place
    flags = {word for word in words if word.startswith("-")}
    assert flags <= {"-e", "-i", "--limit", "--check", "--diff", "--ask-vault-pass", "--ask-become-pass"}, place


def test_every_make_target_on_a_page_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {(place, text.split()[1]) for place, text in COMMANDS if re.match(r"make [a-z]", text)}
    assert len(named) >= 5
    # `make build` is the Makefile of an application.
    unknown = {target for _, target in named if target not in targets and not target.startswith("molecule-")}
    assert unknown == {"build"}


def test_every_documented_role_exists() -> None:
    named = {name for _, text in COMMANDS for name in re.findall(r"ansible-doc -t role (?:-r roles )?(\w+)", text)}
    assert named
    assert named <= set(role_options())


LOG = yaml.safe_load((ROOT / "roles" / "proxy" / "vars" / "main" / "log.yml").read_text())
JQ = [(place, text) for place, text in COMMANDS if "jq -r " in text and "access.log" in text]


@pytest.mark.parametrize(("place", "text"), JQ, ids=[place for place, _ in JQ])
def test_a_question_to_the_access_log_names_its_fields(place: str, text: str) -> None:
    program = re.search(r"jq -r '([^']+)'", text)
    assert program, place
    fields = set(re.findall(r"(?<![\w)])\.(\w+)", program[1]))
    assert fields
    assert fields <= set(LOG["__proxy_log_fields"]), place
    line = json.dumps(dict.fromkeys(LOG["__proxy_log_fields"], "502"))
    run = subprocess.run(["jq", "-r", program[1]], input=line, capture_output=True, text=True, check=False)
    assert (run.returncode, "502" in run.stdout) == (0, True), run.stderr


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            headings = (
                _HEADING.findall(_BLOCK.sub("", path.read_text())) if path.suffix == ".md" and path.exists() else []
            )
            slugs = {re.sub(r"[^\w\- ]", "", one.lstrip("# ").lower()).replace(" ", "-") for one in headings}
            if not path.exists() or (anchor and path.suffix == ".md" and anchor not in slugs):
                broken.append(f"{page.name}: {target}")
    assert broken == []
