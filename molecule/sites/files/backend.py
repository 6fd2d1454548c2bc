"""An application that answers with what it was asked, and misbehaves on demand.

The query says how: ?status=500 &sleep=2 &size=5000 &type=text/plain &header=Name:value (any number), and &bulk=30000
for a header of that many bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
# What an application says of itself, and what it had better leave to the proxy.
TALK = {
    "X-Powered-By": "PHP/5.6",
    "X-Runtime": "0.01",
    "X-Secret": "1",
    "X-Request-Id": "the application's",
    "Strict-Transport-Security": "max-age=1",
}


class Handler(BaseHTTPRequestHandler):
    """One request after the other of a connection."""

    protocol_version = "HTTP/1.1"
    server_version = "Backdoor/1.0"

    def answer(self) -> None:
        """Answer with the request as it came."""
        query = parse_qs(urlsplit(self.path).query)
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding"):
            while size := int(self.rfile.readline(), 16):
                length += len(self.rfile.read(size + 2)) - 2
            self.rfile.readline()
        else:
            left = length
            while left and (piece := self.rfile.read(min(left, 1 << 20))):
                left -= len(piece)
        if self.headers.get("Upgrade"):
            return self.switch(str(self.headers["Upgrade"]))
        if self.path.startswith("/events/"):
            return self.events()
        time.sleep(float(query.get("sleep", ["0"])[0]))
        body = json.dumps(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "received": length,
                "host": socket.gethostname(),
                "release": "",
                "padding": "x" * int(query.get("size", ["0"])[0]),
            }
        ).encode()
        self.send_response(int(query.get("status", ["200"])[0]))
        for name, value in TALK.items():
            self.send_header(name, value)
        for header in query.get("header", []):
            self.send_header(*header.split(":", 1))
        if "bulk" in query:
            self.send_header("X-Bulk", "b" * int(query["bulk"][0]))
        self.send_header("Content-Type", query.get("type", ["application/json"])[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 (the library's names)

    def events(self) -> None:
        """Send three events, one a second."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(3):
            self.wfile.write(f"data: {number}\n\n".encode())
            self.wfile.flush()
            time.sleep(1)
        self.close_connection = True

    def switch(self, protocol: str) -> None:
        """Let anybody upgrade to anything, and send back what comes first."""
        key = (self.headers.get("Sec-WebSocket-Key") or "").encode()
        self.send_response(101)
        self.send_header("Upgrade", protocol)
        self.send_header("Connection", "Upgrade")
        accept = hashlib.sha1(key + GUID, usedforsecurity=False).digest()
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.wfile.write(self.connection.recv(1024))
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
