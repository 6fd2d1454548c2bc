"""Who has no business on a site does not get in, whichever way they come."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import pytest
import yaml

from estate import ROOT, Estate

from .conftest import PROXIES, Stranger

EACH = pytest.mark.parametrize("proxy", PROXIES)
SPEC = yaml.safe_load((ROOT / "roles/proxy/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
SCHEMES = ("redirect", "serve", "refuse", "clear")
REFUSED = {"password": {401}, "networks": {403}, "required": {400, 403}, "names": {403}}
# What answers: an upstream, files, an upstream that is dead, a cache, a script that is dead, and nobody.
PATHS = ("/", "/files/a.txt", "/dead", "/pages/", "/app/logo.txt", "/app/x", "/nobody/../files/a.txt", "//files//a.txt")
# What is for nobody, or for everybody.
ODD = ("/.gatehouse/unavailable.html", "/.well-known/acme-challenge/x")
INSIDE = '"inside": true'


def ways(proxy: str, site: str, paths: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return every way to ask a site: in plaintext and not, in each version of HTTP."""
    versions = ("--http1.1", "--http2") + (("--http3-only",) if proxy == "proxy1" else ())
    asked: list[tuple[str, ...]] = [(f"http://{site}.test{path}", "--http1.1") for path in paths]
    return asked + [(f"https://{site}.test{path}", version) for path, version in itertools.product(paths, versions)]


@EACH
@pytest.mark.parametrize("guard", REFUSED)
def test_a_stranger_comes_in_by_no_way(stranger: Stranger, proxy: str, guard: str) -> None:
    asked = []
    for scheme in SCHEMES if guard in ("password", "networks") else SCHEMES[:-1]:
        asked += ways(proxy, f"{guard}-{scheme}", PATHS + ODD if scheme == "serve" else PATHS[:3] + ODD)
    answers = stranger.ask(proxy, *asked)
    refused = Counter[str]()
    for request, answer in zip(asked, answers, strict=True):
        assert INSIDE not in answer.body, request
        # 0: closed, 308: to HTTPS, 400: by the default server, 404: an internal path.
        assert answer.status in REFUSED[guard] | {0, 308, 400, 404}, (request, answer.status)
        refused[request[1]] += answer.status in REFUSED[guard]
    assert all(refused[version] > 2 for version in {request[1] for request in asked}), refused


@EACH
def test_who_may_comes_in(stranger: Stranger, proxy: str) -> None:
    certificate = ("--cert", "/srv/visitors-b/good.pem")
    answers = stranger.ask(
        proxy,
        ("https://open-redirect.test/files/a.txt",), ("http://open-serve.test/",), ("http://open-clear.test/app/logo.txt",),
        ("https://password-redirect.test/", "-u", "ann:right"), ("https://required-redirect.test/", *certificate),
        ("https://guests-serve.test/",), ("http://guests-serve.test/",), ("https://guests-serve.test/", *certificate),
        ("https://password-redirect.test/", "-u", "ann:wrong"), ("https://names-redirect.test/", *certificate),
        ("https://required-redirect.test/", "--cert", "/srv/visitors-a/good.pem"),
    )  # fmt: skip
    assert [answer.status for answer in answers] == [200] * 8 + [401, 403, 400]
    assert [INSIDE in answer.body for answer in answers] == [True] * 8 + [False] * 3


@EACH
def test_an_expression_guards_whatever_the_case_of_letters(stranger: Stranger, proxy: str) -> None:
    paths = ("/admin", "/Admin/x", "/ADMIN", "/%41dmin/", "/a/../aDmin")
    answers = stranger.ask(proxy, *((f"http://open-serve.test{path}",) for path in paths))
    assert [answer.status for answer in answers] == [403] * len(paths)


@EACH
def test_only_a_name_in_the_handshake_opens_a_site(stranger: Stranger, proxy: str) -> None:
    found = stranger.strange("names", stranger.address(proxy), "/srv")
    statuses = {(name, host): status for name, host, _, status in found}
    welcome = [("", "catch.test"), ("catch.test", "catch.test"), ("required-redirect.test", "required-redirect.test")]
    assert [statuses.pop(pair) for pair in welcome] == [200, 200, 200]
    # The default server asks everybody for a certificate of its own authority.
    assert statuses.pop(("", "open-redirect.test")) == 200
    assert {pair: status for pair, status in statuses.items() if status not in (400, 421)} == {}


