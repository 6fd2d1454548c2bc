#!/usr/bin/python
"""Lists the release archives of one application that the controller keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: release_archive_info
short_description: List the release archives of an application that the controller keeps
description:
  - Reads what M(release_archive) wrote beside each archive. Changes nothing.
options:
  name: {description: The application., type: str, required: true}
  dir: {description: Folder that keeps the archives., type: path, required: true}
author: Gatehouse
"""

EXAMPLES = r"""
- name: See what is kept
  release_archive_info:
    name: storefront
    dir: build
  delegate_to: localhost
"""

RETURN = r"""
archives:
  description: C({release, version, sha256, bytes, origin}), newest first; an archive that is gone is not listed.
  type: list
  returned: always
"""


def kept_archives(name: str, folder: Path) -> list[dict[str, Any]]:
    """Give the archives of one application, newest first; what is no record of one is passed over."""
    found: list[tuple[int, dict[str, Any]]] = []
    for file in folder.glob(f"{name}-*.json"):
        try:
            record = json.loads(file.read_text())
            # `shop-admin-1.0.json` may be of shop or of shop-admin, so the record says it itself.
            if record["name"] != name:
                continue
            version, sha256 = str(record["version"]), str(record["sha256"])
            stat = file.with_name(f"{name}-{version}.tar.gz").stat()
        except (OSError, ValueError, KeyError, TypeError):
            continue
        facts = {"release": f"{version}-{sha256[:8]}", "version": version, "sha256": sha256}
        found.append((stat.st_mtime_ns, {**facts, "bytes": stat.st_size, "origin": record.get("origin") or {}}))
    return [facts for _, facts in sorted(found, key=lambda one: one[0], reverse=True)]


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "dir": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, archives=kept_archives(module.params["name"], Path(module.params["dir"])))


if __name__ == "__main__":
    main()
