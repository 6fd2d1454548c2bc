"""What `make bench-proxy` measures, in which order, and what the numbers come to. Nothing here touches a host."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

KINDS = {
    "plain": "HTTP",
    "cached": "HTTP, from the cache",
    "https": "HTTPS",
    "https_cached": "HTTPS, from the cache",
}
# How the proxy reaches the member: by which transport, and whether connections are kept or each request has a new one.
TRANSPORTS = tuple(f"{transport}-{way}" for way in ("kept", "new") for transport in ("http", "https", "mtls"))
OURS, DIRECT, TUNED = "gatehouse", "direct", "tuned"
NAME = "bench.lab.test"
# The kinds for which the cost of each of our settings is measured: where the proxy does least, a cost shows most.
VARIANT_KINDS = ("plain", "cached")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Cell:
    """One server asked one kind of request. `unit` is its systemd unit on the proxy's host, '' for none."""

    server: str
    kind: str
    url: str
    unit: str

    @property
    def key(self) -> str:
        return f"{self.server} {self.kind}"


@dataclass(frozen=True)
class Sample:
    """One run of the load: requests a second, and the proxy's microseconds of CPU for each request."""

    rate: float
    cpu: float


def url(kind: str, port: int) -> str:
    """Return what is asked for one kind of request at a port."""
    scheme = "https" if "https" in kind else "http"
    return f"{scheme}://{NAME}:{port}/{'cached/' if 'cached' in kind else ''}page"


def all_cells(
    rivals: Sequence[Mapping[str, Any]], member: str, variants: Mapping[str, Mapping[str, int]]
) -> list[Cell]:
    """Return every cell: the member itself, our proxy by each transport, each rival, and each variant of ours.

    `rivals` as the inventory's `bench_rivals`, `member` as host:port, `variants` as name to port by scheme.
    """
    cells = [Cell(DIRECT, "plain", f"http://{member}/page", "")]
    cells += [Cell(OURS, kind, url(kind, 443 if "https" in kind else 80), "nginx") for kind in KINDS]
    cells += [
        Cell(f"by {name}", "plain", url("plain", 80).replace("/page", f"/{name}/page"), "nginx") for name in TRANSPORTS
    ]
    cells += [
        Cell(rival["name"], kind, url(kind, port), f"bench-{rival['name']}")
        for rival in rivals
        for kind, port in rival["ports"].items()
    ]
    cells += [
        Cell(f"ours {name}", kind, url(kind, ports["https" if "https" in kind else "http"]), f"bench-ours@{name}")
        for name, ports in variants.items()
        for kind in VARIANT_KINDS
    ]
    return cells


def rotated(items: Sequence[Item], by: int) -> list[Item]:
    """Return the items from the `by`-th on, and then those before it."""
    start = by % len(items) if items else 0
    return [*items[start:], *items[:start]]


def order(cells: Sequence[Cell], turn: int) -> list[Cell]:
    """Return the cells in the order of one round.

    The cells of a kind follow each other, so that what is compared is measured within one minute; kinds and cells start
    at another one in each round, and every second round goes backwards.
    """
    kinds = rotated(list(KINDS), turn)
    ordered = [cell for kind in kinds for cell in rotated([one for one in cells if one.kind == kind], 2 * turn)]
    return ordered[::-1] if turn % 2 else ordered


def parse_wrk(text: str) -> float:
    """Return the requests a second of wrk's report; ValueError if any answer was not as it should be."""
    troubles = re.findall(r"^\s*(Socket errors: .*|Non-2xx or 3xx responses: .*)$", text, re.MULTILINE)
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", text, re.MULTILINE)
    if troubles or not rate or float(rate[1]) <= 0:
        raise ValueError("; ".join(troubles) or f"no rate in what wrk printed: {text.strip()[-200:]}")
    return float(rate[1])


def parse_cpu(text: str) -> int:
    """Return the nanoseconds of CPU in lines of /proc/<pid>/task/<tid>/schedstat."""
    return sum(int(line.split()[0]) for line in text.splitlines() if line.strip())


@dataclass(frozen=True)
class Figure:
    """What the rounds of one cell come to; ratios are to another server's cell, `cpu` is None where none is counted."""

    rate: float
    ratio: float
    low: float
    high: float
    cpu: float | None
    cpu_ratio: float | None


def figure(samples: Sequence[Sample], base: Sequence[Sample]) -> Figure:
    """Return medians over rounds; a ratio is taken within its round, so that what disturbs both cancels."""
    ratios = [sample.rate / other.rate for sample, other in zip(samples, base, strict=True)]
    counted = all(sample.cpu > 0 for sample in samples)
    return Figure(
        rate=statistics.median(sample.rate for sample in samples),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        cpu=statistics.median(sample.cpu for sample in samples) if counted else None,
        cpu_ratio=statistics.median(one.cpu / other.cpu for one, other in zip(samples, base, strict=True))
        if counted
        else None,
    )


def figures(samples: Mapping[str, Sequence[Sample]], servers: Sequence[str], base: str) -> dict[str, dict[str, Figure]]:
    """Return {server: {kind: figure}} for the given servers, against the server `base`."""
    return {
        server: {
            kind: figure(samples[f"{server} {kind}"], samples[f"{base} {kind}"])
            for kind in KINDS
            if f"{server} {kind}" in samples
        }
        for server in servers
    }
