#!/usr/bin/python
"""Makes one release of an application the one that runs here, proves that it answers, or puts the former one back."""

from __future__ import annotations

import fcntl
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gatehouse_archive import RELEASE, ArchiveError, prune_choice
from ansible.module_utils.gatehouse_releases import Releases
from ansible.module_utils.gatehouse_service import (
    FastCgiGate,
    Gate,
    ManagedFile,
    Service,
    ServiceError,
    environment_file,
    environment_value,
    systemctl,
)

DOCUMENTATION = r"""
module: app_release
short_description: Ensure that one release of an application runs, or put the former one back
description:
  - One transaction. Unpacks the release (after checking its SHA-256 and every member) beside the others, writes the
    unit and its environment files, links the release as C(current), restarts the unit if anything differs from what
    runs, and asks its health page.
  - If the health page does not answer 200 in time, the former release, unit and environment are put back and started,
    and the task fails with the unit's first and last journal lines.
  - Everything is compared on each run, the running process included, so a stopped unit or a hand-edited file is put
    right.
  - The action plugin sends the archive only if the host lacks the release.
options:
  name:
    description: The application; names the unit and the folder.
    type: str
    required: true
  version:
    description: The version; with the first 8 digits of the SHA-256 it is the release's id.
    type: str
    default: ''
  archive:
    description: Path of the archive on the controller; its SHA-256 stands beside it in C(<archive>.sha256).
    type: str
    default: ''
  sha256:
    description: The archive's SHA-256; empty in check mode when it is not built yet.
    type: str
    default: ''
  inputs:
    description: What the archive was built from; lets check mode tell whether a build would change anything.
    type: str
    default: ''
  state:
    description:
      - V(released) runs this version.
      - V(rolled_back) runs O(release), or the one that ran before, with unit and environment as they are.
    type: str
    choices: [released, rolled_back]
    default: released
  release:
    description: For O(state=rolled_back), the id to go back to; empty means the previous one.
    type: str
    default: ''
  root:
    description: Folder in which every application has its own.
    type: path
    default: /srv
  user:
    description: The application's account.
    type: str
    required: true
  prepare:
    description: Command (argument list) that root runs once in the unpacked release, before it is linked.
    type: list
    elements: str
    default: []
  unit:
    description: Text of the systemd unit.
    type: str
    default: ''
  environment:
    description: Environment variables.
    type: dict
    default: {}
  secrets:
    description: Environment variables that nobody may read; never in a diff.
    type: dict
    default: {}
  address:
    description: Where the application listens.
    type: str
    required: true
  port:
    description: The port.
    type: int
    required: true
  health_path:
    description:
      - The page that must answer 200. It is asked over FastCGI if O(environment) has C(APP_FASTCGI_SOCKET), a unix
        socket, and C(APP_FASTCGI_SCRIPT), the script that answers every path; else over HTTP.
    type: str
    default: /healthz
  health_timeout:
    description: Seconds until it must answer.
    type: int
    default: 30
  keep:
    description: How many releases stay; the current and the previous one always do.
    type: int
    default: 3
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Run the release
  app_release:
    name: storefront
    version: 1.0.0
    archive: build/storefront-1.0.0.tar.gz
    user: storefront
    unit: "{{ lookup('ansible.builtin.template', 'app.service.j2') }}"
    address: 10.10.0.101
    port: 5000
"""

RETURN = r"""
release: {description: Id of the release that runs., type: str, returned: always}
previous: {description: Id of the one that ran before it., type: str, returned: always}
actions: {description: What was done, or in check mode would be done., type: list, returned: always}
"""

UNITS = Path("/etc/systemd/system")
SETTINGS = Path("/etc/gatehouse")
PATIENCE = 60


