"""httpbin, as its package is served: a Flask application of which nothing is ours but the lock file."""

from __future__ import annotations

import json
from pathlib import Path

from sources import lock_python, note_version
from visitor import Visitor

ENTRY = """\
- name: httpbin
  runtime: python
  version: "{version}"
  port: 8000
  python: {{target: "httpbin:app", source_packages: [flasgger]}}
  health_path: /status/200
"""
LOAD = ("/get", "/uuid", "/bytes/20000", "/delay/0.3")


def source(folder: Path, version: str) -> None:
    """Its extra has gunicorn, and what its front page needs."""
    if version == "1.0.0":
        lock_python(folder, "httpbin[mainapp]")
    note_version(folder, version)


def check(visitor: Visitor) -> None:
    """What the application sees of a visitor, and what comes through of its answers."""
    seen = json.loads(visitor.ask("/get?show_env=1", X_Forwarded_Proto="gopher").text)
    assert seen["url"] == "https://httpbin.lab.test/get?show_env=1", seen
    assert seen["headers"]["X-Forwarded-Proto"] == "https", seen
    posted = json.loads(visitor.ask("/post", "POST", b"x" * 300_000).text)
    assert len(posted["data"]) == 300_000
    assert visitor.ask("/status/418").status == 418
    assert visitor.ask("/gzip").headers["content-encoding"] == "gzip"
    assert visitor.ask("/redirect-to?url=/get").headers["location"] == "/get"
    assert len(visitor.ask("/stream-bytes/100000").body) == 100_000
    assert "swagger" in visitor.ask("/").text
