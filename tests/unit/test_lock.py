"""The locks of a host: who holds one is named, nobody waits for ever, and only root's own folder is used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils import lock


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lock, "FOLDER", tmp_path / "locks")
    return tmp_path / "locks"


def test_one_after_the_other(folder: Path) -> None:
    for _ in range(2):
        with lock.locked("shop", patience=0):
            assert folder.stat().st_mode & 0o777 == 0o700


def test_a_holder_is_named_after_the_deadline(folder: Path) -> None:
    with lock.locked("shop"):
        pass
    script = (
        f"'\x1b[2J'; import fcntl, time; f = open({str(folder / 'shop.lock')!r}); fcntl.flock(f, 2);"
        " print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        began = time.monotonic()
        with pytest.raises(lock.LockedError) as error, lock.locked("shop", patience=0.3):
            pass
        other.kill()
    assert 0.3 <= time.monotonic() - began < 5
    assert f"shop.lock is held by process {other.pid} ({sys.executable} -c '\\x1b[2J'; import fcntl" in str(error.value)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_folder_that_others_may_enter_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(lock.LockedError, match="root alone may enter"), lock.locked("shop"):
        pass


def test_a_folder_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(lock.LockedError, match="root alone may enter"), lock.locked("shop"):
        pass
    assert list(folder.iterdir()) == []


def test_no_link_is_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(lock.LockedError), lock.locked("shop"):
        pass
    folder.unlink()
    folder.mkdir(mode=0o700)
    (folder / "shop.lock").symlink_to(tmp_path / "planted")
    with pytest.raises(OSError, match="symbolic links"), lock.locked("shop"):
        pass
    assert not (tmp_path / "planted").exists()
