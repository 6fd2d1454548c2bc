#!/usr/bin/python
"""Reads what nginx serves on this host: which configuration version, since when, and how it has each member."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import served_tree

DOCUMENTATION = r"""
module: proxy_status
short_description: Read what nginx serves here
description:
  - The state of the unit, the configuration version that the link C(/etc/nginx/active) names and the one that the
    running server answers with, and the members in the live upstreams. Changes nothing.
  - nginx shows nobody which members it leaves out for a while after failures (C(max_fails)), so this does not either.
attributes:
  check_mode: {support: full}
  diff_mode: {support: none}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Read what nginx serves
  proxy_status:
"""

RETURN = r"""
state: {description: "State of the unit, as C(active).", type: str, returned: always}
started: {description: "When the unit came into that state, in seconds of the epoch.", type: float, returned: always}
version: {description: "The configuration version that is linked, or empty.", type: str, returned: always}
serves: {description: "The one that the running server serves, or empty.", type: str, returned: always}
since: {description: "When it was linked, in seconds of the epoch.", type: float, returned: always}
upstreams:
  description: "C({upstream: {address or host name with port: parameters}}) of the live configuration."
  type: dict
  returned: always
clock: {description: The host's clock., type: float, returned: always}
"""

ACTIVE = Path("/etc/nginx/active")
# server 10.0.0.5:443 weight=2 down; # app.example.org
SERVER = re.compile(r"^\s*server (\S+?)((?: [^;]+)?);(?: # (\S+))?$", re.MULTILINE)
BLOCK = re.compile(r"^upstream (\S+) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)


def parse_upstreams(text: str) -> dict[str, dict[str, str]]:
    """Return {upstream: {address: parameters of `server`}}; a member given by name has its name and port."""
    upstreams: dict[str, dict[str, str]] = {}
    for name, body in BLOCK.findall(text):
        servers = upstreams.setdefault(name.strip('"'), {})
        for address, words, host in SERVER.findall(body):
            servers[f"{host}:{address.rpartition(':')[2]}" if host else address] = words.strip()
    return upstreams


def unit() -> tuple[str, float]:
    """Return nginx's (state, since when)."""
    argv = ["systemctl", "show", "nginx", "--timestamp=unix", "--property=ActiveState,StateChangeTimestamp"]
    shown = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=30, check=False).stdout  # noqa: S603
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    since = values.get("StateChangeTimestamp", "").removeprefix("@")
    return values.get("ActiveState", ""), float(since) if re.fullmatch(r"[\d.]+", since) else 0.0


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    state, started = unit()
    version, since = "", 0.0
    with contextlib.suppress(OSError):
        version, since = ACTIVE.readlink().name, ACTIVE.lstat().st_mtime
    texts = [path.read_text(errors="replace") for path in sorted(ACTIVE.glob("upstreams/*.conf"))]
    module.exit_json(
        changed=False,
        state=state,
        started=started,
        version=version,
        serves=served_tree(),
        since=since,
        upstreams=parse_upstreams("\n".join(texts)),
        clock=time.time(),
    )


if __name__ == "__main__":
    main()
