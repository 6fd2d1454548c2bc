"""A lab's keys and files: made once, mended where they differ, and never readable by others."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import load

lab_folder = load("roles/lab/library/lab_folder.py")

ME = os.getuid()


def make(path: Path, check_mode: bool = False, content: bytes = b"a\n") -> list[str]:
    """Make a folder with a key and a file; return what was written, below `path`."""
    lab: Any = lab_folder.Folders(check_mode)
    lab.folder(path, 0o700, ME)
    lab.key(path / "id_ed25519", "a comment", ME)
    lab.file(path / "urls.txt", content, 0o600, ME)
    return [os.path.relpath(name, path) for name in lab.written]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / ".lab" / "lab"
    make(path)
    return path


def modes(path: Path) -> dict[str, int]:
    return {one.name: one.stat().st_mode & 0o777 for one in (path, *path.iterdir())}


def test_all_is_made_for_its_owner_alone(folder: Path) -> None:
    assert modes(folder) == {"lab": 0o700, "id_ed25519": 0o600, "id_ed25519.pub": 0o644, "urls.txt": 0o600}
    public = subprocess.check_output(["ssh-keygen", "-y", "-f", folder / "id_ed25519"], text=True)
    assert (folder / "id_ed25519.pub").read_text() == public
    assert public.endswith(" a comment\n")


def test_a_second_time_writes_nothing(folder: Path) -> None:
    key = (folder / "id_ed25519").read_bytes()
    assert make(folder) == []
    assert (folder / "id_ed25519").read_bytes() == key


def test_check_mode_says_what_would_be_written_and_writes_nothing(tmp_path: Path, folder: Path) -> None:
    assert make(tmp_path / "other", check_mode=True) == [".", "id_ed25519", "urls.txt"]
    assert not (tmp_path / "other").exists()
    assert make(folder, check_mode=True, content=b"b\n") == ["urls.txt"]
    assert (folder / "urls.txt").read_bytes() == b"a\n"
    assert make(folder, check_mode=True) == []


def test_what_differs_is_mended(folder: Path) -> None:
    (folder / "urls.txt").chmod(0o644)
    assert make(folder) == ["urls.txt"]
    assert make(folder, content=b"b\n") == ["urls.txt"]
    assert (folder / "urls.txt").read_bytes() == b"b\n"
    old = (folder / "id_ed25519").read_bytes()
    (folder / "id_ed25519.pub").unlink()
    assert make(folder, content=b"b\n") == ["id_ed25519"]
    assert (folder / "id_ed25519").read_bytes() != old
    assert modes(folder)["id_ed25519"] == 0o600
