#!/usr/bin/python
"""Makes one release of an application the one that runs here, proves that it answers, or puts the former one back."""

from __future__ import annotations

import os
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.account import is_member, is_right
from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import RELEASE, ArchiveError
from ansible_collections.gatehouse.core.plugins.module_utils.app.deployment import Deployment
from ansible_collections.gatehouse.core.plugins.module_utils.app.processes import PROCESS, SCHEDULE
from ansible_collections.gatehouse.core.plugins.module_utils.app.releases import explained
from ansible_collections.gatehouse.core.plugins.module_utils.app.service import ServiceError
from ansible_collections.gatehouse.core.plugins.module_utils.debian import not_installed
from ansible_collections.gatehouse.core.plugins.module_utils.lock import LockedError, locked

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
    description: Path of the archive on the controller; its SHA-256 is beside it in C(<archive>.sha256).
    type: str
    default: ''
  sha256:
    description: The archive's SHA-256; empty in check mode when it is not built yet.
    type: str
    default: ''
  inputs:
    description: What the archive was built from; lets check mode say whether a build would change anything.
    type: str
    default: ''
  state:
    description:
      - V(released) runs this version.
      - V(staged) unpacks it beside the others and says in C(pending) what V(released) would do; what runs stays.
      - V(migrated) runs O(migrate) in the release that is staged.
      - V(put_back) undoes the last V(released) or V(rolled_back) and marks the release that it had activated as failed.
      - V(rolled_back) runs O(release), with unit and environment as they are.
      - V(listed) changes nothing and says in C(releases) what there is.
    type: str
    choices: [released, staged, migrated, put_back, rolled_back, listed]
    default: released
  restart:
    description: For O(state=rolled_back), whether the unit starts anew though nothing differs.
    type: bool
    default: false
  release:
    description: For O(state=rolled_back), the id to go back to.
    type: str
    default: ''
  reason:
    description: For O(state=put_back), why; it is noted at the release that failed.
    type: str
    default: ''
  unproven:
    description: Whether an interrupted run may have left what runs; then what that replaced is what to go back to.
    type: bool
    default: false
  migrate:
    description:
      - Command (argument list) that the application's account runs in the release, with its whole environment and in
        the sandbox of O(unit).
    type: list
    elements: str
    default: []
  migrate_timeout:
    description: Seconds that O(migrate) may take.
    type: int
    default: 600
  shared:
    description: Paths of the release that are links to what all releases share, below C(<root>/<name>/shared).
    type: list
    elements: str
    default: []
  root:
    description: Folder in which every application has its own.
    type: path
    default: /srv
  user:
    description: The application's account.
    type: str
    required: true
  packages:
    description: Debian packages of the application; with V(released) and V(staged), those missing are installed.
    type: list
    elements: str
    default: []
  web_server_user:
    description: Account that is made a member of the application's group, so that it reads the release; empty for none.
    type: str
    default: ''
  prepare:
    description:
      - Command (argument list) that is run once in the unpacked release, before it is linked; as the application's
        account, in the sandbox of O(unit), without the network and with nothing else to write to. The release is root's
        afterwards.
    type: list
    elements: str
    default: []
  unit:
    description: Text of the systemd unit.
    type: str
    default: ''
  egress:
    description: What the application may connect to, as text for nft(8) that fills the table C(inet gatehouse_<name>).
    type: str
    default: ''
  processes:
    description:
      - Processes beside the one that serves, as C(app_processes) of the role describes them; each is a template unit
        C(<name>.<process>@.service) made from O(unit).
      - They are asked to end before the serving unit changes, and start when its page answers. One that does not stay
        fails the release as its page does.
    type: list
    elements: dict
    default: []
  schedules:
    description: Commands that a timer starts, as C(app_schedules) of the role describes them.
    type: list
    elements: dict
    default: []
  first:
    description: Whether this is the host that has what says C(hosts=first).
    type: bool
    default: true
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
      - The page that must answer. It is asked over FastCGI if O(environment) has C(APP_FASTCGI_SOCKET), a unix
        socket, and C(APP_FASTCGI_SCRIPT), the script that answers every path; else over HTTP.
    type: str
    default: /healthz
  health_status:
    description: The status that it must answer with.
    type: int
    default: 200
  health_body:
    description: Text that the answer must have in it.
    type: str
    default: ''
  health_host:
    description:
      - Name of the site that the page is asked for, as by a visitor over HTTPS (C(Host), C(X-Forwarded-Proto) and the
        like); empty asks by the address.
    type: str
    default: ''
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
pending: {description: "For O(state=staged), what V(released) would do; or empty.", type: list, returned: always}
state: {description: The state that was asked for., type: str, returned: always}
staged: {description: "For O(state=staged), the id of the release that is ready.", type: str, returned: always}
answers: {description: "Whether what was put back answers, or nothing had to be.", type: bool, returned: failure}
gate: {description: "What a healthy release answers, C({path, status, body, host}).", type: dict, returned: always}
serving: {description: Whether the unit is active and a release is linked., type: bool, returned: always}
releases:
  description: "Every release here, good ones first and newest first: C({release, deployed, failed, gate, current})."
  type: list
  returned: always
