"""Deploys applications of strangers, as registries serve them, on a lab of its own. Run it by `make gauntlet`.

Needs the package registries of Python and Node, Debian's chromium and chromium-driver, and about two minutes for each
application. Every application is deployed, asked over HTTPS through the proxy, replaced by a second version and put
back, both under load, and removed. It ends with a table, and with 1 if an application failed.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from gauntlet_lab import ENTRY, ROOT, WORK, Lab
from visitor import Load, Visitor

FOLDER = Path(__file__).parent / "applications"
FIRST, SECOND = "1.0.0", "2.0.0"
STEPS = ("first", "check", "second", "back", "remove")
STORED = ("flower", "wagtail")  # on PostgreSQL or Redis


@dataclass
class Result:
    """How far an application came."""

    name: str
    lines: int
    steps: dict[str, str] = field(default_factory=dict)
    failed: bool = False


class Trial:
    """One application on the lab."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.module: ModuleType = importlib.import_module(f"applications.{name}")
        self.folder = WORK / "sources" / name
        site: str = getattr(self.module, "SITE", "")
        self.visitor = Visitor(f"{name}.lab.test", ENTRY, ROOT / ".lab" / "gauntlet" / "ca" / "ca.pem")
        self.result = Result(name, len(self.module.ENTRY.splitlines()) + len(site.splitlines()))

    def run(self) -> Result:
        """Go through all steps until one fails; what is on the host is removed in any case."""
        for steps in ((self.first, self.check, self.second, self.back), (self.remove,)):
            try:
                for step in steps:
                    self._step(step)
            except Exception:  # whatever it is, it is the result, and other applications follow
                self.result.failed = True
                print(f"{self.name} failed:\n{traceback.format_exc(limit=3)}", flush=True)
        return self.result

    def _step(self, step: Callable[[], str]) -> None:
        print(f"{self.name}: {step.__name__} ...", flush=True)
        began = time.monotonic()
        self.result.steps[step.__name__] = "failed"
        said = step()
        self.result.steps[step.__name__] = said or "ok"
        print(f"{self.name}: {step.__name__}: {said or 'ok'} ({time.monotonic() - began:.0f} s)", flush=True)

    def _describe(self, version: str) -> None:
        self.module.source(self.folder, version)
        entry = self.module.ENTRY.format(version=version)
        self.lab.describe(self.name, entry, getattr(self.module, "SITE", ""))

    def first(self) -> str:
        """Make the source and deploy it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if make := getattr(self.module, "make", None):
            make(self.folder, self.lab)
        self._describe(FIRST)
        self.lab.play("site")
        if prepare := getattr(self.module, "prepare", None):
            prepare(self.lab)
        return ""

    def check(self) -> str:
        """Ask what a visitor asks."""
        self.module.check(self.visitor)
        return ""

    def second(self) -> str:
        """Deploy a second version under load."""
        self._describe(SECOND)
        return self._moved(SECOND, "deploy")

    def back(self) -> str:
        """Go back to the first one under load."""
        return self._moved(FIRST, "rollback")

    def _moved(self, version: str, playbook: str) -> str:
        with Load(self.visitor, self.module.LOAD) as load:
            self.lab.play(f"playbooks/{playbook}", "-e", f"app={self.name}")
        release = self.lab.release(self.name)
        assert release.startswith(f"{version}-"), f"{release} runs"
        assert load.requests, "nothing was asked"
        assert not load.failures, f"{len(load.failures)} of {load.requests} failed: {load.failures[:5]}"
        self.module.check(self.visitor)
        return f"0 of {load.requests} failed"

    def remove(self) -> str:
        """Take the application off the host again."""
        self.lab.describe()
        self.lab.play("playbooks/remove", "-e", "host=app1", "-e", f"app={self.name}", "-e", "remove_data=true")
        # The proxy forgets it, so that the next one may have its port.
        self.lab.play("playbooks/sites")
        return ""


def table(results: list[Result]) -> str:
    """Return the results as a table of Markdown."""
    heads = ("application", "lines", "deployed", "asked", "second version", "rolled back", "removed")
    rows = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for result in results:
        cells = [result.steps.get(step, "-") for step in STEPS]
        rows.append(f"| {result.name} | {result.lines} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> int:
    """Run the applications that are named, or all."""
    known = sorted(file.stem for file in FOLDER.glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("applications", nargs="*", metavar="APPLICATION", help=f"of {', '.join(known)}")
    parser.add_argument("--keep", action="store_true", help="take the lab that is there, and leave it")
    given = parser.parse_args()
    names = given.applications or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{', '.join(unknown)}: known are {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lab = Lab(any(name in STORED for name in names))
    results: list[Result] = []
    try:
        with lab.up(given.keep):
            results.extend(Trial(lab, name).run() for name in names)
    finally:
        print(f"\n{table(results)}")
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main())
