#!/usr/bin/python
"""Install what keeps a host's ACME certificates, run it once, and report what it says of each site."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: acme_client
short_description: Keep a host's ACME certificates
description:
  - Writes O(files), starts the timer of O(unit), starts the unit as the timer would, and waits for its end.
  - A site whose certificate could not be had keeps the one that it has. That is a warning here, or with O(strict) a
    failure, and a failed unit on the host. New files that nginx does not come to serve are always a failure.
  - With O(state=absent) program, units and O(files) go; O(home), with the accounts and their keys, stays.
options:
  state:
    description: Whether this host has sites with such certificates.
    type: str
    choices: [present, absent]
    default: present
  files: {description: "What to write, as C(path), C(content) and C(mode)", type: list, elements: dict, required: true}
  folders: {description: Folders to make, with their modes, type: dict, default: {}}
  home: {description: The folder with the outcome of the last run, type: path, required: true}
  program: {description: One of O(files), which the unit runs, type: path, required: true}
  client: {description: What that program needs; without it only V(missing) is returned, type: path, required: true}
  unit: {description: Name of service and timer, type: str, required: true}
  names: {description: The sites, type: list, elements: str, default: []}
  renew: {description: Sites to ask for whatever their certificates say, type: list, elements: str, default: []}
  strict: {description: Fail where a certificate could not be had, type: bool, default: false}
author: [Gatehouse]
"""

EXAMPLES = r"""
- acme_client:
    files: [{path: /usr/local/lib/gatehouse/acme, content: "#!/usr/bin/python3 ...", mode: "0755"}]
    home: /var/lib/gatehouse/acme
    program: /usr/local/lib/gatehouse/acme
    client: /usr/bin/certbot
    unit: gatehouse-acme
"""

RETURN = r"""
missing: {description: Whether O(client) is not installed yet, type: bool, returned: success}
sites:
  description: "By site C(name), C(state) (current, issued, reloaded, kept or refused), C(reason), C(problem), C(end)"
  type: list
  returned: success
"""


