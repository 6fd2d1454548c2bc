"""Scenarios: what each has, and that what `make scenario` writes is the same and valid."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
SHARED = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text())


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("new_scenario", ROOT / "tests/tools/new_scenario.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same_leaves(own: Any, shared: Any, path: str = "") -> list[str]:
    """Return the paths at which a scenario repeats what all have."""
    if isinstance(own, dict) and isinstance(shared, dict):
        return [
            found for key in own.keys() & shared.keys() for found in same_leaves(own[key], shared[key], f"{path}.{key}")
        ]
    return [path] if own == shared else []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_says_only_what_differs(name: str) -> None:
    text = (ROOT / "molecule" / name / "molecule.yml").read_text()
    assert len(text.splitlines()) <= 10
    assert text.startswith("# ")
    assert same_leaves(yaml.safe_load(text) or {}, SHARED) == []


def networks(root: Path) -> list[str]:
    """Return the private networks of all scenarios and environments."""
    found = []
    for path in (*root.glob("molecule/*/inventory"), *root.glob("inventories/*/")):
        texts = [one.read_text() for one in sorted(path.rglob("*.yml")) if not one.is_symlink()]
        found += [line.split()[1] for text in texts for line in text.splitlines() if "private_network:" in line]
    return found


def test_no_two_labs_have_one_network() -> None:
    assert [network for network, count in Counter(networks(ROOT)).items() if count > 1] == []


def test_what_is_written_is_a_scenario_that_preflight_accepts(tmp_path: Path) -> None:
    # The project without its scenarios' tests and history: what preflight and the inventory read.
    for name in ("inventories", "molecule", "roles", "playbooks", "collections", "filter_plugins", "callback_plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("ansible.cfg", "site.yml"):
        shutil.copy(ROOT / name, tmp_path)
    made = tool()
    numbers = [made.write(tmp_path, name) for name in ("try_out", "another")]
    assert len(set(numbers)) == 2
    assert not {f"10.{number}.0.0/24" for number in numbers} & set(networks(ROOT))
    own, other = (tmp_path / "molecule" / name for name in ("try_out", "bad_input"))
    theirs = {path.relative_to(other) for path in other.rglob("*.yml")} - {Path("proxy.yml")}
    assert {path.relative_to(own) for path in own.rglob("*.yml")} == theirs
    assert all((own / path).is_symlink() == (other / path).is_symlink() and (own / path).exists() for path in theirs)
    assert yaml.safe_load((own / "molecule.yml").read_text()) is None
    tests = (tmp_path / "tests/scenarios/try_out/test_try_out.py").read_text()
    assert "assert" in tests
    compile(tests, "test_try_out.py", "exec")
    command = ["ansible-playbook", "playbooks/preflight.yml", "-i", "molecule/try_out/inventory"]
    extra = ["-e", json.dumps({"ansible_ssh_private_key_file": ""})]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    run = subprocess.run(
        [*command, *extra], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stdout
    assert "1 host, 1 site, 0 upstreams: no problem found" in run.stdout


@pytest.mark.parametrize(
    ("name", "message"), [("9x", 'NAME is "9x"'), ("", 'NAME is ""'), ("sites", "is there already")]
)
def test_a_name_that_cannot_be_is_refused(name: str, message: str) -> None:
    run = subprocess.run(
        ["python3", "tests/tools/new_scenario.py", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert run.returncode == 1
    assert message in run.stderr
