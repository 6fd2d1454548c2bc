"""datasette over a database that comes with the release."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from sources import lock_python
from visitor import Visitor

ENTRY = """\
- name: datasette
  runtime: python
  version: "{version}"
  port: 8001
  web_command: datasette serve -i rides.db --host $APP_ADDRESS --port $APP_PORT --setting force_https_urls on
  health_path: /-/versions.json
"""
LOAD = ("/rides/rides.json", "/-/static/app.css")


def source(folder: Path, version: str) -> None:
    """A database whose only row is the version."""
    if version == "1.0.0":
        lock_python(folder, "datasette")
    (folder / "rides.db").unlink(missing_ok=True)
    with sqlite3.connect(folder / "rides.db") as database:
        database.execute("CREATE TABLE rides (horse TEXT)")
        database.execute("INSERT INTO rides VALUES (?)", [f"Hob {version}"])


def check(visitor: Visitor) -> None:
    """Rows as JSON, the page, and addresses that a visitor can follow."""
    rows = json.loads(visitor.ask("/rides/rides.json").text)
    assert rows["rows"][0][-1].startswith("Hob"), rows
    assert "<table" in visitor.ask("/rides/rides").text
