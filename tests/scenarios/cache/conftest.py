"""What the tests of the scenario `cache` share: asking a proxy from outside, and counting at the origin."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest
from testinfra.host import Host

from cache.asking import Get
from estate import Answer, Estate


@pytest.fixture(scope="session")
def client(estate: Estate) -> Host:
    """Return the host outside the private network. These sites are served in plaintext: it needs no CA."""
    return estate.inside("client")


@pytest.fixture(scope="session")
def get(estate: Estate, client: Host) -> Get:
    """Return a function that asks a proxy for a path of a site, from outside."""

    def curl(site: str, path: str, *options: str, proxy: str = "proxy1") -> Answer:
        address = estate.variables(proxy)["public_address"]
        command = ["curl", "-si", "--path-as-is", "--max-time", "20", "--connect-to", f"::{address}:", *options]
        run = client.run(shlex.join([*command, f"http://{site}.test{path}"]))
        return Answer(run.rc, run.stdout_bytes.decode(errors="replace"))

    return curl


@pytest.fixture(scope="session")
def seen(get: Get) -> Callable[[str], int]:
    """Return a function that returns how often the origin was asked for a path."""

    def count(path: str) -> int:
        return int(get("plain", f"/seen/{path.split('/')[2]}").body)

    return count
