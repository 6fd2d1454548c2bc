#!/usr/bin/python
"""Target side of apt_packages: find missing packages, set apt and sshd up, keep units from starting meanwhile."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils import host_checks, sshd
from ansible_collections.gatehouse.core.plugins.module_utils.debian import not_installed, versions

DOCUMENTATION = r"""
module: apt_packages
short_description: Ensure that packages are installed, without opening apt where nothing is missing
description:
  - Reads from dpkg what is installed, which takes a hundredth of what apt's cache takes, and leaves what is missing to
    P(ansible.builtin.apt#module).
  - Writes apt's proxy before, and what sshd allows; one call, because each costs a round trip.
  - What sshd allows is tested before it goes live. Unless a new connection comes in, the host puts back what it had.
  - Refuses a host that cannot be used as it is, before anything is changed on it.
options:
  names:
    description: Debian packages. One with a version or a pattern is given to apt on every run.
    type: list
    elements: str
    required: true
  proxy:
    description: Proxy that apt goes through, as C(http://host:port); empty for none.
    type: str
    default: ''
  held_units:
    description: Units that the installation of their package does not start, because they are configured first.
    type: list
    elements: str
    default: []
  cache_valid_time:
    description: Age in seconds up to which apt's package lists are not fetched again.
    type: int
    default: 0
  ssh:
    description:
      - What sshd allows besides logging in with a key, of V(password), V(agent_forwarding), V(tcp_forwarding) and
        V(x11_forwarding); unless given, the host's own settings hold.
    type: list
    elements: str
  host:
    description:
      - "What the host has to be like, C({ports, take_over, untested_os, firewall_beside, forwarding, lock_timeout}):
        TCP ports that nobody else may have, whether nginx takes the place of a web server, whether the system need
        not be one that is tested, whether another firewall stays, whether the host forwards packets, and how many
        seconds others may use apt."
      - The action plugin adds C(clock), the controller's time.
    type: dict
    required: true
  applications:
    description: Names of the applications that belong on this host; those beside them that Gatehouse deployed are
      named in a warning. V(*) is any.
    type: list
    elements: str
    default: ["*"]
  token:
    description: Names the restore of sshd's settings. The action plugin gives it; do not set it.
    type: str
    default: ''
  mode:
    description: Step of the work. The action plugin of the same name chooses it; do not set it.
    type: str
    choices: [look, release, keep]
    default: look
attributes:
  check_mode: {support: full, description: Says which packages a run would install.}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Install what the roles after this one need, with nginx not yet serving anything
  apt_packages:
    names: [ca-certificates, nginx, nftables]
    held_units: [nginx.service]
    host: {ports: [80, 443], lock_timeout: 600}
"""

RETURN = r"""
ssh_token: {description: Names the armed restore of sshd's settings, type: str, returned: always}
ssh_kept: {description: "With O(mode=keep), false where the restore came first.", type: bool, returned: success}
missing: {description: The packages that were not installed., type: list, returned: always}
changes: {description: "One line for each package and file.", type: list, returned: always}
ansible_facts:
  description:
    - C(distribution_major_version) of the host, and on a system that is not tested C(package_versions), the versions of
      nginx, openssl and njs.
  type: dict
  returned: always
"""

MARK = "// This file is written by Gatehouse (role base): change the inventory, not this file.\n"
PROXY = Path("/etc/apt/apt.conf.d/01gatehouse-proxy")
# A mask that the next boot forgets (systemd.unit(5)).
RUNTIME = Path("/run/systemd/system")
REFUSED = "This host cannot be used as it is, and nothing was changed on it:"
ALLOWED = ("take_over", "untested_os", "firewall_beside", "forwarding")
PROGRAMS = {"nginx": "nginx", "openssl": "openssl", "njs": "libnginx-mod-http-js"}
ANY = "*"  # of applications: none is out of place
UNITS = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


def write_proxy(proxy: str, check: bool) -> list[str]:
    """Make apt's proxy so; return what changed."""
    lines = [f'Acquire::{scheme}::Proxy "{proxy}";\n' for scheme in ("http", "https")]
    text = "".join([MARK, *lines]) if proxy else ""
    found = PROXY.read_text() if PROXY.is_file() else ""
    if found == text:
        return []
    if not check and text:
        PROXY.write_text(text)
        PROXY.chmod(0o644)
    elif not check:
        PROXY.unlink()
    return [f"{PROXY}: {'changed' if found and text else 'added' if text else 'removed'}"]


def masks(units: list[str]) -> list[Path]:
    """Return our masks of `units` that are in place."""
    return [path for path in map(RUNTIME.joinpath, units) if path.is_symlink() and path.readlink() == Path("/dev/null")]


def hold(units: list[str]) -> None:
    """Mask the units that no package has installed yet."""
    for unit in units:
        if not any((folder / unit).exists() for folder in UNITS) and not masks([unit]):
            RUNTIME.mkdir(parents=True, exist_ok=True)
            (RUNTIME / unit).symlink_to("/dev/null")


def release(units: list[str]) -> None:
    """Take the masks away, those of an interrupted run too."""
    if held := masks(units):
        for path in held:
            path.unlink()
        subprocess.run(["/usr/bin/systemctl", "daemon-reload"], check=True, timeout=60)


def left_over(applications: list[str], units: Path = Path("/etc/systemd/system")) -> list[str]:
    """Return the applications that Gatehouse deployed here and that are not among these."""
    if ANY in applications:
        return []
    mark = ", deployed by Gatehouse"
    found = (file for file in units.glob("*.service") if file.is_file() and file.stem not in applications)
    return sorted(file.stem for file in found if mark in file.read_text(errors="replace"))


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        supports_check_mode=True,
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "proxy": {"type": "str", "default": ""},
            "held_units": {"type": "list", "elements": "str", "default": []},
            "cache_valid_time": {"type": "int", "default": 0},
            "ssh": {"type": "list", "elements": "str"},
            "host": {
                "type": "dict",
                "required": True,
                "options": {
                    "clock": {"type": "float", "default": 0},
                    "ports": {"type": "list", "elements": "int", "default": []},
                    **{name: {"type": "bool", "default": False} for name in ALLOWED},
                    "lock_timeout": {"type": "int", "default": 600},
                },
            },
            "applications": {"type": "list", "elements": "str", "default": [ANY]},
            "token": {"type": "str", "default": "", "no_log": False},
            "mode": {"choices": ["look", "release", "keep"], "default": "look"},
        },
    )
    params, check = module.params, module.check_mode
    if params["mode"] == "keep":
        module.exit_json(ssh_kept=sshd.keep(params["token"]))
    try:
        missing = not_installed(params["names"])
        if params["mode"] == "look":
            own = [name for name in params["applications"] if name != ANY]
            problems, warnings = host_checks.check(params["host"], missing, own, wait=not check)
            if problems:
                module.fail_json(msg="\n".join([REFUSED, *(f"- {line}" for line in problems)]))
            for warning in warnings:
                module.warn(warning)
        allow = params["ssh"]
        changes, token = sshd.settle("" if allow is None else sshd.drop_in(allow), check)
        changes += write_proxy(params["proxy"], check)
        if not check:
            if missing and params["mode"] == "look":
                hold(params["held_units"])
            else:
                release(params["held_units"])
    except sshd.SshdError as error:
        module.fail_json(msg=str(error))
    except (OSError, subprocess.SubprocessError) as error:
        module.fail_json(msg=f"apt_packages: {error}")
    if left := left_over(params["applications"]):
        module.warn(
            f"{', '.join(left)} was deployed to this host, and the inventory does not put it there any more;"
            f" playbooks/remove.yml -e host=... -e app={left[0]} removes it"
        )
    about = platform.freedesktop_os_release()
    facts: dict[str, Any] = {"distribution_major_version": about.get("VERSION_ID", "").partition(".")[0]}
    if host_checks.is_untested(about):  # the tested ones are a table of the role that asks
        facts["package_versions"] = versions(PROGRAMS)
    changes += [f"package {name}: installed" for name in missing]
    found = {"missing": missing, "changes": changes, "ansible_facts": facts, "ssh_token": token}
    module.exit_json(changed=bool(changes), **found)


if __name__ == "__main__":
    main()
