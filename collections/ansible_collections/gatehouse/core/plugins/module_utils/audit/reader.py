"""What an audit reads of a host. Nothing here judges, and nothing changes the host."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.nginx_config import ConfigError, parse_dump, split_dump

# What of nginx's configuration names a file that the audit looks at.
KEYS = ("ssl_certificate_key", "proxy_ssl_certificate_key", "grpc_ssl_certificate_key", "ssl_session_ticket_key")
CERTIFICATES = ("ssl_certificate",)
SECRETS = ("auth_basic_user_file",)
LOGS = ("access_log", "error_log")
UNITS = Path("/etc/systemd/system")
# Ours say so in their first line.
_OURS = re.compile(r"\A#[^\n]*Gatehouse")
# Of rsyslog's settings, those that send to another host.
_SENDS = re.compile(r"^[^#\n]*(?:\s@{1,2}[\w\[(]|omfwd|omrelp)", re.MULTILINE)
FORWARDERS = (
    "rsyslog", "syslog-ng", "systemd-journal-upload", "fluent-bit", "fluentd", "vector", "filebeat", "promtail",
    "alloy", "otelcol", "otelcol-contrib", "nxlog", "splunkforwarder",
)  # fmt: skip
_SOCKET = re.compile(r'users:\(\("([^"]+)"')


def run(*argv: str) -> str:
    """Return what a command prints, or '' if it cannot: an audit says what it could not see."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603
            argv, capture_output=True, text=True, errors="replace", timeout=60, check=False,
            env={**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0"},
        )  # fmt: skip
        return done.stdout
    return ""


def name_of(lookup: Any, number: int) -> str:
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def file_facts(path: str) -> dict[str, Any]:
    """Return {path, kind, mode, owner, group, modified} of what a path leads to; without a mode, it is not there."""
    try:
        found = Path(path).stat()
    except OSError:
        return {"path": path, "kind": "missing", "mode": 0, "owner": "", "group": "", "modified": 0.0}
    return {
        "path": path,
        "kind": "folder" if stat.S_ISDIR(found.st_mode) else "file" if stat.S_ISREG(found.st_mode) else "other",
        "mode": stat.S_IMODE(found.st_mode),
        "owner": name_of(pwd.getpwuid, found.st_uid),
        "group": name_of(grp.getgrgid, found.st_gid),
        "modified": found.st_mtime,
    }


def loose_files(root: str) -> Iterator[dict[str, Any]]:
    """Yield what is below a folder and is not root's, or which somebody else may write."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder), *(Path(folder, name) for name in (*folders, *files))):
            with contextlib.suppress(OSError):
                found = path.lstat()
                if not stat.S_ISLNK(found.st_mode) and (found.st_uid or found.st_mode & 0o022):
                    yield file_facts(str(path))


def read_nginx() -> dict[str, Any]:
    """Return the configuration as nginx reads it, its processes, and the files that the configuration names."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["/usr/sbin/nginx", "-T"], capture_output=True, text=True, errors="replace", timeout=60, check=False
        )
        error = "" if done.returncode == 0 else done.stderr.strip()
        files: dict[str, list[dict[str, Any]]] = {"keys": [], "secrets": [], "logs": [], "certificates": []}
        try:
            main = parse_dump(done.stdout) if not error else None
        except ConfigError as problem:
            main, error = None, str(problem)
        if main:
            named: dict[str, dict[str, None]] = {kind: {} for kind in files}
            for kind, names in (("keys", KEYS), ("secrets", SECRETS), ("logs", LOGS), ("certificates", CERTIFICATES)):
                for one in main.walk():
                    if one.name in names and one.args and one.args[0] != "off" and "$" not in one.args[0]:
                        path = one.args[0] if one.args[0].startswith("/") else f"/etc/nginx/{one.args[0]}"
                        if not one.args[0].startswith(("syslog:", "data:", "memory:")):
                            named[kind][path] = None
            files = {kind: [file_facts(path) for path in paths] for kind, paths in named.items()}
            files["certificates"] = [{**one, **certificate_facts(one["path"])} for one in files["certificates"]]
            pid = next((one.args[0] for one in main.all("pid")), "/run/nginx.pid")
            files["pid"] = [file_facts(pid)]
            old = {str(path) for path in Path("/var/log/nginx").rglob("*")} - {one["path"] for one in files["logs"]}
            files["logs"] += [file_facts(path) for path in sorted(old)]
            files["configuration"] = [file_facts(path) for path in split_dump(done.stdout)]
        return {"installed": True, "configuration": done.stdout, "error": error, "files": files,
                "processes": list(processes("nginx"))}  # fmt: skip
    return {"installed": False, "configuration": "", "error": "", "files": {}, "processes": []}


