"""A controller that lost the CA: the run stops before it makes another one, and goes on once it is put back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from estate import Estate

PREPARE = "playbooks/prepare.yml"


@pytest.fixture
def lost(estate: Estate, tmp_path: Path) -> Iterator[Path]:
    """Move the environment's CA away, and back afterwards; yield the folder where it was."""
    folder, backup = estate.state / "ca", tmp_path / "ca"
    shutil.move(folder, backup)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.move(backup, folder)
    run = estate.play(PREPARE)
    assert run.returncode == 0, run.stdout
    assert not re.search(r"changed=[1-9]", run.stdout), run.stdout


def test_a_lost_ca_stops_the_run(estate: Estate, lost: Path) -> None:
    leaf = estate.host("proxy1").file("/etc/ssl/gatehouse/shop/fullchain.pem").content_string
    run = estate.play(PREPARE)
    said = " ".join(run.stdout.split())
    assert run.returncode != 0
    assert f"{lost}/ca.pem on this controller is not there, and nothing was changed" in said
    assert not lost.exists()
    assert not re.search(r"changed=[1-9]", run.stdout), run.stdout
    assert estate.host("proxy1").file("/etc/ssl/gatehouse/shop/fullchain.pem").content_string == leaf
