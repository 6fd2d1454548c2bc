"""How this scenario's visitors ask: with curl, as whoever they want to be, or byte by byte."""

from __future__ import annotations

import base64
import json
import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from estate import Estate

TALK = Path(__file__).with_name("talk.py").read_text()


@dataclass(frozen=True)
class Answer:
    """What curl got: its exit status, and of the last response the status, the headers in order, and the body."""

    code: int
    status: int
    headers: list[tuple[str, str]]
    body: str

    def all(self, name: str) -> list[str]:
        """Return the values of a header, by its lower-case name."""
        return [value for key, value in self.headers if key == name]

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def echo(self) -> dict[str, str]:
        """Return the headers that the application saw, by lower-case name."""
        assert self.status == 200, (self.status, self.body)
        return dict(self.json()["headers"])


Visit = Callable[..., Answer]
Statuses = Callable[..., Counter[int]]


def parse(code: int, text: str) -> Answer:
    """Read what `curl -i` printed."""
    head, _, body = text.partition("\r\n\r\n")
    lines = head.split("\r\n")
    pairs = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    return Answer(code, int(lines[0].split()[1]) if " " in lines[0] else 0, pairs, body)


def command(estate: Estate, urls: list[str], as_: str, proxy: str, options: tuple[str, ...]) -> str:
    """Return the curl that asks a proxy for URLs of one site; `as_` is the visitor's address ('': the client's own)."""
    name, entry = urls[0].split("/")[2], estate.variables(proxy)["public_address"]
    words = ["curl", "-s", "--path-as-is", "--max-time", "15", "--cacert", "/srv/ca.pem"]
    words += [word for port in (80, 443) for word in ("--resolve", f"{name}:{port}:{entry}")]
    words += [f"-HX-Forwarded-For: {as_}"] if as_ else []
    return shlex.join([*words, *options, *urls])


@pytest.fixture(scope="session")
def visit(estate: Estate) -> Visit:
    """Return a function that asks for a URL of a site with curl, from outside."""

    def curl(url: str, *options: str, as_: str = "", proxy: str = "proxy1") -> Answer:
        run = estate.client.run(command(estate, [url], as_, proxy, ("-i", *options)))
        return parse(run.rc, run.stdout_bytes.decode(errors="replace"))

    return curl


@pytest.fixture(scope="session")
def statuses(estate: Estate) -> Statuses:
    """Return a function that asks for several URLs of a site in one go, and counts the statuses."""

    def curl(urls: list[str], *options: str, as_: str = "", proxy: str = "proxy1") -> Counter[int]:
        nowhere = [word for _ in urls for word in ("-o", "/dev/null")]
        run = estate.client.run(command(estate, urls, as_, proxy, (*nowhere, "-w", "%{http_code}\n", *options)))
        return Counter(map(int, run.stdout.split()))

    return curl


@dataclass(frozen=True)
class Talk:
    """What came back over a raw connection: when it was closed (or never), and [(seconds, bytes)]."""

    closed: float | None
    pieces: list[tuple[float, bytes]]

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.pieces)


@pytest.fixture(scope="session")
def talk(estate: Estate) -> Callable[..., Talk]:
    """Return a function that says [(seconds, bytes)] to the proxy, over TLS if a name is given.

    It listens for `until` seconds, or less where the proxy closes, or has answered and is `quiet` for so many.
    """
    encoded = base64.b64encode(TALK.encode()).decode()
    estate.client.check_output(f"echo {encoded} | base64 -d > /srv/talk.py")

    def converse(*say: tuple[float, bytes], name: str = "", until: float = 5, quiet: float = 60) -> Talk:
        words = [[moment, base64.b64encode(data).decode()] for moment, data in say]
        what = {"address": estate.entry, "port": 443 if name else 80, "name": name, "say": words, "until": until,
                "quiet": quiet}  # fmt: skip
        found = json.loads(estate.client.check_output("python3 /srv/talk.py " + shlex.quote(json.dumps(what))))
        return Talk(found["closed"], [(moment, base64.b64decode(data)) for moment, data in found["pieces"]])

    return converse
