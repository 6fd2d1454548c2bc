"""What runs of Gatehouse cost the controller: time, processor time, memory, round trips. Run it by `make bench`.

Boots labs of its own, measures, prints tables and takes the labs down, also when it is interrupted. With `--against` an
older commit is measured too, on the same hosts and in turns. Compare ratios, which are taken within a round; seconds
depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bench_report import between
from cost_lab import Lab, Trees, groups_of_applications, podman
from cost_plan import NOW, PARTS, RIVAL, Step, minutes, plan, turns
from cost_report import estate_table, growth, plot, rival_table, sweep_sizes, sweep_table
from cost_runs import Run, play

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "tests" / "bench"
SAMPLES = ROOT / "build" / "bench-cost.json"
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "run-cost.svg"
VERSION = "1.0.0-bench"
MARKER = "run-cost"
BUSY = 1.0  # processes that ran or waited, before the bench


@dataclass
class Results:
    """The samples, by row and side, and what they were taken from."""

    commit: str
    against: str = ""
    hosts: int = 0
    load: float = 0.0  # what the machine did before, as uptime(1) counts it over the last minute
    hosts_memory: dict[str, float] = field(default_factory=dict)
    samples: dict[str, dict[str, list[Run]]] = field(default_factory=dict)

    def add(self, row: str, side: str, run: Run) -> None:
        """Keep a run."""
        self.samples.setdefault(row, {}).setdefault(side, []).append(run)

    def cut(self, steps: Sequence[Step]) -> None:
        """Leave out the rounds that were not ended, so that each run has its counterparts."""
        for step in steps:
            sides = self.samples.pop(step.row, {})
            if rounds := min(len(sides.get(side, [])) for side in step.sides):
                self.samples[step.row] = {side: sides[side][:rounds] for side in step.sides}

    def merge(self, former: Results) -> None:
        """Take the rows that were not measured this time, if they were measured of the same commits and estate."""
        if (former.commit, former.against, former.hosts) == (self.commit, self.against, self.hosts):
            self.samples = former.samples | self.samples
            self.load = max(former.load, self.load)
            self.hosts_memory = former.hosts_memory | self.hosts_memory

    def stored(self) -> str:
        """Return them as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def read(cls, text: str) -> Results:
        """Return what `stored` wrote."""
        found: dict[str, Any] = json.loads(text)
        rows = found.pop("samples")
        samples = {
            row: {
                side: [Run(**(run | {"changed": tuple(run["changed"])})) for run in runs]
                for side, runs in sides.items()
            }
            for row, sides in rows.items()
        }
        return cls(**found, samples=samples)


def images() -> str:
    """Return the ids of the images that labs boot from."""
    return podman("images", "--quiet", "--no-trunc", "--filter", "reference=gatehouse-lab-*")


