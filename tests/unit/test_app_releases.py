"""What is known of each release on a host: which one was good, which failed, what they share, what is pruned."""

from __future__ import annotations

import importlib
import os
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROLE = Path(__file__).parents[2] / "roles" / "app"
sys.path[:0] = [str(ROLE / "module_utils")]


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the releases of an application in a scratch folder, whose account is ours."""
    import ansible.module_utils

    # In the order in which each needs those before it.
    for name in ("gatehouse_archive", "gatehouse_fastcgi", "gatehouse_service"):
        module = importlib.import_module(name)
        monkeypatch.setitem(sys.modules, f"ansible.module_utils.{name}", module)
        monkeypatch.setattr(ansible.module_utils, name, module, raising=False)
    import gatehouse_releases

    account = SimpleNamespace(pw_uid=os.getuid(), pw_gid=os.getgid())
    monkeypatch.setattr(gatehouse_releases.pwd, "getpwnam", lambda name: account)
    return gatehouse_releases.Releases(str(tmp_path), "shop", "shop")


def add(releases: Any, release: str, *paths: str, shared: tuple[str, ...] = ()) -> None:
    """Unpack a release with these files in it."""
    import gatehouse_archive

    source = releases.home.parent / f"source-{release}"
    for path in paths or ("main.js",):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(release)
    archive = source.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        for file in sorted(source.rglob("*")):
            tar.add(file, str(file.relative_to(source)), recursive=False)
    record = {"sha256": gatehouse_archive.file_sha256(archive), "inputs": "", "shared": list(shared)}
    releases.unpack(release, archive, record, [])


def test_what_failed_is_marked_and_listed_last(releases: Any) -> None:
    for release in ("1", "2", "3"):
        add(releases, release)
        releases.note(release, deployed=float(release))
    add(releases, "4")
    releases.link("current", "2")
    releases.note("3", failed="it hung")
    assert [(one["release"], one["failed"], one["current"]) for one in releases.listed()] == [
        ("2", "", True),
        ("1", "", False),
        ("3", "it hung", False),
        ("4", "", False),
    ]
    releases.note("3", failed=None)
    assert releases.known()[0] == "3"


def test_a_note_leaves_the_release_intact(releases: Any) -> None:
    add(releases, "1")
    releases.note("1", deployed=5.0)
    assert releases.recorded("1")["deployed"] == 5.0
    (releases.folder / "1" / "main.js").write_text("by hand")
    assert releases.recorded("1") == {}


def test_releases_share_what_they_are_told_to(releases: Any) -> None:
    add(releases, "1", "main.js", "storage/a", shared=("storage", "public/uploads"))
    add(releases, "2", "main.js", shared=("storage", "public/uploads"))
    (releases.home / "shared" / "storage" / "kept").write_text("x")
    for release in ("1", "2"):
        top = releases.folder / release
        assert (top / "storage" / "kept").read_text() == "x"
        assert (top / "public" / "uploads").is_dir()
        assert not (top / "storage").readlink().is_absolute()
        assert releases.recorded(release)
    assert not (releases.folder / "1" / "storage" / "a").exists()
    releases.remove("1")
    assert (releases.home / "shared" / "storage" / "kept").exists()
