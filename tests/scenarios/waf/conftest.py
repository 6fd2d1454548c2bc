"""How this scenario's visitors ask, and what the report says of them."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from estate import Estate

from .traffic import normal_use

SEND = Path(__file__).with_name("send.py")
Send = Callable[[str, list[dict[str, Any]]], list[int]]


@pytest.fixture(scope="session")
def send(estate: Estate) -> Send:
    """Return a function that sends requests to a site from outside, and returns the status of each answer."""
    code = base64.b64encode(SEND.read_bytes()).decode()
    estate.client.check_output(f"echo {code} | base64 -d > /srv/send.py")

    def sent(site: str, requests: list[dict[str, Any]]) -> list[int]:
        order = {"address": estate.entry, "name": f"{site}.lab.test", "requests": requests}
        run = subprocess.run(  # noqa: S603
            ["podman", "exec", "-i", f"{estate.lab}-client", "python3", "/srv/send.py"],
            input=json.dumps(order), capture_output=True, text=True, check=True, timeout=400,
        )  # fmt: skip
        return list(json.loads(run.stdout))

    return sent


@pytest.fixture(scope="session")
def report(estate: Estate, send: Send) -> str:
    """Return what the report prints after the site `watched` was used as it is meant to be."""
    assert set(send("watched", normal_use())) == {200, 101}
    run = estate.play("playbooks/waf_report.yml", "-e", "since=-2h", "-e", f"page={estate.state}/waf.html")
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