class Bench:
    """Makes the runs of a plan on labs of its own."""

    def __init__(self, trees: Trees, steps: Sequence[Step], results: Results) -> None:
        self.trees, self.results = trees, results
        self.steps = {step.row: step for step in steps}

    def measure(self) -> None:
        """Make all the runs."""
        fixed = [step for step in self.steps.values() if step.part != "sweep"]
        if fixed:
            self._estate(fixed[0].hosts)
        for size in sorted({step.hosts for step in self.steps.values() if step.part == "sweep"}):
            self._size(size)

    def _estate(self, hosts: int) -> None:
        with Lab(self.trees, f"bench-{hosts}", hosts) as lab:
            if step := self.steps.get("lab"):
                self._rounds(step, partial(self._lab, lab))
            if step := self.steps.get("first"):
                self._rounds(step, partial(self._first, lab))
            if not {"lab", "first"} & set(self.steps):
                self._say("boot the hosts and run site.yml, unmeasured ...")
                lab.boot()
                self._run(lab, "site.yml")
                self.trees.share_releases()
            if step := self.steps.get("idle"):
                self._idle(step, partial(self._run, lab, "site.yml"))
            if step := self.steps.get("proxy"):
                self._proxy(step, lab)
            if step := self.steps.get("deploy"):
                self._deploy(step, lab)
            for row, extra in {"rotate": (), "replace": ("-e", "internal_ca_replace=true")}.items():
                if step := self.steps.get(row):
                    self._rounds(step, partial(self._run, lab, "playbooks/rotate_certificates.yml", *extra))

    def _size(self, size: int) -> None:
        with Lab(self.trees, f"bench-{size}", size) as lab:
            first, idle = (self.steps[f"sweep {kind} {size}"] for kind in ("first", "idle"))
            self._rounds(first, partial(self._first, lab))
            self._idle(idle, partial(self._run, lab, "site.yml"))
            self.results.hosts_memory[str(size)] = lab.memory() / 1024

    def _rounds(self, step: Step, sample: Callable[..., Run]) -> None:
        for turn, sides in enumerate(turns(step.sides, step.runs), 1):
            for side in sides:
                self._keep(step, turn, side, sample(side=side))

    def _keep(self, step: Step, turn: int, side: str, run: Run) -> None:
        self.results.add(step.row, side, run)
        self._say(f"{step.row}, {turn} of {step.runs}, {side}: {run.seconds:.1f} s, processor {run.processor:.1f} s, "
                  f"{run.memory:.0f} MiB")  # fmt: skip

    def _say(self, line: str) -> None:
        print(line, flush=True)

    def _run(self, lab: Lab, playbook: str, *arguments: str, side: str = NOW) -> Run:
        return play(self.trees.paths[side], [playbook, "-i", str(lab.inventories[side]), *arguments])

    def _lab(self, lab: Lab, *, side: str) -> Run:
        """Return what `make lab` runs on a fresh checkout; one that had to make images is made again."""
        for _ in range(2):
            before = images()
            lab.take_down()
            with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as builds:
                up = self._run(lab, "playbooks/lab_up.yml", side=side)
                site = self._run(lab, "site.yml", "-e", f"app_build_dir={builds}", side=side)
            run = Run(up.seconds + site.seconds, up.processor + site.processor, max(up.memory, site.memory))
            if images() == before:
                return run
            self._say(f"lab, {side}: made images in {run.seconds:.1f} s, which does not count")
        sys.exit(f"{side}: lab_up.yml makes images in each run")

    def _first(self, lab: Lab, *, side: str) -> Run:
        """Return the first run on hosts that were booted for it; one that had to build releases is made again."""
        for _ in range(2):
            before = self.trees.built(side)
            lab.boot()
            run = self._run(lab, "site.yml", side=side)
            if self.trees.built(side) == before:
                return run
            self._say(f"first, {side}: built the releases in {run.seconds:.1f} s, which does not count")
            self.trees.share_releases()
        sys.exit(f"{side}: site.yml builds the releases in each run")

    def _idle(self, step: Step, sample: Callable[..., Run]) -> None:
        """Measure runs with nothing to do; one for each side beforehand counts its round trips.

        That one prints more than an operator's run does, so its time does not count.
        """
        self._say(f"{step.row}: count the round trips, unmeasured ...")
        trips = {side: self._nothing(partial(sample, "-vvv", side=side)).trips for side in step.sides}

        def counted(*, side: str) -> Run:
            return replace(self._nothing(partial(sample, side=side)), trips=trips[side])

        self._rounds(step, counted)

    def _nothing(self, sample: Callable[..., Run]) -> Run:
        """Return a run that changed nothing: where two commits want different things, the run before makes it so."""
        for _ in range(3):
            run = sample()
            if not run.changed:
                return run
            self._say(f"a run of {run.seconds:.1f} s changed {', '.join(run.changed)}, so it does not count")
        sys.exit(f"each run changes something on {', '.join(run.changed)}")

    def _proxy(self, step: Step, lab: Lab) -> None:
        """Measure proxies.yml beside the rival, which has a host of its own in a lab of its own."""
        with Lab(self.trees, "bench-rival") as other:
            other.boot()
            rival = [str(BENCH / "run_rival.yml"), "-i", str(other.inventories[RIVAL])]
            play(ROOT, rival)

            def sample(*verbose: str, side: str) -> Run:
                if side == RIVAL:
                    return play(ROOT, [*rival, *verbose])
                return self._run(lab, "playbooks/proxies.yml", *verbose, side=side)

            self._idle(step, sample)

    def _deploy(self, step: Step, lab: Lab) -> None:
        """Measure a deployment of the first application and going back from it, once its release is built."""
        estate = yaml.safe_load((lab.inventories[NOW] / "hosts.yml").read_text())
        app, group = next(iter(groups_of_applications(estate).items()))
        hosts = list(group["hosts"])
        self._say("deploy, and go back, unmeasured ...")
        try:
            for side in step.sides:
                self._there_and_back(lab, app, hosts, side)
            for turn, sides in enumerate(turns(step.sides, step.runs), 1):
                for side in sides:
                    before = self.trees.built(side)
                    there, back = self._there_and_back(lab, app, hosts, side)
                    if self.trees.built(side) != before:
                        sys.exit(f"{side}: deploy.yml builds the release in each run")
                    self._keep(step, turn, side, there)
                    self._keep(self.steps["rollback"], turn, side, back)
        finally:
            for side in step.sides:
                for file in (self.trees.paths[side] / "build").glob(f"{app}-{VERSION}.*"):
                    file.unlink()

    def _there_and_back(self, lab: Lab, app: str, hosts: Sequence[str], side: str) -> tuple[Run, Run]:
        """Deploy a version and go back from it; the hosts forget it, so that the next deployment has all to do."""
        there = self._moved(lab, hosts, "deploy", "-e", f"app={app}", "-e", f"version={VERSION}", side=side)
        back = self._moved(lab, hosts, "rollback", "-e", f"app={app}", side=side)
        record = json.loads((self.trees.paths[side] / "build" / f"{app}-{VERSION}.json").read_text())
        release = f"{VERSION}-{record['sha256'][:8]}"
        self._run(lab, str(BENCH / "forget_release.yml"), "-e", f"app={app}", "-e", f"bench_release={release}")
        return there, back

    def _moved(self, lab: Lab, hosts: Sequence[str], playbook: str, *arguments: str, side: str) -> Run:
        run = self._run(lab, f"playbooks/{playbook}.yml", *arguments, side=side)
        if unmoved := set(hosts) - set(run.changed):
            sys.exit(f"{side}: {playbook}.yml moved nothing on {', '.join(sorted(unmoved))}")
        return run


