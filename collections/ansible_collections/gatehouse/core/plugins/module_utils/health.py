"""How a health check asks an application, and what an answer that is not the wanted one means.

The application has to see a request as visitors send it, or what it checks on each (its own host name, HTTPS) refuses
the health check alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

# A host's own check comes from the host. To frameworks that show more to a local visitor it is one.
_CLIENT = "127.0.0.1"
_PORTS = {"http": 80, "https": 443}
LINES_SHOWN, TEXT_SHOWN = 5, 400  # of an answer's body, in a message

_REFUSAL = re.compile(r"status (?P<status>\d{3})(?: without .*?)?(?: to (?P<location>\S+?))?(?=:\s|$)", re.DOTALL)
_REDIRECTS = ("301", "302", "303", "307", "308")
# Status, what the answer or the log then says, whose word that is, and the setting with the names that it accepts.
_HOST_CHECKS = (
    ("400", re.compile(r"DisallowedHost|ALLOWED_HOSTS|HTTP_HOST|Bad Request \(400\)"), "Django", "ALLOWED_HOSTS"),
    ("403", re.compile(r"Blocked hosts?\b|HostAuthorization"), "Rails", "config.hosts"),
)


def visitor_headers(host: str, scheme: str = "https", port: int | None = None) -> dict[str, str]:
    """Return the request headers that the proxy sends for a visitor of the site `host`; {} where there is no name.

    `port` is the one that visitors come to; without it, the scheme's own.
    """
    if not host:
        return {}
    usual = _PORTS[scheme]
    return {
        "Host": host if port in (None, usual) else f"{host}:{port}",
        "X-Forwarded-For": _CLIENT,
        "X-Forwarded-Host": host if port in (None, usual) else f"{host}:{port}",
        "X-Forwarded-Port": str(port or usual),
        "X-Forwarded-Proto": scheme,
        "X-Real-IP": _CLIENT,
    }


def refusal(wanted: tuple[int, str], status: int, text: str, location: str = "") -> str:
    """Return what is wrong with an answer, with the first lines of its body as they came; '' for the wanted one.

    `wanted` is the status, and a text that the body must have in it; `location` is the header of a redirect.
    """
    if status == wanted[0] and wanted[1] in text:
        return ""
    lacks = f" without {wanted[1]!r}" if status == wanted[0] else ""
    target = f" to {location}" if location else ""
    lines = [line for line in text.strip().splitlines() if line.strip()][:LINES_SHOWN]
    shown = "\n".join(lines)[:TEXT_SHOWN].strip()
    return f"status {status}{lacks}{target}" + (f": {shown}" if shown else "")


def hint(problem: str, log: str = "", asked: Mapping[str, str] | None = None, path: str = "/") -> str:
    """Return what to do about a refusal whose cause is known; '' for any other.

    `problem` is what `refusal` returned, `log` what the application wrote meanwhile, `asked` the request's headers.
    """
    if "certificate is not yet valid" in problem:
        return "A clock is wrong, here or where the certificate was made: each is valid from five minutes before that."
    if "No module named gunicorn" in log:
        return "gunicorn runs the application: add it to what requirements.txt is locked from, and lock it again."
    found = _REFUSAL.match(problem)
    if not found:
        return ""
    status, location = found["status"], found["location"] or ""
    name = (asked or {}).get("Host", "")
    said = f"{problem}\n{log}"
    for wanted, pattern, framework, setting in _HOST_CHECKS:
        if status == wanted and pattern.search(said):
            asked_by = f"the host name {name}" if name else "an address as the host name"
            remedy = f"add it to {setting}, or set app_health_host to one that it accepts"
            return f"{framework} refuses {asked_by}: {remedy}."
    if status in _REDIRECTS:
        return _elsewhere(location, name, path)
    return {
        "401": "The page asks for a login: set app_health_path to one that does not, or app_health_status to 401.",
        "404": f"The application has no page {path}: set app_health_path to one that it has.",
    }.get(status, "")


def _elsewhere(location: str, name: str, path: str) -> str:
    """Return what to do about a redirect, asked for `path` of the site `name`, '' where it was asked by its address."""
    target = urlsplit(location)
    if target.scheme != "https" or target.path.rstrip("/") != path.partition("?")[0].rstrip("/"):
        return f"{path} leads to {location or 'another page'}: set app_health_path to a page that answers by itself."
    if not name:
        return "It sends visitors to HTTPS: set app_health_host, so that it is asked as by a visitor over HTTPS."
    if target.netloc not in ("", name):
        return f"It sends visitors to another host name: set app_health_host to {target.hostname}."
    return (
        "It sends visitors to HTTPS although it was asked with X-Forwarded-Proto: https: they go in circles;"
        " have it trust that header (Django: SECURE_PROXY_SSL_HEADER, Rails: config.assume_ssl, Express: trust proxy)."
    )
