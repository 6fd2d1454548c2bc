#!/usr/bin/python
"""Ansible module: wait until every host of a lab lets its controller in."""

from __future__ import annotations

import subprocess
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_answers
short_description: Wait until SSH lets the controller in on every host of a lab
description:
  - Logs in on all hosts at once and again where it failed. An open port is not enough, because sshd turns users away
    until the system has booted.
options:
  name: {description: The lab's name, type: str, required: true}
  addresses: {description: The address of each host by its name, type: dict, required: true}
  user: {description: Who logs in, type: str, required: true}
  folder: {description: "Folder with the key C(id_ed25519) and C(known_hosts)", type: path, required: true}
  timeout: {description: Seconds to wait for all of them, type: int, required: true}
author: [the Gatehouse project]
"""

EXAMPLES = r"""
- lab_answers:
    name: lab
    addresses: {proxy1: 10.20.0.11}
    user: deploy
    folder: /home/me/gatehouse/.lab/lab
    timeout: 60
"""

RETURN = r"""
silent: {description: "By host, what SSH said last where it let nobody in", type: dict, returned: always}
"""

PAUSE = 0.2  # seconds between two rounds
ATTEMPT = 5  # seconds after which a login is given up


def log_in(addresses: dict[str, str], options: list[str], user: str) -> dict[str, str]:
    """Log in on all hosts at once; return what SSH said of those where that failed, by their names."""
    command = ["ssh", "-F", "/dev/null", "-o", f"ConnectTimeout={ATTEMPT}", "-o", "BatchMode=yes", *options]
    attempts = {
        name: subprocess.Popen(  # noqa: S603 - the inventory's own addresses, and no shell
            [*command, f"{user}@{address}", "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, address in addresses.items()
    }
    silent = {}
    deadline = time.monotonic() + ATTEMPT
    for name, attempt in attempts.items():
        try:
            _, said = attempt.communicate(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            attempt.kill()
            attempt.communicate()
            said = f"no answer within {ATTEMPT} s"
        if attempt.returncode != 0:
            silent[name] = said.strip().splitlines()[-1] if said.strip() else f"exit status {attempt.returncode}"
    return silent


def main() -> None:
    """Try until all let us in, or the time is over."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "addresses": {"type": "dict", "required": True},
            "user": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "timeout": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    folder = module.params["folder"]
    options = [
        "-i",
        f"{folder}/id_ed25519",
        "-o",
        f"UserKnownHostsFile={folder}/known_hosts",
        "-o",
        "IdentitiesOnly=yes",
    ]
    deadline = time.monotonic() + module.params["timeout"]
    addresses = module.params["addresses"]
    while silent := log_in(addresses, options, module.params["user"]):
        if time.monotonic() > deadline:
            said = "\n".join(f"  {name} ({addresses[name]}): {words}" for name, words in sorted(silent.items()))
            container = f"{module.params['name']}-{min(silent)}"
            module.fail_json(
                msg=f"Not every host let the controller in within {module.params['timeout']} s:\n{said}\n"
                f"Look at `podman logs {container}` and `podman exec {container} systemctl --failed`; "
                "make lab-down, then make lab, with the same ENV, start afresh.",
                silent=silent,
            )
        addresses = {name: addresses[name] for name in silent}
        time.sleep(PAUSE)
    module.exit_json(changed=False, silent={})


if __name__ == "__main__":
    main()
