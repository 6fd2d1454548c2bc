"""The lines that a host's nginx and the units of its applications logged, and which of them are asked for."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.log_files import Budget, newest

LOGS = Path("/var/log/nginx")
LOOKED_AT = 256 << 20  # bytes of log files, and of the journal as text
TEXT = 4000  # characters of a line
TIMEOUT = 60
ACCESS_TIME = re.compile(rb'^\{"time":"([^"]{19,32})"')
ACCESS_EPOCH = re.compile(rb'"epoch":(\d+\.\d+)')
ERROR_TIME = re.compile(rb"^(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d) ")
ERROR = re.compile(r"^\S+ \S+ (\[\w+\]) \d+#\d+: (?:\*(\d+) )?(.*)$", re.DOTALL)
FIELDS = "MESSAGE,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER,_TRANSPORT,_UID"

Entry = tuple[float, str, str, bool, bool]


def access_time(line: bytes) -> float | None:
    """Return when an access was logged."""
    found = ACCESS_EPOCH.search(line[:200])
    if found:
        return float(found[1])
    if found := ACCESS_TIME.match(line):
        try:
            return datetime.fromisoformat(found[1].decode()).timestamp()
        except ValueError:
            return None
    return None


def error_time(line: bytes) -> float | None:
    """Return when an error was logged, in the host's own time zone."""
    found = ERROR_TIME.match(line)
    return time.mktime((*map(int, found.groups()), 0, 0, -1)) if found else None  # type: ignore[arg-type]


def access_text(fields: dict[str, Any]) -> str:
    """Return an access as people read it: answer, request, time, who answered, client and id."""
    said = {key: str(value) for key, value in fields.items()}
    asked = f"{said.get('method', '')} {said.get('host', '')}{said.get('uri', '')}"
    text = f"{said.get('status', '')} {asked} {said.get('seconds', '')} s"
    if said.get("upstream", "-") not in ("", "-"):
        text += f", {said['upstream']} answered {said.get('upstream_status') or '-'}"
    if said.get("cache", "-") not in ("", "-"):
        text += f", cache {said['cache']}"
    return f"{text}, client {said.get('client', '')}, id {said.get('request_id', '')}"