class Deployment:
    """All paths and steps of one application on this host."""

    def __init__(self, options: dict[str, Any], check_mode: bool) -> None:
        self.options = options
        self.check_mode = check_mode
        self.name: str = options["name"]
        self.releases = Releases(options["root"], self.name, options["user"])
        self.service = Service(self.name, options["user"])
        self.gate = self.wanted_gate()
        self.actions: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def wanted_gate(self) -> Gate:
        """Say where the application is asked: over FastCGI if its environment names a socket for that, else over HTTP.

        What brings no unit (a rollback) brings no environment either, and goes by the one that is here.
        """
        options = self.options
        here = ManagedFile(SETTINGS / f"{self.name}.env", None, 0o644)
        text = environment_file(options["environment"]) if options["unit"] else here.present() or ""
        where = (options["address"], options["port"], options["health_path"], options["health_timeout"])
        socket, script = (environment_value(text, f"APP_FASTCGI_{word}") for word in ("SOCKET", "SCRIPT"))
        return FastCgiGate(*where, socket, script) if socket else Gate(*where)

    def wanted_files(self) -> list[ManagedFile]:
        """Give unit and environment files as they should be."""
        options = self.options
        own = {"APP_NAME": self.name, "APP_ADDRESS": options["address"], "APP_PORT": options["port"]}
        return [
            ManagedFile(UNITS / self.service.unit, options["unit"], 0o644),
            ManagedFile(SETTINGS / f"{self.name}.env", environment_file({**options["environment"], **own}), 0o644),
            ManagedFile(
                SETTINGS / f"{self.name}.secrets.env", environment_file(options["secrets"]), 0o600, secret=True
            ),
        ]

    def restart_reason(self, files: list[ManagedFile]) -> str:
        """Say why the unit must start anew though nothing differs; '' if what runs is what is here, and answers."""
        state = self.service.show()["ActiveState"]
        if state != "active":
            return f"it is {state or 'not there'}"
        newer = self.service.older_than([self.releases.home / "current", *(file.path for file in files)])
        if newer:
            return f"it was started before {newer} was changed"
        problem = self.service.healthy(self.gate)
        return f"it is not healthy: {problem}" if problem else ""

    def ensure(self, release: str, unpacked: bool, files: list[ManagedFile]) -> None:
        """Compare, and outside check mode change, prove, or put back."""
        former = self.releases.linked("current")
        changed = [file for file in files if file.differs()]
        self.diffs += [file.diff() for file in changed]
        self.actions += [f"write {file.path}" for file in changed]
        if former != release or not release:
            self.actions.append(f"link {release or 'the release that would be built'} as current")
            link = f"{self.releases.home}/current"
            texts = {"before": f"{former}\n" if former else "", "after": f"{release or '(built first)'}\n"}
            self.diffs.append({"before_header": link, "after_header": link, **texts})
        shown = self.service.show()
        reload = shown["NeedDaemonReload"] == "yes" or any(file.path.parent == UNITS for file in changed)
        enable = shown["UnitFileState"] != "enabled"
        if reload:
            self.actions.append("reload systemd")
        if enable:
            self.actions.append(f"enable {self.service.unit}")
        if unpacked or former != release or not release:
            reason = "a new release"
        else:
            reason = "new settings" if changed else self.restart_reason(files)
        if reason:
            self.actions.append(f"restart {self.service.unit}: {reason}")
        if self.check_mode:
            return
        before = [ManagedFile(file.path, file.present(), file.mode) for file in files]
        began = time.time()
        try:
            for file in changed:
                file.write()
            if former != release:
                self.releases.link("current", release)
            if reload:
                systemctl("daemon-reload")
            if enable:
                systemctl("enable", "--quiet", self.service.unit)
            if reason:
                self.service.restart()
                problem = self.service.wait(self.gate)
                if problem:
                    raise ServiceError(problem)
        except (ServiceError, OSError) as error:
            log = self.service.journal(began)
            if former == release and not changed and not unpacked:
                outcome = "It ran with the same settings before, so there is nothing to put back."
            else:
                outcome = self.put_back(former, former == release, before)
            if unpacked and former != release:
                self.releases.remove(release)
            raise ServiceError(self.report(release, str(error), outcome, log)) from error
        if former and former != release and (self.releases.folder / former).is_dir():
            self.releases.link("previous", former)

    def put_back(self, former: str, same: bool, before: list[ManagedFile]) -> str:
        """Restore the former release and files and start them; say how that went."""
        startable = bool(former) and all(file.text is not None for file in before)
        if not startable:
            # While the unit's file is there: without it, systemd would keep its enablement and a unit without a file.
            systemctl("stop", self.service.unit, check=False)
            systemctl("disable", "--quiet", self.service.unit, check=False)
            systemctl("reset-failed", self.service.unit, check=False)
        for file in before:
            file.write()
        self.releases.link("current", former)
        if not startable:
            systemctl("daemon-reload", check=False)
            return "There was no release before it to go back to, so the unit is stopped."
        what = f"Release {former}" + (" with its former settings" if same else "")
        try:
            systemctl("daemon-reload")
            self.service.restart()
            # It ran before, so it gets time enough even where the new one had little.
            again = self.service.wait(replace(self.gate, timeout=max(self.gate.timeout, PATIENCE)))
        except ServiceError as error:
            again = str(error)
        if again:
            return f"{what} was put back, but does not answer either: {again}."
        return f"{what} was put back and answers."

    def report(self, release: str, problem: str, outcome: str, log: str) -> str:
        """Give the text for the operator: what failed, what runs now, what the unit wrote, what to do."""
        gate, unit = self.gate, self.service.unit
        return (
            f"{self.name} {release} did not answer 200 at {gate.url} within {gate.timeout} s ({problem}). {outcome}\n"
            f"What the unit wrote:\n{log or '(nothing)'}\n"
            "Correct the application or its settings (app_environment, app_secrets, app_health_path, "
            f"app_health_timeout) and deploy again; `journalctl -u {unit}` on the host has the rest."
        )

    def prune(self, current: str) -> None:
        """Remove releases beyond `keep`; the current and the previous one always stay."""
        linked = self.releases.linked("current")
        # In check mode the release is not linked yet: then the one that runs is going to be the previous one.
        previous = self.releases.linked("previous") if linked == current else linked
        newest_first = self.releases.known()
        for release in prune_choice(newest_first, self.options["keep"], (current, previous)):
            self.actions.append(f"remove release {release}")
            if not self.check_mode:
                self.releases.remove(release)
        if not self.check_mode:
            self.releases.sweep()

    def released(self) -> bool:
        """Bring about state `released`; False if the archive must be sent first."""
        options, sha256 = self.options, self.options["sha256"]
        if (Path("/usr/lib/systemd/system") / self.service.unit).exists():
            raise ServiceError(
                f"this host's own packages have a unit {self.service.unit}: give the application another app_name"
            )
        release = f"{options['version']}-{sha256[:8]}" if sha256 else ""
        if not release:
            # Check mode before the build: the release that runs is what would come out if it has the same inputs.
            current = self.releases.linked("current")
            record = self.releases.recorded(current)
            if record.get("inputs") == options["inputs"] and current.rpartition("-")[0] == options["version"]:
                release = current
        record = self.releases.recorded(release) if release else {}
        lacking = not record or bool(sha256 and record.get("sha256") != sha256)
        if lacking and not self.check_mode and not options["archive"]:
            return False
        if lacking:
            self.actions.append(f"unpack release {release or 'that would be built'}")
            if not self.check_mode:
                record = {"sha256": sha256, "inputs": options["inputs"]}
                self.releases.unpack(release, Path(options["archive"]), record, options["prepare"])
        self.ensure(release, lacking, self.wanted_files())
        self.prune(release)
        return True

    def rolled_back(self) -> None:
        """Bring about state `rolled_back`: an earlier release with the unit and the environment that are here."""
        release = self.options["release"] or self.releases.linked("previous")
        if not release or not self.releases.recorded(release):
            have = ", ".join(self.releases.known()) or "none"
            wanted = f"release {release}" if release else "a previous release"
            raise ServiceError(
                f"{self.name} cannot go back: this host has no intact {wanted}. It has: {have}. Name one of them."
            )
        self.ensure(release, False, [])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "archive": {"type": "str", "default": ""},
            "sha256": {"type": "str", "default": "", "no_log": False},
            "inputs": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": ["released", "rolled_back"], "default": "released"},
            "release": {"type": "str", "default": ""},
            "root": {"type": "path", "default": "/srv"},
            "user": {"type": "str", "required": True},
            "prepare": {"type": "list", "elements": "str", "default": []},
            "unit": {"type": "str", "default": ""},
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "health_path": {"type": "str", "default": "/healthz"},
            "health_timeout": {"type": "int", "default": 30},
            "keep": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    options = module.params
    # The application must be able to read its code, whatever umask the connection gave.
    os.umask(0o022)
    for field, pattern in (
        ("name", r"[a-z][a-z0-9-]{0,30}"),
        ("version", RELEASE.pattern),
        ("release", RELEASE.pattern),
    ):
        if options[field] and not re.fullmatch(pattern, options[field]):
            module.fail_json(msg=f"{field} is {options[field]!r}; it names files: it must match {pattern}")
    deployment = Deployment(options, module.check_mode)
    try:
        with Path(f"/run/lock/gatehouse-{options['name']}.lock").open("w") as lock:
            # Held until the process ends; a second play on this host waits here.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if options["state"] == "rolled_back":
                deployment.rolled_back()
            elif not deployment.released():
                module.exit_json(changed=False, needs_archive=True)
    except (ArchiveError, ServiceError, OSError, ValueError) as error:
        module.fail_json(msg=str(error), actions=deployment.actions)
    drop_ins = deployment.service.show()["DropInPaths"]
    if drop_ins:
        module.warn(f"{deployment.service.unit} is changed by files that Gatehouse does not write: {drop_ins}")
    module.exit_json(
        changed=bool(deployment.actions), actions=deployment.actions, diff=deployment.diffs,
        release=deployment.releases.linked("current"), previous=deployment.releases.linked("previous"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
