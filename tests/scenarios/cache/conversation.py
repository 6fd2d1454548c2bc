"""Conversations with a cache: requests, what must be true of their answers, and a client that holds them."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

NONE: Mapping[str, str] = MappingProxyType({})


class Step(NamedTuple):
    """One request, and what must be true of its answer."""

    source: str = ""  # `origin`: asked just now; `cache`: not; `` does not matter
    method: str = "GET"
    headers: Mapping[str, str] = NONE
    status: int = 0
    has: Mapping[str, str] = NONE  # header of the answer: its whole value; `` where it must not be there
    wait: float = 0  # seconds before
    query: str = ""
    body: str | None = None
    age: tuple[int, int] | None = None  # lowest and highest Age


@dataclass
class Case:
    """A conversation about one URI."""

    section: str
    name: str
    answers: list[dict[str, Any]]
    steps: list[Step]
    optional: bool = False
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def path(self) -> str:
        """Return the path that says to the origin what to answer."""
        text = json.dumps(self.answers, separators=(",", ":")).encode()
        return f"/x/{self.identity}/" + base64.urlsafe_b64encode(text).decode().rstrip("=")


class Client:
    """Asks one address for one site."""

    def __init__(self, address: str, port: int, name: str, authority: str) -> None:
        self.address, self.port, self.name = address, port, name
        self.tls = ssl.create_default_context(cafile=authority) if authority else None

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, with the site's name in TLS."""
        if self.tls is None:
            return http.client.HTTPConnection(self.address, self.port, timeout=15)
        connection = http.client.HTTPSConnection(self.name, self.port, timeout=15, context=self.tls)
        plain = socket.create_connection((self.address, self.port), timeout=15)
        connection.sock = self.tls.wrap_socket(plain, server_hostname=self.name)
        return connection

    def hold(self, case: Case) -> str:
        """Hold a conversation and return what is wrong, or ''."""
        highest = 0
        for number, step in enumerate(case.steps, 1):
            time.sleep(step.wait)
            connection = self.connect()
            try:
                connection.request(step.method, case.path + step.query, headers={"Host": self.name, **step.headers})
                result = connection.getresponse()
                body = result.read().decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                if step.source or step.status:
                    return f"request {number}: {error!r}"
                continue
            finally:
                connection.close()
            count = int(result.headers.get("Origin-Count") or 0)
            if problem := judge(step, result, body, count, highest):
                return f"request {number}: {problem} [{result.headers.get('X-Cache-Status')}]"
            highest = max(highest, count)
        return ""


def judge(step: Step, result: http.client.HTTPResponse, body: str, count: int, highest: int) -> str:
    """Return what is wrong with an answer, or ''. `highest`: requests that the origin had got before."""
    if step.source == "origin" and count <= highest:
        return f"answer {count} came from the cache"
    if step.source == "cache" and count > highest:
        return f"the origin was asked, for answer {count}"
    if step.status and result.status != step.status:
        return f"status {result.status}, not {step.status}"
    if step.body is not None and body != step.body:
        return f"body {body[:40]!r}, not {step.body!r}"
    for name, value in step.has.items():
        if (result.headers.get(name) or "") != value:
            return f"{name}: {result.headers.get(name)!r}, not {value!r}"
    if step.age:
        low, high = step.age
        lines = result.headers.get_all("Age") or []
        if len(lines) != 1 or not low <= int(lines[0]) <= high:
            return f"Age {lines}, not {low} to {high}"
    return ""
