"""What the tests of filters and of preflight share: the filters by name, Ansible's Templar, and a small estate."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.plugins.loader import action_loader, filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from hypothesis import settings

# A busy machine is no defect of what is tested.
settings.register_profile("gatehouse", deadline=None)
settings.load_profile("gatehouse")

ROOT = Path(__file__).resolve().parents[2]
PROXY_SPEC = ROOT / "roles" / "proxy" / "meta" / "argument_specs.yml"
FILTER_FOLDERS = (
    ROOT / "filter_plugins",
    *sorted(ROOT.glob("roles/*/filter_plugins")),
    ROOT / "tests" / "unit" / "filter_examples" / "plugins",
)
for folder in FILTER_FOLDERS:
    filter_loader.add_directory(str(folder))
action_loader.add_directory(str(ROOT / "roles" / "preflight" / "action_plugins"))
init_plugin_loader([])

# One variable of each kind that preflight treats in its own way; the proxy has its real spec.
APP_SPEC = """
argument_specs:
  main:
    short_description: A small app.
    options:
      app_name: {type: str, required: true, description: Name.}
      app_port: {type: int, default: 5000, description: ["Port.", "Format: network_port."]}
      app_note: {type: str, default: '', description: ["A header's text.", "Format: nginx_quote."]}
      app_version: {type: str, default: '1', description: Version.}
      app_secrets: {type: dict, default: {}, no_log: true, description: Secrets.}
      app_passphrase: {type: str, default: '', no_log: true, description: Passphrase.}
"""
FILES = {
    "hosts.yml": """all:
  children:
    proxies:
      hosts:
        proxy1: {private_address: 10.0.0.1}
        proxy2: {private_address: 10.0.0.2}
    apps:
      children:
        storefront:
          hosts:
            web1: {private_address: 10.0.0.11}
            web2: {ansible_host: 10.0.0.12, member: {weight: 2}}
""",
    "group_vars/apps/app.yml": "app_name: storefront\napp_version: '1.10'\napp_secrets: {token: hidden}\n",
    "group_vars/proxies/proxy.yml": """proxy_upstreams:
  - name: storefront
    transport: http
    members: "{{ groups['storefront'] | upstream_members(hostvars, 5000) }}"
proxy_caches:
  - name: pages
    size: 8m
proxy_sites:
  - name: shop
    server_names: [shop.example.org]
    locations:
      - path: /
        upstream: storefront
      - path: /static/
        upstream: storefront
        cache: {zone: pages}
""",
}
SITE = """- hosts: all
  gather_facts: false
  roles: [preflight]
- hosts: apps
  gather_facts: false
  roles: [app]
- hosts: proxies
  gather_facts: false
  roles: [proxy]
"""


def load(path: str) -> ModuleType:
    """Import a file of a role or a tool, whose folders are no packages, by its path from the project's root."""
    name = "gatehouse_" + path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks for the module that it is in.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Estate:
    """A project in a scratch folder: the real preflight beside two small roles, and one inventory."""

    root: Path

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace the one place in an inventory file; a test that changes nothing would prove nothing."""
        path = self.root / "inventory" / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    def write(self, name: str, text: str) -> None:
        path = self.root / "inventory" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self) -> tuple[bool, str]:
        """Run the action alone, in this process; return whether it failed, and its report."""
        loader = DataLoader()
        loader.set_basedir(str(self.root))
        inventory = InventoryManager(loader, sources=[str(self.root / "inventory")])
        hostvars = HostVars(inventory, VariableManager(loader, inventory), loader)
        task = Task.load({"estate_check": None}, loader=loader)
        task.args = {"roles": str(self.root / "roles"), "playbooks": [str(self.root / "site.yml")]}
        variables = {
            "hostvars": hostvars,
            "inventory_dir": str(self.root / "inventory"),
            "playbook_dir": str(self.root),
        }
        templar = Templar(loader, variables)
        action = action_loader.get(
            "estate_check",
            task=task,
            connection=Mock(),
            play_context=None,
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        try:
            return False, action.run(None, variables)["msg"]
        except AnsibleActionFail as error:
            return True, str(error.result_contribution["msg"])

    @staticmethod
    def lines(report: str) -> list[str]:
        """Return the lines of a report without its first, without numbers and indentation."""
        return [line.strip() if line.startswith("     ") else line[5:] for line in report.splitlines()[1:]]

    def play(self, *arguments: str) -> tuple[int, str]:
        """Run preflight as people do; return the playbook's exit status and all it printed."""
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "inventory",
            "preflight.yml",
        ]
        run = subprocess.run(
            [*command, *arguments],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return run.returncode, run.stdout + run.stderr

    @staticmethod
    def environment() -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": "roles",
            "ANSIBLE_FILTER_PLUGINS": str(ROOT / "filter_plugins"),
            "ANSIBLE_NOCOLOR": "1",
        }


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that takes the test to a time zone, which ends with the test."""

    def go(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield go
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """Return an estate in which preflight finds nothing."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(
        ROOT / "roles" / "preflight",
        tmp_path / "roles" / "preflight",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for role, spec in (("proxy", PROXY_SPEC.read_text()), ("app", APP_SPEC)):
        (tmp_path / "roles" / role / "meta").mkdir(parents=True)
        (tmp_path / "roles" / role / "meta" / "argument_specs.yml").write_text(spec)
    made = Estate(tmp_path)
    for name, text in FILES.items():
        made.write(name, text)
    (tmp_path / "site.yml").write_text(SITE)
    (tmp_path / "preflight.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  roles: [preflight]\n"
        '  vars: {preflight_playbooks: ["{{ playbook_dir }}/site.yml"]}\n'
    )
    return made


@pytest.fixture(scope="session")
def builder() -> Any:
    """Return the module that builds releases."""
    return load("roles/app/library/release_archive.py")


@pytest.fixture(scope="session")
def filters() -> Callable[[str], Callable[..., Any]]:
    """Return a filter's function by its name, as templates find it."""
    return lambda name: filter_loader.get(name).j2_function


@pytest.fixture
def render() -> Callable[..., Any]:
    """Evaluate an expression as a play would: its values arrive tagged and lazy."""

    def evaluate(expression: str, **variables: Any) -> Any:
        return Templar(loader=DataLoader(), variables=variables).template(trust_as_template("{{ " + expression + " }}"))

    return evaluate


@pytest.fixture
def trusted() -> Callable[[Any], Any]:
    """Mark the text in a value as templates of this project, which Ansible then evaluates."""

    def mark(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: mark(one) for key, one in value.items()}
        if isinstance(value, list):
            return [mark(one) for one in value]
        return trust_as_template(value) if isinstance(value, str) else value

    return mark
