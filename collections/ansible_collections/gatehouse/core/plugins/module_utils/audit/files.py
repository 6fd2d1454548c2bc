"""Items of an audit: owners and modes of files, core dumps, and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .host import Host, Server
from .verdict import Finding, Item, Table, Verdict, absent, judged, of_visitors

_DAY = {"hourly": 1 / 24, "daily": 1, "weekly": 7, "monthly": 30, "yearly": 365}
LEAST_DAYS, MOST_DAYS = 14, 400
_LOGS = ("access_log", "error_log")
_LEVELS = ("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg")
# What a line of an access log says at least: when, who, what, and how it ended.
_LOGGED = {
    "the time": {"time_iso8601", "time_local", "msec"},
    "the visitor's address": {"remote_addr", "binary_remote_addr", "realip_remote_addr"},
    "what was asked": {"request", "request_uri", "uri"},
    "the status": {"status"},
    "the browser": {"http_user_agent"},
}
_RAW = (
    "from info on, nginx writes a visitor's raw bytes to the file, which command a terminal that shows it, and a line "
    "for each connection that ends (docs/security.md)"
)


def _mode(one: Mapping[str, Any]) -> str:
    return f"{one['mode']:04o} {one['owner']}:{one['group']}"


def _owners(host: Host) -> Verdict:
    found = ((one["path"], f"belongs to {one['owner']}") for one in host.facts["loose"] if one["owner"] != "root")
    return judged(found, "all of /etc/nginx is root's")


def _access(host: Host) -> Verdict:
    found = [
        (one["path"], f"may be written by others ({_mode(one)})") for one in host.facts["loose"] if one["mode"] & 0o022
    ]
    found += [
        (one["path"], f"may be read by others ({_mode(one)})") for one in host.files("secrets") if one["mode"] & 0o007
    ]
    return judged(found, "nobody else writes them or reads secrets")


def _pid(host: Host) -> Verdict:
    loose = [
        (one["path"], f"{_mode(one)}; it should be root's alone to write")
        for one in host.files("pid")
        if one["kind"] == "file" and (one["owner"] != "root" or one["mode"] & 0o022)
    ]
    return judged(loose, "root's")


def _cores(host: Host) -> Verdict:
    def dumps() -> Iterator[Finding]:
        limit = next((one.args[0] for one in host.main.all("worker_rlimit_core")), "")
        if limit not in ("", "0"):
            yield "nginx.conf", f"worker_rlimit_core is {limit}"
        for one in host.nginx["processes"]:
            if one["core"] not in ("", "0"):
                yield (
                    f"nginx ({one['pid']})",
                    "may write a core dump, with keys in it; restart nginx if it runs since before its settings",
                )
        for unit in host.facts["units"]:
            if unit["core"] not in ("", "0"):
                yield unit["name"], "its processes may write a core dump"

    return judged(dumps(), "nginx and our units write none")


def _keys(host: Host) -> Verdict:
    keys = host.files("keys")
    if not keys:
        return absent("no key is named")

    def loose() -> Iterator[Finding]:
        for one in keys:
            if one["kind"] != "file":
                yield one["path"], "is not there"
            elif one["owner"] != "root" or one["mode"] & 0o077:
                yield one["path"], f"{_mode(one)}; write chmod 0600 and chown root"

    return judged(loose(), f"root's alone ({len(keys)})")


def _log_files(host: Host) -> Verdict:
    loose = (
        (one["path"], f"may be read by anybody ({_mode(one)})")
        for one in host.files("logs")
        if one["kind"] == "file" and one["mode"] & 0o007
    )
    return judged(loose, "only root and adm read them")


def _detailed(host: Host, server: Server) -> Iterator[Finding]:
    formats = {one.args[0]: " ".join(one.args[1:]) for one in host.http.all("log_format")}
    for one in server.effective("access_log"):
        if one.args[0] == "off" or len(one.args) < 2 or one.args[1] not in formats:
            continue  # nginx's own format has them all
        written = host.sources(formats[one.args[1]])
        for what, variables in _LOGGED.items():
            if not variables & written:
                yield server.label, f"the access log lacks {what}"


def _accesses(host: Host, server: Server) -> Iterator[Finding]:
    if any(one.args[0] in ("off", "/dev/null") for one in server.effective("access_log")):
        yield server.label, "accesses are not logged"


def _errors(host: Host) -> Verdict:
    found: list[Finding] = []
    known = True
    for one in [*host.main.all("error_log"), *(two for two in host.http.walk() if two.name == "error_log")]:
        level = one.args[1] if len(one.args) > 1 else "error"
        if one.args[0] in ("/dev/null", "off") or level in _LEVELS[5:]:
            found, known = [*found, (one.place, f"errors are lost ({' '.join(one.args)})")], False
        elif level not in _LEVELS[:2]:
            found.append((one.place, f"the level is {level}"))
    if not any(host.main.all("error_log")):
        return Verdict("fail", "there is no error_log", (("nginx.conf", "there is no error_log"),))
    return judged(found, "written from level info on", _RAW if known else "")


def _kept(text: str) -> float:
    """Return the days for which logrotate's settings keep a file; 0 if they do not say."""
    period = next((days for word, days in _DAY.items() if re.search(rf"^\s*{word}\b", text, re.MULTILINE)), 0)
    count = re.search(r"^\s*rotate (\d+)", text, re.MULTILINE)
    return period * int(count[1]) if count else 0


def _rotated(host: Host) -> Verdict:
    files = host.facts["rotation"]["files"]
    for path, text in sorted(files.items()):
        if "/var/log/nginx/*.log" in text:
            days = _kept(text)
            found = [] if LEAST_DAYS <= days <= MOST_DAYS else [(path, f"logs are kept for {days:g} days")]
            if not host.facts["rotation"]["runs"]:
                found.append(("logrotate.timer", "nothing runs logrotate"))
            return judged(found, f"kept for {days:g} days")
    return judged([("/etc/logrotate.d", "no file names /var/log/nginx/*.log")], "")


def _sent(host: Host) -> Verdict:
    away = [one.place for one in host.main.walk() if one.name in _LOGS and one.args[0].startswith("syslog:server=")]
    senders = [*host.facts["forwarders"], *away]
    found = [] if senders else [("/var/log/nginx", "nothing sends nginx's logs to another host")]
    return judged(found, f"by {', '.join(senders)}; whether it reads all is yours to see")


ITEMS: Table = (
    Item("files_owner", "nginx's files are root's", "2.3.1", _owners),
    Item("files_access", "Nobody else writes nginx's files", "2.3.2", _access),
    Item("pid_file", "The pid file is root's", "2.3.3", _pid),
    Item("core_dumps", "No core dumps, which hold keys", "2.3.4", _cores),
    Item("keys", "Private keys are root's alone", "4.1.3", _keys),
    Item("log_access", "Logs are not everybody's to read", "", _log_files),
    Item(
        "log_details",
        "The access log says when, who, what and how",
        "3.1",
        of_visitors(_detailed, "it says all of them"),
    ),
    Item("access_log", "Each site's accesses are logged", "3.2", of_visitors(_accesses, "all are", sites=False)),
    Item("error_log", "Errors are logged from level info on", "3.3", _errors),
    Item("remote_log", "Logs are sent to another host", "3.5", _sent),
    Item("log_rotation", f"Logs are rotated, kept for {LEAST_DAYS} to {MOST_DAYS} days", "3.4", _rotated),
)
