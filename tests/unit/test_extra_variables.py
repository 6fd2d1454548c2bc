"""A misspelt extra variable ends a run before it begins."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run preflight, which connects to no host, whatever it says of the secrets that are not there."""
    command = ["ansible-playbook", "-i", "prod", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, env=os.environ)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("verison=1.4.0", "write -e version=..."),
        ("hosst=storefront2", "write -e host=..."),
        ('{"certificate_acme_renw": ["shop"]}', "write -e certificate_acme_renew=..."),
        ("flask_app_workers=3", "flask_app_workers=... was renamed to python_app_workers"),
        ("colour=red", "write one of app, command, fail, format, grep, host, internal_ca_replace"),
        ("grep=timed out", """has more after its value: out\n-> write -e "grep='timed out'\""""),
    ],
)
def test_a_misspelt_extra_variable_is_refused(extra: str, message: str) -> None:
    outcome = run("playbooks/preflight.yml", "-e", extra)
    assert outcome.returncode == 4, outcome.stdout
    assert message in outcome.stderr
    assert "TASK" not in outcome.stdout


@pytest.mark.parametrize(
    "extra",
    ["app=storefront version=1.4.0", "proxy_drain_last=true vault_x=y ansible_user=root domains=x state_dir=/x"],
)
def test_what_a_playbook_a_role_or_the_environment_names_passes(extra: str) -> None:
    outcome = run("playbooks/preflight.yml", "-e", extra)
    assert "is no variable" not in outcome.stderr
    assert "Check everything the inventory says" in outcome.stdout


def test_a_playbook_of_somebody_else_has_words_of_its_own(tmp_path: Path) -> None:
    play = "- hosts: localhost\n  connection: local\n  tasks: [{debug: {msg: '{{ colour }}'}}]\n"
    (tmp_path / "own.yml").write_text(play)
    assert run(str(tmp_path / "own.yml"), "-e", "colour=red").returncode == 0
