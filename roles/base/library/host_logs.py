#!/usr/bin/python
"""Reads what nginx and the units of applications logged on this host between two moments."""

from __future__ import annotations

import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.log_reader import Reader, written

DOCUMENTATION = r"""
module: host_logs
short_description: Read nginx's log files and the journal of applications
description:
  - The newest lines between O(since) and O(until) of nginx's C(access.log) and C(error.log), rotated ones included, and
    of the journal of the units of O(applications), of what Gatehouse wrote there, and of the kernel about their rules.
  - With O(request), the lines that have the id of a request; and what was logged while it ran by the nginx or the
    application that answered it, which is marked as C(near).
  - Changes nothing. What is looked at and what is returned is bounded.
options:
  since: {description: Seconds of the epoch., type: float, required: true}
  until: {description: Seconds of the epoch., type: float, required: true}
  lines: {description: How many lines at most., type: int, default: 2000}
  size: {description: How many bytes at most., type: int, default: 4194304}
  grep: {description: Regular expression that a line must match; empty for all., type: str, default: ''}
  request: {description: Id of a request; empty for all., type: str, default: ''}
  requests:
    description: "What other hosts returned as C(requests) for O(request)."
    type: list
    elements: dict
    default: []
  applications:
    description: "Applications whose units are read, C({name: [ports by which nginx asks them]})."
    type: dict
    default: {}
  addresses:
    description: The host's addresses, by which an access log names it.
    type: list
    elements: str
    default: []
  names:
    description: Names of the host's own TLS endpoint, whose errors are those of O(applications).
    type: list
    elements: str
    default: []
  only:
    description:
      - "Which of nginx's lines are read, C({upstreams, names, endpoints}): the names of upstreams, the server names of
        sites, and C(address:port) of members. Empty for all, nginx's own journal included."
    type: dict
    default: {}
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Read what an application wrote in the last ten minutes
  host_logs:
    since: "{{ now().timestamp() - 600 }}"
    until: "{{ now().timestamp() }}"
    applications: {storefront: [5000]}
"""

RETURN = r"""
entries:
  description: "C([time, source, text, near, whole]), oldest first. C(whole) is whether the time is in whole seconds."
  type: list
  returned: always
cut: {description: Whether there is more than was returned., type: bool, returned: always}
requests:
  description: "C({since, until, method, uri, upstream}) of each request with the id in this host's access log."
  type: list
  elements: dict
  returned: always
clock: {description: "The host's clock, at beginning and end.", type: list, elements: float, returned: always}
"""


def main() -> None:
    began = time.time()
    module = AnsibleModule(
        argument_spec={
            "since": {"type": "float", "required": True},
            "until": {"type": "float", "required": True},
            "lines": {"type": "int", "default": 2000},
            "size": {"type": "int", "default": 4 << 20},
            "grep": {"type": "str", "default": ""},
            "request": {"type": "str", "default": ""},
            "requests": {"type": "list", "elements": "dict", "default": []},
            "applications": {"type": "dict", "default": {}},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    reader = Reader(module.params)
    try:
        reader.read_files()
        reader.read_journal()
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=str(error))
    entries = list(written(reader.result()))
    module.exit_json(changed=False, entries=entries, cut=reader.cut, requests=reader.own, clock=[began, time.time()])


if __name__ == "__main__":
    main()
