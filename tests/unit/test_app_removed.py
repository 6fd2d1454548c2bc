"""What of an application is removed from a host, and what runs there although nobody wants it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import load


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    module = load("roles/app/library/app_removed.py")
    monkeypatch.setattr(module, "UNITS", tmp_path / "units")
    monkeypatch.setattr(module, "SETTINGS", tmp_path / "settings")
    return module


def test_data_stays_unless_it_is_to_go_and_a_neighbours_files_always_do(removed: Any, tmp_path: Path) -> None:
    files = [
        "units/shop.service",
        "units/shop.worker@.service",
        "units/shop.tidy.service",
        "units/shop.tidy.timer",
        "settings/shop.env",
        "settings/shop.secrets.env",
        "settings/shop.nft",
    ]
    files += ["srv/shop/releases/1/main.js", "srv/shop/shared/uploads/a.png"]
    other = [
        "units/shop-admin.service",
        "units/shop-admin.worker@.service",
        "settings/shop-admin.env",
        "srv/shop-admin/releases/1/main.js",
    ]
    for file in files + other:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x")
    (tmp_path / "srv/shop/current").symlink_to("releases/1")
    for data, left in ((False, {"srv/shop/shared/uploads/a.png"}), (True, set())):
        gone, kept = removed.places("shop", tmp_path / "srv", data)
        assert [path.name for path in kept] == ([] if data else ["shared"])
        for path in gone:
            removed.remove(path)
        found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        assert found == {*other, *left}
    assert not (tmp_path / "srv/shop").exists()


def test_what_was_deployed_and_is_not_in_the_inventory_is_named(tmp_path: Path) -> None:
    left_over = load("roles/base/library/apt_packages.py").left_over
    for name, description in (
        ("shop", "shop, deployed by Gatehouse"),
        ("desk", "desk, deployed by Gatehouse"),
        ("db", "A database"),
    ):
        (tmp_path / f"{name}.service").write_text(f"[Unit]\nDescription={description}\n")
    assert left_over(["shop"], tmp_path) == ["desk"]
    assert left_over([], tmp_path) == ["desk", "shop"]
    assert left_over(["*"], tmp_path) == []
