"""Controller side of nftables_ruleset: refuse what would lock the controller out, apply, come back, keep."""

from __future__ import annotations

import ipaddress
import secrets
import time
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase

# How long after the restore's time the host may take until it answers again, in seconds.
GRACE = 45


def admits(sources: list[str], address: str) -> bool:
    """Whether `address` is in one of the `sources`."""
    seen: Any = ipaddress.ip_address(address)
    seen = getattr(seen, "ipv4_mapped", None) or seen
    return any(seen in ipaddress.ip_network(source, strict=False) for source in sources)


def client(said: str) -> tuple[str, int] | None:
    """Read SSH_CONNECTION (client, port, server, port; ssh(1)): our address and the port we came to."""
    parts = said.split()
    # A zone (`fe80::1%eth0`) is no part of what a rule, or the inventory, can name.
    return (parts[0].partition("%")[0], int(parts[3])) if len(parts) == 4 else None


def uncovered(address: str, sources: list[str]) -> str:
    """Return the refusal before anything was changed."""
    return (
        "These rules would lock this controller out, so nothing was changed on the host: it sees us as "
        f"{address}, and firewall_admin_sources holds only {', '.join(sources)}. "
        f"Add {address} to firewall_admin_sources."
    )


def cut_off(seen: tuple[str, int] | None, sources: list[str], ssh_port: int, reason: str) -> str:
    """Return what is said after the restore has fired."""
    address, port = seen or ("an unknown address", ssh_port)
    remedy = (
        "Set firewall_ssh_port to the port that sshd listens on."
        if port != ssh_port
        else "A new connection may come from another address (another route, another jump host): "
        "add that one to firewall_admin_sources."
    )
    return (
        "The new rules cut this controller off: no new connection came in before the automatic restore, and "
        "the host has put its previous rules back. The new rules admit SSH at port "
        f"{ssh_port} from {', '.join(sources)} and nothing else; this controller came from {address} to port "
        f"{port}. {remedy} (What the connection said: {reason})"
    )


class ActionModule(ActionBase):  # type: ignore[misc]
    """One remote call where nothing differs; four where rules are loaded."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do the whole unit of work; the module's documentation says what is promised."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, args = self.validate_argument_spec(
            {
                "content": {"type": "str", "required": True},
                "admin_sources": {"type": "list", "elements": "str", "required": True},
                "ssh_port": {"type": "int", "default": 22},
                "confirm_timeout": {"type": "int", "default": 15},
            }
        )
        if args["confirm_timeout"] < 5:
            raise AnsibleActionFail(
                f"firewall_confirm_timeout must be 5 seconds or more, got {args['confirm_timeout']}"
            )
        self._args, self._vars = args, task_vars
        found = self._step("compare")
        result.update(found)
        if result.get("failed") or not result["differs"]:
            return result
        seen = self._controller() if "live" in result["differs"] else None
        if seen and not admits(args["admin_sources"], seen[0]):
            raise AnsibleActionFail(uncovered(seen[0], args["admin_sources"]))
        if self._task.check_mode:
            return result
        if not result["installed"]:
            package = {"name": "nftables"}
            done = self._execute_module("ansible.builtin.apt", package, task_vars=task_vars)
            if done.get("failed"):
                return {**result, **done}
        return {
            **result,
            **(self._load(seen) if "live" in result["differs"] else self._step("keep")),
            "changed": True,
        }

    def _step(self, mode: str, token: str = "") -> dict[str, Any]:
        """Run the module in one of its modes."""
        args = {**self._args, "mode": mode, "token": token}
        done: dict[str, Any] = self._execute_module("nftables_ruleset", args, task_vars=self._vars)
        done.pop("invocation", None)
        return done

    def _controller(self) -> tuple[str, int] | None:
        """Who the host says we are. Asked without become, because sudo drops SSH_CONNECTION."""
        return client(self._low_level_execute_command('echo "$SSH_CONNECTION"', sudoable=False)["stdout"])

    def _load(self, seen: tuple[str, int] | None) -> dict[str, Any]:
        """Apply, come back over a new connection, keep; or wait until the host restored itself."""
        token = secrets.token_hex(8)
        done = self._step("apply", token)
        if done.get("failed"):
            return done
        end, reason = time.monotonic() + self._args["confirm_timeout"] + GRACE, "no answer"
        while time.monotonic() < end:
            try:
                # The connection in use is an established one, which any ruleset lets through.
                if type(self._connection).reset is not ConnectionBase.reset:
                    self._connection.reset()
                done = self._step("keep", token)
            except AnsibleError as error:
                reason = str(error).strip()
                time.sleep(1)
                continue
            if done.get("restored"):
                raise AnsibleActionFail(cut_off(seen, self._args["admin_sources"], self._args["ssh_port"], reason))
            return done
        raise AnsibleActionFail(
            f"The host does not answer {GRACE} s after its restore was due: {reason}. At its console, "
            "`journalctl -u 'gatehouse-firewall-restore-*'` shows what happened, and a reboot brings the "
            "previous rules back: the new ones are not in /etc/nftables.conf."
        )
