#!/usr/bin/python
"""Removes an application from a host that the inventory does not put there any more."""

from __future__ import annotations

import re
import shutil
import subprocess
import syslog
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.app.processes import Processes
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import ServiceError, run, systemctl
from ansible_collections.gatehouse.core.plugins.module_utils.lock import LockedError, locked

DOCUMENTATION = r"""
module: app_removed
short_description: Ensure that an application is not on a host
description:
  - Stops its unit, a standby's, its processes and schedules, and removes units, settings, secrets,
    releases and the rules for what it may connect to. With O(data) its state, its cache and its account go too.
  - Only what Gatehouse deployed is removed, a unit that says so.
options:
  name:
    description: The application.
    type: str
    required: true
  root:
    description: Folder in which every application has its own.
    type: path
    default: /srv
  data:
    description: Whether its data and its account go too; shared folders are data.
    type: bool
    default: false
attributes:
  check_mode: {support: full, description: Says what would be removed.}
  diff_mode: {support: none}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Remove the application, and keep its data
  app_removed:
    name: storefront
"""

RETURN = r"""
changes: {description: What was removed., type: list, elements: str, returned: always}
kept: {description: Folders with data that are left., type: list, elements: str, returned: always}
"""

UNITS, SETTINGS = Path("/etc/systemd/system"), Path("/etc/gatehouse")
MARK = re.compile(r"^Description=.*\bGatehouse\b", re.MULTILINE)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def places(name: str, root: Path, data: bool) -> tuple[list[Path], list[Path]]:
    """Return (what is removed, what is kept) of an application, as far as it is there."""
    home = root / name
    gone = [UNITS / f"{unit}.service" for unit in (name, f"{name}-standby")]
    gone += Processes(name, home, UNITS).owned()
    # Not by a pattern: `shop-admin.env` is another application's.
    gone += [SETTINGS / f"{name}{end}" for end in (".env", ".secrets.env", ".former.json", ".nft")]
    gone += [SETTINGS / f"{name}-standby{end}" for end in (".env", ".secrets.env")]
    kept = [home / "shared", Path("/var/lib") / name, Path("/var/cache") / name]
    if data:
        gone, kept = [*gone, home, *kept[1:]], []
    else:
        gone += [path for path in (home.iterdir() if home.is_dir() else ()) if path.name != "shared"]
    return [one for one in gone if one.is_symlink() or one.exists()], [one for one in kept if one.exists()]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/srv"},
            "data": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    name, data = module.params["name"], module.params["data"]
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,30}", name):
        module.fail_json(msg=f"{name!r} is no name of an application")
    unit = UNITS / f"{name}.service"
    if unit.is_file() and not MARK.search(unit.read_text(errors="replace")):
        module.fail_json(msg=f"{unit} is not Gatehouse's: remove it by hand")
    gone, kept = places(name, Path(module.params["root"]), data)
    root, changes = Path(module.params["root"]), list[str]()
    try:
        if gone and not module.check_mode:
            with locked(f"app-{name}"):
                processes = Processes(name, root / name, UNITS)
                beside = sorted(processes.here())
                if beside:
                    # A schedule's command that runs is ended too, where a deployment would wait for it.
                    systemctl("stop", "--no-block", *beside, check=False)
                processes.stop(beside, changes.append)
                processes.disable(beside)
                for one in (f"{name}-standby.service", f"{name}.service"):
                    systemctl("disable", "--now", "--quiet", one, check=False)
                    systemctl("reset-failed", "--quiet", one, check=False)
                for path in gone:
                    remove(path)
                systemctl("daemon-reload")
                run(["/usr/sbin/nft", "delete", "table", "inet", f"gatehouse_{name}"], check=False)
                if data:
                    subprocess.run(["/usr/sbin/userdel", name], capture_output=True, check=False)  # noqa: S603
                syslog.openlog("gatehouse")
                syslog.syslog(f"{name}: removed{', with its data' if data else ''}")
    except (LockedError, ServiceError, OSError) as error:
        module.fail_json(msg=str(error))
    changes += [f"{path}: removed" for path in gone]
    module.exit_json(changed=bool(changes), changes=changes, kept=[str(path) for path in kept])


if __name__ == "__main__":
    main()
