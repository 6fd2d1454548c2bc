"""What the tests of the scenario `engine` share: asking nginx_tree for trees, and looking at the hosts."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from engine.adhoc import Adhoc, Run

PROJECT = Path(__file__).parents[3]
INVENTORY = os.environ["GATEHOUSE_INVENTORY"]
ENVIRONMENT = {
    **os.environ,
    "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
    "ANSIBLE_LIBRARY": str(PROJECT / "roles/nginx/library"),
    "ANSIBLE_ACTION_PLUGINS": str(PROJECT / "roles/nginx/action_plugins"),
    "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
    "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
    "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.json",  # without the project's own, whose text would follow the JSON
}
CONF = """
user www-data;
worker_processes 2;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events {}
http {
    include active/identity.conf;
    include active/sites/*.conf;
}
"""


def site(word: str, port: int = 8080) -> str:
    """Return a server that answers with one word."""
    return f'server {{ listen {port}; return 200 "{word}\\n"; }}\n'


def tree(word: str = "one", **more: str) -> dict[str, str]:
    """Return the files of a tree that answers with one word; `more` are further sites by name."""
    sites = {f"sites/{name}.conf": text for name, text in more.items()}
    return {"nginx.conf": CONF, "sites/one.conf": site(word), **sites}


@functools.cache
def adhoc() -> Adhoc:
    return Adhoc(ENVIRONMENT, PROJECT)


def start(hosts: str, module: str, arguments: str, *flags: str) -> Run:
    """Start an ad-hoc task and do not wait for it."""
    return adhoc().start(hosts, "-i", INVENTORY, "-m", module, "-a", arguments, *flags)


def results(task: Run) -> dict[str, dict[str, Any]]:
    """Wait for an ad-hoc task, return {host: result}."""
    out, err = task.output()
    assert out.startswith("{"), f"{out}\n{err}"
    hosts: dict[str, dict[str, Any]] = json.loads(out)["plays"][0]["tasks"][0]["hosts"]
    return hosts


class Engine:
    """One host under test, reached as its inventory says."""

    def __init__(self, name: str, connection: dict[str, str]) -> None:
        self.name = name
        self.address = connection["host"]
        self.clean = ""  # what signature() was with the first tree
        self.host: Host = testinfra.get_host(
            f"ssh://{connection['user']}@{connection['host']}",
            ssh_identity_file=connection["key"],
            ssh_extra_args=connection["args"],
            controlpath="/tmp/gatehouse-%%C",  # noqa: S108
            sudo=True,
        )

    def start(self, files: dict[str, str], *flags: str, **options: Any) -> Run:
        """Start a run of nginx_tree and do not wait for it."""
        arguments = json.dumps({"files": files, "timeout": 10, **options})
        return start(self.name, "nginx_tree", arguments, "--become", *flags)

    def finish(self, run: Run) -> dict[str, Any]:
        """Wait for a run and return its result."""
        return results(run)[self.name]

    def apply(self, files: dict[str, str], *flags: str, **options: Any) -> dict[str, Any]:
        """Run nginx_tree and return its result."""
        return self.finish(self.start(files, *flags, **options))

    def begin(self) -> None:
        """Have the first tree served."""
        if self.clean and self.signature() == self.clean:
            return
        result = self.apply(tree())
        assert not result.get("failed"), result["msg"]
        assert self.get() == "one"
        self.clean = self.signature()

    def sh(self, script: str) -> str:
        """Run a shell script on the host as root, require that it succeeds, return what it prints."""
        return str(self.host.check_output(script)).strip()

    def get(self, port: int = 8080) -> str:
        """Ask from outside."""
        with urllib.request.urlopen(f"http://{self.address}:{port}/", timeout=5) as answer:
            return str(answer.read().decode().strip())

    def serves(self) -> str:
        """Return the tree that the running server names, asked on the host."""
        return self.sh("curl -s --max-time 5 --unix-socket /run/nginx-identity.sock http://identity/")

    def live(self) -> str:
        """Return the tree that is linked."""
        return self.sh("readlink /etc/nginx/active").removeprefix("trees/")

    def trees(self) -> list[str]:
        """Return what is in the folder of trees."""
        return self.sh("ls -A /etc/nginx/trees").split()

    def snapshot(self) -> str:
        """Return everything that a run could change: files with their times, links, processes."""
        files = "find /etc/nginx -mindepth 1 -not -path /etc/nginx/trees -printf '%p %l %m %u %T@\\n' | sort"
        return self.sh(f"{files}; pgrep -x nginx; systemctl is-active nginx; systemctl is-enabled nginx || true")

    def signature(self) -> str:
        """Return what shows whether a test has changed anything."""
        return self.sh("curl -s --max-time 5 --unix-socket /run/nginx-identity.sock x; true") + self.snapshot()


@functools.cache
def engines() -> list[Engine]:
    """Return the hosts of the group `proxies`, with the connection variables that Ansible has resolved."""
    names = {"host": "host", "user": "user", "key": "ssh_private_key_file", "args": "ssh_common_args"}
    wanted = ", ".join(f"'{key}': ansible_{name} | default('')" for key, name in names.items())
    task = start("proxies", "ansible.builtin.debug", f"msg={{{{ {{{wanted}}} }}}}")
    return [Engine(name, result["msg"]) for name, result in sorted(results(task).items())]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of an engine on each host of the group `proxies`."""
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", engines(), indirect=True, ids=lambda engine: engine.name, scope="function")


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return a host that serves the first tree."""
    host: Engine = request.param
    host.begin()
    return host


@pytest.fixture(scope="session")
def killed() -> subprocess.CompletedProcess[str]:
    """Return the run that kills nginx_tree at each of its steps, on all hosts at once."""
    playbook = str(PROJECT / "molecule/engine/killed.yml")
    command = ["ansible-playbook", playbook, "-i", INVENTORY, "-e", "{killed_first: 1, killed_last: 26}"]
    plain = {"ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    environment = {**ENVIRONMENT, **plain}
    return subprocess.run(  # noqa: S603
        command, env=environment, cwd=PROJECT, text=True, capture_output=True, check=False, timeout=1200
    )
