"""What the tests of deployments share: visitors who never stop asking, and what the hosts say was processed."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from estate import Estate

LOAD = Path(__file__).resolve().parents[1].joinpath("load.py").read_text()
SECONDS = 240  # the load ends by itself after so long, whatever becomes of the test
KINDS = {"get", "post", "slow", "kept", "live"}
Run = subprocess.CompletedProcess[str]


@dataclass
class Load:
    """What visitors met while a `with load()` block ran; filled in when it ends."""

    report: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: Counter[str] = field(default_factory=Counter)

    @property
    def failures(self) -> list[str]:
        return [f"{kind}: {text}" for kind, tally in self.report.items() for text in tally["failures"]]

    @property
    def spread(self) -> dict[str, dict[str, int]]:
        """Return how many answers each host gave of each release."""
        counts: dict[str, Counter[str]] = {}
        for tally in self.report.values():
            for _, host, release in tally["answers"]:
                if host:
                    counts.setdefault(host, Counter())[release] += 1
        return {host: dict(releases) for host, releases in sorted(counts.items())}

    @property
    def releases(self) -> set[str]:
        return {release for counts in self.spread.values() for release in counts}

    def assert_nobody_noticed(self) -> None:
        """No request failed, there were some of each kind, and each order was processed once."""
        assert self.failures == []
        counts = {kind: len(tally["answers"]) for kind, tally in self.report.items()}
        assert set(counts) == KINDS
        assert min(counts.values()) >= 10, counts
        posted = self.report["post"]["posted"]
        assert {order: self.orders[order] for order in posted} == dict.fromkeys(posted, 1)
        reopened = {kind: tally["reopened"] for kind, tally in self.report.items() if tally["reopened"]}
        print(f"\nanswers {counts}, reopened {reopened}, by host and release {self.spread}")


class Shop:
    """The application of the scenario, on its hosts."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.hosts = estate.group("shop")

    def lines(self, name: str) -> Counter[str]:
        """Return how often each line stands in a file of the state folder, over all hosts."""
        found: Counter[str] = Counter()
        for host in self.hosts:
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


@pytest.fixture(scope="session")
def shop(estate: Estate) -> Shop:
    return Shop(estate)


Loading = Callable[[], Any]


@pytest.fixture
def load(estate: Estate, shop: Shop) -> Loading:
    """Return a context manager: visitors ask as long as its block runs, and then it says what they met."""
    client = estate.client
    client.check_output(f"echo {base64.b64encode(LOAD.encode()).decode()} | base64 -d > /srv/load.py")
    addresses = [estate.variables(proxy)["public_address"] for proxy in estate.group("proxies")]

    @contextmanager
    def asking() -> Iterator[Load]:
        found = Load()
        stop, report = "/srv/load.stop", "/srv/load.json"
        client.check_output(f"rm -f {stop} {report}")
        settings = {"addresses": addresses, "name": "shop.lab.test", "seconds": SECONDS, "stop": stop, "report": report,
                    "kinds": sorted(KINDS)}  # fmt: skip
        words = shlex.quote(json.dumps(settings))
        client.check_output(f"nohup python3 /srv/load.py {words} > /srv/load.log 2>&1 & sleep 2")
        try:
            yield found
            time.sleep(1)
        finally:
            client.check_output(f"touch {stop}")
            deadline = time.monotonic() + 30
            while not client.file(report).exists:
                assert time.monotonic() < deadline, client.file("/srv/load.log").content_string
                time.sleep(0.5)
        found.report.update(json.loads(client.file(report).content_string))
        found.orders.update(shop.lines("orders"))

    return asking
