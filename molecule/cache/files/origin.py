"""The scripted origin of the scenario `cache`: what it answers is in the path of the request.

`/x/<id>/<base64url of JSON>` holds a list of answers; the n-th request of an id gets the n-th, later ones the last:
{status, headers: [[name, value]], body or size, ranges: true, delay (seconds), fault: close | truncate}. In values of
headers {now}, {now-60}, {rfc850+60} and {asctime+60} become dates. Each answer carries `Origin-Count` (requests of this
id so far) and `Origin-Saw` (conditions that came). `/seen/<id>` says how often an id was asked for.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WATCHED = ("If-None-Match", "If-Modified-Since", "Range")
FORMS = {
    "now": "%a, %d %b %Y %H:%M:%S GMT",
    "rfc850": "%A, %d-%b-%y %H:%M:%S GMT",
    "asctime": "%a %b %e %H:%M:%S %Y",
}
seen: Counter[str] = Counter()
lock = threading.Lock()


def dated(text: str) -> str:
    """Put dates in place of {now+60} and its like."""

    def date(found: re.Match[str]) -> str:
        return time.strftime(FORMS[found[1]], time.gmtime(time.time() + int(found[2] or 0)))

    return re.sub(r"\{(now|rfc850|asctime)([+-]\d+)?\}", date, text)


class Origin(BaseHTTPRequestHandler):
    """Answers as the path says."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Read the request and give the answer that is due."""
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        parts = self.path.split("?")[0].split("/")
        if parts[1] == "seen":
            self.reply({"body": str(seen[parts[2]]), "headers": [["Cache-Control", "no-store"]]}, 0)
            return
        if len(parts) < 4 or parts[1] != "x":
            self.reply({"body": "the origin\n", "headers": [["Date", "{now}"]]}, 0)
            return
        with lock:
            seen[parts[2]] += 1
            count = seen[parts[2]]
        answers = json.loads(base64.urlsafe_b64decode(parts[3] + "=" * (-len(parts[3]) % 4)))
        self.reply(answers[min(count, len(answers)) - 1], count)

    def reply(self, answer: dict[str, Any], count: int) -> None:
        """Send one answer. `fault` breaks it off before or within the body."""
        time.sleep(answer.get("delay", 0))
        if answer.get("fault") == "close":
            self.close_connection = True
            return
        body = str(answer.get("body", f"answer {count}\n")).encode()
        if isinstance(answer.get("size"), int):
            body = b"x" * answer["size"]
        status = answer.get("status", 200)
        headers = list(answer.get("headers", []))
        if answer.get("ranges") and (asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))):
            first, last = int(asked[1]), min(int(asked[2]), len(body) - 1)
            headers.append(["Content-Range", f"bytes {first}-{last}/{len(body)}"])
            status, body = 206, body[first : last + 1]
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, dated(value))
        self.send_header("Origin-Count", str(count))
        saw = [f"{name}={self.headers[name]}" for name in WATCHED if name in self.headers]
        self.send_header("Origin-Saw", "|".join(saw))
        if status != 304 and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            half = answer.get("fault") == "truncate"
            self.close_connection = half
            self.wfile.write(body[: len(body) // 2] if half else body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
    setattr(Origin, f"do_{method}", Origin.answer)


class Server(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 256
    daemon_threads = True


if __name__ == "__main__":
    Server((sys.argv[1], int(sys.argv[2])), Origin).serve_forever()
