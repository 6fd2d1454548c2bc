"""One systemd service on this host: what it does, whether it answers, and what its environment files say."""

from __future__ import annotations

import http.client
import os
import pwd
import re
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils import health
from ansible_collections.gatehouse.core.plugins.module_utils.app.fastcgi import FastCgiError
from ansible_collections.gatehouse.core.plugins.module_utils.app.fastcgi import request as fastcgi_request
from ansible_collections.gatehouse.core.plugins.module_utils.deadline import limit
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible, visible_line

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHOWN = "ActiveState,ExecMainStartTimestampMonotonic,UnitFileState,NeedDaemonReload,DropInPaths,Result,NRestarts"
HEADER = "# This file is written by Gatehouse: change the inventory and deploy again.\n"
POLL = 0.1
# systemd starts a unit again without end. One that has ended so often does not come up, whatever is left of its time.
RESTARTS = 3
# Settings of a unit that an older systemd does not know, and would warn of each time that it reads the unit.
SINCE = {"RestartSteps": 254, "RestartMaxDelaySec": 254}
COMMAND_TIMEOUT = 600
JOURNAL_FIRST, JOURNAL_LAST = 50, 10
BODY_LIMIT = 1 << 20  # bytes of an answer that are looked at


class ServiceError(Exception):
    """systemd, or the application, did not do what it was asked; the text says what it said."""


def environment_file(values: Mapping[str, Any]) -> str:
    """Give the text of a systemd EnvironmentFile, sorted by name, every value in double quotes (systemd.exec(5)).

    Values are strings or integers. A name that systemd would skip, or a control character other than newline and tab,
    is a ValueError.
    """
    lines = []
    for name, value in sorted(values.items()):
        if not ENV_NAME.fullmatch(str(name)):
            raise ValueError(f"{name!r} is no name for an environment variable: use letters, digits and _")
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(f"the value of {name} must be a string or an integer: put quotes around it")
        text = str(value)
        if any(ord(char) < 32 and char not in "\n\t" for char in text):
            raise ValueError(f"the value of {name} has a control character in it")
        quoted = re.sub(r'(["\\`$])', r"\\\1", text)
        lines.append(f'{name}="{quoted}"\n')
    return HEADER + "".join(lines)


def environment_value(text: str, name: str) -> str:
    """Give what the text of an environment file says of `name`, '' if nothing: the reverse of environment_file."""
    found = re.search(rf'^{name}="((?:[^"\\]|\\.)*)"$', text, re.MULTILINE)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else ""


def run(
    command: list[str],
    check: bool = True,
    timeout: int = COMMAND_TIMEOUT,
    text: str | None = None,
    shown: list[str] | None = None,
) -> str:
    """Run a command, with `text` as its input, and give its output; a failure is a ServiceError with what it said.

    A message names `shown`, where the command only carries another one.
    """
    name = " ".join(shown or command)
    try:
        done = subprocess.run(  # noqa: S603 (an argument list, never a shell)
            command, input=text, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"`{name}` took more than {timeout} s") from error
    if check and done.returncode:
        said = visible((done.stderr or done.stdout).strip()[-2000:])
        raise ServiceError(f"`{name}` failed: {said}")
    return done.stdout


def systemctl(*words: str, check: bool = True) -> str:
    """Run systemctl and give its output; systemd's own time limits end before COMMAND_TIMEOUT."""
    return run(["systemctl", *words], check=check)


def systemd_version() -> int:
    """Return the version of this host's systemd, 0 where there is none."""
    try:
        found = re.match(r"systemd (\d+)", systemctl("--version", check=False))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def understood(unit: str, version: int) -> str:
    """Return a unit's text without the settings that are newer than this version of systemd."""
    newer = {name for name, since in SINCE.items() if version < since}
    return "".join(line for line in unit.splitlines(keepends=True) if line.partition("=")[0] not in newer)


