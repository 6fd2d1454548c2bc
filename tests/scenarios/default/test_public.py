"""What a visitor is promised, asked from a client outside the private network."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
import uuid

import pytest

from estate import ROOT, Ask, Estate

SITES = {"storefront": "https://storefront.lab.test", "dashboard": "https://dashboard.lab.test"}
SITE_APPS = pytest.mark.parametrize("app", sorted(SITES))


@SITE_APPS
def test_the_page_is_served_over_https_that_validates(ask: Ask, app: str) -> None:
    answer = ask(f"{SITES[app]}/")
    assert (answer.code, answer.status) == (0, 200)
    assert "<!doctype html>" in answer.body.lower()


@SITE_APPS
def test_every_member_answers_and_says_its_release(ask: Ask, estate: Estate, app: str) -> None:
    answers = [json.loads(ask(f"{SITES[app]}/api/whoami").body) for _ in range(15)]
    assert {answer["host"] for answer in answers} == set(estate.group(app))
    assert len({answer["release"] for answer in answers}) == 1


def test_the_curl_lines_that_make_lab_prints_work(estate: Estate) -> None:
    printed = (estate.state / "urls.txt").read_text()
    lines = [shlex.split(line) for line in printed.splitlines() if line.strip().startswith("curl ")]
    assert len(lines) == len(SITES)
    for line in lines:
        page = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
        assert "<!doctype html>" in page.lower()


def test_http_is_redirected_with_path_and_query(ask: Ask) -> None:
    answer = ask("http://storefront.lab.test/basket?item=1")
    assert answer.status == 308
    assert answer.headers["location"] == "https://storefront.lab.test/basket?item=1"


def test_an_unknown_name_gets_neither_a_handshake_nor_an_answer(ask: Ask) -> None:
    refused_handshake, reset = 35, 56
    assert ask("https://unknown.lab.test/").code == refused_handshake
    assert ask("http://unknown.lab.test/").code == reset
    # A name of one site in the handshake and an unknown one in the request.
    answer = ask("https://storefront.lab.test/", "-H", "Host: unknown.lab.test", "--http1.1")
    assert (answer.code, answer.status) == (reset, 0)


def test_old_tls_is_refused(ask: Ask) -> None:
    assert ask("https://storefront.lab.test/", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0").code == 35
    assert ask("https://storefront.lab.test/", "--tls-max", "1.2").status == 200


def test_an_asset_comes_from_the_cache_the_second_time(ask: Ask) -> None:
    page = ask(f"{SITES['storefront']}/").body
    asset = next(part.split('"')[0] for part in page.split('href="')[1:] if part.startswith("/static/"))
    url = f"{SITES['storefront']}{asset.split('?')[0]}?fresh={uuid.uuid4().hex}"
    assert [ask(url).headers.get("x-cache-status") for _ in range(3)] == ["MISS", "HIT", "HIT"]


def test_an_asset_says_itself_that_it_is_for_all_so_credentials_do_not_matter(ask: Ask) -> None:
    page = ask(f"{SITES['storefront']}/").body
    asset = next(part.split('"')[0] for part in page.split('href="')[1:] if part.startswith("/static/"))
    url = f"{SITES['storefront']}{asset.split('?')[0]}?fresh={uuid.uuid4().hex}"
    first = ask(url, "-H", "Authorization: Basic eDp5")
    assert "public" in first.headers["cache-control"]
    assert [first.headers.get("x-cache-status"), ask(url).headers.get("x-cache-status")] == ["MISS", "HIT"]


def test_an_answer_for_one_visitor_is_never_kept(ask: Ask) -> None:
    assert [ask(f"{SITES['storefront']}/api/whoami").headers.get("x-cache-status") for _ in range(3)] == [None] * 3


def test_websocket_is_upgraded_and_h2c_is_not(ask: Ask) -> None:
    url = f"{SITES['dashboard']}/live"
    upgrade = ("--http1.1", "-H", "Connection: Upgrade", "-H", "Sec-WebSocket-Version: 13",
               "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
    answer = ask(url, *upgrade, "-H", "Upgrade: websocket", "--max-time", "3")
    assert answer.status == 101
    assert '"host"' in answer.body
    assert ask(url, *upgrade, "-H", "Upgrade: h2c", "--max-time", "3").status != 101
    assert ask(f"{SITES['dashboard']}/", *upgrade, "-H", "Upgrade: websocket").status == 200


def test_a_stranger_does_not_see_which_member_answered(ask: Ask) -> None:
    headers = ask(f"{SITES['storefront']}/api/whoami", "-H", "Gatehouse-Trace: 1").headers
    assert "gatehouse-member" not in headers
    assert "x-powered-by" not in headers
    assert headers["server"] == "nginx"


def test_visitors_notice_nothing_of_a_dead_member_and_it_comes_back(ask: Ask, estate: Estate) -> None:
    url = f"{SITES['storefront']}/api/whoami"
    estate.podman("stop", "storefront1")
    try:
        answers = [ask(url) for _ in range(12)]
        assert [answer.status for answer in answers] == [200] * 12
        assert {json.loads(answer.body)["host"] for answer in answers} == {"storefront2", "storefront3"}
    finally:
        estate.podman("start", "storefront1")
    # It comes back by itself: the firewall and the application are there after a boot, and nginx tries it again.
    deadline = time.monotonic() + 60
    while "storefront1" not in {json.loads(ask(url).body)["host"] for _ in range(4)}:
        assert time.monotonic() < deadline, "storefront1 did not answer within 60 s after it was started again"
        time.sleep(1)
