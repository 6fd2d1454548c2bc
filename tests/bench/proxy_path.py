"""How fast requests go through our proxy, beside others on the same host. Run it by `make bench-proxy`.

Brings up a lab of its own, measures, prints tables and takes the lab down. The client, the proxies and the member share
this machine: compare ratios, which are taken within a round, and measure while nothing else runs.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

from bench_cells import (
    OURS,
    TRANSPORTS,
    TUNED,
    Cell,
    Figure,
    Sample,
    all_cells,
    figure,
    figures,
    order,
    parse_cpu,
    parse_wrk,
)
from bench_report import TITLES, between, cost_table, cpu_table, plot, speed_table, transport_table
from bench_variants import VARIANTS, ports, vary

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "tests" / "bench"
INVENTORY = BENCH / "inventory"
LAB = ROOT / ".lab" / "bench"
SAMPLES = ROOT / "build" / "bench-proxy.json"
PAGE = ROOT / "docs" / "performance.md"
CONNECTIONS = 32
LONGEST = 900  # seconds of load in one run


def play(playbook: Path, *arguments: str) -> None:
    """Run a playbook on the bench's lab; end with its output if it fails."""
    run = subprocess.run(
        ["ansible-playbook", str(playbook), "-i", str(INVENTORY), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=900, env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    if run.returncode:
        sys.exit(run.stdout + run.stderr)


@cache
def hosts() -> dict[str, dict[str, Any]]:
    """Return each host's variables by its name."""
    listing = subprocess.run(
        ["ansible-inventory", "-i", str(INVENTORY), "--list"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return dict(json.loads(listing.stdout)["_meta"]["hostvars"])


def on(host: str, command: str) -> str:
    """Run a command on a host of the lab, as root; return what it printed."""
    options = {
        "UserKnownHostsFile": LAB / "known_hosts",
        "ControlMaster": "auto",
        "ControlPersist": 60,
        "ControlPath": f"{tempfile.gettempdir()}/bench-%C",
    }
    argv = ["ssh", "-q", "-i", str(LAB / "id_ed25519"), *(f"-o{name}={value}" for name, value in options.items())]
    run = subprocess.run(
        [*argv, f"deploy@{hosts()[host]['ansible_host']}", f"sudo sh -c '{command}'"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if run.returncode:
        sys.exit(f"{host}: {command}: exit status {run.returncode}\n{run.stdout}{run.stderr}")
    return run.stdout


@contextmanager
def lab(keep: bool, standing: bool) -> Iterator[None]:
    """Bring the lab up, unless it is up; take it down, unless it is to be kept."""
    try:
        if not standing:
            print("boot the lab and configure every proxy (about a minute) ...", flush=True)
            play(ROOT / "playbooks" / "lab_up.yml")
            play(BENCH / "estate.yml")
            bring_variants()
        yield
    finally:
        if not keep:
            play(ROOT / "playbooks" / "lab_down.yml")


def bring_variants() -> None:
    """Fetch the live configuration of our proxy, and run its variants beside it."""
    with tempfile.TemporaryDirectory() as folder:
        live, made = Path(folder) / "live", Path(folder) / "made.tar.gz"
        archive = base64.b64decode(on("proxy1", "tar --create --dereference --directory /etc/nginx/active . | base64"))
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(live, filter="data")
        with tarfile.open(made, "w:gz") as packed:
            for variant in VARIANTS:
                for path, text in vary(live, variant, ports()[variant.name]).items():
                    # As the live tree: nginx.conf, and beside it `active` with what it includes.
                    place = path if path == "nginx.conf" else f"active/{path}"
                    entry = tarfile.TarInfo(f"{variant.name}/{place}")
                    entry.size, entry.mode = len(text.encode()), 0o644
                    packed.addfile(entry, io.BytesIO(text.encode()))
        extra = {"bench_archive": str(made), "bench_variants": [variant.name for variant in VARIANTS]}
        play(BENCH / "variants.yml", "--extra-vars", json.dumps(extra))


def check(cell: Cell) -> None:
    """End unless a cell answers with 1 KB, and from a cache if, and only if, it is a cell of one."""
    form = "%{http_code} %{size_download}"
    command = f'curl -sk -D - -o /dev/null -w "{form}" {cell.url}'
    answers = [on("client1", command) for _ in range(2)]
    times = [line for answer in answers for line in answer.lower().splitlines() if line.startswith("bench-time:")]
    kept = len(times) == 2 and times[0] == times[1]
    if any(not answer.endswith("200 1024") for answer in answers) or len(times) != 2 or kept != ("cached" in cell.kind):
        sys.exit(f"{cell.key} ({cell.url}) does not serve what is measured:\n{''.join(answers)}")


def cpu(cell: Cell) -> int:
    """Return the nanoseconds of CPU that a cell's server has taken so far; 0 where none is counted."""
    if not cell.unit:
        return 0
    group = f"$(systemctl show -p ControlGroup --value {cell.unit})/cgroup.procs"
    processes = f"$(cat /sys/fs/cgroup/systemd{group} 2>/dev/null || cat /sys/fs/cgroup{group})"
    return parse_cpu(on("proxy1", f"for pid in {processes}; do cat /proc/$pid/task/*/schedstat; done"))


def load(cell: Cell, seconds: int) -> Sample:
    """Put the load on one cell."""
    before = cpu(cell)
    report = on(
        "client1",
        f"timeout {seconds + 15} wrk --threads 2 --connections {CONNECTIONS} --duration {seconds}s {cell.url}",
    )
    try:
        rate = parse_wrk(report)
    except ValueError as error:
        sys.exit(f"{cell.key} ({cell.url}): {error}")
    return Sample(rate, (cpu(cell) - before) / 1000 / (rate * seconds))


def measure(cells: Sequence[Cell], rounds: int, seconds: int) -> dict[str, list[Sample]]:
    """Return the samples of every cell, one for each round."""
    for cell in cells:
        check(cell)
    samples: dict[str, list[Sample]] = {cell.key: [] for cell in cells}
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds}: {len(cells)} cells of {seconds} s ...", flush=True)
        for cell in order(cells, turn):
            samples[cell.key].append(load(cell, seconds))
    return samples


def report(samples: Mapping[str, Sequence[Sample]], write: bool) -> None:
    """Print the tables, and if asked write them and the plot to docs/."""
    rounds = len(next(iter(samples.values())))
    state = f"Medians of {rounds} rounds on {os.cpu_count()} cores, {CONNECTIONS} connections, answers of 1 KB."
    picture = f"![Requests a second, as ratios to the hand-tuned nginx]({PAGE.with_suffix('.svg').name})"
    compared = figures(samples, list(TITLES), TUNED)
    first, *others = VARIANTS
    costs = {first.what: figures(samples, [f"ours {first.name}"], OURS)[f"ours {first.name}"]}
    own = figures(samples, [f"ours {variant.name}" for variant in others], f"ours {first.name}")
    costs |= {variant.what: own[f"ours {variant.name}"] for variant in others}
    ways: dict[str, dict[str, Figure]] = {}
    for name in TRANSPORTS:
        ways |= figures(samples, [f"by {name}"], f"by http-{name.partition('-')[2]}")
    tables = {
        "speed": speed_table(compared),
        "cpu": cpu_table(compared),
        "costs": cost_table(costs),
        "transports": transport_table(ways),
    }
    print("", *tables.values(), sep="\n\n")
    if write:
        text = between(PAGE.read_text(), "state", f"{state}\n\n{picture}")
        for marker, content in tables.items():
            text = between(text, marker, content)
        PAGE.write_text(text)
        PAGE.with_suffix(".svg").write_text(plot(compared))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 21))
    parser.add_argument("--seconds", type=int, default=3, choices=range(1, 11), help="of load on a cell in each round")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    parser.add_argument("--standing", action="store_true", help="measure the lab that --keep left")
    parser.add_argument(
        "--only", default="", help="only cells whose `server kind` fits this pattern; prints ratios alone"
    )
    parser.add_argument("--samples", type=Path, help="measure nothing: report the numbers of this file")
    parser.add_argument("--write", action="store_true", help="write tables and plot to docs/")
    return parser.parse_args()


def main() -> None:
    given = options()
    if given.samples:
        stored = json.loads(given.samples.read_text())
        report({key: [Sample(*one) for one in many] for key, many in stored.items()}, given.write)
        return
    member, proxy = hosts()["member1"], hosts()["proxy1"]
    cells = [
        cell
        for cell in all_cells(proxy["bench_rivals"], f"{member['ansible_host']}:{member['bench_member_port']}", ports())
        if re.search(given.only, cell.key)
    ]
    if (total := len(cells) * given.rounds * given.seconds) > LONGEST:
        sys.exit(f"{total} s of load are more than the {LONGEST} allowed: fewer --rounds or --seconds")
    with lab(given.keep, given.standing):
        samples = measure(cells, given.rounds, given.seconds)
    SAMPLES.parent.mkdir(exist_ok=True)
    SAMPLES.write_text(json.dumps({key: [astuple(one) for one in many] for key, many in samples.items()}, indent=1))
    if not given.only:
        report(samples, given.write)
        return
    for cell in cells:
        one = figure(samples[cell.key], samples.get(f"{TUNED} {cell.kind}", samples[cell.key]))
        print(f"{cell.key:32} {one.rate:8.0f}/s {one.ratio:.2f} [{one.low:.2f} {one.high:.2f}]"
              f"  {one.cpu or 0:6.1f} us {one.cpu_ratio or 0:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
