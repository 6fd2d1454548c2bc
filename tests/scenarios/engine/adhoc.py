"""Ansible's ad-hoc command without its start: forks of one process that has imported it.

The tests of this scenario make some four hundred runs of one task each, and most of such a run's processor time is the
import of Ansible. As a program, this is that process: it reads a run from each line of its standard input.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMEOUT = 120  # seconds that a run may take


class Run:
    """A run that was started: its output is there when it has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def output(self) -> tuple[str, str]:
        """Wait for the end; return what was printed on standard output and on standard error."""
        deadline = time.monotonic() + TIMEOUT
        while not (self.folder / "ended").exists():
            assert time.monotonic() < deadline, f"the run has not ended within {TIMEOUT} s"
            time.sleep(0.01)
        return (self.folder / "out").read_text(), (self.folder / "err").read_text()


class Adhoc:
    """The process that forks, seen from the tests."""

    def __init__(self, environment: dict[str, str], cwd: Path) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="gatehouse-adhoc-")
        self.runs = 0
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, __file__], env=environment, cwd=cwd, stdin=subprocess.PIPE, text=True
        )

    def start(self, *words: str) -> Run:
        """Start `ansible` with these words, and do not wait for it."""
        self.runs += 1
        folder = Path(self.folder.name) / str(self.runs)
        folder.mkdir()
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"words": words, "folder": str(folder)}) + "\n")
        self.process.stdin.flush()
        return Run(folder)


def run(words: list[str], folder: str) -> None:
    """Be one run, and end with it."""
    from ansible.cli.adhoc import AdHocCLI

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, name, mode in ((0, os.devnull, os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        os.dup2(os.open(Path(folder) / name, mode | (os.O_CREAT if number else 0), 0o600), number)
    try:
        AdHocCLI.cli_executor(["ansible", *words])
    except SystemExit:
        pass
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (Path(folder) / "ended").touch()
        os._exit(0)


def main() -> None:
    """Import what a run needs, then fork for each line until the tests have ended."""
    import ansible.cli.adhoc  # noqa: F401
    from ansible.plugins import loader

    for kind, name in (("strategy", "linear"), ("connection", "ssh"), ("become", "sudo"), ("shell", "sh")):
        getattr(loader, f"{kind}_loader").get(name, class_only=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a run: it says itself when it has ended
    for line in sys.stdin:
        wanted = json.loads(line)
        if os.fork() == 0:
            run(wanted["words"], wanted["folder"])


if __name__ == "__main__":
    main()