@EACH
def test_no_claim_of_a_visitor_reaches_an_application(stranger: Stranger, proxy: str) -> None:
    names = SPEC["proxy_passed_headers"]["choices"]
    forged = [word for name in [*names, "X-Forwarded-For", "X-Client-DN"] for word in ("-H", f"{name}: forged")]
    urls = (
        "http://open-serve.test/",
        "https://open-serve.test/",
        "https://password-redirect.test/",
        "http://open-serve.test/pages/",
    )
    for answer in stranger.ask(proxy, *((url, *forged, "-u", "ann:right") for url in urls)):
        headers = json.loads(answer.body)
        assert headers["inside"] is True
        assert [name for name, value in headers.items() if "forged" in str(value)] == []


@EACH
def test_an_application_chooses_no_other_answer(stranger: Stranger, proxy: str) -> None:
    targets = ("/files/a.txt", "/.gatehouse/unavailable.html", "/pages/")
    answers = stranger.ask(proxy, *((f"http://open-serve.test/?accel={target}",) for target in targets))
    assert [json.loads(answer.body)["host"] for answer in answers] == ["open-serve.test"] * 3
    assert not [
        answer for answer in answers if "x-accel-redirect" in answer.headers or "cache-status" in answer.headers
    ]


@EACH
def test_no_planted_link_is_followed(stranger: Stranger, proxy: str) -> None:
    own = ("/app/logo.txt", "/app/uploads/kept.txt", "/files/a.txt")
    planted = ("/app/uploads/planted.txt", "/app/uploads/folder/words.txt", "/files/planted.txt")
    answers = stranger.ask(proxy, *((f"http://open-serve.test{path}",) for path in own + planted))
    assert [INSIDE in answer.body for answer in answers] == [True] * 3 + [False] * 3
    assert [answer.status for answer in answers[:3]] == [200] * 3


@EACH
def test_no_cookie_keeps_a_proxy_busy_or_reaches_its_log(estate: Estate, stranger: Stranger, proxy: str) -> None:
    seconds = stranger.strange("cookies", stranger.address(proxy), "open-serve.test", "100")
    stranger.ask(proxy, ("http://open-serve.test/dead", "-H", "Cookie: secret=words"))
    log = estate.host(proxy).check_output("cat /var/log/nginx/error.log")
    assert "connect() failed" in log
    assert "_gat=1" not in log
    assert "secret=words" not in log
    assert seconds < 2


@EACH
def test_no_control_character_reaches_the_error_log(estate: Estate, stranger: Stranger, proxy: str) -> None:
    body = ("-X", "POST", "-H", "Content-Length: 99999999")
    answers = stranger.ask(
        proxy,
        ("http://open-serve.test/", *body, "-H", "Referer: \x1b]0;own\x07"),
        ("http://open-serve.test/dead", "-H", "Referer: \xc2\x9b31m"),
        ("http://open-serve.test/", *body, "-H", "Referer: http://honest.test/"),
    )
    assert [answer.status for answer in answers] == [400, 400, 413]
    log = estate.host(proxy).check_output("cat /var/log/nginx/error.log")
    assert "http://honest.test/" in log
    assert "\x1b" not in log
    assert "\x9b" not in log


def test_one_address_has_no_more_than_its_share(stranger: Stranger) -> None:
    found = stranger.strange("websockets", stranger.address("proxy2"), "open-serve.test", "8")
    assert sorted(found) == [101] * 5 + [429] * 3
    many = f"bytes={','.join(['0-0'] * 17)}"
    few = f"bytes={','.join(['0-0'] * 16)}"
    answers = stranger.ask(
        "proxy1", *(("http://open-serve.test/files/a.txt", "-H", f"Range: {words}") for words in (few, many))
    )
    assert [answer.status for answer in answers] == [206, 200]
