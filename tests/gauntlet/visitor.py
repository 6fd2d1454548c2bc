"""A visitor outside: single requests over HTTPS through the proxy, and many of them while something is deployed."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

CALLERS, PAUSE = 4, 0.1


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


class _Connection(http.client.HTTPSConnection):
    """A connection to the proxy's address under the site's name."""

    def __init__(self, name: str, address: str, trust: ssl.SSLContext) -> None:
        super().__init__(name, timeout=30, context=trust)
        self.address, self.trust = address, trust

    def connect(self) -> None:
        plain = socket.create_connection((self.address, self.port), timeout=30)
        self.sock = self.trust.wrap_socket(plain, server_hostname=self.host)


@dataclass(frozen=True)
class Visitor:
    """Somebody who trusts the lab's CA and asks one site."""

    name: str
    address: str
    authority: Path

    def connection(self) -> http.client.HTTPSConnection:
        """Return a connection that is not open yet."""
        return _Connection(self.name, self.address, ssl.create_default_context(cafile=str(self.authority)))

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Make one request on a connection of its own."""
        connection = self.connection()
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()


@dataclass
class Load:
    """Asks for paths without pause in a block, and counts what came back."""

    visitor: Visitor
    paths: tuple[str, ...]
    requests: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        while not self._over.wait(PAUSE):
            number += 1
            path = self.paths[number % len(self.paths)]
            try:
                answer = self.visitor.ask(path)
                problem = "" if answer.status < 400 else f"{answer.status} {answer.text[:80]!r}"
            except (OSError, http.client.HTTPException) as error:
                problem = f"{type(error).__name__}: {error}"
            self.requests += 1
            if problem:
                self.failures.append(f"{time.strftime('%H:%M:%S')} GET {path}: {problem}")
