"""What the tests of balancing share: members whose behaviour a test sets, and a visitor who counts what comes back."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from estate import Estate

PORT = 5000


@dataclass(frozen=True)
class Reply:
    """What the visitor got for one request: status, seconds, the member's name ('' from the proxy), and where."""

    status: int
    seconds: float
    member: str
    reached: str


class Members:
    """The members of the scenario, reached without the proxy."""

    def __init__(self, estate: Estate) -> None:
        self.addresses = {name: estate.address(name) for name in estate.group("members")}

    def _ask(self, name: str, path: str, data: bytes | None = None, method: str = "GET") -> bytes:
        request = urllib.request.Request(f"http://{self.addresses[name]}:{PORT}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return bytes(response.read())

    def behave(self, name: str, **how: float) -> None:
        """Have a member answer with a `status`, after some `seconds`, from now on; it forgets its counts."""
        self._ask(name, "/", json.dumps(how).encode(), "PUT")

    def counts(self, name: str) -> dict[str, Any]:
        return {"requests": 0, **json.loads(self._ask(name, "/counts"))}

    def posts(self) -> Counter[str]:
        """Return how often each POST was processed, by path, over all members."""
        return sum((Counter(self.counts(name)["posts"]) for name in self.addresses), Counter[str]())

    def wait(self, name: str) -> None:
        """Wait until a member answers again."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.counts(name)
                return
            except OSError:
                assert time.monotonic() < deadline, f"{name} did not come back within 60 s"
                time.sleep(0.5)


@pytest.fixture
def members(estate: Estate) -> Iterator[Members]:
    """Return the members, all well and with nothing counted; they are well again afterwards."""
    found = Members(estate)
    for name in found.addresses:
        found.wait(name)
        found.behave(name)
    yield found
    for name in found.addresses:
        found.wait(name)
        found.behave(name)


Visit = Callable[..., list[Reply]]


@pytest.fixture
def visit(estate: Estate) -> Visit:
    """Return a function that asks for a path of the site (curl's globs included) and returns every reply."""
    client = estate.inside("client")

    def curl(path: str, *options: str) -> list[Reply]:
        words = " ".join(f"'{option}'" for option in options)
        run = client.run(
            f"curl -s --max-time 20 --resolve balance.test:80:{estate.entry} {words}"
            rf" -w '\n== %{{http_code}} %{{time_total}}\n' 'http://balance.test{path}'"
        )
        found = re.findall(r"(?s)(.*?)\n== (\d+) ([\d.]+)\n", run.stdout)
        assert found, run.stderr
        return [Reply(int(status), float(seconds), *names(body)) for body, status, seconds in found]

    return curl


def names(body: str) -> tuple[str, str]:
    """Return (member, where it was reached) of a member's answer, and two empty texts for a page of the proxy's."""
    words = body.split()
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def spread(replies: list[Reply]) -> dict[str, int]:
    """Return how many replies each member gave."""
    return dict(sorted(Counter(reply.member for reply in replies).items()))


def statuses(replies: list[Reply]) -> dict[int, int]:
    return dict(sorted(Counter(reply.status for reply in replies).items()))
