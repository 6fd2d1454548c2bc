"""What the tests of deployments share: visitors who never stop asking, and what the hosts say was processed."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from estate import Estate
from visitors import visitors

Run = subprocess.CompletedProcess[str]


class Shop:
    """The application of the scenario, on its hosts."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.hosts = estate.group("shop")

    def lines(self, name: str) -> Counter[str]:
        """Return how often each line is in a file of the state folder, over all hosts that are reached."""
        found: Counter[str] = Counter()
        for host in filter(self.estate.controller_reaches, self.hosts):
            found.update(self.estate.host(host).run(f"cat /var/lib/shop/{name}").stdout.splitlines())
        return found

    def current(self) -> dict[str, str]:
        """Return the release that each host has linked, without the part of its id that is a sum."""
        return {host: self.look(host)[0] for host in self.hosts}

    def look(self, host: str) -> tuple[str, str]:
        """Return the version that a host has linked, and what its health page answers."""
        url = "http://127.0.0.1:3000/healthz"
        link, _, health = (
            self.estate.host(host).run(f"readlink /srv/shop/current; curl -s {url}").stdout.partition("\n")
        )
        return link.rpartition("/")[2].rpartition("-")[0], health

    def drained_at(self, proxy: str) -> set[str]:
        """Return the hosts that a proxy sends nothing to."""
        text = self.estate.host(proxy).file("/etc/nginx/active/upstreams/shop.conf").content_string
        addresses = set(re.findall(r"server ([\d.]+):\d+ down;", text))
        return {host for host in self.hosts if self.estate.address(host) in addresses}

    def drained(self) -> set[str]:
        """Return the hosts that any proxy sends nothing to; all proxies must agree."""
        one, other = (self.drained_at(proxy) for proxy in self.estate.group("proxies"))
        assert one == other
        return one

    def play(self, playbook: str, *words: str) -> Run:
        return self.estate.play(f"playbooks/{playbook}.yml", *words)

    def deploy(self, version: str, *words: str) -> Run:
        return self.play("deploy", "-e", f"app=shop version={version}", *words)

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log of deployments."""
        text = (self.estate.state / "deploys" / "shop" / "log").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def assert_as_before(self, version: str) -> None:
        """Every host runs this version, answers, and gets requests; nobody holds the lock."""
        assert {host: self.look(host) for host in self.hosts} == dict.fromkeys(self.hosts, (version, "well"))
        assert self.drained() == set()
        assert not (self.estate.state / "deploys" / "shop" / "lock").exists()


def assert_refused(run: Run, *texts: str) -> None:
    """The run failed, and said all of this."""
    assert run.returncode != 0, run.stdout
    for text in texts:
        assert text in run.stdout, f"{text!r} is not in\n{run.stdout}"


@pytest.fixture(scope="session")
def shop(estate: Estate) -> Shop:
    return Shop(estate)


@pytest.fixture(scope="module")
def version(shop: Shop) -> str:
    """Return the version that runs and has to go on running."""
    [version] = set(shop.current().values())
    return version


Loading = Callable[[], Any]


@pytest.fixture
def load(estate: Estate, shop: Shop) -> Loading:
    """Return a context manager: visitors ask as long as its block runs, and then it says what they met."""
    return lambda: visitors(estate, "shop.lab.test", lambda: shop.lines("orders"))
