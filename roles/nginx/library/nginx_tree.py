#!/usr/bin/python3
"""Make one whole nginx configuration live, and prove that the running server serves it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_tree
short_description: Activate a whole nginx configuration as one unit, or put the previous one back
description:
  - Takes every file of the configuration, compares it with what is live, tests it on the host, makes it live by
    renaming one link, and asks the running server which configuration it serves.
  - When nginx refuses it or does not come to serve it, the tree that was live before is put back and the task fails
    with nginx's own message, the diff, and what still runs.
  - Runs on every play. A file edited by hand, an orphan, a replaced C(/etc/nginx/nginx.conf), a stopped nginx or one
    that still runs an older tree is a difference, and is repaired.
  - C(/etc/nginx/nginx.conf) becomes a link to C(active/nginx.conf), and C(/etc/nginx/active) a link to
    C(trees/<number>-<id>). The C(nginx.conf) that was there first is kept as C(nginx.conf.before-gatehouse).
  - The module adds C(identity.conf) to the tree, a server on C(/run/nginx-identity.sock) that answers with the
    tree's name. C(nginx.conf) must say C(include active/identity.conf;) in its http block.
  - Includes of files of the tree are written relative, C(include active/sites/*.conf;), because nginx resolves them
    against the folder of the C(-c) file (U(https://nginx.org/en/docs/ngx_core_module.html#include)), so that the
    same text reads the stage in a test and the live tree in service. Others are absolute, as C(/etc/nginx/mime.types).
options:
  templates:
    description:
      - Templates of the tree, rendered on the controller as the template module would, all in this one task.
      - Searched in C(templates/) of the calling role.
    type: list
    elements: dict
    default: []
    suboptions:
      src: {description: Name of the template., type: str, required: true}
      dest: {description: 'Path below C(active/), as C(sites/shop.conf).', type: str, required: true}
      vars: {description: Variables for this template only., type: dict, default: {}}
  files:
    description: Literal files, path below C(active/) to content.
    type: dict
    default: {}
  depends:
    description:
      - Absolute paths on the host whose content belongs to this generation, as certificates and keys, a CA, or the
        C(.so) of a module. If one changed, nginx is reloaded although the tree is the same.
      - In check mode a missing one means that earlier tasks have still to make it, so the tree is not tested.
    type: list
    elements: path
    default: []
  keep:
    description: Number of proven trees kept on the host, the live one included.
    type: int
    default: 5
  state:
    description: V(present) makes the given tree live; V(rollback) goes back to a kept one.
    type: str
    choices: [present, rollback]
    default: present
  tree:
    description: With O(state=rollback), V(previous) or the name of a kept tree, as V(0007-1a2b3c4d).
    type: str
    default: previous
  error_log:
    description: The error log that the configuration writes; what nginx says about a reload is read there.
    type: path
    default: /var/log/nginx/error.log
  timeout:
    description: Seconds that the test, the other run holding the lock, and the proof may each take.
    type: int
    default: 30
attributes:
  check_mode: {support: full, description: Stages and tests on the host and removes the stage; nothing live is touched.}
  diff_mode: {support: full, description: One diff per file.}
notes:
  - As every C(nginx -t), the test opens the log files and creates the cache folders that the configuration names.
requirements: [systemd, nginx 1.22 or newer]
author: [Gatehouse]
"""

EXAMPLES = r"""
- name: Make the proxy's configuration live
  nginx_tree:
    templates:
      - {src: nginx.conf.j2, dest: nginx.conf}
      - {src: site.conf.j2, dest: sites/shop.conf, vars: {site: {name: shop, server_names: [shop.example]}}}
    files:
      conf.d/limits.conf: "limit_req_zone $binary_remote_addr zone=login:1m rate=5r/s;\n"
    depends: [/etc/ssl/gatehouse/shop/fullchain.pem, /etc/ssl/gatehouse/shop/privkey.pem]

- name: Go back to the tree that was live before
  nginx_tree:
    state: rollback
"""

RETURN = r"""
tree: {description: Name of the tree that is live (in check mode would be)., type: str, returned: always}
previous: {description: Name of the tree that was live before; empty if none., type: str, returned: always}
id: {description: SHA-256 of the tree and of what it depends on., type: str, returned: always}
action:
  description: What was done to the server, V(none), V(started), V(reloaded) or V(rolled_back).
  type: str
  returned: always
tested: {description: Whether nginx tested the tree in this run., type: bool, returned: always}
"""


def main() -> None:
    """Not built yet."""
    raise NotImplementedError


if __name__ == "__main__":
    main()
