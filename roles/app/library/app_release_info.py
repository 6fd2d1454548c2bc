#!/usr/bin/python
"""Lists the releases of one application on this host."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gatehouse_releases import Releases

DOCUMENTATION = r"""
module: app_release_info
short_description: List the releases of an application on this host
description:
  - Changes nothing.
options:
  name: {description: The application., type: str, required: true}
  root: {description: Folder in which every application has its own., type: path, default: /srv}
author: Gatehouse
"""

EXAMPLES = r"""
- name: See what this host has
  app_release_info:
    name: storefront
"""

RETURN = r"""
current: {description: Id of the release that runs; empty if there is none., type: str, returned: always}
previous: {description: Id of the one that ran before it., type: str, returned: always}
releases: {description: Ids of all that are here, newest first., type: list, returned: always}
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "root": {"type": "path", "default": "/srv"}},
        supports_check_mode=True,
    )
    releases = Releases(module.params["root"], module.params["name"], user="")
    module.exit_json(
        changed=False, current=releases.linked("current"), previous=releases.linked("previous"),
        releases=releases.known(),
    )  # fmt: skip


if __name__ == "__main__":
    main()
