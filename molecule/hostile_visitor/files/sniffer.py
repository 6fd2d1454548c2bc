"""Answers with the headers that it was sent, with X-Accel-Redirect where the query says so; takes WebSockets."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Sniffer(BaseHTTPRequestHandler):
    """One request after the other of a connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade"):
            self.send_response_only(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "upgrade")
            self.end_headers()
            self.rfile.read()
            return
        reported = {"inside": True, **{name.lower(): value for name, value in self.headers.items()}}
        body = json.dumps(reported).encode()
        self.send_response(200)
        for target in parse_qs(urlsplit(self.path).query).get("accel", ()):
            self.send_header("X-Accel-Redirect", target)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 256
    daemon_threads = True


if __name__ == "__main__":
    Server((sys.argv[1], 5000), Sniffer).serve_forever()
