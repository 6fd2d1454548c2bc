#!/usr/bin/python
"""Runs what an application runs now a second time, beside it, so that it serves while the application is changed."""

from __future__ import annotations

import os
import re
import syslog
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.app.releases import Releases
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import (
    Gate,
    ManagedFile,
    Service,
    ServiceError,
    systemctl,
)
from ansible_collections.gatehouse.core.plugins.module_utils.app.standby import (
    lacking_memory,
    standby_environment,
    standby_rules,
    standby_unit,
)
from ansible_collections.gatehouse.core.plugins.module_utils.lock import LockedError, locked

DOCUMENTATION = r"""
module: app_standby
short_description: Ensure that an application has a standby, or has none
description:
  - A standby is the release that runs now, a second time, as a unit of its own (C(<name>-standby.service)) with the
    same account, settings and sandbox, on another port, which is in C(APP_PORT). Requests can go there while the
    application itself is changed.
  - A host whose application does not run gets none.
  - It is enabled, so that it comes back after a reboot, until V(stopped) removes it.
options:
  state:
    description: Whether there is to be one.
    type: str
    choices: [started, stopped]
    required: true
  serving:
    description:
      - Whether requests may be on their way to one that is there, because a run was interrupted. If it answers, it is
        left alone then, whatever it runs; otherwise it is started anew, with what runs now.
    type: bool
    default: false
  name:
    description: The application.
    type: str
    required: true
  root:
    description: Folder in which every application has its own.
    type: path
    default: /srv
  user:
    description: The application's account.
    type: str
    required: true
  address:
    description: Where the application listens.
    type: str
    required: true
  port:
    description: The application's port.
    type: int
    required: true
  standby_port:
    description: The standby's.
    type: int
    required: true
  health_path:
    description: The page that must answer, unless the release was found good by another one.
    type: str
    default: /healthz
  health_status:
    description: The status that it must answer with.
    type: int
    default: 200
  health_body:
    description: Text that the answer must have in it.
    type: str
    default: ''
  health_host:
    description: Name of the site that the page is asked for, as by a visitor over HTTPS; empty asks by the address.
    type: str
    default: ''
  health_timeout:
    description: Seconds until it must answer.
    type: int
    default: 30
attributes:
  check_mode: {support: none}
  diff_mode: {support: none}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Have a standby serve meanwhile
  app_standby:
    state: started
    name: storefront
    user: storefront
    address: 127.0.0.1
    port: 5000
    standby_port: 25000
"""

RETURN = r"""
release: {description: "Id of the release that the standby runs, or empty.", type: str, returned: always}
"""

UNITS = Path("/etc/systemd/system")
SETTINGS = Path("/etc/gatehouse")