def certificate_facts(path: str) -> dict[str, Any]:
    """Return {ends, ocsp, count} of a chain's first certificate, as OpenSSL shows it."""
    shown = run("openssl", "x509", "-in", path, "-noout", "-enddate", "-ocsp_uri", "-dateopt", "iso_8601")
    lines = shown.splitlines()
    ends = next((line.partition("=")[2].strip() for line in lines if line.startswith("notAfter=")), "")
    ocsp = next((line for line in lines if line.startswith("http")), "")
    count = 0
    with contextlib.suppress(OSError):
        count = Path(path).read_text(errors="replace").count("-----BEGIN CERTIFICATE-----")
    return {"ends": ends, "ocsp": ocsp, "count": count}


def processes(name: str) -> Iterator[dict[str, Any]]:
    """Yield {pid, user, started, core} of the processes of a name; `core` is the soft limit of core dumps."""
    for folder in sorted(Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError, ValueError):
            if (folder / "comm").read_text().strip() != name:
                continue
            limits = (folder / "limits").read_text()
            core = re.search(r"^Max core file size\s+(\S+)", limits, re.MULTILINE)
            started = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
            yield {
                "pid": int(folder.name),
                "user": name_of(pwd.getpwuid, folder.stat().st_uid),
                "started": boot_time() + started / os.sysconf("SC_CLK_TCK"),
                "core": core[1] if core else "",
            }