class Reader:
    """What is asked for, and the lines that were found."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.window = (options["since"], options["until"])
        self.grep = re.compile(options["grep"]) if options["grep"] else None
        self.request: str = options["request"]
        self.requests: list[dict[str, Any]] = list(options["requests"])
        self.own: list[dict[str, Any]] = []  # those of this host's access log
        self.only: dict[str, list[str]] = options["only"]
        if self.only:
            ports = [port for one in options["applications"].values() for port in one]
            own = [f"{address}:{port}" for port in ports for address in ("127.0.0.1", "[::1]")]
            self.only = {
                **self.only,
                "endpoints": [*self.only["endpoints"], *own],
                "names": [*self.only["names"], *options["names"]],
            }
        self.entries: list[Entry] = []
        self.cut = False

    def matches(self, text: str) -> bool:
        return self.grep is None or self.grep.search(text) is not None

    def access(self, moment: float, line: bytes) -> Entry | None:
        """Return an access, if it is asked for."""
        if self.request and self.request.encode() not in line:
            return None
        raw = line.decode(errors="replace")
        try:
            fields = json.loads(raw)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            return None if self.only or self.request or not self.matches(raw) else (moment, "access", raw, False, True)
        if self.only and not self.of_site(fields):
            return None
        if self.request:
            if fields.get("request_id") != self.request:
                return None
            self.own.append(self.described(moment, fields))
        # As people read it, which is what they search.
        text = access_text(fields)
        return (moment, "access", text, False, "epoch" not in fields) if self.matches(text) else None

    def of_site(self, fields: dict[str, Any]) -> bool:
        """Return whether a member of the application was asked, or none and the site is one of its sites."""
        upstream = str(fields.get("upstream", ""))
        if upstream in ("", "-"):
            return fields.get("site") in self.only["names"]
        asked = re.split(r", | : ", upstream)
        # Where no member is left to be asked, nginx logs the upstream's name.
        return any(one in self.only["endpoints"] or one in self.only["upstreams"] for one in asked)

    @staticmethod
    def described(moment: float, fields: dict[str, Any]) -> dict[str, Any]:
        """Return what others need to know of a request; a second more on each side, since some logs have whole ones."""
        return {
            "since": moment - float(fields.get("seconds") or 0) - 1,
            "until": moment + 1,
            "method": str(fields.get("method", "")),
            "uri": str(fields.get("uri", "")),
            "upstream": str(fields.get("upstream", "")),
            "connection": str(fields.get("connection", "")),
        }

    def error(self, moment: float, line: bytes) -> Entry | None:
        """Return an error, if it is asked for."""
        raw = line.decode(errors="replace")
        found = ERROR.match(raw)
        text = f"{found[1]} {found[3]}" if found else raw
        if self.only and not self.error_of_site(text):
            return None
        near = False
        if self.request:
            # An error has no id. Of the same host it has the connection of the access, of others the same request.
            if any(self.same(one, found[2] if found else "", moment, text) for one in self.own):
                near = False
            elif any(self.same(one, "", moment, text) for one in self.requests):
                near = True
            else:
                return None
        return (moment, "error", text, near, True) if self.matches(raw) else None

    @staticmethod
    def same(request: dict[str, Any], connection: str | None, moment: float, text: str) -> bool:
        if not int(request["since"]) <= moment <= request["until"]:
            return False
        if connection and request.get("connection") and connection != request["connection"]:
            return False
        return f'request: "{request["method"]} {request["uri"]} ' in text

    def error_of_site(self, text: str) -> bool:
        """Return whether an error is about a member or a site of the application, or about nginx as a whole."""
        if (found := re.search(r'upstream: "\w+://([^/"]+)', text)) and found[1] != "unix:":
            return found[1] in self.only["endpoints"] or found[1] in self.only["upstreams"]
        if found := re.search(r"server: ([^,]+),", text):
            return found[1] in self.only["names"]
        return text.startswith(("[crit]", "[alert]", "[emerg]"))

    def read_files(self) -> None:
        """Read nginx's files: the accesses first, because what is near a request depends on them."""
        budget = Budget(LOOKED_AT)
        for name, stamp, parse in (("access.log", access_time, self.access), ("error.log", error_time, self.error)):
            found, more = newest(LOGS / name, self.window, stamp, parse, (self.options["lines"], budget))
            self.entries += reversed(found)
            self.cut = self.cut or more

    def read_journal(self) -> None:
        """Read the journal: what has the id, or everything; and what an application wrote while it answered."""
        matches = self.journal_matches(self.options["applications"])
        if not self.request:
            self.entries += self.journal(matches, self.window, near=False)
            return
        found = self.journal(matches, self.window, near=False)
        self.entries += found
        seen = {entry[:3] for entry in found}
        for request in [*self.requests, *self.own]:
            asked = [name for name, ports in self.options["applications"].items() if self.answered(request, ports)]
            if asked:
                around = self.journal(self.journal_matches(asked), (request["since"], request["until"]), near=True)
                self.entries += [entry for entry in around if entry[:3] not in seen]

    def answered(self, request: dict[str, Any], ports: list[int]) -> bool:
        """Return whether an application of this host was asked, behind one of these ports."""
        spots = {
            f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in self.options["addresses"] for port in ports
        }
        return bool(spots & set(re.split(r", | : ", request["upstream"])))

    def journal_matches(self, applications: Iterable[str]) -> list[str]:
        """Return the matches of journalctl(1) for the units of applications, those that are gone included."""
        names = "|".join(re.escape(name) for name in applications)
        units = re.compile(rf"(?:{names})(?:-standby|[.@].+)?\.(?:service|timer)") if names else None
        known = run(["journalctl", "--field=_SYSTEMD_UNIT"]) + run(["journalctl", "--field=UNIT"])
        found = sorted({unit for unit in known if units and units.fullmatch(unit)})
        if not self.only:
            found.append("nginx.service")
        wanted = [word for unit in found for word in (f"_SYSTEMD_UNIT={unit}", "+", f"UNIT={unit}", "_PID=1", "+")]
        return [*wanted, "SYSLOG_IDENTIFIER=gatehouse", "_UID=0", "+", "_TRANSPORT=kernel"]

    def journal(self, matches: list[str], window: tuple[float, float], *, near: bool) -> list[Entry]:
        """Return the newest entries of the journal between two moments, oldest first."""
        argv = [
            "journalctl",
            "--output=json",
            f"--output-fields={FIELDS}",
            "--all",
            "--quiet",
            "--no-pager",
            "--reverse",
        ]
        argv += [f"--since=@{int(window[0])}", f"--until=@{int(window[1]) + 1}"]
        if self.request and not near:
            argv.append(f"--grep={re.escape(self.request)}")
        entries: list[Entry] = []
        budget, ends = Budget(LOOKED_AT), time.monotonic() + TIMEOUT
        with subprocess.Popen([*argv, *matches], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603
            assert process.stdout is not None
            for line in process.stdout:
                entry = self.journal_entry(line, window, near=near)
                if entry:
                    entries.append(entry)
                if len(entries) > self.options["lines"] or not budget.take(len(line)) or time.monotonic() > ends:
                    self.cut = True
                    process.kill()
                    break
        return entries[::-1]

    def journal_entry(self, line: bytes, window: tuple[float, float], *, near: bool) -> Entry | None:
        try:
            fields = json.loads(line)
            moment = int(fields["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            return None
        text, unit = message(fields.get("MESSAGE")), message(fields.get("_SYSTEMD_UNIT"))
        source = unit.removesuffix(".service")
        if message(fields.get("_TRANSPORT")) == "kernel":
            # What the rules of an application refused; the rest of the kernel's log is no application's.
            found = re.match(r"gatehouse (\S+) ", text)
            if not found or (self.options["applications"] and found[1] not in self.options["applications"]):
                return None
            source = "kernel"
        elif message(fields.get("SYSLOG_IDENTIFIER")) == "gatehouse" and message(fields.get("_UID")) == "0":
            # An application may call itself so too, in its own unit.
            source = "gatehouse"
            names = tuple(f"{name}: " for name in self.options["applications"])
            if self.only and not text.startswith(names):
                return None
        elif unit == "init.scope":
            source = message(fields.get("UNIT")).removesuffix(".service")
            text = f"systemd: {text}"
        inside = window[0] <= moment <= window[1] and (near or self.request in text)
        return (moment, source, text, near, False) if inside and self.matches(text) else None

    def result(self) -> list[Entry]:
        """Return the newest lines that are within both bounds, oldest first."""
        self.entries.sort(key=lambda entry: entry[0])
        kept: list[Entry] = []
        left: int = self.options["size"]
        for moment, source, text, near, whole in reversed(self.entries):
            shown = text if len(text) <= TEXT else f"{text[:TEXT]}… ({len(text) - TEXT} more characters)"
            left -= len(shown.encode(errors="replace"))
            if len(kept) >= self.options["lines"] or left < 0:
                self.cut = True
                break
            kept.append((moment, source, shown, near, whole))
        return kept[::-1]


def message(value: Any) -> str:
    """Return a field of the journal as text; where it is no UTF-8 it is a list of numbers."""
    if isinstance(value, list):
        numbers = [one for one in value if isinstance(one, int)]
        return bytes(numbers).decode(errors="replace") if numbers else " ".join(map(str, value))
    return str(value or "")


def run(argv: list[str]) -> list[str]:
    """Return the lines that a command prints."""
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)  # noqa: S603
    return done.stdout.splitlines()


def written(entries: list[Entry]) -> Iterator[list[Any]]:
    """Yield entries as they are returned; a message of several lines is as many."""
    for moment, source, text, near, whole in entries:
        for line in text.split("\n"):
            yield [round(moment, 6), source, line, near, whole]
