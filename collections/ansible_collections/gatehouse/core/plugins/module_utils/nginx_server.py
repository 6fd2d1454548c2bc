"""The nginx that runs on a host: what it is, how it takes a configuration, and how it proves which one it serves."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import SOCKET, RefusedError, served_tree
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_store import IDENTITY, Store, discard

NGINX = "/usr/sbin/nginx"
GLOBALS = ("-g", "daemon on; master_process on;")  # Debian's unit starts nginx so: test it so
PID_FILE = Path("/run/nginx.pid")
TIMED = re.compile(r"^\S+ \S+ (\[\w+\]) \d+#\d+:", re.MULTILINE)
EMERGENCY = re.compile(r"^\S+ \S+ \[emerg\] \S+ (.*)$", re.MULTILINE)
# nginx tries to bind again for 2.5 s before it says "still could not bind()": this alone is not yet a failure.
BIND_RETRY = re.compile(r"bind\(\) to .* failed \(98:")


class Status(NamedTuple):
    """What runs: the pid of systemd's master, of a master started by hand (0: none); what systemd has on file."""

    master: int
    stray: int
    enabled: bool
    unit_changed: bool


class Server:
    """nginx on this host."""

    def __init__(self, error_log: Path, timeout: int) -> None:
        self.error_log = error_log
        self.timeout = timeout

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command; refuse with what it says when it fails."""
        try:
            done = subprocess.run(argv, capture_output=True, errors="replace", timeout=self.timeout)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise RefusedError(f"`{' '.join(argv)}` did not end within {self.timeout} s") from None
        done.stderr = TIMED.sub(r"nginx: \1", done.stderr)  # nginx -t writes some lines as to a log
        if done.returncode != 0:
            raise RefusedError(done.stderr.strip() or f"`{' '.join(argv)}` ended with {done.returncode}")
        return done

    def status(self) -> Status:
        """Ask systemd, and look for a master that systemd did not start."""
        shown = self.call("systemctl", "show", "nginx", "-pActiveState,MainPID,UnitFileState,NeedDaemonReload").stdout
        unit = dict(line.split("=", 1) for line in shown.splitlines())
        master, stray = int(unit["MainPID"]) if unit["ActiveState"] in ("active", "reloading") else 0, 0
        with contextlib.suppress(OSError, ValueError):
            pid = int(PID_FILE.read_text())
            if pid != master and Path(f"/proc/{pid}/comm").read_text() == "nginx\n":
                stray = pid
        return Status(master, stray, unit["UnitFileState"] == "enabled", unit["NeedDaemonReload"] == "yes")

    def serves(self, name: str, master: int) -> bool:
        """Return whether the running server serves `name`; one that is silent may be in the midst of a reload."""
        for _ in range(10 if master else 1):
            if reported := served_tree():
                return reported == name
            time.sleep(0.1)
        return False

    def test(self, store: Store, name: str) -> list[str]:
        """Let nginx test a tree in a stage whose `active` is that tree; return its warnings."""
        stage = store.trees / ".test"
        discard(stage)
        stage.mkdir()
        (stage / "nginx.conf").symlink_to("active/nginx.conf")
        (stage / "active").symlink_to(f"../{name}")
        try:
            done = self.call(NGINX, "-T", "-q", *GLOBALS, "-c", f"{stage}/nginx.conf")
        except RefusedError as error:
            if "socket() [" in str(error) and "(97:" in str(error):  # EAFNOSUPPORT
                raise RefusedError(f'{error}\nthis host\'s kernel has no IPv6: write proxy_listen: ["*"]') from None
            raise
        if f"# configuration file {stage}/active/{IDENTITY}:" not in done.stdout:
            raise RefusedError(f"nginx.conf does not say `include active/{IDENTITY};` in its http block")
        lines = done.stderr.replace(f"{stage}/", f"{store.root}/").splitlines()
        return [line for line in lines if "[notice]" not in line]  # njs greets whoever reads its script

    def emergencies(self, offset: int) -> list[str]:
        """Return the [emerg] messages of the error log since `offset`, once each, without time and process."""
        if not self.error_log.is_file():
            return []
        with self.error_log.open(errors="replace") as log:
            log.seek(offset if self.error_log.stat().st_size >= offset else 0)
            return list(dict.fromkeys(EMERGENCY.findall(log.read())))

    def bring_up(self, name: str) -> str:
        """Start or reload nginx, wait until it serves `name`, return which of both; or refuse with what nginx says."""
        offset = self.error_log.stat().st_size if self.error_log.is_file() else 0
        try:
            action = self.reread()
        except RefusedError as error:
            raise RefusedError("\n".join(self.emergencies(offset)) or str(error)) from None
        deadline, streak = time.monotonic() + self.timeout, 0
        while streak < 4:  # old workers still answer for 0.1 s after the new ones have started
            time.sleep(0.05)
            streak = streak + 1 if served_tree() == name else 0
            fatal = self.emergencies(offset)
            if any(not BIND_RETRY.search(line) for line in fatal):
                raise RefusedError("\n".join(fatal))
            if time.monotonic() > deadline:
                raise RefusedError("\n".join([f"nginx did not serve {name} within {self.timeout} s", *fatal]))
        return action

    def reread(self) -> str:
        """Make nginx read its configuration; return started or reloaded."""
        status = self.status()
        if status.stray:  # systemd neither watches it nor starts it at boot
            handle = os.pidfd_open(status.stray)
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not select.select([handle], [], [], self.timeout)[0]:
                raise RefusedError(f"the nginx started by hand, process {status.stray}, does not stop")
        bound = re.search(rf" {SOCKET}$", Path("/proc/net/unix").read_text(), re.MULTILINE) is not None
        lost = bound and not SOCKET.exists()
        if lost:  # only a restart makes it anew; and nginx would call it an emergency not to find it when it stops
            SOCKET.touch()
        elif not bound:  # left by a killed nginx, and binding to it would fail
            SOCKET.unlink(missing_ok=True)
        if status.master and not lost:  # HUP, because `systemctl reload` says less than the proof will
            os.kill(status.master, signal.SIGHUP)
            return "reloaded"
        # systemd 252 (Debian 12) does not notice a drop-in folder that was made since it last read its units.
        self.call("systemctl", "daemon-reload")
        self.call("systemctl", "restart", "nginx")
        return "started"
