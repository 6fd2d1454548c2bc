"""How the source of an application is made: by what its own manual says to type."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

LONGEST = 600


def run(folder: Path, *command: str, **environment: str) -> str:
    """Run a command in a folder; return what it printed."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=LONGEST, stdin=subprocess.DEVNULL,
        env=os.environ | {"CI": "1"} | environment,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def lock_python(folder: Path, *requirements: str) -> None:
    """Write requirements.txt, with every dependency's hashes, for the hosts' Python."""
    (folder / "requirements.in").write_text("\n".join(requirements) + "\n")
    run(folder, "uv", "pip", "compile", "-q", "--generate-hashes", "--no-emit-index-url", "--python-version", "3.13",
        "requirements.in", "-o", "requirements.txt")  # fmt: skip


def lock_node(folder: Path, name: str, *packages: str) -> None:
    """Write package.json and package-lock.json with these dependencies."""
    (folder / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0", "private": True}, indent=2))
    run(folder, "npm", "install", "--package-lock-only", "--ignore-scripts", *packages)


def note_version(folder: Path, version: str) -> None:
    """Make the source differ between two versions of an application that nobody changes otherwise."""
    (folder / "VERSION").write_text(f"{version}\n")
