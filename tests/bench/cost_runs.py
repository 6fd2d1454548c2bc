"""One run of ansible-playbook and what it cost the controller."""

from __future__ import annotations

import collections
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LONGEST = 1800  # seconds of one run
EVERY = 0.5  # seconds between two looks at the memory, which take processor time themselves


@dataclass(frozen=True)
class Run:
    """What a run cost: time, processor time of the controller's processes, the peak of their memory in MiB.

    `changed` has the hosts on which it changed something, `trips` the round trips to each address, which only a verbose
    run counts.
    """

    seconds: float
    processor: float
    memory: float
    changed: tuple[str, ...] = ()
    trips: int = 0


def parse_changed(output: str) -> tuple[str, ...]:
    """Return the hosts that the recap says were changed; ValueError without a recap."""
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    if not recap:
        raise ValueError("the run printed no recap")
    return tuple(sorted(name for name, count in recap if count != "0"))


def parse_trips(output: str) -> dict[str, int]:
    """Return the round trips to each address: Ansible at verbosity 3 prints `SSH: EXEC` for each ssh or sftp."""
    return dict(collections.Counter(re.findall(r"^<([^>]+)> SSH: EXEC", output, re.MULTILINE)))


def tree_memory(proc: Path, root: int) -> float:
    """Return the MiB that a process and all below it hold together; 0 if there is none.

    Proportional set size (proc_pid_smaps(5)): a page that forked workers share counts once, where the sum of their
    resident sets would count it for each. `children` (proc_tid_children(5)) names those below, in any Debian kernel.
    """
    kilobytes, ahead = 0, {root}
    while ahead:
        folder = proc / str(ahead.pop())
        try:
            found = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
            kilobytes += int(found[1]) if found else 0
            for file in folder.glob("task/*/children"):
                ahead |= {int(process) for process in file.read_text().split()}
        except OSError:
            continue  # it has ended meanwhile
    return kilobytes / 1024


class Peak(threading.Thread):
    """Looks at the memory of a process and all below it again and again, until it is ended."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.ended, self.mebibytes = process, threading.Event(), 0.0

    def run(self) -> None:
        """Keep the highest sum that was seen."""
        while not self.ended.wait(EVERY):
            self.mebibytes = max(self.mebibytes, tree_memory(Path("/proc"), self.process))

    def end(self) -> float:
        """Stop looking; return the peak."""
        self.ended.set()
        self.join()
        return self.mebibytes


def environment() -> dict[str, str]:
    """Return this environment without settings of Ansible: a tree's own ansible.cfg holds, and plain output.

    Python keeps what it compiled, as `make` has it: Ansible would compile itself anew in each run.
    """
    settings = ("ANSIBLE_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    return kept | {"ANSIBLE_NOCOLOR": "1"}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal end what cleans up."""
    former = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def play(tree: Path, arguments: Sequence[str]) -> Run:
    """Run ansible-playbook in a tree; end with its output if it fails."""
    with tempfile.TemporaryFile("w+", prefix="gatehouse-bench-", encoding="utf-8") as log:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        process = subprocess.Popen(
            ["ansible-playbook", *arguments],
            cwd=tree, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is the bench's alone, which ends its run but not its clean-up
        )  # fmt: skip
        peak = Peak(process.pid)
        peak.start()
        try:
            process.wait(LONGEST)
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                sys.exit(f"ansible-playbook {' '.join(arguments)}: ended after {LONGEST} s")
            raise
        finally:
            seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
            memory = peak.end()
        log.seek(0)
        output = log.read()
    if process.returncode:
        sys.exit(f"ansible-playbook {' '.join(arguments)}: exit status {process.returncode}\n{output[-8000:]}")
    try:
        changed = parse_changed(output)
    except ValueError as error:
        sys.exit(f"ansible-playbook {' '.join(arguments)}: {error}\n{output[-8000:]}")
    # Only children that were waited for count: Ansible waits for its workers, and they for their ssh. The hosts are no
    # children of this process, and what an ssh master uses after its first command is left out.
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, processor, memory, changed, max(parse_trips(output).values(), default=0))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a run as an operator would, and after a while as the kernel does."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