def boot_time() -> float:
    found = re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def read_accounts(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return {name, uid, shell, locked, groups} of accounts."""
    shadow = {}
    with contextlib.suppress(OSError):
        shadow = dict(line.split(":")[:2] for line in Path("/etc/shadow").read_text().splitlines() if ":" in line)
    found = []
    for name in sorted(set(names)):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            groups = [one.gr_name for one in grp.getgrall() if name in one.gr_mem and one.gr_gid != entry.pw_gid]
            locked = shadow.get(name, "").startswith(("!", "*"))
            found.append(
                {"name": name, "uid": entry.pw_uid, "shell": entry.pw_shell, "locked": locked, "groups": groups}
            )
    return found


def our_units() -> list[str]:
    """Return the services on the host that Gatehouse wrote, or wrote settings for; of templates their instances."""
    names = set()
    for path in (*UNITS.glob("*.service"), *UNITS.glob("*.service.d/*.conf")):
        with contextlib.suppress(OSError):
            if _OURS.match(path.read_text(errors="replace")):
                names.add(path.parent.name.removesuffix(".d") if path.suffix == ".conf" else path.name)
    templates = [name for name in names if "@." in name]
    shown = run(
        "systemctl", "list-units", "--plain", "--no-legend", "--all", *(n.replace("@.", "@*.") for n in templates)
    )
    instances = [line.split()[0] for line in shown.splitlines() if templates and line.split()]
    return sorted({name for name in names if "@." not in name} | set(instances))


def read_units() -> list[dict[str, Any]]:
    """Return {name, exposure, state, user, core} of our units; `exposure` as `systemd-analyze security` has it."""
    names = our_units()
    if not names:
        return []
    scores = {}
    with contextlib.suppress(ValueError):
        shown = json.loads(run("systemd-analyze", "security", "--json=short", "--no-pager") or "[]")
        scores = {one["unit"]: float(one["exposure"]) for one in shown if one.get("exposure")}
    found = []
    shown = run("systemctl", "show", "--property=Id,ActiveState,User,LimitCORESoft", *names)
    for block in shown.split("\n\n"):
        said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if said:
            name = said["Id"]
            score = scores.get(name)
            found.append({
                "name": name, "exposure": score, "state": said["ActiveState"], "user": said.get("User", ""),
                "core": said.get("LimitCORESoft", ""),
            })  # fmt: skip
    return found


def read_sockets() -> list[dict[str, Any]]:
    """Return {protocol, address, port, process} of what listens on the network."""
    found = []
    for line in run("ss", "-Hlntup").splitlines():
        words = line.split()
        if len(words) < 5:
            continue
        address, _, port = words[4].rpartition(":")
        process = _SOCKET.search(line)
        found.append({
            "protocol": words[0], "address": address.partition("%")[0].strip("[]"),
            "port": int(port) if port.isdigit() else 0, "process": process[1] if process else "",
        })  # fmt: skip
    return found


def read_packages() -> dict[str, Any]:
    """Return of nginx's packages {name, installed, candidate, sources}, and where apt takes what is not signed."""
    shown = run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n",
                "nginx*", "libnginx-mod-*", "modsecurity-crs", "libmodsecurity3*")  # fmt: skip
    names = sorted(line.split()[0] for line in shown.splitlines() if line.endswith(" installed"))
    packages = []
    for name, block in _blocks(run("apt-cache", "policy", *names) if names else ""):
        installed = re.search(r"Installed: (\S+)", block)
        candidate = re.search(r"Candidate: (\S+)", block)
        packages.append({
            "name": name, "installed": installed[1] if installed else "",
            "candidate": candidate[1] if candidate else "",
            "sources": _sources(block),
        })  # fmt: skip
    releases = {}
    for found in re.finditer(
        r"^\s+\d+ (\S+ \S+) [^\n]*\n\s+release ([^\n]*)", run("apt-cache", "policy"), re.MULTILINE
    ):
        origin = re.search(r"(?:^|,)o=([^,]*)", found[2])
        releases[found[1]] = origin[1] if origin else ""
    return {"packages": packages, "releases": releases, "unchecked": list(_unchecked())}


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    parts = re.split(r"^(\S+):$", text, flags=re.MULTILINE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _sources(block: str) -> list[str]:
    """Return where the installed version of `apt-cache policy` comes from, as its release is named there."""
    found = re.search(r"^ \*\*\* \S+ \d+\n((?:\s{8,}\S[^\n]*\n?)*)", block, re.MULTILINE)
    lines = (line.split() for line in (found[1] if found else "").splitlines())
    return [" ".join(words[1:3]) for words in lines if len(words) > 2]


def _unchecked() -> Iterator[str]:
    """Yield the lines of apt's sources and settings that take packages without a signature."""
    folder = Path("/etc/apt")
    for path in (*folder.glob("sources.list*"), *folder.glob("sources.list.d/*"), *folder.glob("apt.conf.d/*")):
        with contextlib.suppress(OSError):
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                loose = re.search(
                    r"trusted\s*[=:]\s*yes|allow-insecure\s*[=:]\s*yes|AllowUnauthenticated\s+\"?(true|1)", line
                )
                if loose and not line.lstrip().startswith(("#", "//")):
                    yield f"{path}:{number}"


def read_forwarders() -> list[str]:
    """Return what on the host sends logs to another one, of the programs that do."""
    states = run("systemctl", "is-active", *FORWARDERS).split()
    found = [name for name, state in zip(FORWARDERS, states, strict=False) if state == "active"]
    if "rsyslog" in found:  # which also writes files, and nothing else
        paths = [Path("/etc/rsyslog.conf"), *Path("/etc/rsyslog.d").glob("*.conf")]
        texts = [path.read_text(errors="replace") for path in paths if path.is_file()]
        found = [name for name in found if name != "rsyslog" or any(_SENDS.search(text) for text in texts)]
    return found


def read_rotation() -> dict[str, Any]:
    """Return logrotate's settings by file, and whether something runs it."""
    files = {}
    for path in sorted(Path("/etc/logrotate.d").glob("*")):
        with contextlib.suppress(OSError):
            text = path.read_text(errors="replace")
            if "/var/log/nginx" in text or "gatehouse" in text:
                files[str(path)] = text
    timer = run("systemctl", "is-enabled", "logrotate.timer").strip()
    return {"files": files, "runs": timer == "enabled" or Path("/etc/cron.daily/logrotate").is_file()}
