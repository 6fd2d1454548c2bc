"""A command of an application that is run apart from its unit: as its account, in its unit's own sandbox.

Under systemd, which ends what takes too long with all that it started, and refuses a second one meanwhile.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.app.service import ServiceError, run

# How a unit starts, ends and starts again. What is left of it confines it, and gives its account and its limits. A
# runtime folder would be taken away with the command, from under the application that runs.
OF_ITS_LIFE = {
    "EnvironmentFile", "ExecSearchPath", "ExecStart", "ExecStartPre", "KillMode", "KillSignal", "Restart",
    "RestartMaxDelaySec", "RestartSec", "RestartSteps", "RuntimeDirectory", "RuntimeDirectoryMode", "TimeoutStopSec",
    "Type", "UMask", "WorkingDirectory",
}  # fmt: skip
# What it keeps between two starts: a release that is being prepared has no business there.
OF_ITS_STATE = {"CacheDirectory", "CacheDirectoryMode", "ReadWritePaths", "StateDirectory", "StateDirectoryMode"}
PATIENCE = 60


def properties(unit: str, without: Iterable[str] = ()) -> list[str]:
    """Give the lines of a unit's section [Service] that confine it, see systemd.exec(5)."""
    section = unit.partition("[Service]")[2].partition("\n[")[0]
    lines = [line.strip() for line in section.splitlines()]
    left_out = {*OF_ITS_LIFE, *without}
    return [line for line in lines if "=" in line and line[0] not in "#;" and line.partition("=")[0] not in left_out]


def program_in(release: Path, program: str) -> str:
    """Return a command's program as it is started in a release: the release's own where it has it, else the host's."""
    own = [release / program, *([] if "/" in program else [release / "bin" / program])]
    found = next((path for path in own if path.exists()), own[0])
    # One by its bare name that is not in the release is looked for on the host.
    return str(found) if "/" in program or found.exists() else program


def transient(name: str, command: list[str], confinement: list[str], timeout: int) -> list[str]:
    """Give the command that runs another one in a transient unit `name`, and ends with its status and output."""
    words = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={name}"]
    words += [f"--property={line}" for line in (*confinement, f"RuntimeMaxSec={timeout}")]
    # systemd would put variables of the environment in place of what a script of ours writes as `$NAME`.
    return [*words, "--", *(word.replace("$", "$$") for word in command)]


def kill(name: str) -> None:
    """End a transient unit that does not end although its time is over."""
    run(["systemctl", "kill", "--signal=SIGKILL", f"{name}.service"], check=False)


def confined(name: str, command: list[str], confinement: list[str], timeout: int) -> None:
    """Run a command in a transient unit `name`; a failure is a ServiceError with what it said."""
    try:
        run(transient(name, command, confinement, timeout), timeout=timeout + PATIENCE, shown=command)
    except ServiceError:
        kill(name)
        raise


def prepare(name: str, command: list[str], release: Path, unit: str, user: str, timeout: int, settings: Path) -> None:
    """Run a command in a release that has no place yet, which is all that it can write to; root owns it afterwards.

    `release` is alone in a folder of root's; `settings` is the file with its environment. There is no network.
    """
    account = pwd.getpwnam(user)
    own = [
        f"EnvironmentFile={settings}", f"WorkingDirectory={release}", f"ReadWritePaths={release}",
        "PrivateNetwork=yes", "UMask=0022", "Environment=HOME=/tmp XDG_CACHE_HOME=/tmp",
    ]  # fmt: skip
    # The application that runs has the same account, but sees this folder as read-only.
    os.chown(release.parent, 0, account.pw_gid)
    release.parent.chmod(0o710)
    give(release, account.pw_uid, account.pw_gid)
    try:
        confined(f"{name}-prepare", command, [*properties(unit, OF_ITS_STATE), *own], timeout)
    finally:
        release.parent.chmod(0o700)
        give(release, 0, 0)


def give(folder: Path, uid: int, gid: int) -> None:
    """Give a folder and all in it to an account, as files and folders that everybody may read; follows no link.

    What is neither a file nor a folder nor a link, or has another name elsewhere, is a ServiceError.
    """
    for place, _, _, handle in os.fwalk(folder, follow_symlinks=False):
        os.fchown(handle, uid, gid)
        os.fchmod(handle, 0o755)
        for name in os.listdir(handle):  # noqa: PTH208 (by descriptor)
            found = os.stat(name, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                continue
            if not stat.S_ISLNK(found.st_mode) and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1):
                raise ServiceError(f"{Path(place, name)} is no plain file: a release has files, folders and links")
            os.chown(name, uid, gid, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)
                os.fchmod(file, 0o755 if found.st_mode & 0o100 else 0o644)
                os.close(file)
