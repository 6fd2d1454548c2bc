"""What the tests of the scenario `bad_input` share: writing wrong values, and looking at a host that must stay."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from estate import ROOT, Estate

Play = Callable[..., tuple[int, str, str]]


def changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the values with `changes` {proxy_sites.0.name: value}; an index beyond a list's end appends."""
    values = copy.deepcopy(values)
    for path, value in changes.items():
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place: Any = values
        for part in way:
            place = place.setdefault(part, {}) if isinstance(part, str) else place[part]
        if isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return values


@pytest.fixture(scope="session")
def sound(estate: Estate) -> dict[str, Any]:
    """Return what the inventory says of its proxy."""
    path = Path(estate.inventory) / "group_vars" / "proxies" / "proxy.yml"
    return dict(yaml.safe_load(path.read_text()))


@pytest.fixture
def play(estate: Estate, tmp_path: Path) -> Play:
    """Run a playbook with other values; return its status, the message of what failed, and all output."""

    def run(playbook: str, values: dict[str, Any], *arguments: str) -> tuple[int, str, str]:
        path = tmp_path / "wrong.yml"
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
        command = ["ansible-playbook", playbook, "-i", estate.inventory, "-e", f"@{path}", *arguments]
        callback = dict.fromkeys(("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_CALLBACKS_ENABLED"), "ansible.posix.json")
        ended = subprocess.run(  # noqa: S603 - the command is the tests' own
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300, env=os.environ | callback
        )
        tasks = [task for one in json.loads(ended.stdout)["plays"] for task in one["tasks"]]
        results = [result for task in tasks for result in task["hosts"].values()]
        failed = [str(result.get("msg")) for result in results if result.get("failed")]
        return ended.returncode, failed[-1] if failed else "", ended.stdout + ended.stderr

    return run


@pytest.fixture(scope="session")
def look(estate: Estate) -> Callable[[], str]:
    """Return what a run could have changed on the proxy: files, links, processes, rules, and who is served what.

    Of nginx's processes only the workers: the one that loads the cache ends by itself.
    """
    script = """
        curl -s --max-time 5 --unix-socket /run/nginx-identity.sock http://identity/; echo
        find /etc/nginx /etc/ssl /etc/systemd/system -type d -printf '%p %m %u\\n' -o -printf '%p %l %m %u %s %T@\\n' |
            sort | sha256sum
        systemctl show nginx -p MainPID -p ActiveEnterTimestampMonotonic; nft list ruleset | sha256sum
        ps -C nginx -o pid=,args= | grep worker
    """
    return lambda: str(estate.host("proxy1").check_output(script))
