"""The keys that seal visitors' TLS session tickets: a chain of secrets, one a day, that goes forward only.

A proxy needs nobody to rotate its keys, and all proxies that began with the same secret have the same keys each day.
Who takes a proxy's keys opens tickets of that day, the one before and those to come, but none that are older: a secret
gives its successor and no predecessor. The module `session_tickets` imports this file, and puts it on the host, where
a timer runs it.

A day is its number as datetime.date.toordinal counts, in UTC. Source of the key's form, 80 bytes of which 16 name it,
32 authenticate and 32 encrypt: https://nginx.org/en/docs/http/ngx_http_ssl_module.html#ssl_session_ticket_key
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hmac
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

FOLDER = Path("/var/lib/gatehouse/session-tickets")
NGINX = Path("/etc/nginx")
# Of the collection's lock.py, which is not on the host when the timer runs this.
LOCK = Path("/run/gatehouse/nginx.lock")
PATIENCE = 600
STATE = re.compile(r"(\d+) ([0-9a-f]{64})\n?")
TIMEOUT = 60


class TicketError(Exception):
    """The keys are not as they should be; the text says why."""


class Chain(NamedTuple):
    """The secret of one day: 32 bytes, from which all later ones follow."""

    day: int
    secret: bytes

    @classmethod
    def read(cls, text: str) -> Chain:
        found = STATE.fullmatch(text)
        if not found:
            raise TicketError("a state is the number of a day, a blank and 64 hexadecimal digits")
        return cls(int(found[1]), bytes.fromhex(found[2]))

    def text(self) -> str:
        return f"{self.day} {self.secret.hex()}\n"

    def at(self, day: int) -> Chain:
        """Return the chain of a day that is not earlier."""
        if day < self.day:
            raise TicketError(f"the chain begins {self.day - day} days later, and does not go back")
        secret = self.secret
        for _ in range(day - self.day):
            secret = hmac.digest(secret, b"next", "sha256")
        return Chain(day, secret)

    def key(self) -> bytes:
        """Return the 80 bytes that seal tickets on this day."""
        name, mac, cipher = (hmac.digest(self.secret, word, "sha256") for word in (b"name", b"mac", b"cipher"))
        return name[:16] + mac + cipher

    def files(self) -> dict[str, bytes]:
        """Return {name: content} of the day after: this day's key still opens, the one after next opens already."""
        keys = [self.at(self.day + ahead).key() for ahead in range(3)]
        names = ("previous.key", "current.key", "next.key")
        return {**dict(zip(names, keys, strict=True)), "state": self.text().encode()}

    def same(self, other: Chain) -> bool:
        """Return whether both came from one secret."""
        day = max(self.day, other.day)
        return self.at(day) == other.at(day)


def today() -> int:
    return datetime.now(UTC).toordinal()


def load(folder: Path) -> Chain | None:
    """Return the chain that a folder holds, none if it has none or one that nobody can read."""
    try:
        return Chain.read((folder / "state").read_text())
    except (OSError, TicketError, UnicodeDecodeError):
        return None


def wrong(folder: Path, chain: Chain) -> list[str]:
    """Return the files that are not as the chain has them, and root's alone."""
    found = []
    for name, content in chain.files().items():
        path = folder / name
        try:
            status = path.lstat()
            right = (status.st_mode, status.st_uid) == (0o100600, os.geteuid()) and path.read_bytes() == content
        except OSError:
            right = False
        if not right:
            found.append(name)
    return found


def save(folder: Path, chain: Chain) -> None:
    """Write a chain's files, each in one rename; the state last, so that a broken run is done again."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, content in chain.files().items():
        handle, fresh = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        Path(fresh).replace(folder / name)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait for a run of nginx_tree, which holds the same lock, to end; TicketError if it does not."""
    LOCK.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise TicketError(f"another run holds {LOCK} for more than {PATIENCE} s: see /proc/locks")
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
    if done.returncode:
        raise TicketError(f"`{' '.join(argv)}`: {done.stderr.strip() or f'ended with {done.returncode}'}")


def reload_nginx() -> bool:
    """Have a running nginx read the keys; return whether there was one."""
    active = ("systemctl", "is-active", "--quiet", "nginx")
    if not NGINX.is_dir() or subprocess.run(active, timeout=TIMEOUT, check=False).returncode:  # noqa: S603
        return False
    with alone():
        run("/usr/sbin/nginx", "-t", "-q")
        run("systemctl", "reload", "nginx")
    return True


def step(folder: Path, day: int) -> bool:
    """Bring a folder's keys to a day; return whether anything was written."""
    chain = load(folder)
    if not chain:
        raise TicketError(f"{folder}/state is missing or broken: run the playbook of the proxies again")
    if chain.day > day - 1:
        print(f"The keys are those of {chain.day - (day - 1)} days later: nothing was done", file=sys.stderr)
        return False
    chain = chain.at(day - 1)
    if not wrong(folder, chain):
        return False
    save(folder, chain)
    return True


def main() -> None:
    """Run from the timer."""
    parser = argparse.ArgumentParser(description="Step the keys of TLS session tickets to the present day.")
    parser.add_argument("--day", type=int, default=today(), help="another day, as Python's date.toordinal counts")
    arguments = parser.parse_args()
    try:
        if step(FOLDER, arguments.day):
            reload_nginx()
    except (TicketError, OSError, subprocess.SubprocessError) as error:
        raise SystemExit(f"session tickets: {error}") from None


if __name__ == "__main__":
    main()
