"""Check everything an inventory says, on the controller, before any host is touched.

What is read and judged is in the collection's module_utils/preflight: `project` (roles and plays), `evaluation` (the
variables of a host), `checks` (all checks, in their order), `report`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.checks import CHECKS
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.estate import Estate
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.evaluation import Host, Problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.project import Plays, Roles
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.report import problem_report, without_wiring

_MAGIC = (
    "ansible_play_hosts",
    "ansible_play_hosts_all",
    "ansible_play_batch",
    "playbook_dir",
    "inventory_dir",
    "hostvars",
)


class _EstateRefusedError(AnsibleActionFail):  # type: ignore[misc]
    """The failure: a short message for Ansible's own error line, and the report as the task's message."""

    @property
    def result_contribution(self) -> dict[str, Any]:
        """Return the task's result; the parent would put the short message in place of the report."""
        return {**self._result, "failed": True}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Run the whole check in one task of the controller, whatever hosts the play has."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect, check, and end with the report; see the role's argument_specs for the arguments."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {
            "roles": {"type": "path", "required": True},
            "playbooks": {"type": "list", "elements": "path", "default": []},
            "certificate_days": {"type": "int", "default": 30},
        }
        _, args = self.validate_argument_spec(argument_spec=spec)
        estate = self._estate(args, task_vars or {})
        for check in CHECKS:
            check(estate)
        problems = without_wiring(list(estate.problems.found.values()), estate.rootless)
        problems = sorted(problems, key=lambda problem: problem["order"])
        # Which machine a host is on is no input of a role, but counts.
        values = [host.values | {name: host.raw[name] for name in {"machine"} & set(host.raw)} for host in estate.hosts]
        report = problem_report(problems, values)
        result |= {"msg": report, "changed": False, "_ansible_verbose_always": True}
        if errors := sum(problem["level"] == "error" for problem in problems):
            raise _EstateRefusedError(f"errors in the inventory: {errors}, listed below", result=result)
        return result

    def _estate(self, args: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Estate:
        """Read the roles, the hosts and the plays."""
        hostvars, problems = task_vars["hostvars"], Problems(task_vars["hostvars"])
        roles = Roles(Path(args["roles"]), self._load)
        magic = {name: task_vars[name] for name in _MAGIC if name in task_vars}
        secrets = {name for name, option in roles.known.items() if option.get("no_log")}
        # Every host of the inventory, whatever --limit says.
        for name in problems.places:
            host = Host(name, hostvars.raw_get(name), secrets, problems)
            known = {**roles.defaults, **magic, **host.raw}
            host.templar = self._templar.copy_with_new_env(available_variables=known)
            problems.hosts[name] = host

        def hosts_of(pattern: str) -> list[str]:
            found = hostvars._inventory.get_hosts(pattern, ignore_limits=True, ignore_restrictions=True)
            return [str(host.name) for host in found]

        return Estate(
            hosts=list(problems.hosts.values()),
            problems=problems,
            roles=roles,
            needs=list(Plays(roles, problems, self._load, hosts_of).needs(args["playbooks"])),
            inventory=Path(str(task_vars.get("inventory_dir") or "inventory")).resolve(),
            certificate_days=args["certificate_days"],
            load=self._load,
            find=lambda name: str(self._find_needle("files", name)),
            read=lambda path: str(self._loader.get_text_file_contents(path)),
        )

    def _load(self, path: Path) -> Any:
        """Return a parsed YAML file, or None where there is no such file."""
        # As it is, because a copy of each spec was a fifth of what preflight took; nothing here changes them.
        if not path.is_file():
            return None
        return self._loader.load_from_file(str(path), "none", unsafe=True, trusted_as_template=True)