def changed_since(moment: str, files: Iterable[Path]) -> str:
    """Give the first of `files` that was changed after a moment, '' if there is none.

    The inode change time counts, which no editor can set; systemd gives moments in microseconds of the monotonic clock.
    """
    then = int(moment or 0) / 1e6 + time.time() - time.monotonic()
    return next((str(file) for file in files if file.lstat().st_ctime > then), "")


@dataclass(frozen=True)
class Gate:
    """What the application must answer and where, and for how many seconds to wait for that.

    `host` is the site that it is asked for, as a visitor over HTTPS; '' asks it by its address.
    """

    address: str
    port: int
    path: str
    timeout: int
    status: int = 200
    body: str = ""
    host: str = field(default="", kw_only=True)

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}{self.path}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers by which the application knows its site and a visitor."""
        return health.visitor_headers(self.host)

    def ask(self, timeout: float) -> str:
        """Make one request that ends within `timeout` seconds; '' for the answer that is wanted, else what came."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout)
        limit(connection, time.monotonic() + timeout)
        try:
            own = {"User-Agent": "gatehouse-health", "Connection": "close"}
            connection.request("GET", self.path, headers={**own, **self.headers})
            answer = connection.getresponse()
            text = answer.read(BODY_LIMIT).decode(errors="replace")
            return self.refusal(answer.status, text, answer.getheader("Location") or "")
        except (OSError, http.client.HTTPException) as error:
            return visible_line(str(error)) or type(error).__name__
        finally:
            connection.close()

    def refusal(self, status: int, text: str, location: str = "") -> str:
        """Say what is wrong with an answer; '' where it is the one that is wanted.

        Line breaks of it stay: Ansible hides a secret of several lines only as it is written.
        """
        return visible(health.refusal((self.status, self.body), status, text, location))

    def hint(self, problem: str, log: str) -> str:
        """Say what to do about a problem that `ask` reports, where that is known."""
        return health.hint(problem, log, self.headers, self.path)

    @property
    def place(self) -> str:
        """What an application holds so that it can answer here."""
        return f"port {self.port}"

    def held_by(self, uid: int) -> bool:
        """Return whether an account listens here, so that no stranger's answer counts.

        Looks at the socket's user in /proc/net/tcp (proc(5)) and not at /proc/<pid>/fd, which needs CAP_SYS_PTRACE.
        """
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            try:
                rows = Path(table).read_text().splitlines()[1:]
            except OSError:
                continue
            for row in rows:
                fields = row.split()
                # Local address:port in hex; state 0A is LISTEN; the eighth field is the user.
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == self.port and int(fields[7]) == uid:
                    return True
        return False


@dataclass(frozen=True)
class FastCgiGate(Gate):
    """The same for an application that speaks FastCGI on a unix socket: `script` answers every path."""

    socket: str = ""
    script: str = ""

    @property
    def url(self) -> str:
        return f"{self.path} over FastCGI ({self.socket})"

    def ask(self, timeout: float) -> str:
        # By its real path, as nginx names it: the link `current` moves.
        script = Path(self.script).resolve()
        parameters = {
            "REQUEST_METHOD": "GET", "REQUEST_URI": self.path, "QUERY_STRING": "", "SCRIPT_FILENAME": str(script),
            "SCRIPT_NAME": f"/{script.name}", "DOCUMENT_ROOT": str(script.parent), "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": self.host or self.address, "SERVER_PORT": str(self.port),
            "SERVER_SOFTWARE": "gatehouse-health", "REMOTE_ADDR": "127.0.0.1", "REDIRECT_STATUS": "200",
            "HTTP_HOST": self.address, "HTTP_USER_AGENT": "gatehouse-health",
        }  # fmt: skip
        if self.host:
            parameters |= {"HTTPS": "on", "REQUEST_SCHEME": "https", "SERVER_PORT": "443"}
            parameters |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        try:
            return self.refusal(*fastcgi_request(self.socket, parameters, timeout))
        except (OSError, FastCgiError) as error:
            return visible_line(str(error)) or type(error).__name__

    @property
    def place(self) -> str:
        return self.socket

    def held_by(self, uid: int) -> bool:
        found = Path(self.socket).lstat()
        return stat.S_ISSOCK(found.st_mode) and found.st_uid == uid


