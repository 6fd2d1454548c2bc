"""What curl has no words for: handshakes and hosts that differ, many WebSockets, many cookies. Runs on the client.

python3 strange.py names <address> <folder of certificates>
python3 strange.py websockets <address> <site> <how many>
python3 strange.py cookies <address> <site> <how many>
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

# Name in the handshake, Host, and whose certificate is shown.
NAMES = [
    ("", "catch.test", "a"), ("catch.test", "catch.test", "a"),
    ("required-redirect.test", "required-redirect.test", "b"),
    *(
        (name, host, "a")
        for name in ("", "unknown.test", "catch.test", "open-redirect.test")
        for host in ("required-redirect.test", "guests-serve.test", "names-redirect.test")
    ),
    ("open-redirect.test", "catch.test", "a"), ("required-redirect.test", "catch.test", "b"),
    ("required-redirect.test", "guests-serve.test", "b"), ("required-redirect.test", "unknown.test", "b"),
    ("open-redirect.test", "unknown.test", ""), ("", "open-redirect.test", ""),
]  # fmt: skip


def ask(connection: socket.socket, host: str, *headers: str, path: str = "/") -> int:
    """Ask and return the answer's status, 0 for none."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    try:
        connection.sendall("\r\n".join(lines).encode())
        words = connection.recv(4096).split(b" ", 2)
    except OSError:
        return 0
    return int(words[1]) if len(words) > 1 else 0


def names(address: str, folder: str) -> list[list[str | int]]:
    found: list[list[str | int]] = []
    for name, host, whose in NAMES:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if whose:
            context.load_cert_chain(f"{folder}/visitors-{whose}/good.pem")
        with socket.create_connection((address, 443), timeout=10) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=name or None) as secure:
                    found.append([name, host, whose, ask(secure, host)])
            except OSError:
                found.append([name, host, whose, 0])
    return found


def websockets(address: str, site: str, count: str) -> list[int]:
    upgrade = ("Upgrade: websocket", "Connection: upgrade")
    kept = [socket.create_connection((address, 80), timeout=10) for _ in range(int(count))]
    return [ask(connection, site, *upgrade) for connection in kept]


def cookies(address: str, site: str, count: str) -> float:
    began = time.monotonic()
    for _ in range(int(count)):
        with socket.create_connection((address, 80), timeout=10) as connection:
            assert ask(connection, site, "Cookie: " + "_gat=1;" * 500 + "secret=words", path="/pages/") == 200
    return time.monotonic() - began


if __name__ == "__main__":
    known: dict[str, Callable[..., Any]] = {"names": names, "websockets": websockets, "cookies": cookies}
    print(json.dumps(known[sys.argv[1]](*sys.argv[2:])))
