"""What is reported of releases: those that the controller keeps, and those of a host."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Behind what is there: the folder of modules has one of the same name as an action plugin.
sys.path.append(str(Path(__file__).parents[2] / "roles" / "app" / "library"))
COMMIT = {"repository": "https://example.org/shop.git", "ref": "v1", "commit": "c" * 40}


def keep(folder: Path, name: str, version: str, time: int, **more: Any) -> None:
    """Write an archive with its record, as the build leaves them."""
    record = {"name": name, "version": version, "sha256": version[0] * 64, "inputs": "i", "origin": {}, **more}
    (folder / f"{name}-{version}.json").write_text(json.dumps(record))
    archive = folder / f"{name}-{version}.tar.gz"
    archive.write_bytes(b"x" * 1000)
    os.utime(archive, (time, time))


def test_archives_are_listed_newest_first(tmp_path: Path) -> None:
    from release_archive_info import kept_archives

    keep(tmp_path, "shop", "1.0", 1)
    keep(tmp_path, "shop", "2.0", 2, origin=COMMIT)
    found = kept_archives("shop", tmp_path)
    assert [one["release"] for one in found] == ["2.0-22222222", "1.0-11111111"]
    assert found[0] == {
        "release": "2.0-22222222", "version": "2.0", "sha256": "2" * 64, "bytes": 1000, "origin": COMMIT,
    }  # fmt: skip


def test_what_is_no_archive_of_the_application_is_passed_over(tmp_path: Path) -> None:
    from release_archive_info import kept_archives

    keep(tmp_path, "shop", "1.0", 1)
    keep(tmp_path, "shop-admin", "1.0", 1)
    keep(tmp_path, "shop", "2.0", 2)
    (tmp_path / "shop-2.0.tar.gz").unlink()
    (tmp_path / "shop-3.0.json").write_text("{half")
    (tmp_path / "shop-4.0.json").write_text("[]")
    assert [one["version"] for one in kept_archives("shop", tmp_path)] == ["1.0"]
    assert kept_archives("shop", tmp_path / "nowhere") == []


HERE = [
    {"release": "3-c", "current": True, "deployed": 9.0, "failed": ""},
    {"release": "2-b", "current": False, "deployed": 0.0, "failed": "it hung\nfor long"},
    {"release": "1-a", "current": False, "deployed": 86400.0, "failed": ""},
    {"release": "0-z", "current": False, "deployed": 0, "failed": ""},
]


@pytest.mark.parametrize(
    ("here", "archives", "lines"),
    [
        (
            HERE,
            [
                {"release": "4-d", "bytes": 2_340_000, "origin": {"archive": "https://example.org/a.tgz"}},
                {"release": "3-c", "bytes": 1_000_000, "origin": COMMIT},
                {"release": "2-b", "bytes": 50_000, "origin": {}},
            ],
            [
                "3-c: runs, archive of 1.0 MB from commit cccccccccccc (v1) of https://example.org/shop.git",
                "2-b: failed (it hung), archive of 0.1 MB",
                "1-a: good on 1970-01-02 00:00 UTC, its archive is not on the controller",
                "0-z: never served, its archive is not on the controller",
                "4-d: not on this host, archive of 2.3 MB from https://example.org/a.tgz",
            ],
        ),
        (
            [],
            [],
            ["no release, neither on this host nor on the controller"],
        ),
    ],
)
def test_each_release_has_its_line(
    filters: Callable[[str], Callable[..., Any]], here: list[Any], archives: list[Any], lines: list[str]
) -> None:
    assert filters("release_report")(here, archives) == lines