@dataclass(frozen=True)
class ManagedFile:
    """One file as it should be, or as it was: its text (None: not there), mode, and whether a diff may show it."""

    path: Path
    text: str | None
    mode: int
    secret: bool = False

    def differs(self) -> bool:
        try:
            stat = self.path.lstat()
        except FileNotFoundError:
            return self.text is not None
        owned = (stat.st_mode, stat.st_uid, stat.st_gid) == (0o100000 | self.mode, 0, 0)
        return not owned or self.path.read_text(errors="replace") != self.text

    def present(self) -> str | None:
        return self.path.read_text(errors="replace") if self.path.is_file() else None

    def write(self) -> None:
        if self.text is None:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        with os.fdopen(handle, "w") as stream:
            stream.write(self.text)
            os.fchmod(stream.fileno(), self.mode)
        Path(name).replace(self.path)

    def diff(self) -> dict[str, str]:
        before, after = self.present() or "", self.text or ""
        if self.secret:
            before, after = "(hidden)\n" if before else "", "(hidden, differs)\n"
        return {"before_header": str(self.path), "after_header": str(self.path), "before": before, "after": after}


class Service:
    """A unit by its name without `.service`, and the account that it runs as; reads go through one `systemctl show`."""

    def __init__(self, name: str, user: str) -> None:
        self.unit = f"{name}.service"
        self.user = user

    def show(self) -> dict[str, str]:
        """Give the properties in SHOWN; without a running systemd all are empty."""
        try:
            output = systemctl("show", self.unit, f"--property={SHOWN}", check=False)
        except OSError:
            output = ""
        shown = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        return {name: shown.get(name, "") for name in SHOWN.split(",")}

    def older_than(self, files: Iterable[Path]) -> str:
        """Give the first of `files` that was changed after the main process started, '' if there is none."""
        return changed_since(self.show()["ExecMainStartTimestampMonotonic"], files)

    def restart(self) -> None:
        """Start the unit anew, as one that has never failed: its count of restarts begins again."""
        systemctl("reset-failed", self.unit, check=False)
        systemctl("restart", self.unit)

    def healthy(self, gate: Gate, timeout: float = 5) -> str:
        """Give '' if the unit answers 200 on a port or socket that its own account holds, otherwise why not."""
        problem = gate.ask(timeout)
        if not problem and not gate.held_by(pwd.getpwnam(self.user).pw_uid):
            problem = (
                f"{gate.place} is held by a process of another account than {self.user}, which answers in its place"
            )
        return problem

    def wait(self, gate: Gate) -> str:
        """Ask until the unit is healthy, or `gate.timeout` is over, or it keeps ending; '' or the last problem."""
        deadline = time.monotonic() + gate.timeout
        problem = "it was not asked"
        while time.monotonic() < deadline:
            problem = self.healthy(gate, min(5.0, max(0.2, deadline - time.monotonic())))
            if not problem:
                return ""
            state = self.show()
            if state["ActiveState"] in ("failed", "inactive"):
                return f"{problem}; the unit is {state['ActiveState']} ({state['Result']})"
            if int(state["NRestarts"] or 0) >= RESTARTS:
                return f"{problem}; the unit ended {state['NRestarts']} times"
            time.sleep(POLL)
        return problem

    def journal(self, since: float, *units: str) -> str:
        """Give what the unit, or `units` instead, wrote since `since` (seconds of the epoch): its first and last lines.

        A server with several workers writes the cause first, once for each of them, and the consequence last.
        """
        words = [
            *(f"--unit={unit}" for unit in units or (self.unit,)),
            f"--since=@{int(since)}",
            "--no-pager",
            "--output=cat",
            "--quiet",
        ]
        lines = run(["journalctl", *words], check=False).strip().splitlines()
        left_out = len(lines) - JOURNAL_FIRST - JOURNAL_LAST
        if left_out > 0:
            lines[JOURNAL_FIRST:-JOURNAL_LAST] = [f"[{left_out} lines left out]"]
        return visible("\n".join(lines))
