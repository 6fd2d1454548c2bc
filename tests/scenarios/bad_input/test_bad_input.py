"""Every kind of wrong value is refused with its exact words, and the proxy goes on as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from estate import Ask, Estate

from .conftest import Play, changed

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("cases.yml").read_text())
PROXY_ALONE = "molecule/bad_input/proxy.yml"
ODD = "a; b {c} \"d\" 'e' \\f #g"


@pytest.fixture(autouse=True)
def unchanged(look: Callable[[], str]) -> Iterator[None]:
    """Hold every test to leaving the proxy alone."""
    before = look()
    yield
    assert look() == before


def said(report: str) -> dict[str, str]:
    """Return {problem and remedy: place} of a report."""
    found = re.findall(r"^ +\d+\. (.+)\n     (.+)(?:\n     (-> .+))?$", report, re.MULTILINE)
    return {f"{text} {remedy}".strip(): place for text, place, remedy in found}


@pytest.mark.parametrize("group", CASES)
def test_preflight_says_what_is_wrong_where_and_what_to_write(play: Play, sound: dict[str, Any], group: str) -> None:
    values = sound
    for case in CASES[group]:
        values = changed(values, case["write"])
    status, report, output = play("site.yml", values)
    assert status != 0, output
    found = said(report)
    assert sorted(found) == sorted(text for case in CASES[group] for text in case["says"])
    assert [place for place in found.values() if not re.match(r"\S+\.yml:\d+:\d+ \(", place)] == []
    assert "Deploy the applications" not in output
    assert "Traceback" not in output
    assert "hunter2" not in output


# What reaches the proxy's own templates when somebody skips preflight: nothing gets past them either.
PAST_PREFLIGHT: list[tuple[dict[str, Any], str]] = [
    ({"proxy_sites.0.server_names.0": "shop.lab.test; return 200 x"}, "is no server name"),
    ({"proxy_sites.0.locations.0.path": "/a { return 200 x; } location /b"}, "is no path with match: prefix"),
    ({"proxy_sites.0.locations.0.request_headers.0.value": "a\nX-Evil: 1"}, "is no value of a header"),
    ({"proxy_upstreams.0.members.0.address": "10.35.0.5; server 10.35.0.6"}, "is no address of a member"),
]


@pytest.mark.parametrize(("change", "text"), PAST_PREFLIGHT, ids=lambda one: one if isinstance(one, str) else "")
def test_an_injection_does_not_get_past_the_templates(
    play: Play, sound: dict[str, Any], change: dict[str, Any], text: str
) -> None:
    status, _, output = play(PROXY_ALONE, changed(sound, change))
    assert status != 0
    assert text in output.replace("\\n", " ")


def test_what_only_nginx_can_judge_is_judged_before_it_is_live(play: Play, sound: dict[str, Any]) -> None:
    # Python's expressions know (?u), nginx's do not.
    wrong = changed(sound, {"proxy_sites.0.locations.2.path": "(?u)^/x"})
    status, message, output = play(PROXY_ALONE, wrong)
    assert status != 0, output
    assert "pcre2_compile() failed" in message
    assert 'in "(?u)^/x"' in message


def test_a_path_that_no_location_has_shows_nothing(ask: Ask) -> None:
    for path in ("", "index.html", "50x.html"):
        answer = ask(f"https://desk.lab.test/{path}")
        assert answer.status == 404
        assert "Welcome" not in answer.body


def test_characters_with_a_meaning_arrive_as_they_were_written(estate: Estate, ask: Ask) -> None:
    answer = ask("https://shop.lab.test/odd")
    assert (answer.status, answer.headers["location"]) == (302, "/new")
    assert answer.headers["x-odd"] == ODD
    assert answer.headers["content-security-policy"] == "default-src 'self'; img-src *"
    assert ask('https://shop.lab.test/ab/x;y"z').headers["location"] == "/regex"
    assert ask("https://shop.lab.test/ab/x").status in (502, 504)
    text = estate.host("proxy1").check_output("nginx -T 2>/dev/null")
    assert r'"a; b {c} \"d\" ' in text
