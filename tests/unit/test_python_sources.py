"""How sources of Python packages are fetched: by their sums, not run, and with no account sent to others."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import tarfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "roles" / "python_app" / "files" / "python_sources.py"
NAME = "old-1.0.tar.gz"


def source(requires: list[Any] | None = None) -> bytes:
    """Return the source archive of a package."""
    text = f"[build-system]\nrequires = {json.dumps(requires)}\n" if requires is not None else ""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        member = tarfile.TarInfo("old-1.0/pyproject.toml")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


class Index:
    """An index with one package, or that sends whoever asks somewhere else; `seen` is (path, authorization)."""

    def __init__(self, content: bytes = b"", elsewhere: str | None = None) -> None:
        self.seen: list[tuple[str, str | None]] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.seen.append((self.path, self.headers.get("Authorization")))
                if elsewhere is not None and not self.path.startswith("/moved"):
                    self.send_response(302)
                    self.send_header("Location", f"{elsewhere}/moved{self.path}")
                    self.end_headers()
                    return
                page = json.dumps({"files": [{"filename": NAME, "url": NAME}]}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json" if self.path.endswith("/") else "x/y")
                self.end_headers()
                self.wfile.write(content if self.path.endswith(NAME) else page)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def index() -> Iterator[Callable[..., Index]]:
    made: list[Index] = []

    def make(*arguments: Any, **options: Any) -> Index:
        made.append(Index(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the program, with a store of its own and a `uv` that writes down what it is asked."""
    spec = importlib.util.spec_from_file_location("python_sources", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STORE", tmp_path / "store")
    (tmp_path / "uv").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\n')
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    return module


def fetch(sources: Any, folder: Path, index: Index, content: bytes, sums: str | None = None) -> Path:
    """Fetch a package by a lock file with its sum, or these; return the file of what uv was asked."""
    hashes = f" \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}" if sums is None else sums
    (folder / "lock").write_text(f"other==2.0 \\\n    --hash=sha256:{'1' * 64}\nold==1.0{hashes}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_DEFAULT_INDEX", f"http://{index.place}/simple")
        sources.fetch(str(folder / "lock"), str(folder / "rest"), "3.13", "old")
    return folder / "asked"


def test_a_source_is_fetched_by_its_sum(sources: Any, index: Any, tmp_path: Path) -> None:
    needs = ["setuptools>=61", "wheel", "cffi [x] (>=1.0) ; python_version > '3'", "a~=1.0,!=1.1"]
    content = source(needs)
    asked = fetch(sources, tmp_path, index(content), content)
    words = asked.read_text().splitlines()
    assert words[words.index("--only-binary") :] == ["--only-binary", ":all:", "--", *sorted(needs)]
    assert "old" not in (tmp_path / "rest").read_text()
    assert Path((tmp_path / "old.source").read_text()).read_bytes() == content


@pytest.mark.parametrize(
    ("sums", "said"),
    [(f" --hash=sha256:{'0' * 64}", "which the lock file does not have"), ("", "which the lock file does not have")],
)
def test_another_source_of_the_same_name_is_refused(
    sources: Any, index: Any, tmp_path: Path, sums: str, said: str
) -> None:
    with pytest.raises(SystemExit, match=said):
        fetch(sources, tmp_path, index(source([])), source([]), sums)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "need",
    [
        "--no-binary=:all:", "-e.", "--index-url=http://elsewhere.test/", "evil @ http://elsewhere.test/evil.tar.gz",
        "evil@file:///build/src", "./evil", "/build/src", "file:///build/src", "git+https://elsewhere.test/evil",
        "a>=1/..", 5,
    ],
)  # fmt: skip
def test_what_a_build_requires_is_no_option_path_or_address(
    sources: Any, index: Any, tmp_path: Path, need: Any
) -> None:
    """Each would have uv run code where the network, an account of an index and the cache are (tried with uv 0.13)."""
    content = source(["setuptools", need])
    with pytest.raises(SystemExit, match="is no package of an index by its name: take the package out of"):
        fetch(sources, tmp_path, index(content), content)
    assert not (tmp_path / "asked").exists()


def test_an_account_is_sent_to_its_own_host_alone(sources: Any, index: Any) -> None:
    account = f"Basic {b64encode(b'ann:secret').decode()}"
    other = index(b"content")
    first = index(elsewhere=f"http://{other.place}")
    sources.get(f"http://ann:secret@{first.place}/simple/old/")
    assert (first.seen, other.seen) == ([("/simple/old/", account)], [("/moved/simple/old/", None)])
    # To another path of its own host it goes along.
    same = index(b"content", elsewhere="")
    sources.get(f"http://ann:secret@{same.place}/simple/old/")
    assert same.seen == [("/simple/old/", account), ("/moved/simple/old/", account)]
