"""The health gate of an application that speaks FastCGI: against a server that answers, and against others."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.app import deployment, service

END = struct.pack(">IB3x", 0, 0)


def piece(kind: int, content: bytes, padding: int = 0) -> bytes:
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), padding) + content + b"\0" * padding


@contextmanager
def answering(place: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Take one connection at a unix socket, keep what it sends, and answer."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield heard
        thread.join(timeout=5)


def gate(place: Path) -> Any:
    return service.FastCgiGate(
        "10.0.0.1", 8000, "/healthz", 5, 200, "", str(place), str(place.parent / "current/index.php")
    )


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (piece(6, b"Content-Type: text/plain\r\n\r\nok\n") + piece(3, END), ""),
        (
            piece(6, b"Content-Type: text/", 3)
            + piece(7, b"a warning")
            + piece(6, b"plain\r\n\r\nok\n")
            + piece(3, END),
            "",
        ),
        (piece(6, b"Status: 500 Oops\r\nX-A: b\r\n\r\n") + piece(3, END), "status 500"),
        (piece(6, b"X-A: b\r\nstatus: 302 Found\r\n\r\n") + piece(3, END), "status 302"),
        (piece(6, b"Status: 500\r\n\r\n\x1b[2Jfull\ndisk\n") + piece(3, END), "status 500: \\x1b[2Jfull\ndisk"),
        (piece(6, b"X-A: b\r\n\r\nStatus: 500\r\n") + piece(3, END), ""),
        (piece(3, END), "the answer is empty"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the answer is not FastCGI"),
        (piece(6, b"Content-")[:-3], "the connection was closed before the answer ended"),
    ],
)
def test_what_an_answer_means(tmp_path: Path, answer: bytes, problem: str) -> None:
    with answering(tmp_path / "fpm.sock", answer):
        assert gate(tmp_path / "fpm.sock").ask(5) == problem


def test_a_script_is_asked_for_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "releases" / "1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/1")
    with answering(tmp_path / "fpm.sock", piece(6, b"A: b\r\n\r\n") + piece(3, END)) as heard:
        assert gate(tmp_path / "fpm.sock").ask(5) == ""
    assert f"SCRIPT_FILENAME{tmp_path}/releases/1/index.php".encode() in heard[0]
    assert b"REQUEST_URI/healthz" in heard[0]


def test_a_script_is_asked_as_by_a_visitor_of_the_site(tmp_path: Path) -> None:
    socket_, where = tmp_path / "fpm.sock", ("10.0.0.1", 8000, "/healthz", 5, 200, "")
    moved = piece(6, b"Status: 301\r\nLocation: https://www.shop.example/\r\n\r\n") + piece(3, END)
    with answering(socket_, moved) as heard:
        said = service.FastCgiGate(*where, str(socket_), "index.php", host="shop.example").ask(5)
    assert said == "status 301 to https://www.shop.example/"
    for pair in (b"HTTP_HOSTshop.example", b"HTTPSon", b"HTTP_X_FORWARDED_PROTOhttps", b"SERVER_NAMEshop.example"):
        assert pair in heard[0]


def test_nobody_there_is_said(tmp_path: Path) -> None:
    assert "No such file" in gate(tmp_path / "fpm.sock").ask(5)
    assert gate(tmp_path / "fpm.sock").url == f"/healthz over FastCGI ({tmp_path}/fpm.sock)"


def test_a_strangers_socket_does_not_count(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "fpm.sock"))
        assert gate(tmp_path / "fpm.sock").held_by(os.getuid())
        assert not gate(tmp_path / "fpm.sock").held_by(os.getuid() + 1)


FASTCGI = {"APP_FASTCGI_SOCKET": "/run/shop/fastcgi.sock", "APP_FASTCGI_SCRIPT": "/srv/shop/current/public/index.php"}


@pytest.mark.parametrize(
    ("unit", "environment", "here", "url"),
    [
        ("[Unit]\n", FASTCGI, {}, "/healthz over FastCGI (/run/shop/fastcgi.sock)"),
        ("[Unit]\n", {}, FASTCGI, "http://10.0.0.1:8000/healthz"),
        # A rollback brings neither unit nor environment.
        ("", {}, FASTCGI, "/healthz over FastCGI (/run/shop/fastcgi.sock)"),
        ("", {}, {}, "http://10.0.0.1:8000/healthz"),
    ],
)
def test_where_an_application_is_asked_follows_from_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unit: str, environment: Any, here: Any, url: str
) -> None:
    monkeypatch.setattr(deployment, "SETTINGS", tmp_path)
    (tmp_path / "shop.env").write_text(service.environment_file(here))
    options = {
        "name": "shop", "root": "/srv", "user": "shop", "address": "10.0.0.1", "port": 8000, "health_path": "/healthz",
        "health_timeout": 5, "health_status": 200, "health_body": "", "health_host": "shop.example",
        "state": "released", "unit": unit, "environment": environment, "processes": [], "schedules": [], "first": True,
    }  # fmt: skip
    gate = deployment.Deployment(options, check_mode=False).gate
    assert (gate.url, gate.host) == (url, "shop.example")
