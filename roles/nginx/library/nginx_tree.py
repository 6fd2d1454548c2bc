#!/usr/bin/python3
"""Make one whole nginx configuration live, and prove that the running server serves it.

What callers need is in nginx_tree.yml beside it (`ansible-doc nginx_tree`). A run may be killed at any moment: what it
wrote before the rename of `active` is swept away by the next run; what it did after that is completed or put back,
because only `trees/proven` says which trees a running server has answered with.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils import lock
from ansible_collections.gatehouse.core.plugins.module_utils.debian import not_installed
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import (
    READERS,
    SOCKET,
    settle_unit,
    unreadable,
)

NGINX = "/usr/sbin/nginx"
GLOBALS = ("-g", "daemon on; master_process on;")  # Debian's unit starts nginx so: test it so
PID_FILE = Path("/run/nginx.pid")
IDENTITY = "identity.conf"
SECRETS = "secrets/"  # files of a tree that only root and nginx's workers read, and that no diff shows
ANSWER = re.compile(r'return 200 ".*";')
NAME = re.compile(r"(\d{4,})-[0-9a-f]{8}")
TIMED = re.compile(r"^\S+ \S+ (\[\w+\]) \d+#\d+:", re.MULTILINE)
EMERGENCY = re.compile(r"^\S+ \S+ \[emerg\] \S+ (.*)$", re.MULTILINE)
# nginx tries to bind again for 2.5 s before it says "still could not bind()": this alone is not yet a failure.
BIND_RETRY = re.compile(r"bind\(\) to .* failed \(98:")


class RefusedError(Exception):
    """The tree is not served; the text says why."""


def identity(name: str, depends: dict[str, str]) -> str:
    """Return identity.conf: a server that answers with the tree's name. `depends` is {path: checksum}."""
    return "".join(
        [
            "# This file is written by Gatehouse. Through it the running nginx proves which tree it serves.\n",
            *(f"# {path} {checksum}\n" for path, checksum in sorted(depends.items())),
            f'server {{\n    listen unix:{SOCKET};\n    access_log off;\n    return 200 "{name}";\n}}\n',
        ]
    )


def digest(texts: dict[str, str]) -> str:
    """Return the SHA-256 of a tree's {path: text}, hexadecimal; the tree's own name does not count."""
    nameless = {**texts, IDENTITY: ANSWER.sub("", texts.get(IDENTITY, ""))}
    return hashlib.sha256(json.dumps(nameless, sort_keys=True).encode()).hexdigest()


def sync(path: Path) -> None:
    """Wait until a folder's entries are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def private(path: str, flags: int) -> int:
    """Open a file that is nobody else's from its first moment on."""
    return os.open(path, flags, 0o640)


def discard(path: Path) -> None:
    """Remove a file, link or folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def describe(path: Path, empty: bool = False, secret: bool = False) -> str:
    """Return a file's text, '' for a folder. What no tree may hold is named in the text, so that it equals nothing."""
    status = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    text = content.decode(errors="backslashreplace")
    right = status.st_mode in (0o100640 if secret else 0o100644, 0o40755) and status.st_uid == os.geteuid()
    right = right and text.encode() == content and (not secret or status.st_gid == grp.getgrnam(READERS).gr_gid)
    owner = f"user {status.st_uid}" + (f", group {status.st_gid}" if secret else "")
    target = f" to {path.readlink()}" if path.is_symlink() else ""
    return text if right and not empty else f"# {stat.filemode(status.st_mode)} of {owner}{target}\n{text}"


def conceal(texts: dict[str, str], which: str) -> dict[str, str]:
    """Return {path below /etc/nginx: text} for a diff; of a secret it says only `which` of the two it is."""
    hidden = f"# the {which} content is secret\n"
    return {path: hidden if path.startswith(f"active/{SECRETS}") else text for path, text in texts.items()}


