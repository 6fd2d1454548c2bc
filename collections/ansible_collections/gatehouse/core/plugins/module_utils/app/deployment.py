"""One application's deployment on a host: all that the module app_release does, step by step."""

from __future__ import annotations

import contextlib
import syslog
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import prune_choice
from ansible_collections.gatehouse.core.plugins.module_utils.app.change import Change
from ansible_collections.gatehouse.core.plugins.module_utils.app.confined import (
    confined,
    prepare,
    program_in,
    properties,
)
from ansible_collections.gatehouse.core.plugins.module_utils.app.failure_report import process_failed, server_failed
from ansible_collections.gatehouse.core.plugins.module_utils.app.former import Former
from ansible_collections.gatehouse.core.plugins.module_utils.app.processes import Processes
from ansible_collections.gatehouse.core.plugins.module_utils.app.releases import Releases
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import (
    FastCgiGate,
    Gate,
    ManagedFile,
    Service,
    ServiceError,
    environment_file,
    environment_value,
    run,
    systemctl,
    systemd_version,
    understood,
)

UNITS = Path("/etc/systemd/system")
SETTINGS = Path("/etc/gatehouse")
NFT = "/usr/sbin/nft"
PATIENCE = 60
PREPARE_TIMEOUT = 600


class Deployment:
    """All paths and steps of one application on this host."""

    def __init__(self, options: dict[str, Any], check_mode: bool) -> None:
        self.options = options
        self.check_mode = check_mode
        self.name: str = options["name"]
        self.releases = Releases(options["root"], self.name, options["user"])
        self.service = Service(self.name, options["user"])
        self.gate = self.wanted_gate()
        self.former = SETTINGS / f"{self.name}.former.json"
        self.egress = SETTINGS / f"{self.name}.nft"
        lists = (options["processes"], options["schedules"])
        here = tuple([one for one in of if options["first"] or one["hosts"] == "all"] for of in lists)
        self.processes = Processes(self.name, self.releases.home, UNITS, here)
        self.table = ("inet", f"gatehouse_{self.name}")
        self.looks_only = check_mode or options["state"] == "staged"
        self.actions: list[str] = []
        self.pending: list[str] = []
        self.diffs: list[dict[str, str]] = []
        self.log = ""
        self.answers = True

    def environment(self) -> dict[str, Any]:
        """Give the environment variables that are no secrets."""
        options = self.options
        own = {"APP_NAME": self.name, "APP_ADDRESS": options["address"], "APP_PORT": options["port"]}
        return {**options["environment"], **own}

    def wanted_gate(self) -> Gate:
        """Say where the application is asked: over FastCGI if its environment names a socket for that, else over HTTP.

        What brings no unit (a rollback) brings no environment either, and goes by the one that is here.
        """
        options = self.options
        here = ManagedFile(SETTINGS / f"{self.name}.env", None, 0o644)
        text = environment_file(options["environment"]) if options["unit"] else here.present() or ""
        where = (options["address"], options["port"], options["health_path"], options["health_timeout"])
        wanted = (options["health_status"], options["health_body"])
        socket, script = (environment_value(text, f"APP_FASTCGI_{word}") for word in ("SOCKET", "SCRIPT"))
        host = options["health_host"]
        return FastCgiGate(*where, *wanted, socket, script, host=host) if socket else Gate(*where, *wanted, host=host)

    def wanted_files(self) -> list[ManagedFile]:
        """Give units and environment files as they should be."""
        options, version = self.options, systemd_version()
        return [
            *self.processes.files(options["unit"], version),
            ManagedFile(UNITS / self.service.unit, understood(options["unit"], version), 0o644),
            ManagedFile(self.egress, options["egress"], 0o644),
            ManagedFile(SETTINGS / f"{self.name}.env", environment_file(self.environment()), 0o644),
            ManagedFile(
                SETTINGS / f"{self.name}.secrets.env", environment_file(options["secrets"]), 0o600, secret=True
            ),
        ]

    def restart_reason(self, files: list[ManagedFile]) -> str:
        """Say why the unit must start anew though nothing differs; '' if what runs is what is here, and answers."""
        state = self.service.show()["ActiveState"]
        if state != "active":
            return f"it is {state or 'not there'}"
        if run([NFT, "--terse", "list", "table", *self.table], check=False) == "":
            return "what it may connect to is not in force"
        newer = self.service.older_than([self.releases.home / "current", *(file.path for file in files)])
        if newer:
            return f"it was started before {newer} was changed"
        problem = self.service.healthy(self.gate)
        return f"it is not healthy: {problem}" if problem else ""

    def compare(self, release: str, unpacked: bool, files: list[ManagedFile]) -> Change:
        """Compare what is here with what is asked for."""
        current = self.releases.linked("current")
        written = [file for file in files if file.differs()]
        self.processes.check(written)
        shown = self.service.show()
        own = [file for file in files if file.path not in self.processes.paths(files)]
        # What processes and server have in common: the release, and the settings beside the unit.
        renewed = ""
        if unpacked or current != release or not release:
            renewed = "a new release"
        elif any(one in own and one.path.parent == SETTINGS for one in written):
            renewed = "new settings"
        elif self.options["restart"]:
            renewed = "it was asked for"
        here = self.processes.here()
        if not files:
            self.processes.keep(here)
        return Change(
            release=release,
            current=current,
            link=self.releases.home / "current",
            files=files,
            written=written,
            unproven=self.deploys() and current == release and not self.releases.fact(release, "deployed"),
            unit=self.service.unit,
            reload=shown["NeedDaemonReload"] == "yes" or any(file.path.parent == UNITS for file in written),
            enable=shown["UnitFileState"] != "enabled",
            restart=renewed or ("new settings" if any(one in own for one in written) else self.restart_reason(own)),
            due=self.processes.due(here, {file.path for file in written}, renewed, self.common(own)),
            orphans=self.processes.orphans(here),
            here=here,
        )

    def ensure(self, release: str, unpacked: bool, files: list[ManagedFile]) -> None:
        """Compare, and unless this only looks, change, prove, or put back."""
        change = self.compare(release, unpacked, files)
        self.actions += change.actions()
        self.diffs += change.diffs()
        if self.looks_only:
            return
        began = time.time()
        former = self.replaced_by(change, began)
        if self.actions:
            former.write(self.former)
        lost: dict[str, str] = {}
        try:
            self.switch(change)
            lost = self.processes.start(list(change.due))
            if lost:
                raise ServiceError("; ".join(f"{unit} ended: {how}" for unit, how in lost.items()))
        except (ServiceError, OSError) as error:
            log = self.service.journal(began, *lost)
            if former.release == release and not change.written and not unpacked:
                # What serves goes on where a process alone is the reason.
                outcome = "It ran with the same settings before, so there is nothing to put back."
                self.answers = bool(lost)
            else:
                outcome, self.answers = self.put_back(former)
            if former.release != release:
                self.mark_failed(release, str(error), keep=bool(former.release))
            raise ServiceError(self.report(release, str(error), outcome, log, [*lost])) from error
        if change.switches or change.unproven:
            asked = {"path": self.gate.path, "status": self.gate.status, "body": self.gate.body}
            self.releases.note(release, failed=None, gate=asked, **({"deployed": began} if self.deploys() else {}))
        if change.current and change.switches and (self.releases.folder / change.current).is_dir():
            self.releases.link("previous", change.current)

    def replaced_by(self, change: Change, began: float) -> Former:
        """Return what a change replaces.

        What an interrupted run has replaced, and nobody found good since, is still what to go back to.
        """
        held = self.held(change.current, change.release)
        if held:
            return replace(held, since=began, deploys=self.deploys())
        files = [ManagedFile(file.path, file.present(), file.mode) for file in change.files]
        processes = self.processes.enabled(change.here)
        return Former(change.current, change.release, began, files, self.deploys(), processes)

    def switch(self, change: Change) -> None:
        """End the processes, write the files, link the release, and have what serves answer."""
        self.processes.stop({*change.due, *change.orphans} & {*change.here}, self.actions.append)
        self.processes.disable(change.orphans)
        for file in change.written:
            file.write()
        if change.switches:
            self.releases.link("current", change.release)
        if change.reload:
            systemctl("daemon-reload")
        if change.enable:
            systemctl("enable", "--quiet", self.service.unit)
        if change.restart:
            self.service.restart()
            problem = self.service.wait(self.gate)
            if problem:
                raise ServiceError(problem)

    def common(self, own: list[ManagedFile]) -> list[Path]:
        """Give what a process has to be younger than: the link to its release, and the settings that it shares."""
        return [self.releases.home / "current", *(file.path for file in own if file.path.parent == SETTINGS)]

    def deploys(self) -> bool:
        """Return whether this run is a deployment: going back makes no release newer than it was."""
        return bool(self.options["state"] != "rolled_back")

    def held(self, current: str, release: str) -> Former | None:
        """Return what an interrupted run wrote down of this very change, if nobody found the release good since."""
        known = Former.read(self.former)
        settled = self.releases.fact(release, "deployed") and not self.options["unproven"]
        return known if known and known.is_of(current, release) and not settled else None

    def mark_failed(self, release: str, why: str, keep: bool) -> None:
        """Note that a release failed, so that nothing goes back to it; a host's first one leaves nothing behind."""
        if keep:
            self.releases.note(release, failed=why)
        else:
            self.releases.remove(release)
            self.former.unlink(missing_ok=True)

    def undo(self) -> None:
        """Bring about state `put_back`: the release and the files that the last change replaced."""
        self.answers = False
        known = Former.read(self.former)
        gone = known and known.release and not (self.releases.folder / known.release).is_dir()
        if not known or gone or known.replaced_by != self.releases.linked("current"):
            replaced = known.replaced_by if known else ""
            raise ServiceError(f"this host does not know any more what {self.name} ran before {replaced or 'this'}")
        self.log = self.service.journal(known.since)
        outcome, self.answers = self.put_back(known)
        # What was good before is not bad because going back to it met a proxy that was not well.
        if known.release != known.replaced_by and known.deploys:
            self.mark_failed(known.replaced_by, self.options["reason"] or "it was put back", keep=bool(known.release))
        if not self.answers:
            raise ServiceError(f"{outcome}\nWhat the unit wrote:\n{self.service.journal(known.since)}")
        self.actions.append(outcome)

    def put_back(self, known: Former) -> tuple[str, bool]:
        """Restore the former release, files and processes and start them; say how that went, and whether it answers."""
        former, before, processes = known.release, known.files, known.processes
        # A unit from before there were rules for egress does without their file; processes come and go.
        optional = {self.egress, *self.processes.paths(before)}
        required = [file for file in before if file.path not in optional]
        now = self.processes.enabled(self.processes.here())
        self.processes.stop(now, self.actions.append)
        self.processes.disable([unit for unit in now if unit not in processes])
        startable = bool(former) and all(file.text is not None for file in required)
        if not startable:
            # While the unit's file is there: without it, systemd would keep its enablement and a unit without a file.
            systemctl("stop", self.service.unit, check=False)
            systemctl("disable", "--quiet", self.service.unit, check=False)
            systemctl("reset-failed", self.service.unit, check=False)
        for file in before:
            file.write()
        self.enforce_egress()
        self.releases.link("current", former)
        if not startable:
            systemctl("daemon-reload", check=False)
            return "There was no release before it to go back to, so the unit is stopped.", False
        what = f"Release {former}" + (" with its former settings" if former == known.replaced_by else "")
        try:
            systemctl("daemon-reload")
            self.service.restart()
            # It ran before, so it gets time enough even where the new one had little; and it is asked what it was found
            # good by, for a page that nobody has may be why the new one failed.
            asked = self.releases.fact(former, "gate") or {}
            again = self.service.wait(replace(self.gate, timeout=max(self.gate.timeout, PATIENCE), **asked))
        except ServiceError as error:
            again = str(error)
        lost = self.processes.start(list(processes))
        beside = "".join(f" Its {unit} ended: {how}." for unit, how in lost.items())
        if again:
            return f"{what} was put back, but does not answer either: {again}.{beside}", False
        return f"{what} was put back and answers.{beside}", True

    def enforce_egress(self) -> None:
        """Have the rules in force that are here: those of the present unit, or none where it is older than they are."""
        if self.egress.is_file():
            run([NFT, "-f", str(self.egress)], check=False)
        else:
            run([NFT, "delete", "table", *self.table], check=False)

    def report(self, release: str, problem: str, outcome: str, log: str, lost: Sequence[str] = ()) -> str:
        """Say what failed. `lost`: the processes that are the reason, none where it is what serves."""
        what = f"{self.name} {release}"
        if lost:
            return process_failed(what, lost, problem, outcome, log)
        return server_failed(what, self.service.unit, self.gate, problem, outcome, log)

    def prune(self, current: str) -> None:
        """Remove releases beyond `keep`; the current one and what may be gone back to always stay."""
        linked, previous = self.releases.linked("current"), self.releases.linked("previous")
        # In check mode the release is not linked yet: then the one that runs is going to be the previous one. What is
        # only staged has proven nothing, and takes nothing from what can be gone back to.
        if linked != current and self.options["state"] != "staged":
            previous = linked
        former = Former.read(self.former)
        staying = (current, linked, previous, former.release if former else "")
        newest_first = self.releases.known()
        for release in prune_choice(newest_first, self.options["keep"], staying):
            self.actions.append(f"remove release {release}")
            if not self.check_mode:
                self.releases.remove(release)
        if not self.check_mode:
            self.releases.sweep()

    def release_id(self) -> str:
        """Give the id of the release that is asked for; '' in check mode if only a build would show it."""
        options = self.options
        if options["sha256"]:
            return f"{options['version']}-{options['sha256'][:8]}"
        # Check mode before the build: the release that runs is what would come out if it has the same inputs.
        current = self.releases.linked("current")
        same = self.releases.recorded(current).get("inputs") == options["inputs"]
        return current if same and current.rpartition("-")[0] == options["version"] else ""

    def lacks(self, release: str) -> bool:
        """Return whether this host has to unpack the release: it is not here, was edited, or shares other paths."""
        record = self.releases.recorded(release) if release else {}
        sha256 = self.options["sha256"]
        other = bool(sha256 and record.get("sha256") != sha256)
        shared = self.options["shared"]
        return not record or other or record.get("shared", []) != shared or not self.releases.shares(release, shared)

    def unpack(self, release: str) -> None:
        """Unpack the release beside the others."""
        options = self.options
        self.actions.append(f"unpack release {release or 'that would be built'}")
        if not self.check_mode:
            record = {name: options[name] for name in ("sha256", "inputs", "shared")}
            self.releases.unpack(release, Path(options["archive"]), record, self.prepare)

    def prepare(self, folder: Path) -> None:
        """Run the release's own preparation, if it has one."""
        options = self.options
        if options["prepare"]:
            program, *words = options["prepare"]
            command = [program if program.startswith("/") else f"{folder}/{program}", *words]
            with self.settings_of(self.release_id(), "prepare") as settings:
                prepare(self.name, command, folder, options["unit"], options["user"], PREPARE_TIMEOUT, settings)

    @contextlib.contextmanager
    def settings_of(self, release: str, purpose: str) -> Iterator[Path]:
        """Give a file, for as long as a command runs, with the environment that the application has in a release."""
        values = {**self.environment(), **self.options["secrets"], "APP_RELEASE": release}
        file = ManagedFile(
            Path(f"/run/gatehouse/{self.name}.{purpose}.env"), environment_file(values), 0o600, secret=True
        )
        try:
            file.write()
            yield file.path
        finally:
            file.path.unlink(missing_ok=True)

    def released(self) -> bool:
        """Bring about state `released`; False if the archive must be sent first."""
        release = self.release_id()
        lacking = self.lacks(release)
        if lacking and not self.check_mode and not self.options["archive"]:
            return False
        if lacking:
            self.unpack(release)
        self.ensure(release, lacking, self.wanted_files())
        self.prune(release)
        return True

    def staged(self) -> bool:
        """Bring about state `staged`; False if the archive must be sent first.

        The release that runs is not touched, even if it was edited by hand: it is unpacked anew when it is switched to.
        """
        if (Path("/usr/lib/systemd/system") / self.service.unit).exists():
            raise ServiceError(
                f"this host's own packages have a unit {self.service.unit}: give the application another app_name"
            )
        release = self.release_id()
        lacking = self.lacks(release)
        now = lacking and release != self.releases.linked("current")
        if now and not self.check_mode and not self.options["archive"]:
            return False
        if now:
            self.unpack(release)
        done = len(self.actions)
        self.ensure(release, lacking and not now, self.wanted_files())
        self.pending = self.actions[done:]
        # Now, and not only after a switch: what is staged and never served would pile up.
        self.prune(release)
        if not self.check_mode:
            self.actions, self.diffs = [one for one in self.actions if one not in self.pending], []
        return True

    def migrated(self) -> None:
        """Bring about state `migrated`: the release's own command ran, with the application's account and settings.

        In the sandbox of its unit, and with the rules of the new release for what it may connect to.
        """
        options, release = self.options, self.release_id()
        words, folder = options["migrate"], self.releases.folder / release
        program = program_in(folder, words[0])
        self.actions.append(f"run `{' '.join(words)}` in release {release}")
        if self.check_mode:
            return
        try:
            with self.settings_of(release, "migrate") as settings:
                run([NFT, "-f", "-"], text=options["egress"])
                own = [f"EnvironmentFile={settings}", f"WorkingDirectory={folder}", "UMask=0027"]
                confinement = [*properties(options["unit"]), *own]
                confined(f"{self.name}-migrate", [program, *words[1:]], confinement, options["migrate_timeout"])
        except ServiceError as error:
            self.enforce_egress()
            raise ServiceError(
                f"the migration of {self.name} {release} failed, and nothing was switched: {error}\n"
                "Correct it and deploy again; the release that ran before still serves."
            ) from error

    def rolled_back(self) -> None:
        """Bring about state `rolled_back`: an earlier release with the unit and the environment that are here."""
        release = self.options["release"]
        if not release or not self.releases.recorded(release):
            listed = self.releases.listed()
            have = ", ".join(one["release"] + (" (failed)" if one["failed"] else "") for one in listed) or "none"
            raise ServiceError(
                f"{self.name} cannot go back: there is no intact release {release} here, but {have}; name one of them"
            )
        # By the page that it was found good by: today's may be the new release's own.
        self.gate = replace(self.gate, **(self.releases.fact(release, "gate") or {}))
        self.ensure(release, False, [])

    def bring_about(self, state: str) -> bool:
        """Bring about a state; False if the archive must be sent first."""
        if state in ("released", "staged"):
            return bool(getattr(self, state)())
        steps = {"migrated": self.migrated, "put_back": self.undo, "rolled_back": self.rolled_back}
        if state in steps:
            steps[state]()
        return True

    def write_journal(self, text: str) -> None:
        """Write to the host's journal (`journalctl -t gatehouse`), which is kept and forwarded as all else there."""
        if not self.check_mode:
            syslog.openlog("gatehouse")
            syslog.syslog(f"{self.name}: {text}")
