"""A member that says who it is and counts what it is asked; a test has it fail, hang or be slow.

GET and POST on any path answer `name address` and are counted. PUT takes JSON: {"status": 500} to answer so,
{"seconds": 30} to wait before; it also forgets the counts. GET /counts answers {"requests", "connections", "posts"}.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

USUAL = {"status": 200, "seconds": 0.0}
behaviour = dict(USUAL)
counts: Counter[str] = Counter()
posts: Counter[str] = Counter()
lock = threading.Lock()


class Member(BaseHTTPRequestHandler):
    """Answers over connections that are kept, as applications do."""

    protocol_version = "HTTP/1.1"
    # Header and body in one packet; in two, the second waits 40 ms for the first.
    wbufsize = -1

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        with lock:
            counts["connections"] += 1

    def log_message(self, *words: Any) -> None:
        """Log nothing."""

    def answer(self, status: int, body: str) -> None:
        """Send a whole answer."""
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        """Answer who this is and where it was reached, as it is set to behave."""
        if self.path == "/counts":
            self.answer(200, json.dumps({**counts, "posts": posts}))
            return
        with lock:
            counts["requests"] += 1
        time.sleep(behaviour["seconds"])
        reached = self.connection.getsockname()
        self.answer(
            int(behaviour["status"]), f"{socket.gethostname()} {reached if isinstance(reached, str) else reached[0]}\n"
        )

    def do_POST(self) -> None:
        """Count the request before anything else: a payment is booked whatever becomes of the answer."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with lock:
            posts[self.path] += 1
        self.do_GET()

    def do_PUT(self) -> None:
        """Behave as asked from now on, and forget the counts."""
        reported = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            behaviour.update(USUAL | reported)
            counts.clear()
            posts.clear()
        self.answer(200, "")


class Server(ThreadingHTTPServer):
    """Listens on every address, IPv6 and IPv4."""

    address_family = socket.AF_INET6
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without asking DNS for a name."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)


class SocketServer(ThreadingHTTPServer):
    """Listens on a unix socket that nginx's workers may open."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        """Bind anew, whatever an earlier run left."""
        path = Path(str(self.server_address))
        path.unlink(missing_ok=True)
        self.socket.bind(str(path))
        path.chmod(0o666)


if __name__ == "__main__":
    local = SocketServer("/run/member.sock", Member)  # type: ignore[arg-type]
    threading.Thread(target=local.serve_forever, daemon=True).start()
    Server(("::", 5000), Member).serve_forever()
