#!/usr/bin/python
"""Reads what of an application runs on this host: its release, since when, and the state of its units."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.app.releases import Releases
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import ServiceError, systemctl

DOCUMENTATION = r"""
module: app_status
short_description: Read what of an application runs here
description:
  - The release that is linked as C(current), and the state of every unit of the application, whichever those are (its
    standby, others that begin with its name and a dot). Changes nothing, and reads no release's files.
options:
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
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Read what runs
  app_status:
    name: storefront
    user: storefront
"""

RETURN = r"""
release: {description: "Id of the release that is linked, or empty.", type: str, returned: always}
since: {description: "When it was linked, in seconds of the epoch; 0 without one.", type: float, returned: always}
gate:
  description: "What it was found good by, C({path, status, body}); empty if it never was."
  type: dict
  returned: always
units:
  description:
    - "C({unit, state, substate, result, restarts, since, next}) of each; times in seconds of the epoch. C(next) is
      when a timer elapses next, 0 for other units."
  type: list
  elements: dict
  returned: always
clock: {description: The host's clock., type: float, returned: always}
"""

UNITS = Path("/etc/systemd/system")
SHOWN = {
    "Id": "unit",
    "ActiveState": "state",
    "SubState": "substate",
    "Result": "result",
    "NRestarts": "restarts",
    "StateChangeTimestamp": "since",
    "NextElapseUSecRealtime": "next",
    "LoadState": "load",
}


def unit_names(name: str, names: list[str]) -> list[str]:
    """Return the units of an application among `names`: its own, its standby's, and `shop.worker@1`, `shop.nightly`.

    No other application has a dot in its name; one with a hyphen may be there beside it.
    """
    own = re.compile(rf"{re.escape(name)}(?:-standby|[.@].+)?\.(?:service|timer)")
    return sorted({unit for unit in names if own.fullmatch(unit)})


def seconds(text: str) -> float:
    """Return a time as `systemctl --timestamp=unix` writes it, 0 for none."""
    found = re.fullmatch(r"@(\d+(?:\.\d+)?)", text)
    return float(found[1]) if found else 0.0


def parse_units(text: str) -> list[dict[str, Any]]:
    """Return the units in the output of `systemctl show`, one paragraph each."""
    units = []
    for paragraph in text.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in paragraph.splitlines() if "=" in line)
        unit: dict[str, Any] = {key: values.get(name, "") for name, key in SHOWN.items()}
        unit |= {key: seconds(unit[key]) for key in ("since", "next")}
        unit["restarts"] = int(unit["restarts"] or 0)
        # A template, or one that is known by its name alone, has no state.
        if unit.pop("load") == "loaded":
            units.append(unit)
    return units


def read_units(name: str) -> list[dict[str, Any]]:
    """Return the state of every unit of an application, loaded or not."""
    words = ["list-units", "--all", "--plain", "--no-legend", f"{name}*"]
    loaded = [line.split()[0] for line in systemctl(*words, check=False).splitlines() if line.split()]
    files = [path.name for path in UNITS.glob(f"{name}*") if "@." not in path.name]
    units = unit_names(name, [f"{name}.service", *loaded, *files])
    shown = systemctl("show", "--timestamp=unix", f"--property={','.join(SHOWN)}", *units, check=False)
    return parse_units(shown)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/srv"},
            "user": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    releases = Releases(module.params["root"], name, module.params["user"])
    try:
        units = read_units(name)
    except (ServiceError, OSError) as error:
        module.fail_json(msg=str(error))
    release = releases.linked("current")
    module.exit_json(
        changed=False,
        release=release,
        since=(releases.home / "current").lstat().st_mtime if release else 0.0,
        gate=releases.fact(release, "gate") or {},
        units=units,
        clock=time.time(),
    )


if __name__ == "__main__":
    main()
