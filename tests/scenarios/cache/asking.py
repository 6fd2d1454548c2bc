"""Paths that say what the origin answers, and what the answers of a proxy say about its cache."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any

from estate import Answer

PROXIES = ("proxy1", "proxy2")
Get = Callable[..., Answer]


def written(*answers: dict[str, Any], name: str = "") -> str:
    """Return a path to which the origin answers so, one after the other: {control, status, headers, ...}."""
    script = []
    for answer in answers:
        headers = {"Date": "{now}", "Cache-Control": answer.get("control", ""), **answer.get("headers", {})}
        script.append({**answer, "headers": [[key, value] for key, value in headers.items() if value]})
    text = json.dumps(script, separators=(",", ":")).encode()
    return f"/x/{name or uuid.uuid4().hex}/" + base64.urlsafe_b64encode(text).decode().rstrip("=")


def states(answers: list[Answer]) -> list[str]:
    """Return X-Cache-Status of each answer."""
    return [answer.headers.get("x-cache-status", "") for answer in answers]