def report(results: Results) -> str:
    """Return the section's measured part in Markdown, without the plot."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    place = f"on a machine of {os.cpu_count()} cores and {gibibytes:.0f} GiB, commit {results.commit}"
    samples, parts = results.samples, []
    if results.load > BUSY:
        parts.append(
            f"**The machine was busy with other work** (a load of {results.load:.1f} before): mind the ratios."
        )
    if any(not row.startswith("sweep") for row in samples):
        beside = f", and {results.against} in turns on the same hosts" if results.against else ""
        parts.append(f"One proxy and {results.hosts} application hosts, {place}{beside}. Medians.")
        parts.append(estate_table(samples, results.against))
    if "proxy" in samples:
        parts.append("`proxies.yml` with nothing to do, beside its rival in the same rounds:")
        parts.append(rival_table(samples, results.against))
    if sizes := sweep_sizes(samples):
        parts.append(f"One proxy and more and more application hosts, {place}. Medians.")
        parts.append(sweep_table(samples, results.hosts_memory))
        held = results.hosts_memory.get(str(sizes[-1]))
        took = f", whose containers held {held:.1f} GiB of memory" if held else ""
        parts.append(f"{growth(samples)} The largest estate had {sizes[-1]} application hosts{took}.".strip())
    return "\n\n".join(parts)


def write(results: Results) -> None:
    """Write the report, and the plot if there is a sweep, to docs/."""
    text = report(results)
    if sweep_sizes(results.samples):
        PICTURE.write_text(plot(results.samples))
        text += f"\n\n![Cost of a run by the number of application hosts]({PICTURE.name})"
    PAGE.write_text(between(PAGE.read_text(), MARKER, text))


def keep(results: Results, steps: Sequence[Step]) -> None:
    """Store what was measured, with what was measured of the same commits before."""
    results.cut(steps)
    if not results.samples:
        return
    if SAMPLES.exists():
        results.merge(Results.read(SAMPLES.read_text()))
    SAMPLES.parent.mkdir(exist_ok=True)
    SAMPLES.write_text(results.stored())


def options() -> argparse.Namespace:
    listing = "; ".join(f"{name}: {what}" for name, what in PARTS.items())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"the parts to measure, with commas between them. {listing}")
    parser.add_argument("--against", default="", metavar="COMMIT", help="measure an older commit too, in turns")
    parser.add_argument("--hosts", type=int, default=6, help="application hosts of the estate, but for the sweep")
    parser.add_argument("--sizes", default="3,10,30", help="application hosts of the sweep's estates")
    parser.add_argument("--runs", type=int, default=20, choices=range(1, 21), help="at most so many of each")
    parser.add_argument("--plan", action="store_true", help="measure nothing: list the runs and how long they take")
    parser.add_argument("--report", action="store_true", help="measure nothing: report what was measured last")
    parser.add_argument("--write", action="store_true", help="write tables and plot to docs/")
    return parser.parse_args()


def main() -> None:
    given = options()
    only = [part for part in given.only.split(",") if part]
    try:
        steps = plan(only, given.hosts, [int(size) for size in given.sizes.split(",")], bool(given.against), given.runs)
    except ValueError as error:
        sys.exit(str(error))
    if not given.report:
        for step in steps:
            print(f"  {step.row}: {step.runs} x about {step.seconds:.0f} s ({', '.join(step.sides)})")
        print(f"{len(steps)} kinds of runs, about {minutes(steps)} minutes on two cores.", flush=True)
    if given.plan:
        return
    if not given.report:
        # An end by kill leaves through the blocks that take labs down, as one by the keyboard does.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit("ended by a signal"))
        with tempfile.TemporaryDirectory(prefix="gatehouse-bench-") as folder:
            trees = Trees(ROOT, Path(folder), given.against)
            against = trees.git("rev-parse", "--short", given.against) if given.against else ""
            results = Results(trees.git("describe", "--always", "--dirty"), against, given.hosts, os.getloadavg()[0])
            try:
                with trees.checked_out():
                    Bench(trees, steps, results).measure()
            finally:
                # Also of a bench that was interrupted: --report shows it.
                keep(results, steps)
    elif SAMPLES.exists():
        results = Results.read(SAMPLES.read_text())
    else:
        sys.exit(f"nothing was measured yet: {SAMPLES.relative_to(ROOT)} is missing; run make bench without --report")
    print("", report(results), sep="\n")
    if given.write:
        write(results)


if __name__ == "__main__":
    main()
