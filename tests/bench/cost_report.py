"""What the runs cost, as Markdown tables and as a plot."""

from __future__ import annotations

import html
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence

from bench_report import table
from cost_plan import NOW, RIVAL, THEN, sweep_row
from cost_runs import Run

# row: side: its runs, in the order in which they were made
Samples = Mapping[str, Mapping[str, Sequence[Run]]]

ROWS = {
    "lab": "`make lab` on a fresh checkout",
    "first": "`site.yml`, first run on bare hosts",
    "idle": "`site.yml`, nothing to do",
    "proxy": "`proxies.yml`, nothing to do",
    "deploy": "`deploy.yml`, one application",
    "rollback": "`rollback.yml`",
    "rotate": "`rotate_certificates.yml`",
    "replace": "the same, with a new CA",
}
RIVAL_TITLE = "the rival"


def seconds(run: Run) -> float:
    """Return the seconds of a run."""
    return run.seconds


def processor(run: Run) -> float:
    """Return the processor seconds of a run."""
    return run.processor


def median(runs: Sequence[Run], what: Callable[[Run], float]) -> float:
    """Return the median of one figure over the runs."""
    return statistics.median(what(run) for run in runs)


def ratio(runs: Sequence[Run], base: Sequence[Run], what: Callable[[Run], float]) -> str:
    """Return the median of the ratios within each round, and between which they lie if there are several."""
    ratios = [what(run) / what(other) for run, other in zip(runs, base, strict=True)]
    middle = f"{statistics.median(ratios):.2f}"
    return f"{middle} ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else middle


def trips(runs: Sequence[Run]) -> str:
    """Return the most round trips to one host; empty where they were not counted."""
    most = max((run.trips for run in runs), default=0)
    return str(most) if most else ""


def estate_table(samples: Samples, against: str) -> str:
    """Return what each run costs on one estate; beside an older commit's cost if it was measured too."""
    shown = [(title, samples[row]) for row, title in ROWS.items() if row in samples]
    if not against:
        rows = [[title, str(len(sides[NOW])), *_figures(sides[NOW]), trips(sides[NOW])] for title, sides in shown]
        return table(["", "runs", "seconds", "processor seconds", "MiB", "round trips to a host, at most"], rows)
    rows = []
    for title, sides in shown:
        now, then = sides[NOW], sides[THEN]
        cells = [title, str(len(now))]
        for what in (seconds, processor):
            cells += [f"{median(then, what):.1f}", f"{median(now, what):.1f}", ratio(now, then, what)]
        cells.append(f"{median(then, _memory):.0f} → {median(now, _memory):.0f}")
        cells.append(f"{trips(then)} → {trips(now)}" if trips(now) else "")
        rows.append(cells)
    head = ["", "runs", f"s, {against}", "s, now", "ratio", f"CPU s, {against}", "CPU s, now", "ratio"]
    return table([*head, "MiB", "round trips"], rows)


def rival_table(samples: Samples, against: str) -> str:
    """Return what one proxy costs with nothing to do, beside its rival."""
    sides = samples["proxy"]
    titles = {NOW: "Gatehouse", THEN: f"Gatehouse {against}", RIVAL: RIVAL_TITLE}
    rows = []
    for side, title in titles.items():
        if runs := sides.get(side):
            cells = [
                f"{median(runs, what):.1f} ({ratio(runs, sides[RIVAL], what).split()[0]})"
                for what in (seconds, processor)
            ]
            rows.append([title, *cells, f"{median(runs, _memory):.0f}", trips(runs)])
    return table(["", "seconds (ratio)", "CPU seconds (ratio)", "MiB", "round trips"], rows)


def sweep_sizes(samples: Samples) -> list[int]:
    """Return the sizes of estates that both the first run and the idle run were measured on."""
    firsts = {int(row.split()[-1]) for row in samples if row.startswith(sweep_row("first", 0)[:-1])}
    return sorted(size for size in firsts if sweep_row("idle", size) in samples)


def sweep_table(samples: Samples, hosts_memory: Mapping[str, float]) -> str:
    """Return what the runs cost as the estate grows; `hosts_memory` is the GiB that the hosts of each size took."""
    rows = []
    for size in sweep_sizes(samples):
        first, idle = (samples[sweep_row(kind, size)][NOW] for kind in ("first", "idle"))
        held = hosts_memory.get(str(size))
        rows.append([
            str(size), *_figures(idle), str(len(idle)), trips(idle), *_figures(first), str(len(first)),
            f"{held:.1f}" if held else "",
        ])  # fmt: skip
    units = ["s", "CPU s", "MiB", "runs"]
    head = [
        "application hosts",
        *(f"idle: {unit}" for unit in units),
        "round trips",
        *(f"first: {unit}" for unit in units),
    ]
    return table([*head, "GiB of all hosts"], rows)


