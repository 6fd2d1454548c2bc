"""Target side of nftables_ruleset: compare, apply with an armed restore, keep."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: nftables_ruleset
short_description: Makes a text the nftables ruleset of a host and never locks the controller out
description:
  - Compares C(/etc/nftables.conf), the live table C(inet gatehouse) and nftables.service with what they
    should be; a table that was changed or flushed by hand is a difference.
  - Tests the new text with C(nft -c), arms a timer that puts the previous table back, loads the text, then
    comes back over a new connection. Only then it disarms the timer and writes the file, so a crash or a
    reboot in between also ends in the previous rules.
  - Fails before it changes anything if the controller's address, as the host sees it, is not in
    O(admin_sources).
  - An C(/etc/nftables.conf) that neither Debian nor Gatehouse wrote is kept once as
    C(/etc/nftables.conf.before-gatehouse).
options:
  content:
    description: The ruleset. It must replace the table C(inet gatehouse) and touch no other.
    type: str
    required: true
  admin_sources:
    description: Addresses and CIDRs from which O(content) admits SSH.
    type: list
    elements: str
    required: true
  ssh_port:
    description: Port at which O(content) admits SSH; named in the message when the controller is cut off.
    type: int
    default: 22
  confirm_timeout:
    description: Seconds until the host puts the previous table back by itself; 5 or more.
    type: int
    default: 15
  mode:
    description: Step of the work. The action plugin of the same name chooses it; do not set it.
    type: str
    choices: [compare, apply, keep]
    default: compare
  token:
    description: Names the armed restore. The action plugin chooses it; do not set it.
    type: str
    default: ''
attributes:
  check_mode:
    support: full
    description: Compares, and tests the text with C(nft -c) where the host has nft.
  diff_mode:
    support: full
    description: Shows the file and, where it was changed by hand, the live table.
author: [Gatehouse]
"""

EXAMPLES = r"""
- name: Load the ruleset
  nftables_ruleset:
    content: "{{ lookup('ansible.builtin.template', 'nftables.conf.j2') }}"
    admin_sources: [10.10.0.0/24]
"""

RETURN = r"""
differs:
  description: What was not as it should be, of C(file), C(live) and C(service).
  returned: always
  type: list
  elements: str
  sample: [live]
changes:
  description: One line for each of them.
  returned: always
  type: list
  elements: str
restored:
  description: The restore fired before the controller came back.
  returned: when O(mode=keep)
  type: bool
"""

NFT = "/usr/sbin/nft"
FILE = "/etc/nftables.conf"
BACKUP = FILE + ".before-gatehouse"
MARK = "This file is written by Gatehouse"
RECORD = "/var/lib/gatehouse/firewall.json"
# On a tmpfs: a reboot forgets an unconfirmed ruleset, and loads the file, which is still the previous one.
PENDING = "/run/gatehouse-firewall"
TABLE = ["table", "inet", "gatehouse"]
SAID = {
    "file": f"{FILE}: changed",
    "live": "the live table inet gatehouse: loaded anew",
    "service": "nftables.service: enabled and started",
}
REFUSED = "nft refuses the ruleset, and nothing was changed on the host:\n"
REPLACE = "table inet gatehouse\ndelete table inet gatehouse\n"

# Whoever renames the folder first, this script or the controller's `keep`, decides.
RESTORE = """#!/bin/sh
# Puts the previous table back unless the controller has come back in time.
mv -T {pending}/armed-{token} {pending}/restored-{token} || exit 0
{nft} -f {pending}/restored-{token}/previous.nft || {nft} delete table inet gatehouse
"""


