"""The gauntlet's own lab: a proxy, a host for one application after the other, and one for their databases."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "gauntlet"
NAME = "gauntlet"
ADDRESSES = {"proxy1": "10.64.0.11", "app1": "10.64.0.101", "store1": "10.64.0.31"}
ENTRY = "198.18.64.11"
LONGEST = 3600  # seconds of one play, on a machine that has much else to do

HOSTS = f"""\
all:
  vars:
    environment_name: {NAME}
    private_network: 10.64.0.0/24
    edge_network: 198.18.64.0/24
    controller_address: 10.64.0.1
    controller_edge_address: 198.18.64.1
    lab_client: ""
    database_name: gauntlet
    database_password: &password of-this-lab-only
    redis_password: *password
    firewall_confirm_timeout: 120   # for a busy machine
  hosts:
    app1: {{ansible_host: {ADDRESSES["app1"]}}}{{store}}
  children:
    proxies: {{hosts: {{proxy1: {{ansible_host: {ADDRESSES["proxy1"]}, public_address: {ENTRY}}}}}}}
"""
SITE = """\
- name: {name}
  server_names: [{name}.lab.test]
  locations:
    - {{path: /, upstream: {name}}}
"""


class PlayError(RuntimeError):
    """A play that failed, with the end of what it said."""


class Lab:
    """The inventory in build/gauntlet, and plays on it."""

    def __init__(self, stores: bool) -> None:
        """Describe it with a host for databases, or without."""
        self.store = f"\n    store1: {{ansible_host: {ADDRESSES['store1']}}}" if stores else ""
        self.inventory = WORK / "inventory"
        self.log = WORK / "plays.log"

    def describe(self, name: str = "", entry: str = "", site: str = "") -> None:
        """Write the inventory with this application, or with none."""
        everywhere = self.inventory / "group_vars" / "all"
        everywhere.mkdir(parents=True, exist_ok=True)
        for link in ("wiring.yml", "group_vars/all/lab.yml"):
            (self.inventory / link).unlink(missing_ok=True)
            (self.inventory / link).symlink_to(ROOT / "inventories" / "lab" / link)
        ours = self.inventory / "group_vars" / "apps"
        ours.mkdir(exist_ok=True)
        (ours / "app.yml").write_text(f"app_source: {WORK}/sources/{{{{ app_name }}}}\n")
        group = f"    {name}: {{hosts: {{app1: }}}}\n" if name else ""
        (self.inventory / "hosts.yml").write_text(HOSTS.replace("{store}", self.store) + group)
        lists = {"applications": entry, "proxy_sites": site or (SITE.format(name=name) if name else "")}
        for variable, text in lists.items():
            body = f"{variable}:\n{textwrap.indent(text, '  ')}" if text else f"{variable}: []\n"
            (everywhere / f"{variable}.yml").write_text(body)

    def play(self, playbook: str, *arguments: str) -> str:
        """Run a playbook and return what it printed on stdout."""
        command = ["ansible-playbook", f"{playbook}.yml", "-i", str(self.inventory), *arguments]
        run = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONGEST,
            env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        )  # fmt: skip
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(command)}\n{run.stdout}{run.stderr}\n")
        if run.returncode:
            raise PlayError(f"{playbook} failed:\n" + "\n".join((run.stdout + run.stderr).splitlines()[-40:]))
        return run.stdout

    def run(self, host: str, script: str) -> bytes:
        """Run a script on a host as root; return what it wrote."""
        state = ROOT / ".lab" / NAME
        ways = ["-i", str(state / "id_ed25519"), "-o", f"UserKnownHostsFile={state / 'known_hosts'}"]
        done = subprocess.run(
            ["ssh", *ways, f"deploy@{ADDRESSES[host]}", "sudo sh"], input=script.encode(), capture_output=True,
            check=False, timeout=LONGEST,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"on {host}:\n" + "\n".join(done.stderr.decode(errors="replace").splitlines()[-20:]))
        return done.stdout

    def command(self, app: str, *command: str) -> str:
        """Run a command of the application, as an operator does."""
        return self.play("playbooks/run", "-e", f"app={app}", "-e", json.dumps({"command": command}))

    def release(self, app: str) -> str:
        """Return the id of the release that runs."""
        document: dict[str, Any] = json.loads(self.play("playbooks/status", "-e", "format=json", "-e", f"app={app}"))
        return str(document["upstreams"][0]["members"][0]["release"])

    @contextmanager
    def up(self, keep: bool) -> Iterator[None]:
        """Boot the hosts, and take them down however it ends; with `keep` take those that are there, and leave them."""
        shutil.rmtree(WORK / "inventory", ignore_errors=True)
        self.log.unlink(missing_ok=True)
        self.describe()
        try:
            if not keep and (ROOT / ".lab" / NAME).exists():  # of a run that was killed
                self.play("playbooks/lab_down")
            self.play("playbooks/lab_up")
            if self.store:
                self.play("molecule/workers/prepare")
            yield
        finally:
            self.describe()
            if not keep:
                self.play("playbooks/lab_down")
