"""Which runs the cost bench makes, how often, and about how long that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOW, THEN, RIVAL = "now", "then", "rival"

# In the order in which they are measured: the first ones leave a converged estate to the others.
PARTS = {
    "lab": "what `make lab` runs on a fresh checkout whose images exist",
    "first": "site.yml on booted bare hosts",
    "idle": "site.yml with nothing to do",
    "proxy": "proxies.yml with nothing to do, beside its rival",
    "deploy": "deploy.yml of one application, and rollback.yml",
    "rotate": "rotate_certificates.yml, and the same with a new CA",
    "sweep": "the first run and the idle run of growing estates",
}
# Application hosts of one estate: an application that is deployed needs a second host that serves meanwhile, and the
# inventory has room for so many.
SMALLEST, LARGEST = 3, 60


@dataclass(frozen=True)
class Step:
    """Runs of one kind: `row` names them in the samples, `seconds` is about what one takes on two cores."""

    part: str
    row: str
    runs: int
    hosts: int
    seconds: float
    sides: tuple[str, ...]

    @property
    def total(self) -> float:
        """Return about how many seconds all of its runs take, on all sides."""
        return self.runs * self.seconds * len(self.sides)


def sweep_row(kind: str, hosts: int) -> str:
    """Return the name of a sweep's row: `kind` is first or idle."""
    return f"sweep {kind} {hosts}"


def plan(only: Sequence[str], hosts: int, sizes: Sequence[int], against: bool, most: int) -> list[Step]:
    """Return the steps of the parts that are asked for; all parts if none is named.

    `most` bounds the runs of each step. The seconds are rough, for an operator who wonders whether to wait.
    """
    if strange := sorted(set(only) - set(PARTS)):
        raise ValueError(f"there is no part {', '.join(strange)}: the parts are {', '.join(PARTS)}")
    if strange_sizes := [size for size in (hosts, *sizes) if not SMALLEST <= size <= LARGEST]:
        raise ValueError(f"{strange_sizes[0]} application hosts: an estate has {SMALLEST} to {LARGEST}")
    sides = (THEN, NOW) if against else (NOW,)
    # part, row, runs, hosts, seconds, sides; boots of bare hosts are part of a first run's seconds
    steps = [
        Step("lab", "lab", 1, hosts, 80 + 12 * hosts, sides),
        Step("first", "first", 2, hosts, 60 + 12 * hosts, sides),
        Step("idle", "idle", 5, hosts, 10 + 5 * hosts, sides),
        Step("proxy", "proxy", 5, hosts, 10, (*sides, RIVAL)),
        Step("deploy", "deploy", 5, hosts, 30, sides),
        Step("deploy", "rollback", 5, hosts, 25, sides),
        Step("rotate", "rotate", 1, hosts, 40 + 15 * hosts, sides),
        Step("rotate", "replace", 1, hosts, 60 + 40 * hosts, sides),
    ]
    for size in sorted(set(sizes)):
        steps += [
            Step("sweep", sweep_row("first", size), 1, size, 60 + 12 * size, (NOW,)),
            # A long run varies less, and five of them would take half an hour.
            Step("sweep", sweep_row("idle", size), 5 if size <= 10 else 3, size, 10 + 4 * size, (NOW,)),
        ]
    return [
        Step(one.part, one.row, min(one.runs, most), one.hosts, one.seconds, one.sides)
        for one in steps
        if not only or one.part in only
    ]


def minutes(steps: Sequence[Step]) -> int:
    """Return about how many minutes the steps take, an estate's first boot and convergence included."""
    parts = {step.part for step in steps}
    boots = 2 if parts - {"sweep"} and not parts & {"lab", "first"} else 0
    return max(1, round(sum(step.total for step in steps) / 60) + boots)


def turns(sides: Sequence[str], rounds: int) -> list[tuple[str, ...]]:
    """Return the sides in the order of each round: every second one goes backwards."""
    return [tuple(sides) if turn % 2 == 0 else tuple(reversed(sides)) for turn in range(rounds)]
