"""The filters of nginx_values.py: what may stand in a configuration, and the exact words for what may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import crossplane
import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Filters = Callable[[str], Callable[..., Any]]


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("plain", "plain"),
        ("/a/b.conf", "/a/b.conf"),
        ("", '""'),
        ("a b", '"a b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("it's", '"it\'s"'),
        ("back\\slash", r'"back\\slash"'),
        ("#no comment", '"#no comment"'),
        ("größe", '"größe"'),
        (True, "on"),
        (False, "off"),
        (42, "42"),
    ],
)
def test_quote(filters: Filters, value: object, result: str) -> None:
    assert filters("nginx_quote")(value) == result


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a;b", '"a;b" has a ;, which ends or opens an nginx directive; write it without ;'),
        ("a{b", '"a{b" has a {, which ends or opens an nginx directive; write it without {'),
        ("}", '"}" has a }, which ends or opens an nginx directive; write it without }'),
        ("$host", '"$host" has a $, which nginx reads as a variable; write it without $'),
        ("a\nb", r'"a\nb" has the control character U+000A; write it on one line, without tabs'),
        ("a\0", r'"a\u0000" has the control character U+0000; write it on one line, without tabs'),
        (1.5, "1.5 cannot be one nginx argument; write text, an integer or a boolean"),
        (None, "null cannot be one nginx argument; write text, an integer or a boolean"),
        (["a"], '["a"] cannot be one nginx argument; write text, an integer or a boolean'),
    ],
)
def test_quote_refuses(filters: Filters, value: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("nginx_quote")(value)
    assert error.value.message == message


def test_quote_lets_through_only_what_the_caller_says(filters: Filters) -> None:
    quote = filters("nginx_quote")
    assert quote("$host", variables=True) == '"$host"'
    assert quote("default-src 'self'; img-src *", punctuation=True) == "\"default-src 'self'; img-src *\""
    with pytest.raises(AnsibleFilterError, match="reads as a variable"):
        quote("a;$host", punctuation=True)
    with pytest.raises(AnsibleFilterError, match="ends or opens"):
        quote("a;$host", variables=True)
    with pytest.raises(AnsibleFilterError, match=r"U\+000D"):
        quote("a\r", variables=True, punctuation=True)


def any_line(refused: str) -> SearchStrategy[str]:
    """Make lines of text, rich in what nginx gives a meaning, without the characters `refused`."""
    special = "".join(one for one in " \"'\\;{}$#()[]~*=" if one not in refused)
    plain = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters=refused)
    return st.text(st.one_of(st.sampled_from(special), plain), max_size=20)


def read_back(folder: Path, argument: str) -> list[Any]:
    """Parse `before; check <argument>; after;` and return what crossplane sees."""
    path = folder / "quoted.conf"
    path.write_text(f"before;\ncheck {argument};\nafter;\n")
    parsed = crossplane.parse(str(path), check_ctx=False, check_args=False)
    assert parsed["status"] == "ok", parsed["errors"]
    return [(one["directive"], one["args"]) for one in parsed["config"][0]["parsed"]]


@given(value=any_line(refused=";{}$"))
def test_a_quoted_value_is_one_argument(tmp_path_factory: Any, filters: Filters, value: str) -> None:
    parsed = read_back(tmp_path_factory.getbasetemp(), filters("nginx_quote")(value))
    # crossplane leaves an escaped backslash as it is; nginx reads it as one.
    arguments = [("before", []), ("check", [value.replace("\\", "\\\\")]), ("after", [])]
    assert parsed == arguments


@given(value=any_line(refused=""))
def test_no_value_ends_its_directive(tmp_path_factory: Any, filters: Filters, value: str) -> None:
    quoted = filters("nginx_quote")(value, variables=True, punctuation=True)
    parsed = read_back(tmp_path_factory.getbasetemp(), quoted)
    assert [(name, len(arguments)) for name, arguments in parsed] == [("before", 0), ("check", 1), ("after", 0)]


@given(
    before=any_line(refused=""),
    meaning=st.sampled_from(";{}$\n\r\t\0\x7f\x85\u2028"),
    after=any_line(refused=""),
)
def test_a_value_with_a_meaning_is_refused(filters: Filters, before: str, meaning: str, after: str) -> None:
    with pytest.raises(AnsibleFilterError):
        filters("nginx_quote")(before + meaning + after)


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("nginx_size", "8m", "8m"),
        ("nginx_size", "8M", "8m"),
        ("nginx_size", "1g", "1024m"),
        ("nginx_size", 4096, "4096"),
        ("nginx_size", "0", "0"),
        ("nginx_duration", "10m", "10m"),
        ("nginx_duration", "1h 30m", "1h30m"),
        ("nginx_duration", "1M", "30d"),
        ("nginx_duration", "1y 2M 1w 3d 4h", "435d4h"),
        ("nginx_duration", "1w 3d", "1w3d"),
        ("nginx_duration", "1m 5", "1m5s"),
        ("nginx_duration", 90, "90s"),
        ("nginx_duration", "500ms", "500ms"),
        ("nginx_duration", "1s500ms", "1s500ms"),
        ("nginx_name", "shop-2.eu_west", "shop-2.eu_west"),
        ("nginx_path", "/", "/"),
        ("nginx_path", "/api/v1.0/~me", "/api/v1.0/~me"),
        ("location_path", "/api/", "/api/"),
        ("location_path", r"^/(a|b)/[0-9]{2}\.php$", r"^/(a|b)/[0-9]{2}\.php$"),
        ("host_path", "/", "/"),
        ("host_path", "/srv/www/shop-1.0~rc@2", "/srv/www/shop-1.0~rc@2"),
        ("nginx_variable", "$cookie_session", "$cookie_session"),
        ("cache_key", "$scheme$host$request_uri", "$scheme$host$request_uri"),
        ("cache_key", "v2:$host/$uri|x", "v2:$host/$uri|x"),
        ("listen_address", "*", "*"),
        ("listen_address", "127.0.0.1", "127.0.0.1"),
        ("listen_address", "[fd00::1]", "[fd00::1]"),
        ("server_name", "Shop.Example.org", "shop.example.org"),
        ("server_name", "*.example.org", "*.example.org"),
        ("server_name", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_accepted(filters: Filters, name: str, value: object, result: str) -> None:
    assert filters(name)(value) == result


SIZE = " is no size; write bytes, or a whole number followed by k, m or g, such as 8m"
DURATION = (
    " is no duration; write whole numbers with ms, s, m, h, d, w, M or y, the largest unit first, such as 10m or 1h30m"
)
NAME = " is no name; write at most 63 letters, digits, _ . or -, beginning with a letter or digit"
SERVER = (
    " is no server name; write a DNS name such as shop.example.org or *.example.org"
    " (other scripts as punycode, xn--...)"
)
PATH = " is no path of a location; write it from / on, in letters, digits and ._~!&()*+,=:@-, such as /api/"
HOST_PATH = " is no absolute path on the host; write one such as /srv/www, in letters, digits and ._~+,=:@-"
VARIABLE = " is no variable of nginx; write one such as $cookie_session"
KEY = " is no key; write variables of nginx, such as $scheme$host$request_uri"
LISTEN = " is no address to listen on; write *, an IPv4 address, or an IPv6 address in brackets: [::]"
NEITHER = " is no path and no regular expression; write one such as /api/"
NEVER = " never matches, because nginx resolves //, . and .. first; write the resolved path"


REFUSED: list[tuple[str, str, list[Any]]] = [
    ("nginx_size", SIZE, ["", "8 m", "8mb", "-1", "1.5m", "08m", "8m;", "8m\n", True, None, []]),
    ("nginx_duration", DURATION, ["", "m", "1m1h", "1m 1m", "10 m", "1h  ", "1.5h", "30 5", "99y", "1m\n"]),
    ("nginx_duration", DURATION, [-5, True, None]),
    ("nginx_name", NAME, ["", "-a", "a b", "a/b", "../x", "a;", "a" * 64, "ä", "a\n", 5, None]),
    ("nginx_path", PATH, ["", "api", "/a b", "/a;b", "/$x", "/%20", "/a{", "/é", "/a\n", None]),
    ("nginx_path", NEVER, ["//", "/a//b", "/../x", "/a/./b", "/a/.."]),
    ("server_name", SERVER, ["", "*.", "*", "a..b", "-a.b", "a b", "www.*", "~^x$", "_", "a." * 130, "bücher.de"]),
    ("server_name", SERVER, [5, "a.b\n", "a.b."]),
    ("location_path", NEITHER, ["", "a\nb", "a\tb", "\0", 5, None, ["/"]]),
    ("location_path", NEVER, ["//", "/a/../b"]),
    (
        "host_path",
        HOST_PATH,
        ["", "srv", "./a", "/a b", "/a;b", "/a{", "/$x", "/a/../b", "/a/.", "//a", "/a\n", "~/a", 5, None],
    ),
    ("nginx_variable", VARIABLE, ["", "$", "host", "$host ", "$Host", "$a$b", "${a}", "$a;", "$a\n", 5, None]),
    ("cache_key", KEY, ["", "host", "$host;", "$host\n", "$host {", "$", "${host}", '"$host"', "$host$", 5, None]),
    (
        "listen_address",
        LISTEN,
        ["", "localhost", "::", "[::", "[127.0.0.1]", "*:80", "0.0.0.0/0", "1.2.3.4;", "[]", 80, None],
    ),
]


@pytest.mark.parametrize(
    ("name", "message", "value"), [(name, text, value) for name, text, values in REFUSED for value in values]
)
def test_refused(filters: Filters, name: str, message: str, value: Any) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters(name)(value)
    assert error.value.message.endswith(message)


def test_a_broken_expression_is_explained(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("location_path")("^/(a")
    assert error.value.message == (
        '"^/(a" is no path and no regular expression (missing ), unterminated subpattern at position 2);'
        " write one such as /api/"
    )


def test_an_expression_that_backtracks_is_refused(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("location_path")("^/([a-z/]+)*$")
    assert error.value.message == (
        '"^/([a-z/]+)*$" fits some texts in exponentially many ways, and a visitor can have nginx try them all;'
        " write it without a repetition of what repeats the same characters itself, such as ^/[a-z/]*$ for"
        " ^/([a-z/]+)*$"
    )


BACKTRACKING = [
    r"(a+)+b",
    r"(a*)*b",
    r"(a|a)*b",
    r"(a|aa)+b",
    r"(ab|ab)+c",
    r"([a-z]+)*[.]css",
    r"^/(.*/)*x$",
    r"(\w+\s?)*x",
    r"(a{1,20})+b",
    r"(a{1,3})+b",
    r"(a?b?c?)*d",
    r"(?=(a+)+b)x",
    r"(x|[a-z]|é)*y",
    r"([|]|[|])*y",
    r"(a|A)*b",
    r"(?:(a)\1?)+b",
    r"^((_ga[^=;]*|_gid|_gat[^=;]*)=[^;]*(;\s*|$))+$",
    r"(?>(a+)+b)c",
    r"(.|\n)*(.|\n)*z|(a|\w)+z",
    r"(\d|\w)+z",
    r"(?:\D|x)*y",
]
STEADY = [
    r"^/(a|b)/[0-9]{2}[.]php$",
    r"[.](css|js|png|jpe?g|gif|svg|woff2?)$",
    r"^/([a-z0-9-]+/)*[a-z0-9-]+$",
    r"^/admin(/|$)",
    r"^/.*[.]php$",
    r"^(?:[0-9]{1,3}[.]){3}[0-9]{1,3}$",
    r"^/(?!api/).*[.]html$",
    r"(a?b)*d",
    r"^(?:/[^/]+){1,5}/$",
    r"(a[|]b)+",
    r"^/(?:[a-z]+(?:-[a-z]+)*/)*$",
    r"^/x{500,}y",
    r"(x)?(?(1)a|b)c",
]


@pytest.mark.parametrize("pattern", BACKTRACKING)
def test_exponential_expressions_are_reported(filters: Filters, pattern: str) -> None:
    assert filters("backtracking_regex")(pattern)


@pytest.mark.parametrize("pattern", STEADY)
def test_steady_expressions_are_let_be(filters: Filters, pattern: str) -> None:
    assert not filters("backtracking_regex")(pattern)


def test_an_endless_expression_is_refused_quickly(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError, match="more than 400 parts"):
        filters("location_path")("^/(" + "[a-z]?" * 500 + ")x")


def test_an_error_shows_the_value_as_it_was_written(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("nginx_size")("8 megs")
    assert error.value.message == '"8 megs"' + SIZE
    with pytest.raises(AnsibleFilterError) as error:
        filters("nginx_size")("8" * 100)
    assert error.value.message == '"' + "8" * 76 + "..." + SIZE


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("'a b' | nginx_quote", '"a b"'),
        ("values.size | nginx_size", "1024m"),
        ("values.sizes | map('nginx_size') | list", ["8m", "4096"]),
        ("values.made | nginx_quote", '"text made by a template"'),
        ("values.life | nginx_duration", "1h30m"),
        ("values.flag | nginx_quote", "on"),
    ],
)
def test_through_templar(render: Callable[..., Any], expression: str, result: object) -> None:
    values = {
        "size": "1g",
        "sizes": ["8m", 4096],
        "made": "text made by a template",
        "life": "1h 30m",
        "flag": True,
    }
    assert render(expression, values=values) == result


@pytest.mark.parametrize("value", ["[fe80::1]", "[fe80::1%eth0]", "fe80::1%eth0"])
def test_nobody_listens_to_an_interfaces_own_address(filters: Filters, value: str) -> None:
    with pytest.raises(AnsibleFilterError, match="is no address to listen on"):
        filters("listen_address")(value)


@pytest.mark.parametrize(
    ("name", "longest", "message"),
    [
        ("nginx_path", "/" + "a" * 254, "is too long a path for nginx; write at most 255 letters"),
        ("location_path", "[" + "a" * 3998 + "]", "is too long for nginx; write at most 4000 characters"),
        ("header_text", "a" * 4000, "is too long for nginx; write at most 4000 characters"),
        ("header_text", '"' * 2000, "is too long for nginx; write at most 4000 characters"),
        ("request_header_value", "a" * 4000, "is too long for nginx; write at most 4000 characters"),
        ("redirect_target", "/" + "a" * 3999, "is too long for nginx; write at most 4000 characters"),
    ],
)
def test_what_is_too_long_for_nginx(filters: Filters, name: str, longest: str, message: str) -> None:
    assert filters(name)(longest) == longest
    with pytest.raises(AnsibleFilterError, match=message):
        filters(name)(longest + longest[-1])


def test_a_size_beyond_all_disks_is_refused(filters: Filters) -> None:
    assert filters("nginx_size")("8388608g") == "8589934592m"
    with pytest.raises(AnsibleFilterError, match="is more than nginx can count; write a smaller size"):
        filters("nginx_size")("8388609g")