class Standby:
    """The standby of one application on this host."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.name, self.user = options["name"], options["user"]
        self.serving = options["serving"]
        self.ports = (options["port"], options["standby_port"])
        self.releases = Releases(options["root"], self.name, self.user)
        self.main, self.service = Service(self.name, self.user), Service(f"{self.name}-standby", self.user)
        health = (options[f"health_{key}"] for key in ("path", "timeout", "status", "body"))
        self.gate = Gate(options["address"], options["standby_port"], *health, host=options["health_host"])

    def files(self, release: str = "") -> list[ManagedFile]:
        """Give its files, for a release from those of the application as they are, else as not there."""
        name, (port, standby_port) = self.name, self.ports
        texts: list[str | None] = [None] * 3
        if release:
            unit, *settings = (
                path.read_text()
                for path in (UNITS / self.main.unit, SETTINGS / f"{name}.env", SETTINGS / f"{name}.secrets.env")
            )
            texts = [
                standby_unit(unit, name, self.releases.home, self.releases.folder / release, self.ports),
                *(standby_environment(text, port, standby_port) for text in settings),
            ]
        places = [
            (UNITS / self.service.unit, 0o644),
            (SETTINGS / f"{name}-standby.env", 0o644),
            (SETTINGS / f"{name}-standby.secrets.env", 0o600),
        ]
        return [ManagedFile(path, text, mode, True) for (path, mode), text in zip(places, texts, strict=True)]

    def started(self) -> tuple[bool, str]:
        """Have one that answers; (whether anything was done, the id of its release)."""
        if self.serving and self.service.show()["ActiveState"] == "active" and not self.service.healthy(self.gate):
            unit = (UNITS / self.service.unit).read_text()
            found = re.search(rf"^WorkingDirectory={re.escape(str(self.releases.folder))}/(.+)$", unit, re.MULTILINE)
            return False, found[1] if found else ""
        release = self.releases.linked("current")
        if not release or self.main.show()["ActiveState"] != "active":
            return self.stopped(), ""
        used = systemctl("show", self.main.unit, "--property=MemoryCurrent", "--value", check=False).strip()
        if problem := lacking_memory(Path("/proc/meminfo").read_text(), used):
            raise ServiceError(
                f"{self.name} cannot be changed side by side: {problem}. Write rollout: {{strategy: rolling}} in its "
                "entry, which stops the present release before the new one starts, or give the host more memory"
            )
        began = time.time()
        self.open_port()
        for file in self.files(release):
            file.write()
        systemctl("daemon-reload")
        systemctl("enable", "--quiet", self.service.unit)
        self.service.restart()
        # What it was found good by: today's page may be the next release's own.
        gate = replace(self.gate, **(self.releases.fact(release, "gate") or {}))
        if problem := self.service.wait(gate):
            log = self.service.journal(began)
            self.stopped()
            raise ServiceError(
                f"a second {self.name} {release} did not answer {gate.status} at {gate.url} within {gate.timeout} s "
                f"({problem}), so nothing was changed.\nWhat it wrote:\n{log or '(nothing)'}\n"
                "Have the application listen on the port that APP_PORT names, give it more time by health_timeout, or "
                "write rollout: {strategy: rolling} in its entry: then the present release is stopped before the new "
                "one starts"
            )
        return True, release

    def open_port(self) -> None:
        """Let it answer from its port: the rules of a release from before there were standbys do not."""
        rules = SETTINGS / f"{self.name}.nft"
        if not rules.is_file():
            return
        text = rules.read_text()
        if (wanted := standby_rules(text, *self.ports)) != text:
            ManagedFile(rules, wanted, 0o644).write()

    def stopped(self) -> bool:
        """Have none; return whether anything was done."""
        files = self.files()
        if not any(file.differs() for file in files) and self.service.show()["ActiveState"] in ("", "inactive"):
            return False
        # While the unit's file is there: without it, systemd would keep its enablement and a unit without a file.
        for verb in ("stop", "disable", "reset-failed"):
            systemctl(verb, "--quiet", self.service.unit, check=False)
        for file in files:
            file.write()
        systemctl("daemon-reload", check=False)
        return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
            "serving": {"type": "bool", "default": False},
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/srv"},
            "user": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "standby_port": {"type": "int", "required": True},
            "health_path": {"type": "str", "default": "/healthz"},
            "health_status": {"type": "int", "default": 200},
            "health_body": {"type": "str", "default": ""},
            "health_host": {"type": "str", "default": ""},
            "health_timeout": {"type": "int", "default": 30},
        },
    )
    os.umask(0o022)
    standby, state, release = Standby(module.params), module.params["state"], ""
    try:
        # A second play on this host waits here, and so does a deployment of the application.
        with locked(f"app-{standby.name}"):
            if state == "started":
                changed, release = standby.started()
            else:
                changed = standby.stopped()
    except (LockedError, ServiceError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    if changed:
        syslog.openlog("gatehouse")
        syslog.syslog(f"{standby.name}: standby {state} {release}".rstrip())
    module.exit_json(changed=changed, release=release)


if __name__ == "__main__":
    main()
