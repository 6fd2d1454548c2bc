"""Runs on the client: asks for a site over HTTPS without pause, in five ways at once, and writes down every request.

Reads {addresses, name, seconds, stop, report, kinds} as JSON from its argument. It ends when the file `stop` is there,
or after `seconds`, and leaves `report`: {kind: {answers: [[moment, host, release]], failures, reopened, posted}}.

Kinds: `get`, `post` (0.5 s) and `slow` (2 s) on a connection for each request, `kept` (one for all),
`live` (a WebSocket). A kept connection that the server closed between two requests, before a byte of an answer came,
is opened again, as every client does; so is a WebSocket that was closed with the code 1001. All else is a failure.
"""

import base64
import http.client
import itertools
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS = json.loads(sys.argv[1])
STARTED = time.monotonic()
GOING_AWAY = 1001
# Seconds between two requests of a kind.
PACE = {"get": 0.2, "post": 0.2, "slow": 0.3, "kept": 0.1, "live": 0.2}


class Tally:
    """What one kind of requests came to."""

    def __init__(self) -> None:
        self.answers: list[tuple[float, str, str]] = []
        self.failures: list[str] = []
        self.posted: list[str] = []
        self.reopened = 0

    def answered(self, body: bytes) -> None:
        """Count an answer: who gave it, of which release."""
        reported = json.loads(body)
        self.answers.append((round(time.monotonic() - STARTED, 2), reported["host"], reported["release"]))

    def failed(self, problem: object) -> None:
        """Count a failure, with the time of day to find it in the logs."""
        self.failures.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {type(problem).__name__}: {problem}")


def secured(plain: socket.socket) -> ssl.SSLSocket:
    """Shake hands as somebody who trusts what /srv/ca.pem has at this moment."""
    return ssl.create_default_context(cafile="/srv/ca.pem").wrap_socket(plain, server_hostname=SETTINGS["name"])


class Connection(http.client.HTTPSConnection):
    """A connection to one address under the site's name."""

    def __init__(self, address: str) -> None:
        super().__init__(SETTINGS["name"], timeout=15)
        self.address = address

    def connect(self) -> None:
        plain = socket.create_connection((self.address, 443), timeout=15)
        self.sock = secured(plain)


def ask(connection: Connection, method: str, path: str, body: bytes | None = None) -> bytes:
    """Make one request; anything but a whole answer 200 is a ValueError."""
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise ValueError(f"{method} {path}: status {answer.status} from {connection.address}: {text[:80]!r}")
    return text


def fresh(method: str, path: Callable[[], str], body: bytes | None = None) -> Callable[[Tally, str], None]:
    """Return what makes one request on a connection of its own; a path with an id in it is noted before."""

    def once(tally: Tally, address: str) -> None:
        where = path()
        if method == "POST":
            tally.posted.append(where.partition("?")[0].rpartition("/")[2])
        connection = Connection(address)
        try:
            tally.answered(ask(connection, method, where, body))
        finally:
            connection.close()

    return once


class Kept:
    """One connection for all requests."""

    def __init__(self) -> None:
        self.connection: Connection | None = None

    def __call__(self, tally: Tally, address: str) -> None:
        used = self.connection is not None
        self.connection = self.connection or Connection(address)
        try:
            tally.answered(ask(self.connection, "GET", "/"))
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            # RFC 9112, 9.3.1: closed while idle, and not a byte of an answer.
            self.connection.close()
            self.connection = None
            if not used:
                raise
            tally.reopened += 1
            self(tally, address)
        except BaseException:
            self.connection.close()
            self.connection = None
            raise


class Live:
    """A WebSocket (RFC 6455) that asks to have its messages sent back."""

    def __init__(self) -> None:
        self.socket: ssl.SSLSocket | None = None

    def open(self, address: str) -> ssl.SSLSocket:
        plain = socket.create_connection((address, 443), timeout=15)
        opened = secured(plain)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"Host: {SETTINGS['name']}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        opened.sendall("\r\n".join(["GET /live HTTP/1.1", *lines, f"Sec-WebSocket-Key: {key}", "", ""]).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(opened, 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise ValueError(f"WebSocket: {head[:60]!r} from {address}")
        return opened

    @staticmethod
    def read(opened: ssl.SSLSocket, size: int) -> bytes:
        """Read exactly so many bytes."""
        data = b""
        while len(data) < size:
            piece = opened.recv(size - len(data))
            if not piece:
                raise ConnectionError("WebSocket: closed without a word")
            data += piece
        return data

    def __call__(self, tally: Tally, address: str) -> None:
        self.socket = self.socket or self.open(address)
        said = uuid.uuid4().hex.encode()
        mask = os.urandom(4)
        try:
            masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(said))
            self.socket.sendall(bytes([0x81, 0x80 | len(said)]) + mask + masked)
            code, size = self.read(self.socket, 2)
            data = self.read(self.socket, size)
        except BaseException:
            self.socket.close()
            self.socket = None
            raise
        if code & 0x0F == 8 and struct.unpack("!H", data[:2])[0] == GOING_AWAY:
            self.socket.close()
            self.socket = None
            tally.reopened += 1
        elif data != said:
            raise ValueError(f"WebSocket: {data!r} came back for {said!r}")
        else:
            tally.answers.append((round(time.monotonic() - STARTED, 2), "", ""))


def keep_asking(kind: str, once: Callable[[Tally, str], None], tally: Tally, addresses: Any) -> None:
    """Ask again and again, one proxy after the other, until it is time to stop."""
    while time.monotonic() - STARTED < SETTINGS["seconds"] and not Path(SETTINGS["stop"]).exists():
        try:
            once(tally, next(addresses))
        except (OSError, ValueError, http.client.HTTPException) as problem:
            tally.failed(problem)
        time.sleep(PACE[kind])


def main() -> None:
    ways: dict[str, list[Callable[[Tally, str], None]]] = {
        "get": [fresh("GET", lambda: "/")],
        # Long enough that one is always under way: nginx repeats a GET that was cut off, but never a POST.
        "post": [fresh("POST", lambda: f"/orders/{uuid.uuid4().hex}?seconds=0.5", b"x" * 2000) for _ in range(3)],
        "slow": [fresh("GET", lambda: "/slow?seconds=2") for _ in range(3)],
        "kept": [Kept(), Kept()],
        "live": [Live(), Live()],
    }
    tallies = {kind: Tally() for kind in SETTINGS["kinds"]}
    threads = []
    for kind, callers in [(kind, ways[kind]) for kind in tallies]:
        for number, once in enumerate(callers):
            turns = itertools.cycle(SETTINGS["addresses"][number % 2 :] + SETTINGS["addresses"][: number % 2])
            addresses = itertools.repeat(next(turns)) if kind in ("kept", "live") else turns
            threads.append(threading.Thread(target=keep_asking, args=(kind, once, tallies[kind], addresses)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh_report = Path(SETTINGS["report"] + ".new")
    fresh_report.write_text(json.dumps({kind: vars(tally) for kind, tally in tallies.items()}))
    fresh_report.rename(SETTINGS["report"])


main()
