#!/usr/bin/python
"""Makes one release of an application the one that runs here, proves that it answers, or puts the former one back."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gatehouse_archive import (  # type: ignore[import-not-found]
    RELEASE,
    ArchiveError,
    file_sha256,
    prune_choice,
    tree_digest,
    unpack,
)
from ansible.module_utils.gatehouse_service import (  # type: ignore[import-not-found]
    Gate,
    ManagedFile,
    Service,
    ServiceError,
    environment_file,
    systemctl,
)

DOCUMENTATION = r"""
module: app_release
short_description: Ensure that one release of an application runs, or put the former one back
description:
  - One transaction. Unpacks the release (after checking its SHA-256 and every member) beside the others, writes the unit and its
    environment files, links the release as C(current), restarts the unit if anything differs from what runs, and asks its health page.
  - If the health page does not answer 200 in time, the former release, unit and environment are put back and started, and the task
    fails with the unit's last journal lines.
  - Everything is compared on each run, the running process included, so a stopped unit or a hand-edited file is put right.
  - The action plugin sends the archive only if the host lacks the release.
options:
  name: {description: The application; names the unit and the folder., type: str, required: true}
  version: {description: The version; with the first 8 digits of the SHA-256 it is the release's id., type: str, default: ''}
  archive: {description: Path of the archive on the controller; its SHA-256 stands beside it in C(<archive>.sha256)., type: str, default: ''}
  sha256: {description: The archive's SHA-256; empty in check mode when it is not built yet., type: str, default: ''}
  inputs: {description: What the archive was built from; lets check mode tell whether a build would change anything., type: str, default: ''}
  state:
    description: C(released) runs this version; C(rolled_back) runs C(release), or the one that ran before, with unit and environment as they are.
    type: str
    choices: [released, rolled_back]
    default: released
  release: {description: For C(rolled_back), the id to go back to; empty means the previous one., type: str, default: ''}
  root: {description: Folder in which every application has its own., type: path, default: /srv}
  user: {description: The application's account., type: str, required: true}
  unit: {description: Text of the systemd unit., type: str, default: ''}
  environment: {description: Environment variables., type: dict, default: {}}
  secrets: {description: Environment variables that nobody may read; never in a diff., type: dict, default: {}}
  address: {description: Where the application listens., type: str, required: true}
  port: {description: The port., type: int, required: true}
  health_path: {description: The page that must answer 200., type: str, default: /healthz}
  health_timeout: {description: Seconds until it must answer., type: int, default: 30}
  keep: {description: How many releases stay., type: int, default: 3}
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


class Deployment:
    """All paths and steps of one application on this host."""

    def __init__(self, options: dict[str, Any], check_mode: bool) -> None:
        self.options = options
        self.check_mode = check_mode
        self.name: str = options["name"]
        self.home = Path(options["root"]) / self.name
        self.releases = self.home / "releases"
        self.service = Service(self.name, options["user"])
        self.gate = Gate(options["address"], options["port"], options["health_path"], options["health_timeout"])
        self.actions: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def linked(self, name: str) -> str:
        """The release that the link `current` or `previous` points at, '' if there is none."""
        try:
            return os.path.basename(os.readlink(self.home / name))
        except OSError:
            return ""

    def link(self, name: str, release: str) -> None:
        """Points a link at a release in one step; an empty release removes it."""
        target = self.home / name
        if not release:
            target.unlink(missing_ok=True)
            return
        temporary = self.home / f".{name}.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(f"releases/{release}")
        os.replace(temporary, target)

    def recorded(self, release: str) -> dict[str, str]:
        """What was noted when the release was unpacked: sha256, inputs, tree; empty if it is not here or was edited since."""
        try:
            record: dict[str, str] = json.loads((self.releases / f"{release}.json").read_text())
            return record if record["tree"] == tree_digest(self.releases / release) else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def known(self) -> list[str]:
        """The releases on this host, newest first."""
        records = sorted(self.releases.glob("*.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        return [file.name[: -len(".json")] for file in records]

    def unpack(self, release: str, archive: Path, sha256: str) -> None:
        """Checks the archive, unpacks it beside the others, and gives the release its place in one rename."""
        found = file_sha256(archive)
        if found != sha256:
            raise ArchiveError(
                f"the archive of {self.name} {self.options['version']} has SHA-256 {found}, but {sha256} is expected: nothing was unpacked. "
                f"Build it again, or put the right sum into the .sha256 file beside the archive on the controller."
            )
        try:
            group = pwd.getpwnam(self.options["user"]).pw_gid
        except KeyError as error:
            raise ServiceError(
                f"this host has no account {self.options['user']}: create it before the release"
            ) from error
        for folder in (self.home, self.releases):
            folder.mkdir(mode=0o755, exist_ok=True)
            os.chmod(folder, 0o755)
        temporary = Path(tempfile.mkdtemp(dir=self.releases, prefix=".unpack-"))
        try:
            fresh = temporary / "release"
            unpack(archive, fresh)
            (fresh / "release.env").write_text(environment_file({"APP_RELEASE": release}))
            os.chmod(fresh / "release.env", 0o644)
            # Others than root and the application have no business in its code.
            os.chown(fresh, 0, group)
            os.chmod(fresh, 0o750)
            target = self.releases / release
            if target.exists():
                os.replace(target, temporary / "former")
            os.replace(fresh, target)
            record = {"sha256": sha256, "inputs": self.options["inputs"], "tree": tree_digest(target)}
            ManagedFile(self.releases / f"{release}.json", json.dumps(record) + "\n", 0o644).write()
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def wanted_files(self) -> list[ManagedFile]:
        """Unit and environment files as they should be."""
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
        """Why the unit must be started anew although nothing differs; '' if what runs is what is here, and answers."""
        state = self.service.show()["ActiveState"]
        if state != "active":
            return f"it is {state or 'not there'}"
        newer = self.service.older_than([self.home / "current", *(file.path for file in files)])
        if newer:
            return f"it was started before {newer} was changed"
        problem = self.service.healthy(self.gate)
        return f"it is not healthy: {problem}" if problem else ""

    def ensure(self, release: str, unpacked: bool, files: list[ManagedFile]) -> None:
        """Compares, and outside check mode changes, proves, or puts back."""
        former = self.linked("current")
        changed = [file for file in files if file.differs()]
        self.diffs += [file.diff() for file in changed]
        self.actions += [f"write {file.path}" for file in changed]
        if former != release or not release:
            self.actions.append(f"link {release or 'the release that would be built'} as current")
            self.diffs.append({"before_header": f"{self.home}/current", "after_header": f"{self.home}/current",
                               "before": f"{former}\n" if former else "", "after": f"{release or '(built first)'}\n"})  # fmt: skip
        shown = self.service.show()
        reload = shown["NeedDaemonReload"] == "yes" or any(file.path.parent == UNITS for file in changed)
        enable = shown["UnitFileState"] != "enabled"
        if reload:
            self.actions.append("reload systemd")
        if enable:
            self.actions.append(f"enable {self.service.unit}")
        reason = (
            "a new release"
            if unpacked or former != release
            else "new settings"
            if changed
            else self.restart_reason(files)
        )
        if reason:
            self.actions.append(f"restart {self.service.unit}: {reason}")
        if self.check_mode:
            return
        before = [ManagedFile(file.path, file.present(), file.mode) for file in files]
        began = time.time()
        try:
            for file in changed:
                file.write()
            self.link("current", release)
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
            same = former == release and not changed and not unpacked
            raise ServiceError(self.put_back(str(error), release, former, [] if same else before, began)) from error
        if former and former != release:
            self.link("previous", former)

    def put_back(self, problem: str, release: str, former: str, before: list[ManagedFile], began: float) -> str:
        """Restores the former release and settings and starts them; gives the text for the operator.

        `before` has the former files, and is empty if this release ran with these very settings before.
        """
        log = self.service.journal(began)
        for file in before:
            file.write()
        settings = all(file.text is not None for file in before)
        self.link("current", former)
        if not before:
            outcome = "It ran with the same settings before, so there is nothing to put back."
        elif former and settings:
            try:
                systemctl("daemon-reload")
                self.service.restart()
                again = self.service.wait(self.gate)
            except ServiceError as error:
                again = str(error)
            what = f"Release {former}" + (" with its former settings" if former == release else "")
            outcome = (
                f"{what} was put back and answers."
                if not again
                else f"{what} was put back, but does not answer either: {again}."
            )
        else:
            systemctl("stop", self.service.unit, check=False)
            systemctl("disable", "--quiet", self.service.unit, check=False)
            outcome = "There was no release before it to go back to, so the unit is stopped."
        return (
            f"{self.name} {release} did not answer 200 at {self.gate.url} within {self.gate.timeout} s ({problem}). {outcome}\n"
            f"What the unit wrote:\n{log or '(nothing)'}\n"
            f"Correct the application or its settings (app_environment, app_secrets, app_health_path, app_health_timeout) and deploy again; "
            f"`journalctl -u {self.service.unit}` on the host has the rest."
        )

    def prune(self, current: str) -> None:
        """Removes releases beyond `keep`; the current and the previous one always stay."""
        previous = self.linked("previous") if self.linked("current") == current else self.linked("current")
        newest_first = self.known()
        for release in prune_choice(newest_first, self.options["keep"], (current, previous)):
            self.actions.append(f"remove release {release}")
            if not self.check_mode:
                (self.releases / f"{release}.json").unlink()
                shutil.rmtree(self.releases / release, ignore_errors=True)
        if not self.check_mode:
            for left in self.releases.glob(".unpack-*"):
                shutil.rmtree(left, ignore_errors=True)

    def released(self) -> bool:
        """State `released`; False if the archive must be sent first."""
        options, sha256 = self.options, self.options["sha256"]
        if (Path("/usr/lib/systemd/system") / self.service.unit).exists():
            raise ServiceError(
                f"this host's own packages have a unit {self.service.unit}: give the application another app_name"
            )
        release = f"{options['version']}-{sha256[:8]}" if sha256 else ""
        if not release:
            # Check mode before the build: the release that runs is what would come out if it has the same inputs.
            current = self.linked("current")
            record = self.recorded(current)
            if record.get("inputs") == options["inputs"] and current.rpartition("-")[0] == options["version"]:
                release = current
        record = self.recorded(release) if release else {}
        lacking = not record or bool(sha256 and record.get("sha256") != sha256)
        if lacking and not self.check_mode and not options["archive"]:
            return False
        if lacking:
            self.actions.append(f"unpack release {release or 'that would be built'}")
            if not self.check_mode:
                self.unpack(release, Path(options["archive"]), sha256)
        self.ensure(release, lacking, self.wanted_files())
        self.prune(release)
        return True

    def rolled_back(self) -> None:
        """State `rolled_back`: an earlier release with the unit and the environment that are here."""
        release = self.options["release"] or self.linked("previous")
        if not release or not self.recorded(release):
            have = ", ".join(self.known()) or "none"
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
    for field, pattern in (
        ("name", r"[a-z][a-z0-9-]{0,30}"),
        ("version", RELEASE.pattern),
        ("release", RELEASE.pattern),
    ):
        if options[field] and not re.fullmatch(pattern, options[field]):
            module.fail_json(msg=f"{field} is {options[field]!r}; it names files: it must match {pattern}")
    deployment = Deployment(options, module.check_mode)
    try:
        with open(f"/run/lock/gatehouse-{options['name']}.lock", "w") as lock:
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
        release=deployment.linked("current"), previous=deployment.linked("previous"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
