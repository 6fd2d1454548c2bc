#!/usr/bin/python3
"""Keeps the keys of TLS session tickets on a proxy, and the timer that steps them forward."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.session_tickets import (
    FOLDER,
    Chain,
    TicketError,
    load,
    reload_nginx,
    run,
    save,
    today,
    wrong,
)

DOCUMENTATION = r"""
module: session_tickets
short_description: Ensure the keys of TLS session tickets and the timer that rotates them
description:
  - Keeps C(current.key), C(next.key) and C(previous.key) in /var/lib/gatehouse/session-tickets, for nginx's
    C(ssl_session_ticket_key) in this order. They follow from a secret that changes each day at midnight UTC.
  - Hosts that were given the same O(state) have the same keys, so that a visitor may resume a session with any of
    them.
  - A host whose secret follows from O(state) is left as it is, whatever day it was given.
  - A running nginx is reloaded, after a test of its configuration, when keys were written.
options:
  state:
    description:
      - Day and secret, as the filter P(session_ticket_state#filter) returns them.
      - Empty lets the host begin with a secret of its own, and keeps any that it has.
    type: str
    default: ''
  files:
    description: "{path: text} of the program that the timer runs, and of the units."
    type: dict
    default: {}
  timer:
    description: Name of the timer, which is enabled and started.
    type: str
    required: true
author: Gatehouse
"""

EXAMPLES = r"""
- name: Keep keys that all proxies share
  session_tickets:
    state: "{{ vault_session_ticket_seed | session_ticket_state(now(utc=true).toordinal() - 1) }}"
    files:
      /etc/systemd/system/gatehouse-session-tickets.timer: "{{ lookup('ansible.builtin.file', 'tickets.timer') }}"
    timer: gatehouse-session-tickets.timer
"""

RETURN = r"""
changes:
  description: What was done, or would be; nothing secret.
  returned: always
  type: list
  elements: str
"""


def chosen(have: Chain | None, given: Chain | None, day: int) -> tuple[Chain, str]:
    """Return the chain that a host should hold on a day, and why it is not the one that it has ('' when it is).

    `have`: what the host has; `given`: what the controller sent. A chain is kept as the day before's. At midnight the
    timer is late by minutes, and two clocks differ by seconds: one day more or less is left alone.
    """
    want = given or have or Chain(day - 1, os.urandom(32))
    want = want.at(max(want.day, day - 1))
    if not have:
        return want, "there was no secret"
    if not have.same(want):
        return want, "the secret was another"
    if have.day > max(day - 1, given.day if given else have.day):
        return want, f"the secret was that of {have.day - want.day} days later"
    if have.day < day - 2:
        return want, f"the secret was that of {want.day - have.day} days before: the timer did not run"
    return have, ""


def stale(files: dict[str, str]) -> list[str]:
    """Return the paths that do not hold their text."""
    return [path for path, text in files.items() if not Path(path).is_file() or Path(path).read_text() != text]


def unit(timer: str) -> dict[str, str]:
    """Return what systemd knows of the timer."""
    shown = subprocess.run(  # noqa: S603
        ["systemctl", "show", timer, "-pUnitFileState,ActiveState,NeedDaemonReload"],  # noqa: S607
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return dict(line.split("=", 1) for line in shown.stdout.splitlines())


def converge(options: dict[str, Any], check: bool) -> list[str]:
    """Bring the host to what is asked; return what was done, or would be."""
    have = load(FOLDER)
    chain, reason = chosen(have, Chain.read(options["state"]) if options["state"] else None, today())
    changes = [f"{FOLDER}: {reason}"] if reason else []
    changes += [] if reason else [f"{FOLDER}/{name} was wrong" for name in wrong(FOLDER, chain)]
    files = stale(options["files"])
    state = unit(options["timer"])
    runs = (state["UnitFileState"], state["ActiveState"]) == ("enabled", "active")
    if changes and not check:
        save(FOLDER, chain)
        if reload_nginx():
            changes.append("nginx was reloaded")
    if files and not check:
        for path in files:
            Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            Path(path).write_text(options["files"][path])
            Path(path).chmod(0o644)
    if (files or state["NeedDaemonReload"] == "yes") and not check:
        run("systemctl", "daemon-reload")
    if not runs and not check:
        run("systemctl", "enable", "--now", options["timer"])
    return changes + files + ([] if runs else [options["timer"]])


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        supports_check_mode=True,
        argument_spec={
            "state": {"type": "str", "default": "", "no_log": True},
            "files": {"type": "dict", "default": {}},
            "timer": {"type": "str", "required": True},
        },
    )
    os.umask(0o022)
    try:
        changes = converge(module.params, module.check_mode)
    except (TicketError, OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"session_tickets: {error}")
    diff = {"before": "", "after": "".join(f"{change}\n" for change in changes)} if changes else {}
    module.exit_json(changed=bool(changes), changes=changes, **({"diff": diff} if module._diff else {}))


if __name__ == "__main__":
    main()
