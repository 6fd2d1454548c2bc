"""Sends a release archive to a host that lacks the release; the module of the same name does the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.gatehouse.core.plugins.module_utils.account import HOME, PASSWORD, SHELL

# The states that are about the release in the archive; the others know theirs by its id.
OF_THE_ARCHIVE = ("released", "staged", "migrated")
SUM = re.compile(r"([0-9a-f]{64})(\s.*)?", re.DOTALL)


def sidecar_sha256(archive: Path) -> str:
    """Give the SHA-256 that is beside the archive; '' if neither is there."""
    sidecar = archive.with_name(archive.name + ".sha256")
    if not sidecar.is_file():
        if archive.is_file():
            raise AnsibleActionFail(f"there is no {sidecar}: write it with `sha256sum {archive.name} > {sidecar.name}`")
        return ""
    found = SUM.fullmatch(sidecar.read_text())
    if found is None:
        raise AnsibleActionFail(
            f"{sidecar} does not begin with a SHA-256: write it with `sha256sum {archive.name} > {sidecar.name}`"
        )
    return found[1]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Asks the host first; a host that has the release costs one module call and no transfer."""

    # A temporary folder is made only when there is something to send: without one, the module call is pipelined.
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        options = dict(self._task.args)
        archive = Path(str(options.pop("archive", "")))
        if options.get("state", "released") in OF_THE_ARCHIVE:
            # A build names its inputs. Without a sum it is still to come (check mode), and the sidecar that is
            # there belongs to the archive it is going to replace.
            if not options.get("sha256") and not options.get("inputs"):
                options["sha256"] = sidecar_sha256(archive)
            if not options.get("sha256") and not self._task.check_mode:
                raise AnsibleActionFail(
                    f"there is no release archive {archive}: build it, or set app_archive to one that is there"
                )
        answer = self._execute_module(module_name="app_release", module_args=options, task_vars=task_vars)
        provided: list[str] = []
        if needs := answer.pop("needs", []):
            provided, failed = self._provide(needs, options, task_vars)
            if failed:
                return {**result, **failed}
            # Without the packages: one that only apt can judge (a version, a pattern) would be missing again.
            options["packages"] = []
            answer = self._execute_module(module_name="app_release", module_args=options, task_vars=task_vars)
        if answer.pop("needs_archive", False):
            if not archive.is_file():
                raise AnsibleActionFail(f"this host lacks the release and there is no {archive} to send")
            remote = self._connection._shell.join_path(self._make_tmp_path(), "release.tar.gz")
            self._transfer_file(str(archive), remote)
            options["archive"] = remote
            answer = self._execute_module(module_name="app_release", module_args=options, task_vars=task_vars)
        self._remove_tmp_path(self._connection._shell.tmpdir)
        if provided and not answer.get("failed"):
            answer["changed"] = True
        result.update(answer)
        result["changes"] = [*provided, *result.get("actions", [])]
        if not result.get("failed"):
            result.update(self._decided(options))
        return result

    @staticmethod
    def _decided(options: dict[str, Any]) -> dict[str, Any]:
        """Return what a host only repeats and others go by: the release that was asked for, and its health page."""
        gate = {
            name: options[f"health_{name}"]
            for name in ("path", "status", "body", "host")
            if f"health_{name}" in options
        }
        known: dict[str, Any] = {"gate": gate} if gate else {}
        if options.get("state") == "staged" and options.get("sha256"):
            known["staged"] = f"{options['version']}-{options['sha256'][:8]}"
        return known

    def _provide(self, needs: list[str], options: dict[str, Any], task_vars: Any) -> tuple[list[str], dict[str, Any]]:
        """Install the packages and make the account right; return those needs that changed the host, and a failure."""
        user, reader = options["user"], options.get("web_server_user")
        install = "install package "
        packages = [need for need in needs if need.startswith(install)]
        account = [need for need in needs if need not in packages]
        names = [need.removeprefix(install) for need in packages]
        steps: list[tuple[list[str], str, dict[str, Any]]] = []
        if packages:
            steps.append((packages, "apt", {"name": names, "install_recommends": False}))
        if account:
            login = {"home": HOME, "shell": SHELL, "password": PASSWORD}
            steps.append((account, "user", {"name": user, "system": True, "create_home": False, **login}))
        if account and reader:
            steps.append(([], "user", {"name": reader, "groups": [user], "append": True}))
        provided: list[str] = []
        for said, module, arguments in steps:
            done: dict[str, Any] = self._execute_module(f"ansible.builtin.{module}", arguments, task_vars=task_vars)
            if done.get("failed"):
                return provided, done
            if done.get("changed"):
                provided += said or [need for need in account if need not in provided]
        return provided, {}
