"""The inventory that molecule made hosts of, its hosts, and what a client outside is answered."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import testinfra
from testinfra.host import Host

from inside import Inside

ROOT = Path(__file__).resolve().parents[2]


class Estate:
    """The inventory of the scenario, and how to reach what it describes."""

    def __init__(self, inventory: str) -> None:
        self.inventory = inventory
        # One SSH connection serves all that a test does on a host: else each command shakes hands anew.
        self.connections = tempfile.TemporaryDirectory(prefix="gatehouse-")

    @cached_property
    def _listing(self) -> dict[str, Any]:
        run = subprocess.run(
            ["ansible-inventory", "-i", self.inventory, "--list"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return dict(json.loads(run.stdout))

    def variables(self, name: str) -> dict[str, Any]:
        """Return a host's variables as the inventory writes them, not templated."""
        return dict(self._listing["_meta"]["hostvars"][name])

    def group(self, name: str) -> list[str]:
        return list(self._listing[name]["hosts"])

    @property
    def lab(self) -> str:
        return str(self.variables("proxy1")["environment_name"])

    @property
    def state(self) -> Path:
        return ROOT / ".lab" / self.lab

    def address(self, name: str) -> str:
        return str(self.variables(name)["ansible_host"])

    @property
    def entry(self) -> str:
        """Return the address at which the public reaches the proxy."""
        return str(self.variables("proxy1")["public_address"])

    def host(self, name: str) -> Host:
        """Return a host of the inventory, over SSH and as root."""
        return testinfra.get_host(
            f"ssh://deploy@{self.address(name)}",
            ssh_identity_file=str(self.state / "id_ed25519"),
            ssh_extra_args=f"-o UserKnownHostsFile={self.state / 'known_hosts'}",
            controlpath=f"{self.connections.name}/{name}",
            sudo=True,
        )

    def inside(self, name: str) -> Host:
        """Return a container of this lab that no test restarts, as root and past its network."""
        return Host(Inside(f"{self.lab}-{name}"))

    @cached_property
    def client(self) -> Host:
        """Return the host outside the private network, holding the CA's certificate in /srv/ca.pem."""
        client = self.inside("client")
        authority = base64.b64encode((self.state / "ca" / "ca.pem").read_bytes()).decode()
        client.check_output(f"echo {authority} | base64 -d > /srv/ca.pem")
        return client

    def controller_reaches(self, name: str, port: int = 22) -> bool:
        """Return whether a connection from the controller is accepted."""
        try:
            with socket.create_connection((self.address(name), port), timeout=3):
                return True
        except OSError:
            return False

    def podman(self, verb: str, name: str) -> None:
        """Stop, start or kill the container of one host of this lab; SSH connections to it begin anew."""
        Path(self.connections.name, name).unlink(missing_ok=True)
        verbs = [[verb]]
        if verb == "kill":  # it does not wait; until the network is gone, the host's kernel refuses connections at once
            verbs.append(["wait", "--condition=exited"])
        for words in verbs:
            subprocess.run(["podman", *words, f"{self.lab}-{name}"], check=True, capture_output=True, timeout=60)

    def play(self, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the project on this inventory; the caller looks at status and output."""
        return subprocess.run(
            ["ansible-playbook", playbook, "-i", self.inventory, *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
            env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        )  # fmt: skip


Ask = Callable[..., "Answer"]


class Answer:
    """What the client got: status, headers by lower-case name, body, and curl's exit status."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        head, _, self.body = text.replace("\r\n", "\n").partition("\n\n")
        lines = head.splitlines()
        self.status = int(lines[0].split()[1]) if lines else 0
        self.headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
