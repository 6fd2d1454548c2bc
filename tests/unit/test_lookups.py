"""The lookups of the role proxy: names become addresses, and files of the role become data."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.plugins.loader import lookup_loader

from .conftest import ROOT

lookup_loader.add_directory(str(ROOT / "roles" / "proxy" / "lookup_plugins"))


def test_names_become_addresses_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Any] = {
        "web": ["10.0.0.10", "fd00::1", "10.0.0.9", "10.0.0.9", "fe80::1%eth0"],
        "lost": OSError,
        "..": UnicodeError,
    }

    def answer(name: str, *_: Any, **__: Any) -> list[Any]:
        found = answers[name]
        if isinstance(found, type):
            raise found
        return [(0, 0, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert lookup_loader.get("host_addresses").run([["web", "lost"], ".."]) == [
        {"..": [], "lost": [], "web": ["10.0.0.9", "10.0.0.10", "fd00::1"]}
    ]


def test_without_names_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")
    assert lookup_loader.get("host_addresses").run([[]]) == [{}]


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "table.yml"
    path.write_text("a: &x [1, '2']\nb: *x\n")
    lookup = lookup_loader.get("yaml_file")
    assert lookup.run([str(path)]) == [{"a": [1, "2"], "b": [1, "2"]}]
    path.write_text("other: true\n")
    assert lookup.run([str(path)]) == [{"other": True}]


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.yml"
    for text in (None, "a: [", "!!python/object:os.system {}"):
        if text:
            path.write_text(text)
        with pytest.raises(AnsibleError, match="yaml_file: .*table.yml" if not text else "yaml_file: "):
            lookup_loader.get("yaml_file").run([str(path)])
