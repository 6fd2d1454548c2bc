#!/usr/bin/python
"""Reads of a host what an audit judges: nginx's configuration, files, accounts, units, sockets and packages."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.audit.reader import (
    loose_files,
    read_accounts,
    read_forwarders,
    read_nginx,
    read_packages,
    read_rotation,
    read_sockets,
    read_units,
)
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import served_tree

DOCUMENTATION = r"""
module: host_audit
short_description: Read what an audit judges
description:
  - The configuration that nginx reads (C(nginx -T)) and which tree it serves, modes and owners of the files that it
    names, the accounts of nginx and of the applications, the units that Gatehouse wrote and what
    C(systemd-analyze security) says of them, what listens on the network, where nginx's packages come from, and the
    rotation of its logs.
  - Changes nothing, and reads no key and no secret, only their modes.
options:
  services:
    description: What may listen on the network, each with port or ports and protocol; returned with what does.
    type: list
    elements: dict
    default: []
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Read the host
  host_audit:
    services: [{port: 443}, {port: 443, protocol: udp}]
"""

RETURN = r"""
host:
  description: What was read, by subject. See the collection's C(module_utils/audit/host.py).
  type: dict
  returned: always
services: {description: O(services)., type: list, elements: dict, returned: always}
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={"services": {"type": "list", "elements": "dict", "default": []}}, supports_check_mode=True
    )
    nginx = read_nginx()
    active = ""
    with contextlib.suppress(OSError):
        active = Path("/etc/nginx/active").readlink().name
    units = read_units()
    users = {unit["user"] for unit in units if unit["user"]} | {one["user"] for one in nginx["processes"]}
    host = {
        "clock": time.time(),
        "nginx": {**nginx, "active": active, "served": served_tree()},
        "loose": list(loose_files("/etc/nginx")) if nginx["installed"] else [],
        "forwarders": read_forwarders(),
        "accounts": read_accounts(users - {"root"}),
        "units": units,
        "sockets": read_sockets(),
        "rotation": read_rotation(),
        **read_packages(),
    }
    module.exit_json(changed=False, host=host, services=module.params["services"])


if __name__ == "__main__":
    main()
