"""What sshd allows on a host, as a drop-in that is tested before it goes live and taken back unless we come in again.

Sources: sshd_config(5), sshd(8) (`-t`, `-T`, `-C`).
"""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from pathlib import Path

# sshd takes the first value that it reads, so this one has to come before `50-cloud-init.conf`.
SETTINGS = Path("/etc/ssh/sshd_config.d/00-gatehouse.conf")
MAIN = Path("/etc/ssh/sshd_config")
SSHD = "/usr/sbin/sshd"
MARK = "# This file is written by Gatehouse (role base): change base_ssh_allow, not this file."
PENDING = Path("/run/gatehouse-ssh")
# How long the host waits for us to come in again, in seconds.
PATIENCE = 30

_FORWARDING = {
    "agent_forwarding": ["AllowAgentForwarding no"],
    "tcp_forwarding": ["AllowTcpForwarding no", "AllowStreamLocalForwarding no", "PermitTunnel no", "GatewayPorts no"],
    "x11_forwarding": ["X11Forwarding no"],
}
_NO_PASSWORD = ["PasswordAuthentication no", "KbdInteractiveAuthentication no"]
# Each application on a host is a host of Ansible's own, and all come at once: for a dozen of them, 10 sessions of a
# connection and 10 connections that have not logged in yet, as sshd has them, are too few.
_MANY = ["MaxSessions 64", "MaxStartups 64:30:128"]
_ALWAYS = [
    "PermitRootLogin prohibit-password",
    "PermitEmptyPasswords no",
    "MaxAuthTries 4",
    "LoginGraceTime 30",
    *_MANY,
]
_RESTORE = """#!/bin/sh
set -e
mv -T {armed} {armed}.fired
if [ -e {armed}.fired/previous ]; then mv {armed}.fired/previous {settings}; else rm -f {settings}; fi
systemctl try-reload-or-restart ssh.service
"""


class SshdError(Exception):
    """Why nothing was changed."""


def drop_in(allow: list[str]) -> str:
    """Return the drop-in, without what is allowed: `password` and the kinds of forwarding."""
    lines = [*_ALWAYS, *([] if "password" in allow else _NO_PASSWORD)]
    lines += [line for kind, refused in _FORWARDING.items() if kind not in allow for line in refused]
    return "\n".join([MARK, *lines, ""])


def login() -> str:
    """Return the account that this run came in as."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=60, check=False)  # noqa: S603


def effective(config: Path, user: str) -> dict[str, str]:
    """Return what sshd would go by for an account; SshdError where it refuses the configuration."""
    # It looks for this folder before it reads anything, and Debian's unit makes it.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    done = _run(SSHD, "-T", "-f", str(config), "-C", f"user={user},host=localhost,addr=127.0.0.1")
    if done.returncode:
        raise SshdError(f"sshd refuses its configuration, so nothing was changed: {done.stderr.strip()}")
    return {name: value for name, _, value in (line.partition(" ") for line in done.stdout.splitlines())}


def has_key(found: dict[str, str], user: str) -> bool:
    """Return whether an account can log in by a key; a command or an authority of keys is believed to have one."""
    if any(found.get(name, "none") != "none" for name in ("authorizedkeyscommand", "trustedusercakeys")):
        return True
    account = pwd.getpwnam(user)
    for pattern in found.get("authorizedkeysfile", "").split():
        text = pattern.replace("%u", user).replace("%h", account.pw_dir).replace("%U", str(account.pw_uid))
        file = Path(account.pw_dir, text)
        try:
            if any(line.strip() and not line.startswith("#") for line in file.read_text(errors="replace").splitlines()):
                return True
        except OSError:
            continue
    return False


def _refuse(text: str, user: str) -> None:
    """Refuse what sshd would not start with, or what would keep out the account that we are."""
    PENDING.mkdir(mode=0o700, exist_ok=True)
    candidate = PENDING / "candidate.conf"
    candidate.write_text(f"{text}\nInclude {MAIN}\n")
    found = effective(candidate, user)
    candidate.unlink()
    if found.get("passwordauthentication") != "yes" and not has_key(found, user):
        raise SshdError(
            f"{user} has no key on this host ({found.get('authorizedkeysfile')}), and without passwords nobody could "
            "log in as it any more, so nothing was changed. Give it one (ssh-copy-id), or write base_ssh_allow: "
            "[password]"
        )


def _write(text: str) -> None:
    if not text:
        SETTINGS.unlink(missing_ok=True)
        return
    fresh = SETTINGS.with_name(".00-gatehouse.new")  # sshd includes *.conf
    fresh.write_text(text)
    fresh.chmod(0o644)
    fresh.replace(SETTINGS)


def settle(text: str, check: bool) -> tuple[list[str], str]:
    """Make the drop-in so, '' for none; return (what changed, the token that `keep` takes).

    sshd is reloaded, so connections stay, and unless `keep` comes in time, systemd puts the former file back.
    """
    if not Path(SSHD).exists():
        return [], ""
    found = SETTINGS.read_text(errors="replace") if SETTINGS.is_file() else ""
    if found == text:
        return [], ""
    user = login()
    if text:
        _refuse(text, user)
    changes = [f"{SETTINGS}: {'changed' if found and text else 'added' if text else 'removed'}"]
    if check:
        return changes, ""
    token = secrets.token_hex(8)
    _arm(token, found)
    _write(text)
    if other := _overruled(text, user):
        _write(found)
        _disarm(token)
        raise SshdError(
            f"sshd would not go by {SETTINGS} ({', '.join(other)}), so nothing was changed: {MAIN} has to begin with "
            f"`Include {SETTINGS.parent}/*.conf`"
        )
    _run("systemctl", "try-reload-or-restart", "ssh.service")
    return changes, token


def _overruled(text: str, user: str) -> list[str]:
    """Return the settings of the drop-in that sshd would not go by, since another file comes first."""
    reported = effective(MAIN, user)
    wanted = [line.lower().split(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    # `-T` has an older name of one value.
    return [name for name, value in wanted if reported.get(name, "").replace("without-", "prohibit-") != value]


def _arm(token: str, previous: str) -> None:
    """Have systemd put the former file back when PATIENCE is over."""
    armed = PENDING / f"armed-{token}"
    armed.mkdir(mode=0o700, parents=True)
    if previous:
        (armed / "previous").write_text(previous)
    script = PENDING / f"restore-{token}"
    script.write_text(_RESTORE.format(armed=armed, settings=SETTINGS))
    script.chmod(0o700)
    done = _run(
        "systemd-run", "--quiet", "--collect", f"--unit=gatehouse-ssh-restore-{token}", f"--on-active={PATIENCE}",
        "--timer-property=AccuracySec=1s", str(script),
    )  # fmt: skip
    if done.returncode:
        raise SshdError(f"no automatic restore could be armed, so nothing was changed: {done.stderr.strip()}")


def _disarm(token: str) -> bool:
    """Stop a restore; return whether it had not fired."""
    armed = PENDING / f"armed-{token}"
    try:
        kept = armed.rename(PENDING / f"kept-{token}")
    except FileNotFoundError:
        return False
    _run("systemctl", "stop", f"gatehouse-ssh-restore-{token}.timer")
    (kept / "previous").unlink(missing_ok=True)
    kept.rmdir()
    (PENDING / f"restore-{token}").unlink(missing_ok=True)
    return True


def keep(token: str) -> bool:
    """Leave the drop-in in place, since a new connection came in; False where the former one is back already."""
    return _disarm(token)
