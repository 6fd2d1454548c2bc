"""The module cache_purge on folders as nginx writes them."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import load

SOURCE = Path(__file__).resolve().parents[2] / "roles" / "proxy" / "library" / "cache_purge.py"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load("roles/proxy/library/cache_purge.py")


def entry(folder: Path, number: int, key: str, head: bytes = bytes(336)) -> Path:
    """Write a cache file: fixed fields, the key, what the upstream sent."""
    name = f"{number:032x}"
    path = folder / name[-1] / name[-3:-1] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + b"\nKEY: " + key.encode() + b"\nHTTP/1.1 200 OK\r\n\r\nKEY: body\n")
    return path


def test_every_file_of_a_key_goes_whatever_its_name(module: ModuleType, tmp_path: Path) -> None:
    gone = [entry(tmp_path, number, "httpsa.test/x") for number in (1, 2, 3)]
    stays = [entry(tmp_path, 4, "httpsa.test/xy"), entry(tmp_path, 5, "httpsb.test/x")]
    assert module.purge(str(tmp_path), [r"https?a\.test/x"], False) == (3, 2)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in stays)


def test_check_mode_only_counts(module: ModuleType, tmp_path: Path) -> None:
    path = entry(tmp_path, 1, "httpsa.test/x")
    assert module.purge(str(tmp_path), [".*"], True) == (1, 0)
    assert path.exists()


def test_no_pattern_purges_nothing(module: ModuleType, tmp_path: Path) -> None:
    entry(tmp_path, 1, "")
    assert module.purge(str(tmp_path), [], False) == (0, 1)


def test_a_key_longer_than_one_read(module: ModuleType, tmp_path: Path) -> None:
    long = "httpsa.test/" + "x" * 5000
    entry(tmp_path, 1, long)
    assert module.purge(str(tmp_path), [long + "y"], False) == (0, 1)
    assert module.purge(str(tmp_path), [long], False) == (1, 0)


@pytest.mark.parametrize("text", [b"", b"no key", bytes(2000) + b"\nKEY: httpsa.test/x\n"])
def test_what_has_no_key_at_its_head_stays(module: ModuleType, tmp_path: Path, text: bytes) -> None:
    path = entry(tmp_path, 1, "")
    path.write_bytes(text)
    assert module.purge(str(tmp_path), [".*"], False) == (0, 0)
    assert path.exists()


@pytest.mark.parametrize("name", ["notes", "0" * 31, "0" * 33, "0" * 31 + "g", "0" * 32 + ".0000000001"])
def test_a_file_with_another_name_stays(module: ModuleType, tmp_path: Path, name: str) -> None:
    path = entry(tmp_path, 1, "httpsa.test/x").rename(tmp_path / name)
    assert module.purge(str(tmp_path), [".*"], False) == (0, 0)
    assert path.exists()


def test_no_link_is_followed_and_no_pipe_waited_for(module: ModuleType, tmp_path: Path) -> None:
    zone, outside = tmp_path / "zone", tmp_path / "outside"
    zone.mkdir()
    target = entry(outside, 1, "httpsa.test/x")
    (zone / "folder").symlink_to(outside)
    (zone / ("0" * 32)).symlink_to(target)
    (zone / "1").mkdir()
    os.link(target, zone / "1" / ("1" * 32))  # another name of the same file: the name goes, the file stays
    os.mkfifo(zone / ("2" * 32))
    assert module.purge(str(zone), [".*"], False) == (1, 0)
    assert target.exists()
    assert (zone / ("0" * 32)).is_symlink()
    assert (zone / ("2" * 32)).exists()


def test_a_folder_that_is_not_there_holds_nothing(module: ModuleType, tmp_path: Path) -> None:
    assert module.purge(str(tmp_path / "none"), [".*"], False) == (0, 0)


def test_who_keeps_the_file_open_reads_a_format_that_is_none(module: ModuleType, tmp_path: Path) -> None:
    path = entry(tmp_path, 1, "httpsa.test/x", head=(5).to_bytes(8, "little") + bytes(328))
    with path.open("rb") as kept:
        assert module.purge(str(tmp_path), [".*"], False) == (1, 0)
        assert kept.read(8) == bytes(8)


def test_another_name_of_the_file_is_left_as_it_is(module: ModuleType, tmp_path: Path) -> None:
    zone = tmp_path / "zone"
    zone.mkdir()
    outside = entry(tmp_path / "outside", 1, "httpsa.test/x", head=b"\x05" * 336)
    os.link(outside, zone / ("1" * 32))
    assert module.purge(str(zone), [".*"], False) == (1, 0)
    assert outside.read_bytes().startswith(b"\x05" * 8)
