"""Controller side of apt_packages: one remote call where nothing is missing, else one transaction of apt."""

from __future__ import annotations

import re
import time
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase

# How long a new connection is tried, in seconds; the host puts sshd's former settings back after 30.
PATIENCE = 60
# What apt says of a package that its lists do not know.
UNKNOWN = "No package matching"
PROXY = re.compile(r"(https?://[A-Za-z0-9._~:@%\[\]-]+/?)?")


class ActionModule(ActionBase):  # type: ignore[misc]
    """Looks, has ansible.builtin.apt install what is missing, and lets go of the units that were held."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the module found, `changed` by the packages that were installed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        proxy = str(self._task.args.get("proxy", ""))
        if not PROXY.fullmatch(proxy):
            raise AnsibleActionFail(f"base_apt_proxy must be empty or look like http://10.10.0.5:3142, got {proxy!r}")
        self._vars = task_vars
        self._task.args["host"] = {**(self._task.args.get("host") or {}), "clock": time.time()}
        found = self._step("look")
        if token := found.pop("ssh_token", ""):
            self._come_again(token)
        if found.get("failed") or not found["missing"] or self._task.check_mode:
            return {**result, **found}
        done = self._install(found["missing"])
        released = self._step("release")
        if failed := next((one for one in (done, released) if one.get("failed")), None):
            return {**result, **failed}
        # One that is given to apt on every run (a version, a pattern) changes something only if apt says so.
        changes = [line for line in found["changes"] if done.get("changed") or not line.startswith("package ")]
        return {**result, **found, "changed": bool(changes), "changes": changes}

    def _come_again(self, token: str) -> None:
        """Keep sshd's new settings if they let a new connection in; the host puts the former back by itself."""
        end, reason = time.monotonic() + PATIENCE, "no answer"
        while time.monotonic() < end:
            try:
                # The connection in use is an established one, which no setting ends.
                if type(self._connection).reset is not ConnectionBase.reset:
                    self._connection.reset()
                if self._step("keep", token=token).get("ssh_kept"):
                    return
                break
            except AnsibleError as error:
                reason = str(error).strip()
                time.sleep(1)
        raise AnsibleActionFail(
            "The new settings of sshd (base_ssh_allow) let no new connection of this controller in, and the host puts "
            f"its former ones back by itself. What the connection said: {reason}. A jump host needs [tcp_forwarding], "
            "an account that logs in with a password [password]"
        )

    def _install(self, names: list[str]) -> dict[str, Any]:
        """Have apt install packages; fetch its lists where they are too old, or do not know one of the packages.

        A freshly built image has no lists, yet a young folder of lists, which apt's module takes for fresh ones.
        """
        age = int(self._task.args.get("cache_valid_time", 0))
        done = self._apt(names, {"cache_valid_time": age} if age else {"update_cache": True})
        if done.get("failed") and UNKNOWN in str(done.get("msg")):
            done = self._apt(names, {"update_cache": True})
        return done

    def _apt(self, names: list[str], how: dict[str, Any]) -> dict[str, Any]:
        # Somebody may have come in between, since the module found apt free.
        waits = self._task.args["host"].get("lock_timeout", 600)
        arguments = {"name": names, "lock_timeout": waits, **how}
        return dict(self._execute_module("ansible.builtin.apt", arguments, task_vars=self._vars))

    def _step(self, mode: str, **more: str) -> dict[str, Any]:
        arguments = {**self._task.args, "mode": mode, **more}
        done: dict[str, Any] = self._execute_module("apt_packages", arguments, task_vars=self._vars)
        done.pop("invocation", None)
        return done
