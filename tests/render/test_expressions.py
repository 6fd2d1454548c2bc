"""Every regular expression that the templates write, against hostile text, in PCRE2 itself.

What is measured is PCRE2's own count of the ways that it tries (its match limit), not a clock, so a busy machine
changes nothing. Git needs the library, so every machine that has the project has it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import itertools
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from ansible.plugins.loader import filter_loader

from .conftest import Block, render_files
from .test_sites import estate

Render = Callable[..., Block]
CACHED = {"path": "/", "upstream": "app", "cache": {"zone": "pages"}}
RICH: dict[str, Any] = estate(
    {"path": "/php", "upstream": "app", "protocol": "fastcgi", "fastcgi": {"root": "/srv/app/public"}},
    {"path": "/files/", "static": {"dir": "/srv/files"}},
    {"path": "/pages/", "upstream": "app", "cache": {"zone": "pages", "recipe": "public_pages"}},
    proxy_caches=[{"name": "pages"}],
    proxy_real_ip_sources=["10.0.0.1"],
)
# What nginx takes of a request's line, or of one header.
LONGEST = 8192
# PCRE2_ERROR_MATCHLIMIT, _JIT_STACKLIMIT and _HEAPLIMIT: nginx then writes the text to its error log.
GIVEN_UP = (-47, -46, -63)
LITERAL = re.compile(
    r"(?<=[=(|&! ])/((?:[^/\\\n\[*]|\\.|\[(?:[^\]\\\n]|\\.)*\])"
    r"(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])*)/[gi]*(?=[.,;) ])"
)


@cache
def pcre2() -> ctypes.CDLL:
    name = ctypes.util.find_library("pcre2-8")
    assert name, "this machine has no libpcre2-8, by which nginx reads regular expressions: install libpcre2-8-0"
    library = ctypes.CDLL(name)
    for function in ("compile", "match_data_create_from_pattern", "match_context_create"):
        getattr(library, f"pcre2_{function}_8").restype = ctypes.c_void_p
    return library


def outcome(pattern: str, text: bytes, jit: bool) -> int:
    """Return what pcre2_match says of a text, within 20 ways for each of its bytes."""
    library, raw = pcre2(), pattern.encode()
    error, at = ctypes.c_int(), ctypes.c_size_t()
    code = library.pcre2_compile_8(raw, ctypes.c_size_t(len(raw)), 0, ctypes.byref(error), ctypes.byref(at), None)
    assert code, (pattern, error.value)
    compiled = ctypes.c_void_p(code)
    if jit:
        assert library.pcre2_jit_compile_8(compiled, 1) == 0
    data = ctypes.c_void_p(library.pcre2_match_data_create_from_pattern_8(compiled, None))
    context = ctypes.c_void_p(library.pcre2_match_context_create_8(None))
    library.pcre2_set_match_limit_8(context, ctypes.c_uint32(20 * len(text) + 1000))
    found = library.pcre2_match_8(compiled, text, ctypes.c_size_t(len(text)), ctypes.c_size_t(0), 0, data, context)
    library.pcre2_match_data_free_8(data)
    library.pcre2_match_context_free_8(context)
    library.pcre2_code_free_8(compiled)
    return int(found)


def hostile(pattern: str, length: int = 1024) -> list[bytes]:
    """Return texts that are nearly what an expression wants, again and again, and do not end so."""
    words = {word for word in re.findall(r"[A-Za-z_]+", re.sub(r"\\x..|\\.|\?<\w+>", " ", pattern)) if word}
    words |= {*'aA0 =;,./-_"\\', "\xc3\xa9", "\xf0\x90\x80\x80", 'a="', '\\"'}
    pumps = {end for word in words for end in (word, f"{word}=1; ", f"{word}=", f"{word},", f"/.{word}")}
    return [(pump * length)[:length].encode("latin-1") + end for pump in sorted(pumps) for end in (b"\x01", b"x;")]


def expressions(render: Render) -> list[str]:
    """Return the expressions of a rich tree: of nginx's directives, and of the programs for njs."""
    http = render(**RICH)
    words = [word for block in http.walk() for word in (block.name, *block.args) if word.startswith("~")]
    # nginx reads an argument in quotes with its backslashes doubled or not; crossplane leaves them.
    found = {word.lstrip("~*").replace("\\\\", "\\").replace("(?<gatehouse", "(?P<gatehouse") for word in words}
    for path, text in render_files(**RICH).items():
        if path.endswith(".js"):
            found |= set(LITERAL.findall(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)))
    return sorted(found)


def test_no_expression_is_exponential(render: Render) -> None:
    judge = filter_loader.get("backtracking_regex").j2_function
    found = expressions(render)
    assert len(found) > 20
    assert [pattern for pattern in found if judge(pattern)] == []


@pytest.mark.parametrize(("jit", "length"), [(False, 1024), (True, LONGEST)], ids=["interpreted", "compiled"])
def test_no_text_makes_an_expression_give_up(render: Render, jit: bool, length: int) -> None:
    given_up = {
        (pattern, text[:20])
        for pattern in expressions(render)
        for text in hostile(pattern, length)
        if outcome(pattern, text, jit) in GIVEN_UP
    }
    assert given_up == set()


def test_such_an_expression_would_be_found() -> None:
    """The pattern of an older version, at which a visitor's cookies kept a processor busy."""
    old = r"^((_ga[^=;]*|_gid|_gat[^=;]*)=[^;]*(;\s*|$))+$"
    assert filter_loader.get("backtracking_regex").j2_function(old)
    for jit in (False, True):
        assert {outcome(old, text, jit) for text in hostile(old)} & set(GIVEN_UP)


def mapped(http: Block, source: str, made: str) -> re.Pattern[bytes]:
    """Return the one expression of a map."""
    found = [one.name for one in http.one("map", source, made).block if one.name.startswith("~")]
    assert len(found) == 1
    return re.compile(found[0].removeprefix("~").encode())


def test_what_is_no_utf8_is_found(render: Render) -> None:
    found = mapped(render(**RICH), "$http_user_agent", "$gatehouse_log_user_agent")
    edges = (
        0x41,
        0x7F,
        0x80,
        0x8F,
        0x90,
        0x9F,
        0xA0,
        0xBF,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xED,
        0xEE,
        0xF0,
        0xF1,
        0xF4,
        0xF5,
    )
    for length in range(5):
        for text in map(bytes, itertools.product(edges, repeat=length)):
            try:
                text.decode()
            except UnicodeDecodeError:
                assert found.search(text), text
            else:
                assert not found.search(text), text


def test_only_cookies_of_statistics_and_consent_go_unnoticed(render: Render) -> None:
    found = mapped(render(**RICH), "$http_cookie", "$gatehouse_cache_cookie")
    nobodys = (
        "_ga=1",
        "_ga_X1=GS1.1; _gid=2",
        "_fbp=a;_fbc=b; ",
        "cookieconsent_status=allow; __utmz=1.2",
        "_gat=1; _gat=1",
    )
    known = (
        "session=1",
        "_ga=1; session=1",
        "session=1; _ga=1",
        "_gid2=1",
        "x_ga=1",
        "_ga",
        "_ga; a=b",
        "a=_ga=1",
        "  a=b",
    )
    assert [text for text in nobodys if found.search(text.encode())] == []
    assert [text for text in known if not found.search(text.encode())] == []
