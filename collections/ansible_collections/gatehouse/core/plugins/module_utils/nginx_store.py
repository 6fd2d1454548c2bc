"""Configuration trees of nginx on their host: their files, their names, and the links that choose one.

A run may be killed at any moment. What it wrote before the rename of `active` is swept away by the next run; what it
did after that is completed or put back, because only `trees/proven` says which trees a running server has answered
with.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils import lock
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import READERS, SOCKET, RefusedError

IDENTITY = "identity.conf"
SECRETS = "secrets/"  # files of a tree that only root and nginx's workers read, and that no diff shows
ANSWER = re.compile(r'return 200 ".*";')
NAME = re.compile(r"(\d{4,})-[0-9a-f]{8}")


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
