"""Visitors of one site who never stop asking, in five ways at once, and what they met."""

from __future__ import annotations

import base64
import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from estate import Estate

LOAD = Path(__file__).with_name("load.py").read_text()
SECONDS = 240  # the load ends by itself after so long, whatever becomes of the test
KINDS = {"get", "post", "slow", "kept", "live"}


@dataclass
class Load:
    """What visitors met while a `with load()` block ran; filled in when it ends."""

    kinds: set[str] = field(default_factory=lambda: KINDS)
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
        assert set(counts) == self.kinds
        assert min(counts.values()) >= 10, counts
        posted = self.report["post"]["posted"]
        assert {order: self.orders[order] for order in posted} == dict.fromkeys(posted, 1)
        reopened = {kind: tally["reopened"] for kind, tally in self.report.items() if tally["reopened"]}
        print(f"\nanswers {counts}, reopened {reopened}, by host and release {self.spread}")


@contextmanager
def visitors(estate: Estate, site: str, orders: Callable[[], Counter[str]], kinds: set[str] = KINDS) -> Iterator[Load]:
    """Ask for a site through all proxies as long as the block runs; `orders` says what its application processed."""
    client = estate.client
    client.check_output(f"echo {base64.b64encode(LOAD.encode()).decode()} | base64 -d > /srv/load.py")
    addresses = [estate.variables(proxy)["public_address"] for proxy in estate.group("proxies")]
    found = Load(kinds)
    stop, report = "/srv/load.stop", "/srv/load.json"
    client.check_output(f"rm -f {stop} {report}")
    settings = {"addresses": addresses, "name": site, "seconds": SECONDS, "stop": stop, "report": report,
                "kinds": sorted(kinds)}  # fmt: skip
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
    found.orders.update(orders())
