"""What the scenarios' tests share."""

from __future__ import annotations

import os

import pytest
from ansible.plugins.loader import init_plugin_loader

from estate import Answer, Ask, Estate

# Before a test imports of the project's collection, or Ansible loads no filter that does the same.
init_plugin_loader()


@pytest.fixture(scope="session")
def estate() -> Estate:
    return Estate(os.environ["GATEHOUSE_INVENTORY"])


@pytest.fixture(scope="session")
def ask(estate: Estate) -> Ask:
    """Return a function that asks for a URL from outside, as a visitor's browser would."""

    def curl(url: str, *options: str) -> Answer:
        name = url.split("/")[2]
        resolve = " ".join(f"--resolve {name}:{port}:{estate.entry}" for port in (80, 443))
        words = " ".join(f"'{option}'" for option in options)
        run = estate.client.run(f"curl -si --max-time 10 --cacert /srv/ca.pem {resolve} {words} '{url}'")
        return Answer(run.rc, run.stdout_bytes.decode(errors="replace"))

    return curl
