#!/usr/bin/python3
"""Make one whole nginx configuration live, and prove that the running server serves it.

What callers need is in nginx_tree.yml beside it (`ansible-doc nginx_tree`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils import web_servers
from ansible_collections.gatehouse.core.plugins.module_utils.debian import not_installed
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import (
    READERS,
    RefusedError,
    served_tree,
    settle_unit,
    unreadable,
)
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_server import NGINX, Server
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_store import (
    Store,
    conceal,
    describe,
    digest,
    kept,
    patched,
    wanted,
)


def absent_files(options: dict[str, Any]) -> list[str]:
    """Return what the configuration needs, and the host does not have."""
    return [path for path in (NGINX, *options["depends"], *options["needs"]) if not Path(path).is_file()]


def refuse_unreadable(folders: list[str]) -> None:
    """Refuse folders to serve from that nginx's workers cannot read."""
    if bare := unreadable(folders):
        raise RefusedError(
            f"nginx serves files from {', '.join(bare)}, and its workers ({READERS}) cannot read that; "
            "make the folder before the proxy, readable for all (mode 0755), as each folder above it"
        )


def choose_tree(store: Store, options: dict[str, Any], sums: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return the name and {path: text} of the tree that is to be live."""
    if options["state"] == "rollback":
        return kept(store, options["tree"])
    files = {**options["files"], **options["secrets"]}
    return wanted(store, patched(store, files) if options["state"] == "patched" else files, sums)


def differences(store: Store, texts: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return ({path below /etc/nginx: text} before, after) of what a diff has to show."""
    live = store.live()
    before = {f"active/{path}": text for path, text in (store.read(live) if live else {}).items()}
    after = {f"active/{path}": text for path, text in texts.items()}
    if not store.linked():
        before |= {"nginx.conf": describe(store.conf)} if os.path.lexists(store.conf) else {}
        after["nginx.conf"] = "# a link to active/nginx.conf\n"
    return (
        conceal({path: text for path, text in before.items() if after.get(path) != text}, "former"),
        conceal({path: text for path, text in after.items() if before.get(path) != text}, "new"),
    )


def converge(store: Store, server: Server, options: dict[str, Any], check: bool, result: dict[str, Any]) -> list[str]:
    """Do the whole run, keep `result` true at every step, return warnings; raise RefusedError or OSError."""
    live = store.live()
    if options["state"] == "patched" and not live:
        result.update(tree="", previous="", id="")
        return []
    missing = absent_files(options)
    if not check:  # a run that only looks may come before the one that makes what it needs
        if missing:
            raise RefusedError(f"not on this host: {', '.join(missing)}")
        refuse_unreadable(options["readable"])
    unit_before, unit_after = settle_unit(options["open_files"], check) if options["open_files"] else ({}, {})
    status = server.status()
    present = set(options["depends"]) - set(missing)
    sums = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in present}
    name, texts = choose_tree(store, options, sums)
    before, after = differences(store, texts)
    served = name == live and store.linked() and not status.stray and server.serves(name, status.master)
    result.update(
        before=before | unit_before,
        after=after | unit_after,
        changed=not (served and status.enabled and not unit_after and store.proven()[-1:] == [name]),
        tree=name,
        previous=live,
        id=digest(texts),
    )
    warnings = []
    if name != live and missing:
        warnings = [f"The tree was not tested, because this is not on the host yet: {', '.join(missing)}"]
    elif name != live:
        if options["state"] != "rollback":
            store.create(name, texts)
        warnings = server.test(store, name)
        result["tested"] = True
    if (status.unit_changed or unit_after) and not check:
        server.call("systemctl", "daemon-reload")
    if result["changed"] and not check:
        if not served:
            if options["take_over"] and not status.master:
                result["displaced"] = web_servers.displace(texts.values())
            store.choose(name)
            result["outcome"] = server.bring_up(name)
        store.record(name, options["keep"], live if options["state"] == "patched" else "")
        if not status.enabled:
            server.call("systemctl", "enable", "nginx")
    return warnings


def put_back(store: Store, server: Server, live: str, ran: bool) -> None:
    """Bring back what was live, else the last proven tree that nginx takes, else the nginx.conf that was found."""
    proven, failed = store.proven(), store.live()
    for name in dict.fromkeys([live, *reversed(proven)]):
        if name != failed and name in proven:
            with contextlib.suppress(RefusedError, OSError):
                server.test(store, name)
                store.choose(name)
                server.bring_up(name)
                return
    if proven:
        store.choose(proven[-1])
        return
    store.restore_found()
    with contextlib.suppress(RefusedError):
        if ran:
            server.reread()
        else:  # or systemd would go on trying to start it
            server.call("systemctl", "stop", "nginx")


def run(store: Store, server: Server, options: dict[str, Any], check: bool, result: dict[str, Any]) -> list[str]:
    """Converge, or leave the host as it was found."""
    live, ran = store.live(), any(server.status()[:2])
    try:
        return converge(store, server, options, check, result)
    except (RefusedError, OSError):
        now = store.live()
        if now and not check and (now != live or now not in store.proven()):
            put_back(store, server, live, ran)
            result["outcome"] = "rolled_back"
        web_servers.restore(result.pop("displaced", []))
        raise


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        supports_check_mode=True,
        argument_spec={
            "templates": {"type": "list", "elements": "dict", "default": []},
            "files": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "depends": {"type": "list", "elements": "path", "default": []},
            "needs": {"type": "list", "elements": "path", "default": []},
            "packages": {"type": "list", "elements": "str", "default": ["nginx"]},
            "open_files": {"type": "int", "default": 0},
            "take_over": {"type": "bool", "default": False},
            "readable": {"type": "list", "elements": "str", "default": []},
            "keep": {"type": "int", "default": 5},
            "state": {"choices": ["present", "patched", "rollback"], "default": "present"},
            "tree": {"default": "previous"},
            "error_log": {"type": "path", "default": "/var/log/nginx/error.log"},
            "timeout": {"type": "int", "default": 30},
        },
    )
    os.umask(0o022)
    store, options = Store(Path("/etc/nginx")), module.params
    server = Server(Path(options["error_log"]), options["timeout"])
    result: dict[str, Any] = {"changed": False, "outcome": "none", "tested": False}
    absent = not_installed(options["packages"]) if options["state"] == "present" else []
    if absent and not module.check_mode:
        module.exit_json(missing_packages=absent, **result)
    try:
        with store.locked() if store.root.is_dir() else contextlib.nullcontext():
            for warning in run(store, server, options, module.check_mode, result):
                module.warn(warning)
    except (RefusedError, OSError) as error:
        runs = None
        with contextlib.suppress(RefusedError, OSError):  # its own failure must not hide what nginx said
            runs = any(server.status()[:2])
        module.fail_json(msg=str(error), serves=served_tree(), runs=runs, **result)
    if absent:
        result.update(changed=True, missing_packages=absent)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
