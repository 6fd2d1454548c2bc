"""What a health check asks with, and what a refusal means: for frameworks that look at a request's host and scheme."""

from __future__ import annotations

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils import health


@pytest.mark.parametrize(
    ("scheme", "port", "host", "reported"),
    [
        ("https", None, "shop.example.com", "443"),
        ("https", 443, "shop.example.com", "443"),
        ("https", 8443, "shop.example.com:8443", "8443"),
        ("http", None, "shop.example.com", "80"),
    ],
)
def test_an_application_is_asked_as_by_a_visitor(scheme: str, port: int | None, host: str, reported: str) -> None:
    assert health.visitor_headers("shop.example.com", scheme, port) == {
        "Host": host,
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": host,
        "X-Forwarded-Port": reported,
        "X-Forwarded-Proto": scheme,
        "X-Real-IP": "127.0.0.1",
    }


def test_without_a_name_nothing_is_claimed() -> None:
    assert health.visitor_headers("") == {}


@pytest.mark.parametrize(
    ("status", "text", "location", "said"),
    [
        (200, "all is well", "", ""),
        (200, "starting", "", "status 200 without 'well': starting"),
        (500, "", "", "status 500"),
        (301, "<h1>Moved</h1>", "https://shop.example/", "status 301 to https://shop.example/: <h1>Moved</h1>"),
        (500, "one\n\n  two\n3\n4\n5\n6\n7\n", "", "status 500: one\n  two\n3\n4\n5"),
        (500, "x" * 5000, "", "status 500: " + "x" * 400),
    ],
)
def test_a_refusal_has_the_first_lines_of_the_answer(status: int, text: str, location: str, said: str) -> None:
    assert health.refusal((200, "well"), status, text, location) == said


NAMED = health.visitor_headers("shop.example")


@pytest.mark.parametrize(
    ("problem", "log", "asked", "said"),
    [
        (
            "status 400: <h1>Bad Request (400)</h1>",
            "",
            {},
            "Django refuses an address as the host name: add it to ALLOWED",
        ),
        (
            "status 400",
            "Invalid HTTP_HOST header: 'shop.example'",
            NAMED,
            "Django refuses the host name shop.example: add",
        ),
        ("status 400: DisallowedHost at /", "", NAMED, "or set app_health_host to one that it accepts"),
        (
            "status 403: Blocked hosts: 10.0.0.1:3000",
            "",
            {},
            "Rails refuses an address as the host name: add it to config.",
        ),
        ("status 403", "[ActionDispatch::HostAuthorization::DefaultResponseApp] Blocked hosts", NAMED, "config.hosts"),
        ("status 301 to https://10.0.0.1/healthz", "", {}, "It sends visitors to HTTPS: set app_health_host"),
        (
            "status 308 to https://shop.example/healthz: moved",
            "",
            NAMED,
            "X-Forwarded-Proto: https: they go in circles",
        ),
        ("status 301 to https://www.shop.example/healthz", "", NAMED, "set app_health_host to www.shop.example."),
        (
            "status 302 to /login?next=/healthz",
            "",
            NAMED,
            "/healthz leads to /login?next=/healthz: set app_health_path",
        ),
        ("status 302 to https://id.example/login", "", NAMED, "/healthz leads to https://id.example/login: set app_"),
        ("status 302", "", NAMED, "/healthz leads to another page: set app_health_path"),
        ("status 401: who are you?", "", NAMED, "The page asks for a login"),
        ("certificate verify failed: certificate is not yet valid (_ssl.c:1)", "", NAMED, "A clock is wrong, here or"),
        (
            "[Errno 111] Connection refused",
            "/usr/bin/python3: No module named gunicorn",
            NAMED,
            "gunicorn runs the app",
        ),
        ("status 404: nothing here", "", NAMED, "The application has no page /healthz: set app_health_path to one"),
    ],
)
def test_a_known_cause_has_a_hint(problem: str, log: str, asked: dict[str, str], said: str) -> None:
    assert said in health.hint(problem, log, asked, "/healthz")


@pytest.mark.parametrize(
    "problem", ["Connection refused", "status 400: no such basket", "status 403: members only", "status 500: oops", ""]
)
def test_an_unknown_cause_has_none(problem: str) -> None:
    assert health.hint(problem, "", NAMED, "/healthz") == ""