def run(argv: list[str], text: str | None = None) -> tuple[int, str]:
    """Run a program; give its exit status and all it said."""
    done = subprocess.run(  # noqa: S603 (an argument list, never a shell)
        argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def read(path: str) -> str | None:
    """Text of a file, or None where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


def write(path: str, text: str, mode: int) -> None:
    """Replace a file in one rename, on disk before it is seen."""
    staged = Path(f"{path}.gatehouse-new")
    with staged.open("w", encoding="utf-8", errors="surrogateescape") as handle:
        os.fchmod(handle.fileno(), mode)
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    staged.replace(path)


def live_table() -> str:
    """Canonical listing of the live table, without counters; '' where there is none."""
    code, listing = run([NFT, "-s", "list", *TABLE])
    return listing if code == 0 else ""


def recorded() -> dict[str, str]:
    """Return what the last confirmed run loaded: `{text, listing, token}`, or {} where that is unknown."""
    try:
        record = json.loads(read(RECORD) or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) and {"text", "listing"} <= set(record) else {}


def service_ready() -> bool:
    """Whether nftables.service is active now and will be at boot."""
    _code, shown = run(["systemctl", "show", "-p", "UnitFileState", "-p", "ActiveState", "nftables.service"])
    return {"UnitFileState=enabled", "ActiveState=active"} <= set(shown.split())


def refusal(text: str) -> str:
    """Return what nft says against the text, '' where it accepts it; changes nothing."""
    code, said = run([NFT, "-c", "-f", "-"], text)
    return "" if code == 0 else said.replace("/dev/stdin:", f"{FILE}:").strip()


def foreign(text: str | None) -> bool:
    """Whether the file is an operator's own: neither Gatehouse's nor the one that Debian ships."""
    if text is None or MARK in text:
        return False
    _code, conffiles = run(["dpkg-query", "-W", "-f", "${Conffiles}", "nftables"])
    # dpkg records the shipped file's MD5 (deb-conffiles(5)): it is compared, not trusted.
    digest = hashlib.md5(text.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    return f"{FILE} {digest}" not in conffiles


def compare(module: AnsibleModule, text: str) -> None:
    """Say what differs, and have nft test the text if it would be loaded."""
    installed = Path(NFT).exists()
    file, live, record = read(FILE), live_table() if installed else "", recorded()
    differs = []
    if file != text:
        differs.append("file")
    if not live or record.get("text") != text or record["listing"] != live:
        differs.append("live")
    if not service_ready():
        differs.append("service")
    if installed and "live" in differs:
        said = refusal(text)
        if said:
            module.fail_json(msg=REFUSED + said, differs=differs)
    elif not installed and module.check_mode:
        module.warn("The ruleset was not tested: nft is not installed on the host yet.")
    diff = []
    if file != text:
        diff.append({"before_header": FILE, "after_header": FILE, "before": file or "", "after": text})
    if live != record.get("listing", "") or (not diff and "live" in differs):
        after = record["listing"] if record.get("text") == text else text
        header = "live " + " ".join(TABLE)
        diff.append({"before_header": header, "after_header": header, "before": live, "after": after})
    if "service" in differs:
        header = "nftables.service"
        diff.append(
            {
                "before_header": header,
                "after_header": header,
                "before": "not enabled or not started\n",
                "after": "enabled and started\n",
            }
        )
    changes = [SAID[what] for what in differs]
    module.exit_json(changed=bool(differs), differs=differs, installed=installed, diff=diff, changes=changes)


def disarm(token: str) -> None:
    """Stop the timer of a restore; one that has fired or is gone is no error."""
    run(["systemctl", "stop", f"gatehouse-firewall-restore-{token}.timer"])


def apply(module: AnsibleModule, text: str, token: str, timeout: int) -> None:
    """Arm the restore of the live table, then load the text. File and record wait for `keep`."""
    said = refusal(text)
    if said:
        module.fail_json(msg=REFUSED + said)
    # Left by a run interrupted after its apply: those rules were never confirmed, so they go first.
    for left in sorted(Path(PENDING).glob("armed-*")):
        run(["/bin/sh", f"{left}/restore.sh"])
        disarm(left.name.removeprefix("armed-"))
    shutil.rmtree(PENDING, ignore_errors=True)
    armed = Path(PENDING) / f"armed-{token}"
    armed.mkdir(mode=0o700, parents=True)
    write(f"{armed}/previous.nft", REPLACE + live_table(), 0o600)
    write(f"{armed}/restore.sh", RESTORE.format(pending=PENDING, token=token, nft=NFT), 0o700)
    code, said = run(
        [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit=gatehouse-firewall-restore-{token}",
            f"--on-active={timeout}",
            "--timer-property=AccuracySec=100ms",
            "/bin/sh",
            f"{armed}/restore.sh",
        ]
    )
    if code != 0:
        shutil.rmtree(PENDING, ignore_errors=True)
        module.fail_json(msg=f"No automatic restore could be armed, so nothing was changed on the host: {said.strip()}")
    code, said = run([NFT, "-f", "-"], text)
    if code != 0:
        disarm(token)
        shutil.rmtree(PENDING, ignore_errors=True)
        module.fail_json(msg=f"nft could not load the ruleset; it loads all or nothing, so the old rules stay:\n{said}")
    write(f"{armed}/listing", live_table(), 0o600)
    module.exit_json(changed=True)


def keep(module: AnsibleModule, text: str, token: str) -> None:
    """Disarm the restore `token`, then make the text the one that is loaded at boot.

    Without a token nothing was loaded, and only file and service are put right.
    """
    listing = recorded().get("listing", "")
    if token:
        kept = Path(PENDING) / f"kept-{token}"
        try:
            (Path(PENDING) / f"armed-{token}").rename(kept)
        except FileNotFoundError:
            # The connection may have broken after the last `keep` had begun or finished its work.
            if not kept.is_dir():
                done = recorded().get("token") == token
                module.exit_json(changed=done, restored=not done)
        disarm(token)
        listing = read(f"{kept}/listing") or ""
    file = read(FILE)
    if file != text:
        if foreign(file) and not Path(BACKUP).exists():
            shutil.copy2(FILE, BACKUP)
            module.warn(f"{FILE} was this host's own, now {BACKUP}; its tables stay live until the next boot.")
        write(FILE, text, 0o755)
    Path(RECORD).parent.mkdir(parents=True, exist_ok=True)
    Path(RECORD).parent.chmod(0o755)
    write(RECORD, json.dumps({"text": text, "listing": listing, "token": token}), 0o600)
    shutil.rmtree(PENDING, ignore_errors=True)
    if not service_ready():
        code, said = run(["systemctl", "enable", "--now", "nftables.service"])
        if code != 0:
            module.fail_json(
                msg=f"The rules are live, but nftables.service would not load them at boot: {said.strip()}"
            )
    module.exit_json(changed=True, restored=False)


def main() -> None:
    """Read the parameters and do the step."""
    spec: dict[str, Any] = {
        "content": {"type": "str", "required": True},
        "admin_sources": {"type": "list", "elements": "str", "required": True},
        "ssh_port": {"type": "int", "default": 22},
        "confirm_timeout": {"type": "int", "default": 15},
        "mode": {"type": "str", "choices": ["compare", "apply", "keep"], "default": "compare"},
        "token": {"type": "str", "default": "", "no_log": False},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if os.geteuid() != 0:
        module.fail_json(msg="nftables_ruleset must be root on the host: set `become: true` on the play.")
    os.environ["LC_ALL"] = "C"
    os.umask(0o022)  # whatever the connection gave: nginx's workers read other folders beside the record
    text, token = module.params["content"], module.params["token"]
    if module.params["mode"] == "apply":
        apply(module, text, token, module.params["confirm_timeout"])
    elif module.params["mode"] == "keep":
        keep(module, text, token)
    else:
        compare(module, text)


if __name__ == "__main__":
    main()
