"""The stranger outside, who asks one proxy or the other."""

from __future__ import annotations

import base64
import io
import json
import shlex
import tarfile
from pathlib import Path
from typing import Any

import pytest

from estate import Answer, Estate

PROXIES = ("proxy1", "proxy2")
MARK = "=====next====="


class Stranger:
    """The client outside, with certificates of two authorities."""

    def __init__(self, estate: Estate) -> None:
        self.estate, self.client = estate, estate.inside("client")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for whose in ("visitors-a", "visitors-b"):
                tar.add(estate.state / whose, whose)
            tar.add(Path(__file__).parent / "strange.py", "strange.py")
        packed = base64.b64encode(archive.getvalue()).decode()
        self.client.check_output(f"echo {packed} | base64 -d | tar xz -C /srv")

    def address(self, proxy: str) -> str:
        return str(self.estate.variables(proxy)["public_address"])

    def ask(self, proxy: str, *requests: tuple[str, ...]) -> list[Answer]:
        """Ask for many URLs, each with curl's options after it, in one go."""
        commands = []
        for url, *options in requests:
            words = ["curl", "-sik", "--path-as-is", "--max-time", "10", "--connect-to", f"::{self.address(proxy)}:"]
            commands.append(f"{shlex.join([*words, *options, url])}; echo; echo {MARK}$?")
        text = self.client.run("\n".join(commands)).stdout_bytes.decode(errors="replace")
        answers: list[Answer] = []
        for piece in text.split(MARK)[:-1]:
            answers.append(Answer(0, piece.split("\n", 1)[1] if answers else piece))
        return answers

    def strange(self, *words: str) -> Any:
        return json.loads(self.client.check_output(shlex.join(["python3", "/srv/strange.py", *words])))


@pytest.fixture(scope="session")
def stranger(estate: Estate) -> Stranger:
    return Stranger(estate)