log: {description: "For O(state=put_back), what the unit wrote since what was undone.", type: str, returned: always}
"""

SHORTEST_SECRET = 4
STATES = ("released", "staged", "migrated", "put_back", "rolled_back", "listed")


def needed(options: dict[str, Any]) -> list[str]:
    """Say what the host lacks before it can hold the application; the action plugin has Ansible's own modules do it."""
    user, reader = options["user"], options["web_server_user"]
    needs = [f"install package {name}" for name in not_installed(options["packages"])]
    needs += [] if is_right(user) else [f"create account {user}"]
    return needs + ([f"let {reader} read the release"] if reader and not is_member(reader, user) else [])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "archive": {"type": "str", "default": ""},
            "sha256": {"type": "str", "default": "", "no_log": False},
            "inputs": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": list(STATES), "default": "released"},
            "release": {"type": "str", "default": ""},
            "reason": {"type": "str", "default": ""},
            "restart": {"type": "bool", "default": False},
            "unproven": {"type": "bool", "default": False},
            "migrate": {"type": "list", "elements": "str", "default": []},
            "migrate_timeout": {"type": "int", "default": 600},
            "shared": {"type": "list", "elements": "str", "default": []},
            "root": {"type": "path", "default": "/srv"},
            "user": {"type": "str", "required": True},
            "packages": {"type": "list", "elements": "str", "default": []},
            "web_server_user": {"type": "str", "default": ""},
            "prepare": {"type": "list", "elements": "str", "default": []},
            "unit": {"type": "str", "default": ""},
            "egress": {"type": "str", "default": ""},
            "processes": {"type": "list", "elements": "dict", "default": [], "options": PROCESS},
            "schedules": {"type": "list", "elements": "dict", "default": [], "options": SCHEDULE},
            "first": {"type": "bool", "default": True},
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "health_path": {"type": "str", "default": "/healthz"},
            "health_timeout": {"type": "int", "default": 30},
            "health_status": {"type": "int", "default": 200},
            "health_body": {"type": "str", "default": ""},
            "health_host": {"type": "str", "default": ""},
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
    # Ansible hides each secret wherever it is in a result: a `20` would hide half of the status 200.
    for name, value in options["secrets"].items():
        if 0 < len(str(value)) < SHORTEST_SECRET:
            module.fail_json(
                msg=f"app_secrets has {name}, which is shorter than {SHORTEST_SECRET} characters and so no secret: "
                "write it to app_environment"
            )
    deployment = Deployment(options, module.check_mode)
    needs = needed(options) if options["state"] in ("released", "staged") else []
    if needs and not module.check_mode:
        module.exit_json(changed=False, needs=needs)
    deployment.actions += needs
    try:
        # A second play on this host waits here.
        with locked(f"app-{options['name']}"):
            ready = deployment.bring_about(options["state"])
            if not ready:
                module.exit_json(changed=False, needs_archive=True)
            shown = deployment.service.show()
            listed = deployment.releases.listed()
    except (ArchiveError, LockedError, ServiceError, OSError, ValueError) as error:
        said = explained(error, str(deployment.releases.folder))
        deployment.write_journal(f"{options['state']} failed: {said}")
        module.fail_json(msg=said, actions=deployment.actions, log=deployment.log, answers=deployment.answers)
    for action in deployment.actions:
        deployment.write_journal(action)
    if shown["DropInPaths"]:
        module.warn(
            f"{deployment.service.unit} is changed by files that Gatehouse does not write: {shown['DropInPaths']}"
        )
    current = deployment.releases.linked("current")
    module.exit_json(
        changed=bool(deployment.actions), actions=deployment.actions, diff=deployment.diffs, pending=deployment.pending,
        state=options["state"], release=current, previous=deployment.releases.linked("previous"), releases=listed,
        log=deployment.log,
        staged=deployment.release_id() if options["state"] == "staged" else "",
        serving=bool(current) and shown["ActiveState"] == "active",
        gate={name: options[f"health_{name}"] for name in ("path", "status", "body", "host")},
    )  # fmt: skip


if __name__ == "__main__":
    main()