class Store:
    """The folder /etc/nginx: trees/<name>, trees/proven (names, latest proof last), the links that choose a tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trees = root / "trees"
        self.active = root / "active"
        self.conf = root / "nginx.conf"
        self.found = root / "nginx.conf.before-gatehouse"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait for other runs, each step of which has its timeout."""
        if self.trees.is_symlink():
            raise RefusedError(f"{self.trees} is a link: make it a folder")
        try:
            with lock.locked("nginx"), contextlib.ExitStack() as last:
                last.callback(self.sweep)
                self.sweep()
                yield
        except lock.LockedError as error:
            raise RefusedError(str(error)) from None

    def sweep(self) -> None:
        """Remove trees that are neither live nor proven, stages, and links not yet in place."""
        kept = {self.live(), "proven", *self.proven()}
        leftovers = [path for path in self.trees.glob("*") if path.name not in kept]
        for path in [*leftovers, *self.root.glob(".*.gatehouse")]:
            discard(path)
        with contextlib.suppress(OSError):
            self.trees.rmdir()  # only if nothing is left

    def live(self) -> str:
        """Return the name of the tree that `active` links to, or ''."""
        target = self.active.readlink() if self.active.is_symlink() else Path()
        return target.name if target.parent == Path("trees") and NAME.fullmatch(target.name) else ""

    def linked(self) -> bool:
        """Return whether nginx.conf is the link into the live tree."""
        return self.conf.is_symlink() and self.conf.readlink() == Path("active/nginx.conf")

    def proven(self) -> list[str]:
        """Return the trees that a running server has answered with, latest proof last."""
        path = self.trees / "proven"
        names = path.read_text().splitlines() if path.is_file() else []
        return [name for name in names if NAME.fullmatch(name) and (self.trees / name).is_dir()]

    def record(self, name: str, keep: int, instead_of: str = "") -> None:
        """Write down that `name` was proven; the next sweep leaves the last `keep` trees.

        A patch takes the place of the tree that it was made of (`instead_of`): nobody goes back to who was drained.
        """
        names = [*(other for other in self.proven() if other not in (name, instead_of)), name]
        fresh = self.trees / ".proven"
        self.write(fresh, "".join(f"{name}\n" for name in names[-max(keep, 1) :]))
        fresh.replace(self.trees / "proven")
        sync(self.trees)

    def next_name(self, checksum: str) -> str:
        """Return the name of a new tree: one more than the highest number in use, and the head of the checksum."""
        numbers = [
            int(match[1]) for match in map(NAME.fullmatch, (path.name for path in self.trees.glob("*"))) if match
        ]
        return f"{max(numbers, default=0) + 1:04d}-{checksum[:8]}"

    def read(self, name: str) -> dict[str, str]:
        """Return {path: text} of a tree, with what should not be in it."""
        top, found = self.trees / name, []
        for folder, folders, names in os.walk(top):
            here = Path(folder)
            secret = f"{here.relative_to(top)}/".startswith(SECRETS)
            found += [(path, describe(path, secret=secret)) for path in map(here.joinpath, names)]
            found += [(path, describe(path)) for path in map(here.joinpath, folders) if path.is_symlink()]
            found += [(here, text) for text in [describe(here, empty=not (folders or names))] if text]
        return {os.fsencode(path.relative_to(top)).decode(errors="backslashreplace"): text for path, text in found}

    @staticmethod
    def write(path: Path, text: str, readers: str = "") -> None:
        """Write one new file, which only root and the group `readers` read, and wait until it is on the disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8", newline="", opener=private if readers else None) as stream:
            if readers:
                os.fchown(stream.fileno(), -1, grp.getgrnam(readers).gr_gid)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())

    def create(self, name: str, texts: dict[str, str]) -> None:
        """Write a new tree and wait until it is on the disk."""
        for path, text in texts.items():
            self.write(self.trees / name / path, text, READERS if path.startswith(SECRETS) else "")
        for folder, _, _ in os.walk(self.trees / name):
            sync(Path(folder))
        sync(self.trees)

    def link(self, path: Path, target: str) -> None:
        """Make `path` a link in one rename; a folder in its place is moved aside."""
        if path.is_dir() and not path.is_symlink():
            path.rename(f"{path}.before-gatehouse")
        fresh = path.with_name(f".{path.name}.gatehouse")
        fresh.symlink_to(target)
        fresh.replace(path)
        sync(self.root)

    def choose(self, name: str) -> None:
        """Make `name` the tree that nginx reads at its next start or reload; at a takeover keep what was found."""
        if not self.linked() and not self.proven() and os.path.lexists(self.conf):
            discard(self.found)
            os.link(self.conf, self.found, follow_symlinks=False)
        self.link(self.active, f"trees/{name}")
        if not self.linked():
            self.link(self.conf, "active/nginx.conf")

    def restore_found(self) -> None:
        """Undo a takeover."""
        if os.path.lexists(self.found):
            self.found.replace(self.conf)
        discard(self.active)
        sync(self.root)


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

    def answer(self) -> str:
        """Return the name of the tree that the running server answers with, or ''."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(SOCKET))
            client.sendall(b"GET / HTTP/1.0\r\nHost: identity\r\nUser-Agent: nginx_tree\r\nAccept: */*\r\n\r\n")
            reply = b"".join(iter(lambda: client.recv(4096), b""))
            return reply.rpartition(b"\r\n\r\n")[2].decode(errors="replace")
        return ""

    def serves(self, name: str, master: int) -> bool:
        """Return whether the running server serves `name`; one that is silent may be in the midst of a reload."""
        for _ in range(10 if master else 1):
            if reported := self.answer():
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
        done = self.call(NGINX, "-T", "-q", *GLOBALS, "-c", f"{stage}/nginx.conf")
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
            streak = streak + 1 if self.answer() == name else 0
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


