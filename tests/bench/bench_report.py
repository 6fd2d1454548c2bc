"""The benchmark's numbers as Markdown tables and as a plot."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

from bench_cells import DIRECT, KINDS, OURS, TUNED, VARIANT_KINDS, Figure

TITLES = {
    DIRECT: "no proxy",
    OURS: "Gatehouse",
    TUNED: "nginx, hand-tuned",
    "bare": "the same without a log",
    "basic": "nginx, basic",
    "haproxy": "haproxy",
    "caddy": "caddy",
    "varnish": "varnish",
}

Figures = Mapping[str, Mapping[str, Figure]]


def thousands(rate: float) -> str:
    """Return requests a second in thousands, with three digits at most."""
    return f"{rate / 1000:.1f}k" if rate < 99_950 else f"{rate / 1000:.0f}k"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speed_table(figures: Figures) -> str:
    """Return requests a second of every server and kind, and their ratio to the tuned nginx."""
    rows = []
    for server, title in TITLES.items():
        cells = [figures[server].get(kind) for kind in KINDS]
        rows.append([title, *(f"{thousands(one.rate)} ({one.ratio:.2f})" if one else "" for one in cells)])
    return table(["requests/s (ratio)", *KINDS.values()], rows)


def cpu_table(figures: Figures) -> str:
    """Return the CPU that each server takes for a request, and its ratio to the tuned nginx."""
    rows = []
    for server, title in TITLES.items():
        cells = [one if one and one.cpu else None for one in (figures[server].get(kind) for kind in KINDS)]
        if any(cells):
            rows.append([title, *(f"{one.cpu:.1f} ({one.cpu_ratio:.2f})" if one else "" for one in cells)])
    return table(["µs of CPU (ratio)", *KINDS.values()], rows)


def cost_table(figures: Figures) -> str:
    """Return what each thing costs: how much less CPU a request takes, and how much faster it is, without it."""
    rows = []
    for what, kinds in figures.items():
        cells = []
        for kind in VARIANT_KINDS:
            one = kinds[kind]
            saved = f"{100 * (1 - one.cpu_ratio):.0f} %" if one.cpu_ratio else "?"
            cells.append(f"{saved} ({100 * (one.ratio - 1):+.0f} %)")
        rows.append([what, *cells])
    return table(["taken away", *(KINDS[kind] for kind in VARIANT_KINDS)], rows)


def transport_table(figures: Figures) -> str:
    """Return requests a second by each transport, and their ratio to the same in plaintext."""
    rows = []
    for transport in ("http", "https", "mtls"):
        cells = [figures[f"by {transport}-{way}"]["plain"] for way in ("kept", "new")]
        rows.append([transport, *(f"{thousands(one.rate)} ({one.ratio:.2f})" for one in cells)])
    return table(["requests/s (ratio to http)", "connections kept", "a new one for each request"], rows)


def between(text: str, marker: str, content: str) -> str:
    """Return a document with what is between `<!-- marker -->` and `<!-- /marker -->` replaced."""
    pattern = rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)"
    new, count = re.subn(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the document has {count} places <!-- {marker} --> ... <!-- /{marker} -->, not one")
    return new


BAR, GAP, LEFT, WIDTH = 16, 22, 150, 420


def plot(figures: Figures) -> str:
    """Return an SVG with a panel for each kind, and in it a bar for each server: its ratio to the tuned nginx."""
    longest = max(one.high for kinds in figures.values() for one in kinds.values())
    scale, top, parts = WIDTH / longest, 10, []
    for kind, name in KINDS.items():
        shown = [(server, figures[server][kind]) for server in TITLES if kind in figures[server]]
        top += 2 * GAP
        parts.append(f'<text x="{LEFT}" y="{top - 8}" class="kind">{html.escape(name)}</text>')
        parts.append(
            f'<line x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="{top}" y2="{top + GAP * len(shown)}"/>'
        )
        for server, one in shown:
            parts += _bar(TITLES[server], server == OURS, one, top, scale)
            top += GAP
    style = (
        "text{font:13px sans-serif;fill:#222}.kind{font-weight:bold}rect{fill:#a9b8c6}rect.ours{fill:#1f6f50}"
        "line{stroke:#222;stroke-dasharray:3 3}.range{stroke-dasharray:none;stroke-width:1.5}"
    )
    width, height = LEFT + WIDTH + 150, top + GAP
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<style>{style}</style><rect width="{width}" height="{height}" style="fill:#fff"/>',
        *parts,
        "</svg>\n",
    ])  # fmt: skip


def _bar(title: str, ours: bool, one: Figure, top: float, scale: float) -> list[str]:
    end, middle = LEFT + one.ratio * scale, top + GAP / 2
    ends = f'x1="{LEFT + one.low * scale:.1f}" x2="{LEFT + one.high * scale:.1f}"'
    return [
        f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{html.escape(title)}</text>',
        f'<rect class="{"ours" if ours else "other"}" x="{LEFT}" y="{top + (GAP - BAR) / 2}" '
        f'width="{end - LEFT:.1f}" height="{BAR}"/>',
        f'<line class="range" {ends} y1="{middle}" y2="{middle}"/>',
        f'<text x="{LEFT + max(one.high, one.ratio) * scale + 6:.1f}" y="{middle + 4}">'
        f"{one.ratio:.2f}  {thousands(one.rate)}/s</text>",
    ]