class Host:
    """What is there is compared with what is wanted; only differences are written, and nothing in check mode."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.diff: list[dict[str, str]] = []
        self.written: set[str] = set()

    def command(self, *argv: str) -> tuple[int, str, str]:
        code, out, error = self.module.run_command(list(argv))
        return code, out, error

    def write(self, path: str, content: str | None, mode: int) -> None:
        """Make a file so, or with None make it absent."""
        file = Path(path)
        found = file.read_text() if file.is_file() else None
        if found == content and (content is None or file.stat().st_mode & 0o7777 == mode):
            return
        self.written.add(path)
        self.diff.append({"before": found or "", "after": content or "", "before_header": path, "after_header": path})
        if self.module.check_mode:
            return
        if content is None:
            file.unlink()
            return
        self.folder(str(file.parent), 0o755)
        fresh = file.with_name(f".{file.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
            stream.write(content)
        fresh.chmod(mode)
        fresh.replace(file)

    def folder(self, path: str, mode: int) -> None:
        """Make a folder that is missing, and those above it; give a folder of our own its mode."""
        place = Path(path)
        if place.is_dir() and (place.stat().st_mode & 0o7777 == mode or path not in self.params["folders"]):
            return
        self.written.add(path)
        if not self.module.check_mode:
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(mode)

    def remove(self) -> None:
        """Take units, program and files away."""
        if self.module.check_mode:
            self.written |= {one["path"] for one in self.params["files"] if Path(one["path"]).is_file()}
            return
        timer = f"{self.params['unit']}.timer"
        if any(Path(one["path"]).is_file() for one in self.params["files"]):
            self.command("systemctl", "disable", "--now", timer)
        for one in self.params["files"]:
            self.write(one["path"], None, 0)
        if self.written:
            self.command("systemctl", "daemon-reload")

    def install(self) -> None:
        """Bring folders, files and timer to what is wanted."""
        for path, mode in self.params["folders"].items():
            self.folder(path, int(mode, 8))
        for one in self.params["files"]:
            self.write(one["path"], one["content"], int(one["mode"], 8))
        timer = f"{self.params['unit']}.timer"
        if any(path.startswith("/etc/systemd/") for path in self.written) and not self.module.check_mode:
            self.command("systemctl", "daemon-reload")
        if (
            self.command("systemctl", "is-active", "--quiet", timer)[0]
            or (self.command("systemctl", "is-enabled", "--quiet", timer)[0])
        ):
            self.written.add(timer)
            if not self.module.check_mode:
                code, _, error = self.command("systemctl", "enable", "--now", timer)
                if code:
                    self.module.fail_json(msg=f"The timer {timer} does not start: {error.strip()}")

    def foresee(self, names: list[str]) -> list[dict[str, Any]]:
        """Return what a run would ask for, without asking anybody."""
        due = dict.fromkeys(names, "there is none")
        if not self.written and shutil.which(self.params["program"]):
            _, out, _ = self.command(self.params["program"], "--check")
            due = json.loads(out)
        return [
            {"name": name, "state": "due" if name in due else "current", "reason": due.get(name, ""), "problem": ""}
            for name in names
        ]

    def tend(self) -> list[dict[str, Any]]:
        """Start the unit, wait for its end, and return what it wrote down."""
        home, unit = Path(self.params["home"]), f"{self.params['unit']}.service"
        outcome = home / "result.json"
        if self.params["renew"]:
            (home / "renew").write_text("\n".join(self.params["renew"]) + "\n")
        before = outcome.stat().st_mtime_ns if outcome.exists() else 0
        code, _, error = self.command("systemctl", "start", unit)
        if not outcome.exists() or outcome.stat().st_mtime_ns == before:
            _, log, _ = self.command("journalctl", "--no-pager", "--quiet", "-o", "cat", "-n", "15", "-u", unit)
            self.module.fail_json(msg=f"{unit} ended with {code} and tended no site: {error.strip()}\n{log.strip()}")
        return list(json.loads(outcome.read_text())["sites"])


def sentence(site: dict[str, Any]) -> str:
    """Say what is wrong with a site's certificate, and what holds meanwhile."""
    has = f"It keeps the certificate that it has, until {site['end']}." if site["end"] else "It has no certificate."
    return f"site {site['name']}: its certificate could not be had ({site['reason']}). {site['problem']}. {has}"


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["present", "absent"], "default": "present"},
            "files": {"type": "list", "elements": "dict", "required": True},
            "folders": {"type": "dict", "default": {}},
            "home": {"type": "path", "required": True},
            "program": {"type": "path", "required": True},
            "client": {"type": "path", "required": True},
            "unit": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "renew": {"type": "list", "elements": "str", "default": []},
            "strict": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)  # whatever the connection gave: nginx's workers read the challenges
    host, params = Host(module), module.params
    if params["state"] == "absent":
        host.remove()
        module.exit_json(changed=bool(host.written), missing=False, sites=[], diff=host.diff)
    if unknown := [name for name in params["renew"] if name not in params["names"]]:
        known = ", ".join(params["names"])
        module.fail_json(msg=f"certificate_acme_renew: no ACME site is called {unknown[0]!r}; write one of {known}")
    missing = not Path(params["client"]).exists()
    if missing and not module.check_mode:
        module.exit_json(changed=False, missing=True, sites=[])
    host.install()
    sites = host.foresee(params["names"]) if module.check_mode else host.tend()
    changed = bool(host.written) or any(site["state"] in ("issued", "reloaded", "due") for site in sites)
    lines = [f"{path}: changed" for path in sorted(host.written)]
    lines += [f"certificate {site['name']}: {site['state']}" for site in sites if site["state"] != "current"]
    result = {"changed": changed, "changes": lines, "missing": missing, "sites": sites, "diff": host.diff}
    if refused := [site for site in sites if site["state"] == "refused"]:
        reported = "\n".join(f"site {site['name']}: {site['problem']}" for site in refused)
        module.fail_json(msg=f"New certificates are not served:\n{reported}", **result)
    kept = [sentence(site) for site in sites if site["problem"]]
    if kept and params["strict"]:
        module.fail_json(msg="\n".join(kept), **result)
    for text in kept:
        module.warn(text)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
