#!/usr/bin/python
"""Runs one command in the release that runs, as the application runs: its account, settings and sandbox."""

from __future__ import annotations

import shlex
import subprocess
import syslog
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.app.confined import (
    PATIENCE,
    kill,
    program_in,
    properties,
    transient,
)
from ansible_collections.gatehouse.core.plugins.module_utils.app.releases import Releases
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import ServiceError, run
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible

DOCUMENTATION = r"""
module: app_command
short_description: Run a command of an application
description:
  - In the release that is linked as C(current), in a transient unit with what the application's own unit says of
    account, limits and sandbox, and with its environment, secrets included. Beside the application, which runs on.
  - The command has no terminal and no input. A status other than 0 fails the task.
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
  command:
    description: A list, or a line that is split as a shell would; a program is the release's, C(bin/python)
      or C(python), if it has it, and else the host's.
    type: raw
    required: true
  timeout:
    description: Seconds that it may take.
    type: int
    default: 3600
  secrets:
    description: Values that are not shown in its output.
    type: dict
    default: {}
attributes:
  check_mode: {support: none}
  diff_mode: {support: none}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Create the first user
  app_command:
    name: shop
    user: shop
    command: [bin/python, manage.py, createsuperuser, --noinput]
"""

RETURN = r"""
rc: {description: Its exit status., type: int, returned: always}
output: {description: "What it wrote, errors in their place.", type: str, returned: always}
release: {description: Id of the release that it ran in., type: str, returned: always}
"""

NFT = "/usr/sbin/nft"


def words_of(command: Any) -> list[str]:
    """Return a command's words; a line is split as a shell would. ValueError for what is no command."""
    words = shlex.split(command) if isinstance(command, str) else command
    if not isinstance(words, list) or not words or not all(isinstance(word, (str, int)) for word in words):
        raise ValueError("command must be a line or a list of words, such as 'bin/python manage.py check'")
    return [str(word) for word in words]


def confinement(unit: str, name: str, folder: Path) -> list[str]:
    """Return the properties of a transient unit that confine as the application's unit does, in a release's folder."""
    files = [line for line in unit.splitlines() if line.startswith("EnvironmentFile=")]
    return [*properties(unit), *files, f"WorkingDirectory={folder}", "UMask=0027", "StandardError=inherit"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/srv"},
            "user": {"type": "str", "required": True},
            "command": {"type": "raw", "required": True},
            "timeout": {"type": "int", "default": 3600},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
        },
    )
    options = module.params
    name = options["name"]
    releases = Releases(options["root"], name, options["user"])
    release, rules = releases.linked("current"), Path(f"/etc/gatehouse/{name}.nft")
    unit = Path(f"/etc/systemd/system/{name}.service")
    if not release or not unit.is_file():
        module.fail_json(msg=f"{name} has no release on this host; deploy it first")
    folder = releases.folder / release
    try:
        program, *words = words_of(options["command"])
        program = program_in(folder, program)
        if rules.is_file():
            run([NFT, "-f", str(rules)])
        properties_of_it = confinement(unit.read_text(), name, folder)
        whole = transient(f"{name}-run", [program, *words], properties_of_it, options["timeout"])
        syslog.openlog("gatehouse")
        syslog.syslog(f"{name}: run `{program}` in release {release}")
        done = subprocess.run(  # noqa: S603 (an argument list, never a shell)
            whole, capture_output=True, text=True, errors="replace", timeout=options["timeout"] + PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        kill(f"{name}-run")
        module.fail_json(msg=f"the command took more than {options['timeout']} s")
    except (ServiceError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    result = {"rc": done.returncode, "output": visible((done.stdout + done.stderr).rstrip()), "release": release}
    if done.returncode:
        shown = " ".join([program.removeprefix(f"{folder}/"), *words])
        module.fail_json(msg=f"`{shown}` ended with status {done.returncode}:\n{result['output']}", **result)
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
