"""The table of timeouts says what the roles' defaults are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| [^|]+ \| [^|]+ \| (\d+) ?s \| `([a-z_]+)(?:\[\]\.([a-z_]+))?` \|$", re.MULTILINE)


def test_the_table_of_timeouts_equals_the_defaults() -> None:
    rows = ROW.findall((ROOT / "docs" / "operations.md").read_text())
    assert len(rows) == 14
    specs: dict[str, Any] = {}
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for point in yaml.safe_load(path.read_text())["argument_specs"].values():
            specs |= point.get("options") or {}
    for seconds, name, field in rows:
        option = specs[name]["options"][field] if field else specs[name]
        assert option["default"] in (int(seconds), f"{seconds}s"), name
