"""No worker loads filters: each would, for each task, and that was two thirds of what a run costs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Writes down which process loads it.
PLUGIN = """
import os, pathlib
with pathlib.Path({log!r}).open("a") as log:
    log.write(f"{{os.getpid()}}\\n")
class FilterModule:
    def filters(self):
        return {{{name!r}: str}}
class TestModule:
    def tests(self):
        return {{{name!r}: bool}}
"""
# The role's own filters come when it is included, in the midst of the play.
PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - {debug: {msg: "{{ 1 | early }}"}, when: inventory_hostname is defined}
    - {include_role: {name: late}}
    - {debug: {msg: "{{ 1 | early }}"}, when: 1 is early}
"""


def loaders(folder: Path, callbacks: Path) -> tuple[int, list[int]]:
    """Run PLAY on three hosts; return Ansible's own process, and those that loaded the plugins, sorted."""
    log = str(folder / "log")
    for kind, name in {"filters": "early", "tests": "early"}.items():
        (folder / kind).mkdir()
        (folder / kind / f"{name}.py").write_text(PLUGIN.format(log=log, name=name))
    for part in ("tasks", "filter_plugins"):
        (folder / "roles/late" / part).mkdir(parents=True)
    (folder / "roles/late/filter_plugins/late.py").write_text(PLUGIN.format(log=log, name="late"))
    (folder / "roles/late/tasks/main.yml").write_text('- debug: {msg: "{{ 1 | late }}"}\n')
    (folder / "play.yml").write_text(PLAY)
    environment = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(callbacks),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",  # the project's own is beside the callback
        "ANSIBLE_FILTER_PLUGINS": str(folder / "filters"),
        "ANSIBLE_TEST_PLUGINS": str(folder / "tests"),
        "ANSIBLE_ROLES_PATH": str(folder / "roles"),
    }
    run = subprocess.Popen(
        ["ansible-playbook", "-i", "a,b,c", str(folder / "play.yml")],
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    return run.pid, sorted({int(line) for line in Path(log).read_text().split()})


def test_filters_are_loaded_before_the_fork(tmp_path: Path) -> None:
    ansible, found = loaders(tmp_path, ROOT / "callback_plugins")
    assert found == [ansible]


def test_without_the_callback_workers_load_them(tmp_path: Path) -> None:
    """The test before would otherwise pass for a reason of Ansible's own, and the callback could go."""
    ansible, found = loaders(tmp_path, tmp_path / "none")
    assert len(set(found) - {ansible}) >= 3


def test_project_uses_the_callback() -> None:
    assert "callback_plugins = callback_plugins" in (ROOT / "ansible.cfg").read_text().splitlines()
