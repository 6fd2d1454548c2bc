#!/usr/bin/python
"""Move the folder of a CA one step on in the replacement of the CA by the next."""

from __future__ import annotations

import shutil
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

FILES = ("ca.pem", "ca.key", "ca.crl.pem")


def switch(path: Path) -> None:
    """Keep the present CA in former/, then put the next one in its place; former/ appears whole, in one rename."""
    following, former, half = path / "next", path / "former", path / ".former"
    if not former.exists():
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        for name in FILES:
            if (path / name).exists():
                shutil.copy2(path / name, half / name)
        half.rename(former)
    for name in FILES:
        if (following / name).exists():
            (following / name).replace(path / name)
    shutil.rmtree(following)


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
    due = (path / {"switch": "next", "drop": "former"}[module.params["step"]]).exists()
    if due and not module.check_mode:
        if module.params["step"] == "switch":
            switch(path)
        else:
            shutil.rmtree(path / "former")
    module.exit_json(changed=due)


if __name__ == "__main__":
    main()
