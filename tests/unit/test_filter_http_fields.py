"""The filters of http_fields.py: what may stand in a message, and the exact words for what may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crossplane
import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

Filters = Callable[[str], Callable[..., Any]]

NAME = " is no name of a header; write letters, digits and -, such as X-Request-Id"
TEXT = " is no value of a header; write it on one line, in printable ASCII characters"
DOLLAR = " has a $, which nginx reads as a variable; write it without $"
TARGET = " is no target of a redirect; write a path such as /new or an address such as https://example.org$request_uri"
TWO = "; write only $host, $request_uri with a $"
RATE = " is no rate; write requests a second or a minute, such as 10r/s or 30r/m"
HASH = "the value is no hash of a password; write what `openssl passwd -6` prints"
SALTED = "$6$saltsalt$" + "a" * 86

ACCEPTED: dict[str, list[Any]] = {
    "header_name": ["Host", "X-Request-Id", "x_old", "A" * 64],
    "header_text": [
        "",
        "nosniff",
        "default-src 'self'; img-src *",
        'a "quoted" word',
        "back\\slash",
        "{a: 1}",
        "#x",
        "x" * 4000,
    ],
    "request_header_value": ["", "on", "$host", "$remote_addr:$server_port", "id=$request_id; a=b", "{1}"],
    "redirect_target": [
        "/",
        "/new",
        "https://example.org",
        "http://[fd00::1]/x",
        "https://$host$request_uri",
        "/a?b=c#d",
    ],
    "request_rate": ["1r/s", "30r/m", "999999r/s"],
    "crypt_hash": [SALTED, "$apr1$saltsalt$" + "a" * 22, "$2y$10$" + "a" * 53, "$y$j9T$salt$" + "a" * 43],
}
REFUSED: list[tuple[str, str, list[Any]]] = [
    ("header_name", NAME, ["", "X Y", "X:", "X;", "X\n", "X{", "$x", "'x'", "#x", "ä", "A" * 65, 5, None, True]),
    ("header_text", TEXT, ["a\nb", "a\r", "a\tb", "\0", "größe", "\x7f", 5, None, True, ["a"]]),
    ("header_text", DOLLAR, ["$host", "a $ b", "${host}"]),
    ("request_header_value", TEXT, ["a\nX: y", "a\r\n", "größe", 5, None]),
    ("redirect_target", TARGET, ["", "new", "//evil.example", "/\\evil", "javascript:x", "ftp://a", "/a b"]),
    ("redirect_target", TARGET, ["/a\nb", "/a;b", "/{", '/"', "https://", "\\", 5, None]),
    # The first leads wherever a visitor writes: GET //evil.example/
    ("redirect_target", TARGET, ["$request_uri", "/$request_uri", "/$host", "$scheme://x", "https://$request_uri"]),
    ("redirect_target", TARGET, ["https://$hostname", "/$uri"]),
    ("redirect_target", TWO, ["/a$uri", "/a$", "/a/$hostname", "/a$HOST", "/a$request_uri_x", "/a$1", "https://$host$uri"]),
    ("request_rate", RATE, ["", "0r/s", "10", "10r/h", "10 r/s", "1.5r/s", "1000000r/s", "10r/s;", "10r/s\n", 10]),
    ("crypt_hash", HASH, ["", "secret", "$1$salt$hashhashhash", "$6$a:b$cccccccc", SALTED + "\n", "$6$" + "a" * 300]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ACCEPTED.items() for value in values])
def test_accepted_as_it_is(filters: Filters, name: str, value: str) -> None:
    assert filters(name)(value) == value


@pytest.mark.parametrize(
    ("name", "ending", "value"), [(name, text, value) for name, text, values in REFUSED for value in values]
)
def test_refused(filters: Filters, name: str, ending: str, value: Any) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters(name)(value)
    assert error.value.message.endswith(ending)
    assert "\n" not in error.value.message


def test_a_variable_that_is_not_for_headers_is_named(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("request_header_value")("$host $arg_x")
    start = '"$host $arg_x" has $arg_x; write only $host, $remote_addr, '
    assert error.value.message.startswith(start)
    assert error.value.message.endswith(" with a $")
    for value in ("${host}", "$http_cookie", "$", "$uri", "$hostname"):
        with pytest.raises(AnsibleFilterError, match="write only"):
            filters("request_header_value")(value)


def test_a_password_is_never_shown(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("crypt_hash")("hunter2")
    assert "hunter2" not in str(error.value)


# Each filter, and how a template goes on with what it returns.
QUOTED: dict[str, dict[str, bool] | None] = {
    "header_name": None,
    "request_rate": None,
    "header_text": {"punctuation": True},
    "request_header_value": {"variables": True, "punctuation": True},
    "redirect_target": {"variables": True},
    # those of nginx.py that arrive in a configuration
    "nginx_name": None,
    "nginx_path": None,
    "host_path": None,
    "nginx_variable": None,
    "listen_address": None,
    "server_name": {},
    "nginx_size": None,
    "nginx_duration": None,
    "whole_seconds": None,
    "member_address": None,
    "cache_key": {"variables": True},
}
WORDS = [
    "/", "//", "..", "$", "$host", "$uri", "${", "}", "{", ";", '"', "'", "\\", "#", " ", "\n", "\t", "*", "~", "=",
    "a", "9", "-", ".", ":", "[", "]", "%0a", "é", "\0", "https://", "r/s", "m", "localhost",
    "include /etc/passwd;", "@", "?",
]  # fmt: skip
ANYTHING = st.one_of(st.lists(st.sampled_from(WORDS), max_size=6).map("".join), st.text(max_size=12))


@pytest.mark.parametrize("name", QUOTED)
@given(value=ANYTHING)
def test_whatever_comes_is_one_argument_or_a_clear_error(
    tmp_path_factory: Any, filters: Filters, name: str, value: str
) -> None:
    try:
        text = filters(name)(value)
    except AnsibleFilterError as error:
        assert re.search("; write ", error.message)  # noqa: PT017 - either outcome is right, and each is checked
        return
    how = QUOTED[name]
    written = text if how is None else filters("nginx_quote")(text, **how)
    path = Path(tmp_path_factory.getbasetemp()) / "argument.conf"
    path.write_text(f"before;\ncheck {written} after;\nlast;\n")
    parsed = crossplane.parse(str(path), check_ctx=False, check_args=False)
    assert parsed["status"] == "ok", parsed["errors"]
    # crossplane leaves an escaped backslash as it is; nginx reads it as one.
    arguments = ["check", [text.replace("\\", "\\\\"), "after"]]
    assert [[one["directive"], one["args"]] for one in parsed["config"][0]["parsed"]] == [
        ["before", []],
        arguments,
        ["last", []],
    ]


@pytest.mark.parametrize("match", ["prefix", "exact", "regex", "regex_nocase"])
@given(value=ANYTHING)
def test_whatever_path_comes_is_one_location_or_a_clear_error(
    tmp_path_factory: Any, filters: Filters, match: str, value: str
) -> None:
    try:
        filters("location_path")(value)
        written = filters("location_match")({"path": value, "match": match})
    except AnsibleFilterError as error:
        assert re.search("; write ", error.message)  # noqa: PT017 - either outcome is right, and each is checked
        return
    path = Path(tmp_path_factory.getbasetemp()) / "location.conf"
    path.write_text(f"location {written} {{\n    inside;\n}}\nlast;\n")
    parsed = crossplane.parse(str(path), check_ctx=False, check_args=False)
    assert parsed["status"] == "ok", parsed["errors"]
    location, last = parsed["config"][0]["parsed"]
    assert (location["directive"], location["args"][-1]) == ("location", value.replace("\\", "\\\\"))
    assert [one["directive"] for one in location["block"]] == ["inside"]
    assert last["directive"] == "last"


@pytest.mark.parametrize(
    "name", [*QUOTED, "crypt_hash", "location_path", "network_port", "network_address", "network_range"]
)
@given(value=st.one_of(st.none(), st.booleans(), st.floats(), st.binary(max_size=3), st.lists(st.none()), st.just({})))
def test_what_is_no_text_is_refused(filters: Filters, name: str, value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="; write "):
        filters(name)(value)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("value | header_name", "X-Frame-Options"),
        ("'a; b' | header_text", "a; b"),
        ("'10r/s' | request_rate", "10r/s"),
        ("'/new' | redirect_target", "/new"),
        ("[value] | map('header_name') | list", ["X-Frame-Options"]),
    ],
)
def test_through_templar(render: Callable[..., Any], expression: str, result: object) -> None:
    assert render(expression, value="X-Frame-Options") == result