def growth(samples: Samples) -> str:
    """Return a sentence on how much longer runs take on the next larger estate; empty for a single size."""
    sizes, parts = sweep_sizes(samples), []
    for small, large in itertools.pairwise(sizes):
        factors = [
            median(samples[sweep_row(kind, large)][NOW], seconds)
            / median(samples[sweep_row(kind, small)][NOW], seconds)
            for kind in ("idle", "first")
        ]
        parts.append(f"{factors[0]:.1f} and {factors[1]:.1f} times as long with {large} hosts as with {small}")
    return f"The idle run and the first run take {', '.join(parts)}." if parts else ""


def _memory(run: Run) -> float:
    return run.memory


def _figures(runs: Sequence[Run]) -> list[str]:
    return [f"{median(runs, seconds):.1f}", f"{median(runs, processor):.1f}", f"{median(runs, _memory):.0f}"]


# Geometry of the plot, in its own units; a panel for each figure, one above the other would be too tall.
WIDTH, HEIGHT, LEFT, TOP, BETWEEN = 216, 170, 40, 60, 58
LINES = {"first": "first run", "idle": "nothing to do"}
PANELS: dict[str, Callable[[Run], float]] = {
    "seconds": seconds,
    "processor seconds": processor,
    "MiB of memory": _memory,
}
STYLE = """
:root { --paper: #ffffff; --ink: #24292f; --faint: #d0d7de; --first: #8a6d1f; --idle: #1f6f50; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #0d1117; --ink: #e6edf3; --faint: #3d444d; --first: #e3b341; --idle: #56d394; }
}
text { font: 12px sans-serif; fill: var(--ink); }
.title { font-weight: bold; }
.value { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.paper { fill: var(--paper); }
.axis { stroke: var(--faint); }
.line { fill: none; stroke-width: 2; }
.line.first { stroke: var(--first); }
.line.idle { stroke: var(--idle); }
.dot.first { stroke: none; }
.dot.first, .value.first { fill: var(--first); }
.dot.idle { stroke: none; }
.dot.idle, .value.idle { fill: var(--idle); }
"""


def plot(samples: Samples) -> str:
    """Return an SVG with a panel for each figure: its growth with the number of application hosts, from zero on.

    Colours follow the reader's scheme, paper included, so that neither light nor dark pages hide anything.
    """
    sizes, parts = sweep_sizes(samples), []
    for place, (title, what) in enumerate(PANELS.items()):
        parts += _panel(samples, sizes, title, what, LEFT + place * (WIDTH + BETWEEN))
    left = LEFT
    for kind, name in LINES.items():
        parts.append(f'<line class="line {kind}" x1="{left}" x2="{left + 22}" y1="16" y2="16"/>')
        parts.append(f'<text x="{left + 28}" y="20">{name}</text>')
        left += 110
    width, height = LEFT + 3 * WIDTH + 2 * BETWEEN + 40, TOP + HEIGHT + 66
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
        *parts,
        "</svg>\n",
    ])  # fmt: skip


def _panel(samples: Samples, sizes: Sequence[int], title: str, what: Callable[[Run], float], left: float) -> list[str]:
    values = {kind: [median(samples[sweep_row(kind, size)][NOW], what) for size in sizes] for kind in LINES}
    highest = max(value for line in values.values() for value in line) or 1
    bottom = TOP + HEIGHT

    def across(size: float) -> float:
        return left + WIDTH * size / max(sizes)

    def up(value: float) -> float:
        return bottom - (HEIGHT - 14) * value / highest

    parts = [
        f'<text class="title" x="{left}" y="{TOP - 10}">{html.escape(title)}</text>',
        f'<line class="axis" x1="{left}" x2="{left + WIDTH}" y1="{bottom}" y2="{bottom}"/>',
        f'<line class="axis" x1="{left}" x2="{left}" y1="{TOP}" y2="{bottom}"/>',
        f'<text x="{left + WIDTH / 2}" y="{bottom + 51}" text-anchor="middle">application hosts</text>',
    ]
    parts += [f'<text x="{across(size):.1f}" y="{bottom + 34}" text-anchor="middle">{size}</text>' for size in sizes]
    for kind, line in values.items():
        points = " ".join(f"{across(size):.1f},{up(value):.1f}" for size, value in zip(sizes, line, strict=True))
        parts.append(f'<polyline class="line {kind}" points="{points}"/>')
    for kind, line in values.items():
        for place, (size, value) in enumerate(zip(sizes, line, strict=True)):
            # The higher line has its values above it, the lower one below, so that they never meet. There is room
            # below the axis, and an edge of the paper's colour around a value that crosses a line.
            other = values["idle" if kind == "first" else "first"][place]
            above = value > other or (value == other and kind == "first")
            y = up(value) - 8 if above else up(value) + 18
            parts.append(f'<circle class="dot {kind}" cx="{across(size):.1f}" cy="{up(value):.1f}" r="3.5"/>')
            parts.append(
                f'<text class="value {kind}" x="{across(size):.1f}" y="{y:.1f}" text-anchor="middle">{value:.0f}</text>'
            )
    return parts