def wanted(store: Store, files: dict[str, str], sums: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return the name and {path: text} of the tree asked for: the live one, if that is what it is, or a new one."""
    live = store.live()
    texts = {**files, IDENTITY: identity(live, sums)}
    if live and store.linked() and store.read(live) == texts:
        return live, texts
    name = store.next_name(digest(texts))
    return name, {**files, IDENTITY: identity(name, sums)}


def patched(store: Store, files: dict[str, str]) -> dict[str, str]:
    """Return {path: text} of the live tree with `files` in place of its own; refuse to build on what was edited."""
    live = store.live()
    texts = store.read(live)
    if not store.linked() or digest(texts)[:8] != live[-8:]:
        raise RefusedError(
            f"the live tree {live} was changed by hand since it was made, so it cannot be patched: "
            "have the whole configuration made again with playbooks/proxies.yml"
        )
    return {**{path: text for path, text in texts.items() if path != IDENTITY}, **files}


def kept(store: Store, tree: str) -> tuple[str, dict[str, str]]:
    """Return the name and {path: text} of the tree to go back to."""
    names = sorted(store.proven(), key=lambda name: int(name.split("-")[0]))
    if tree == "previous":
        earlier = names[: names.index(store.live())] if store.live() in names else names
        if not earlier:
            raise RefusedError("there is no earlier tree to go back to")
        tree = earlier[-1]
    if tree not in names:
        raise RefusedError(f"tree: {tree} is not kept on this host, which has {', '.join(names) or 'none'}")
    texts = store.read(tree)
    if digest(texts)[:8] != tree[-8:]:
        raise RefusedError(f"tree: {tree} was changed by hand since it was proven; name another of {', '.join(names)}")
    return tree, texts


def put_back(store: Store, server: Server, live: str, ran: bool) -> None:
    """Bring back what was live, else the last proven tree that nginx takes, else the nginx.conf that was found."""
    proven, failed = store.proven(), store.live()
    for name in dict.fromkeys([live, *reversed(proven)]):
        if name != failed and name in proven:
            with contextlib.suppress(RefusedError, OSError):
                server.test(store, name)
                store.choose(name)
                server.bring_up(name)
                return
    if proven:
        store.choose(proven[-1])
        return
    store.restore_found()
    with contextlib.suppress(RefusedError):
        if ran:
            server.reread()
        else:  # or systemd would go on trying to start it
            server.call("systemctl", "stop", "nginx")


def converge(store: Store, server: Server, options: dict[str, Any], check: bool, result: dict[str, Any]) -> list[str]:
    """Do the whole run, keep `result` true at every step, return warnings; raise RefusedError or OSError."""
    live = store.live()
    if options["state"] == "patched" and not live:
        result.update(tree="", previous="", id="")
        return []
    missing = [path for path in (NGINX, *options["depends"], *options["needs"]) if not Path(path).is_file()]
    if missing and not check:
        raise RefusedError(f"not on this host: {', '.join(missing)}")
    # A run that only looks may come before the one that makes the folder.
    if (bare := unreadable(options["readable"])) and not check:
        raise RefusedError(
            f"nginx serves files from {', '.join(bare)}, and its workers ({READERS}) cannot read that; "
            "make the folder before the proxy, readable for all (mode 0755), as each folder above it"
        )
    unit_before, unit_after = settle_unit(options["open_files"], check) if options["open_files"] else ({}, {})
    status = server.status()
    present = set(options["depends"]) - set(missing)
    sums = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in present}
    back = options["state"] == "rollback"
    files = {**options["files"], **options["secrets"]}
    if options["state"] == "patched":
        files = patched(store, files)
    name, texts = kept(store, options["tree"]) if back else wanted(store, files, sums)
    before = {f"active/{path}": text for path, text in (store.read(live) if live else {}).items()}
    after = {f"active/{path}": text for path, text in texts.items()}
    if not store.linked():
        before |= {"nginx.conf": describe(store.conf)} if os.path.lexists(store.conf) else {}
        after["nginx.conf"] = "# a link to active/nginx.conf\n"
    served = name == live and store.linked() and not status.stray and server.serves(name, status.master)
    result.update(
        before=conceal({path: text for path, text in before.items() if after.get(path) != text}, "former")
        | unit_before,
        after=conceal({path: text for path, text in after.items() if before.get(path) != text}, "new") | unit_after,
        changed=not (served and status.enabled and not unit_after and store.proven()[-1:] == [name]),
        tree=name,
        previous=live,
        id=digest(texts),
    )
    warnings = []
    if name != live and missing:
        warnings = [f"The tree was not tested, because this is not on the host yet: {', '.join(missing)}"]
    elif name != live:
        if not back:
            store.create(name, texts)
        warnings = server.test(store, name)
        result["tested"] = True
    if (status.unit_changed or unit_after) and not check:
        server.call("systemctl", "daemon-reload")
    if result["changed"] and not check:
        if not served:
            store.choose(name)
            result["outcome"] = server.bring_up(name)
        store.record(name, options["keep"], live if options["state"] == "patched" else "")
        if not status.enabled:
            server.call("systemctl", "enable", "nginx")
    return warnings


def run(store: Store, server: Server, options: dict[str, Any], check: bool, result: dict[str, Any]) -> list[str]:
    """Converge, or leave the host as it was found."""
    live, ran = store.live(), any(server.status()[:2])
    try:
        return converge(store, server, options, check, result)
    except (RefusedError, OSError):
        now = store.live()
        if now and not check and (now != live or now not in store.proven()):
            put_back(store, server, live, ran)
            result["outcome"] = "rolled_back"
        raise


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        supports_check_mode=True,
        argument_spec={
            "templates": {"type": "list", "elements": "dict", "default": []},
            "files": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "depends": {"type": "list", "elements": "path", "default": []},
            "needs": {"type": "list", "elements": "path", "default": []},
            "packages": {"type": "list", "elements": "str", "default": ["nginx"]},
            "open_files": {"type": "int", "default": 0},
            "readable": {"type": "list", "elements": "str", "default": []},
            "keep": {"type": "int", "default": 5},
            "state": {"choices": ["present", "patched", "rollback"], "default": "present"},
            "tree": {"default": "previous"},
            "error_log": {"type": "path", "default": "/var/log/nginx/error.log"},
            "timeout": {"type": "int", "default": 30},
        },
    )
    os.umask(0o022)
    store, options = Store(Path("/etc/nginx")), module.params
    server = Server(Path(options["error_log"]), options["timeout"])
    result: dict[str, Any] = {"changed": False, "outcome": "none", "tested": False}
    absent = not_installed(options["packages"]) if options["state"] == "present" else []
    if absent and not module.check_mode:
        module.exit_json(missing_packages=absent, **result)
    try:
        with store.locked() if store.root.is_dir() else contextlib.nullcontext():
            for warning in run(store, server, options, module.check_mode, result):
                module.warn(warning)
    except (RefusedError, OSError) as error:
        runs = None
        with contextlib.suppress(RefusedError, OSError):  # its own failure must not hide what nginx said
            runs = any(server.status()[:2])
        module.fail_json(msg=str(error), serves=server.answer(), runs=runs, **result)
    if absent:
        result.update(changed=True, missing_packages=absent)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
