"""Each path that ARCHITECTURE.md, CONTRIBUTING.md and the decision records name in backticks is in the project."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = re.compile(r"[\w.<>*/-]+/[\w.<>*/-]*|[\w.-]+[.](?:yml|py|md|j2|cfg|toml|txt)")
# What runs make: an environment's state, with the CA and what replaces it or was replaced.
MADE = {"state/<environment_name>", "next/", "former/", ".venv/bin"}


def named(text: str) -> list[str]:
    """Return the paths in backticks, without those of hosts, which begin with /, and those inside commands."""
    words = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return sorted({word for word in words if PATH.fullmatch(word) and not word.startswith("/")} - MADE)


def tracked() -> set[str]:
    """Return the tracked files, and the folders that they are in."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = {Path(name) for name in listed.splitlines()}
    return {str(path) for file in files for path in (file, *file.parents)}


def missing(text: str) -> list[str]:
    """Return the paths in a text that no tracked file or folder is, or ends with; `<role>` is any name."""
    paths = tracked()
    patterns = {name: re.sub(r"<\w+>", "*", name.rstrip("/")) for name in named(text)}
    return [
        name
        for name, pattern in patterns.items()
        if not any(fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path, f"*/{pattern}") for path in paths)
    ]


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_a_named_path_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    assert len(named(text)) > 8
    assert missing(text) == []
    links = re.findall(r"\]\(([^)#:]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_path_that_a_decision_names_is_there() -> None:
    texts = {path.name: path.read_text() for path in (ROOT / "docs" / "decisions").glob("*.md")}
    assert sum(len(named(text)) for text in texts.values()) > 20
    assert {name: missing(text) for name, text in texts.items() if missing(text)} == {}


def test_a_path_that_is_not_there_is_found() -> None:
    text = (
        "`playbooks/tasks/move.yml`, `base.yml`, `roles/<role>/moves`, `site.yml`, `roles/<role>/tasks`, `/etc/x.yml`"
    )
    assert missing(text) == ["base.yml", "playbooks/tasks/move.yml", "roles/<role>/moves"]
