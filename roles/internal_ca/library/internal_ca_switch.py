#!/usr/bin/python
"""Move the folder of a CA one step on in the replacement of the CA by the next."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: internal_ca_switch
short_description: Make the next CA the one that signs, or end the trust in the former one
description:
  - C(switch) moves C(ca.pem), C(ca.key) and C(ca.crl.pem) to C(former/), and those of C(next/) in their place.
  - C(drop) removes C(former/).
  - Either may be interrupted anywhere, and doing it again completes it. Where there is nothing to do, nothing changes.
options:
  path: {description: The folder of the CA., type: path, required: true}
  step: {description: What to do., type: str, choices: [switch, drop], required: true}
attributes:
  check_mode:
    support: full
author: Gatehouse
"""

EXAMPLES = r"""
- name: Let the next CA sign
  internal_ca_switch:
    path: /srv/ca
    step: switch
  delegate_to: localhost
"""

RETURN = r"""# Nothing but `changed`.
"""

# ca.pem last: while next/ has it, internal_ca_state calls the replacement `switching`, and it is completed.
FILES = ("ca.key", "ca.crl.pem", "ca.pem")
# What is not whole, which nobody reads: former/ before it is there, and after it was.
HALF = ".former"


def sweep(folder: Path) -> None:
    """Remove a folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def switch(path: Path) -> None:
    """Keep the present CA in former/, then put the next one in its place; former/ appears whole, in one rename."""
    following, former, half = path / "next", path / "former", path / HALF
    if not former.exists():
        sweep(half)
        half.mkdir(mode=0o700)
        for name in FILES:
            if (path / name).exists():
                shutil.copy2(path / name, half / name)
        half.rename(former)
    for name in FILES:
        if (following / name).exists():
            (following / name).replace(path / name)
    shutil.rmtree(following)


def drop(path: Path) -> None:
    """Remove former/, which disappears whole, in one rename: half a CA stops every run."""
    former, half = path / "former", path / HALF
    if former.exists():
        sweep(half)
        former.rename(half)
    sweep(half)
    # Left empty by a switch that was killed at its very end.
    with suppress(OSError):
        (path / "next").rmdir()


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "step": {"type": "str", "choices": ["switch", "drop"], "required": True},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    sign, act = {"switch": ("next/ca.pem", switch), "drop": ("former", drop)}[module.params["step"]]
    due = (path / sign).exists()
    if due and not module.check_mode:
        act(path)
    module.exit_json(changed=due)


if __name__ == "__main__":
    main()
