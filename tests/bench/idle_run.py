"""What a run with nothing to do costs: seconds, and round trips to each host. Run it by `make bench`.

The lab must be up and converged. A round trip is one `SSH: EXEC` of Ansible at verbosity 3.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def play(arguments: list[str]) -> tuple[float, str]:
    """Run ansible-playbook; return the seconds it took and what it printed."""
    start = time.monotonic()
    run = subprocess.run(
        ["ansible-playbook", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=900, env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    return time.monotonic() - start, run.stdout


def names(inventory: str) -> dict[str, str]:
    """Return each host's name by its address."""
    listing = subprocess.run(
        ["ansible-inventory", "-i", inventory, "--list"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    hosts = json.loads(listing.stdout)["_meta"]["hostvars"]
    return {variables["ansible_host"]: name for name, variables in hosts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", default="lab")
    parser.add_argument("--playbook", default="site.yml")
    parser.add_argument("--runs", type=int, default=5, choices=range(1, 21))
    options = parser.parse_args()
    arguments = [options.playbook, "-i", options.inventory]

    _, verbose = play([*arguments, "-vvv"])
    recap = dict(re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", verbose, re.MULTILINE))
    if changed := [name for name, count in recap.items() if count != "0"]:
        sys.exit(f"not converged: the run changed {', '.join(changed)}; run make lab first")
    trips = collections.Counter(re.findall(r"^<([^>]+)> SSH: EXEC", verbose, re.MULTILINE))
    seconds = [play(arguments)[0] for _ in range(options.runs)]

    print(f"{options.playbook} on {options.inventory} with nothing to do:")
    spread = f"from {min(seconds):.1f} to {max(seconds):.1f}"
    print(f"  {statistics.median(seconds):.1f} s, median of {options.runs} ({spread})")
    for address, name in names(options.inventory).items():
        print(f"  {name}: {trips[address]} round trips")


if __name__ == "__main__":
    main()
