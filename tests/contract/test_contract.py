"""What the project says about itself, held against what it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
ENVIRONMENTS = sorted(path.name for path in (ROOT / "inventories").iterdir() if path.is_dir())
# Those that are labs make their secrets up, and need no vault.
REHEARSED = [name for name in ENVIRONMENTS if not (ROOT / "inventories" / name / "group_vars/all/lab.yml").exists()]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
each_role = pytest.mark.parametrize("role", ROLES)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else None


def options(role: str) -> dict[str, Any]:
    """Return the options of all the role's entry points."""
    specs = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)


@each_role
def test_a_role_has_its_meta_its_spec_and_its_tasks(role: str) -> None:
    for name in ("meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"):
        assert (ROOT / "roles" / role / name).is_file(), f"roles/{role}/{name} is missing"


@each_role
def test_spec_and_defaults_are_equal(role: str) -> None:
    spec = options(role)
    defaults = load(ROOT / "roles" / role / "defaults" / "main.yml") or {}
    optional = {name: option.get("default") for name, option in spec.items() if not option.get("required")}
    assert optional == defaults


def texts(prefix: str, given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every text option of a spec, nested ones included, with its path."""
    for name, option in given.items():
        if option.get("options"):
            yield from texts(f"{prefix}{name}.", option["options"])
        elif "str" in (option.get("type"), option.get("elements")) or option.get("type") == "path":
            yield f"{prefix}{name}", option


def numbers(prefix: str, given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every integer of a spec, nested ones included, with its path."""
    for name, option in given.items():
        yield from numbers(f"{prefix}{name}.", option.get("options") or {})
        if "int" in (option.get("type"), option.get("elements")):
            yield f"{prefix}{name}", option


@each_role
def test_every_integer_has_a_range(role: str) -> None:
    for name, option in numbers("", options(role)):
        lines = option["description"]
        last = lines if isinstance(lines, str) else lines[-1]
        limits = re.search(r"Range: (-?\d+) to (-?\d+)\.$", last)
        assert limits or "choices" in option or re.search(r"Format: \w+\.$", last), name
        if limits and isinstance(option.get("default"), int):
            assert int(limits[1]) <= option["default"] <= int(limits[2]), name


def test_every_text_that_could_reach_nginx_has_a_format_or_choices() -> None:
    free = {
        name
        for name, option in texts("", options("proxy"))
        if "choices" not in option and not re.search(r"Format: \w+\.", str(option["description"]))
    }
    # Paths on the controller, and reasons for people: no template sees them.
    files = ("certificate.chain", "certificate.key", "client_certificates.ca", "client_certificates.crl")
    reasons = ("waf.exclude.why", "waf.refuse.why", "locations.waf.exclude.why", "locations.waf.refuse.why")
    members = ("proxy_upstream_ca", "proxy_upstream_crl", "proxy_upstreams.tls.ca", "proxy_upstreams.tls.crl")
    endpoints = ("proxy_endpoints.ca", "proxy_endpoints.crl")
    assert free == {f"proxy_sites.{name}" for name in (*files, *reasons, "error_page", "maintenance.page")} | {
        *members,
        *endpoints,
    }


@each_role
def test_a_role_names_its_variables_after_itself(role: str) -> None:
    public = set(options(role)) | set(load(ROOT / "roles" / role / "defaults" / "main.yml") or {})
    assert [name for name in public if not name.startswith(f"{role}_")] == []
    folder = ROOT / "roles" / role / "vars"
    internal = {name for path in (*folder.glob("main.yml"), *folder.glob("main/*.yml")) for name in load(path)}
    assert [name for name in internal if not name.startswith(f"__{role}_")] == []


@each_role
def test_a_role_knows_neither_a_group_nor_another_roles_variables(role: str) -> None:
    groups = set(re.findall(r"^\s+([a-z_]+):$", (ROOT / "inventories/lab/hosts.yml").read_text(), re.MULTILINE))
    groups -= {"all", "vars", "children", "hosts"}
    others = {name for other in ROLES if other != role for name in options(other)}
    for path in [*(ROOT / "roles" / role).rglob("*.yml"), *(ROOT / "roles" / role).rglob("*.j2")]:
        # The table of renamed names is for every role's inventory.
        if path.parent.name in ("meta", "library", "filter_plugins") or path.name == "renamed.yml":
            continue
        text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
        assert not re.search(rf"groups\[['\"]({'|'.join(groups)})['\"]\]", text), f"{path} names a group"
        # An import of a role hands it its inputs; that is no knowledge of what the other role does with them.
        named = set(re.findall(r"(?<![\w.])([a-z][a-z_]+)(?=\b)(?!:)", text)) & others
        assert not named, f"{path} names {sorted(named)} of another role"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_tests(scenario: str) -> None:
    tests = [path.read_text() for path in (ROOT / "tests" / "scenarios" / scenario).glob("test_*.py")]
    assert sum(text.count("\ndef test_") for text in tests) > 0
    assert all("assert" in text for text in tests)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_is_found_by_its_bare_name(environment: str) -> None:
    assert os.path.realpath(ROOT / environment) == str(ROOT / "inventories" / environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_passes_preflight(environment: str) -> None:
    names = load(ROOT / "inventories" / environment / "vault.example.yml") if environment in REHEARSED else {}
    secrets = {name: f"made up for {name}" for name in names}
    extra = json.dumps(secrets | {"ansible_ssh_private_key_file": ""})  # the lab need not be up for this
    outcome = run("ansible-playbook", "playbooks/preflight.yml", "-i", environment, "-e", extra)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("environment", REHEARSED)
def test_the_vault_example_names_every_secret(environment: str) -> None:
    used = set()
    folder = ROOT / "inventories" / environment
    for path in (folder / "wiring.yml", *(folder / "group_vars").rglob("*.yml")):
        if path.name != "vault.yml":
            used |= set(re.findall(r"\bvault_\w+\b", path.read_text())) - {"vault_example"}
    assert used == set(load(ROOT / "inventories" / environment / "vault.example.yml"))


def test_the_readme_lists_the_roles_as_their_specs_describe_them() -> None:
    text = (ROOT / "README.md").read_text()
    table = text[text.index("<!-- roles -->") : text.index("<!-- /roles -->")]
    described = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    points = {role: load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"] for role in ROLES}
    specs = {role: found["main"] if "main" in found else next(iter(found.values())) for role, found in points.items()}
    assert described == {role: spec["short_description"].rstrip(".") for role, spec in specs.items()}


def test_the_readme_names_only_files_and_targets_that_exist() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for playbook in set(re.findall(r"\bplaybooks/[\w.]+\.yml|\bsite\.yml", text)):
        assert (ROOT / playbook).is_file(), playbook
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z][a-z-]+)", text)):
        pattern = target.replace("molecule-engine", "molecule-%")
        assert re.search(rf"^{re.escape(pattern)}:", makefile, re.MULTILINE), f"make {target}"


def test_the_lock_names_no_index_and_hashes_everything() -> None:
    locks = ROOT.glob("molecule/runtimes/files/*/requirements.txt")
    for lock in (ROOT / "requirements.txt", ROOT / "apps/storefront/requirements.txt", *locks):
        text = lock.read_text()
        assert "http" not in re.sub(r"(?m)^#.*$|\bhttp\w+==", "", text).replace("httptools", ""), lock
        assert text.count("==") <= text.count("--hash=sha256:")
    assert '"resolved"' not in (ROOT / "apps/dashboard/package-lock.json").read_text()


def test_decisions_are_numbered_in_one_form() -> None:
    paths = sorted(ROOT.glob("docs/decisions/*.md"))
    assert [int(path.name[:3]) for path in paths] == list(range(1, len(paths) + 1))
    mapped = (ROOT / "ARCHITECTURE.md").read_text()
    for path in paths:
        headings = re.findall(r"^#+ .*$", path.read_text(), re.MULTILINE)
        assert headings[0].startswith(f"# {int(path.name[:3])}. ")
        assert headings[1:] == ["## Context", "## Decision", "## Consequence"]
        assert f"[{headings[0].split('. ', 1)[1]}](docs/decisions/{path.name})" in mapped


def test_no_task_lasts_for_ever() -> None:
    """A host that hangs holds up nobody for longer: the last net, below the deadlines of each step."""
    shown = run(
        "ansible-config", "dump", "--only-changed", "--format", "json", ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")
    )
    settings = {one["name"]: one["value"] for one in json.loads(shown.stdout) if "name" in one}
    assert 0 < settings["TASK_TIMEOUT"] <= 900
