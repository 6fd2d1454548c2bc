"""The requests of this scenario: the application's normal use, and those that should be refused."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import yaml

# What no log and no report may have.
PASSWORD = "gatehouse' or 1=1-- hunter2secret"  # noqa: S105
CARD = "4111111111111111"
COOKIE = "c0ffee1234567890sessionsecret"
BROWSER = {"User-Agent": "Mozilla/5.0 (Macintosh; normal use)"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}

Request = dict[str, Any]


def request(method: str, path: str, headers: dict[str, str] | None = None, body: bytes | str = b"") -> Request:
    data = body.encode() if isinstance(body, str) else body
    return {"method": method, "path": path, "headers": headers or {}, "body": base64.b64encode(data).decode()}


def upload(path: str, name: str, data: bytes, note: str = "from my phone") -> Request:
    """Return a form with a file."""
    edge = "gatehouse7d1f"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="note"\r\n\r\n{note}\r\n--{edge}\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = head.encode() + data + f"\r\n--{edge}--\r\n".encode()
    return request("POST", path, {"Content-Type": f"multipart/form-data; boundary={edge}"}, body)


def normal_use() -> list[Request]:
    """Return what people do with the awkward application."""
    text = '<p>Our <b>new</b> shop is open: <a href="https://shop.example/?a=1&b=2">see it</a> '
    text += '<img src="/p.jpg" alt="x"></p>'
    sql = "SELECT name FROM users WHERE id = 1 UNION SELECT name FROM admins"
    note = {"title": "Chapter 3", "text": "Delete with DELETE FROM orders WHERE id = 1 OR 1 = 1"}
    photo = random.Random(17).randbytes(5 * 1024 * 1024)  # noqa: S311
    pages = ("/", "/about", "/prices?sort=name&page=2", "/contact", "/news/2026/spring-sale")
    use = [request("GET", path) for path in pages]
    use += [
        request("POST", "/articles", FORM, urlencode({"title": "Spring sale", "text": text})),
        request("GET", f"/search?q={quote_plus(sql)}"),
        request("POST", "/api/notes", JSON, json.dumps(note)),
        request("PUT", "/api/notes/17", JSON, json.dumps({"title": "Chapter 4", "done": True})),
        request(
            "PATCH", "/api/notes/17", {"Content-Type": "application/merge-patch+json"}, json.dumps({"done": False})
        ),
        request("DELETE", "/api/notes/17"),
        request("POST", "/login", FORM, urlencode({"user": "ann", "password": PASSWORD})),
        request("POST", "/pay", FORM, urlencode({"card": CARD, "month": "12"})),
        request("GET", "/account", {"Cookie": f"session={COOKIE}; theme=dark"}),
        request("GET", "/account", {"Authorization": f"Bearer {COOKIE}"}),
        upload("/uploads/", "holiday in Spain.jpg", photo),
        request("WEBSOCKET", "/ws/"),
    ]
    return [{**one, "headers": {**BROWSER, **one["headers"]}} for one in use]


def attacks() -> dict[str, list[Request]]:
    """Return the requests of attacks.yml by class."""
    found: dict[str, list[Request]] = {}
    for name, what in yaml.safe_load(Path(__file__).with_name("attacks.yml").read_text()).items():
        own = found.setdefault(name, [])
        for value in what.get("values", ()):
            own.append(request("GET", f"/find?q={quote(value, safe='')}"))
            own.append(request("POST", "/find", FORM, f"q={quote_plus(value)}"))
            own.append(request("POST", "/api/find", JSON, json.dumps({"q": value})))
        for one in what.get("requests", ()):
            if "multipart" in one:
                own.append(upload(one["path"], one["multipart"], b"x"))
            else:
                headers = {name: str(value) for name, value in one.get("headers", {}).items()}
                own.append(request(one.get("method", "GET"), one["path"], headers, one.get("body", "")))
    return found
