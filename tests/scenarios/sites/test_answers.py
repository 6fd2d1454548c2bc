"""What a visitor is answered beside the application's own words: headers, error pages, maintenance, compression."""

from __future__ import annotations

import json
import re

import pytest

from estate import Estate

from .conftest import Visit

APP, CLOSED, DEAD = "https://app.lab.test", "https://closed.lab.test", "https://app.lab.test/dead/"
SECURITY = {
    "strict-transport-security": ["max-age=63072000"],
    "x-content-type-options": ["nosniff"],
    "x-frame-options": ["SAMEORIGIN"],
    "referrer-policy": ["strict-origin-when-cross-origin"],
}
POLICY = ["default-src 'self'; img-src 'self' data:"]
# Of a page of ours, which loads nothing.
PAGE_POLICY = ["default-src 'none'; style-src 'unsafe-inline'"]


@pytest.mark.parametrize("path", ["/", "/?status=404", "/exact", "/files/missing", "/old/", "/limited/"])
def test_every_answer_has_each_security_header_once(visit: Visit, path: str) -> None:
    answer = visit(APP + path)
    assert {name: answer.all(name) for name in SECURITY} == SECURITY
    assert answer.all("content-security-policy") == (PAGE_POLICY if path == "/files/missing" else POLICY)
    assert len(answer.all("x-request-id")) == 1


def test_a_location_replaces_a_header_and_keeps_the_others(visit: Visit) -> None:
    answer = visit(APP + "/headers/?header=Cache-Control:public&header=X-Frame-Options:ALLOWALL")
    assert {name: answer.all(name) for name in SECURITY} == {**SECURITY, "x-frame-options": ["DENY"]}
    assert answer.all("content-security-policy") == POLICY
    assert answer.all("cache-control") == ["no-store"]


def test_what_an_application_says_of_its_own_security_is_left_as_it_is(visit: Visit) -> None:
    answer = visit(f"{APP}/?header=X-Frame-Options:DENY&header=Content-Security-Policy:default-src%20none")
    assert answer.all("x-frame-options") == ["DENY"]
    assert answer.all("content-security-policy") == ["default-src none"]
    assert answer.all("x-content-type-options") == ["nosniff"]


def test_nothing_shows_what_the_application_is_made_of(visit: Visit) -> None:
    answer = visit(APP + "/?header=X-AspNet-Version:4")
    assert answer.all("server") == ["nginx"]
    assert answer.all("x-secret") == ["1"]
    for name in ("x-powered-by", "x-runtime", "x-aspnet-version", "gatehouse-member"):
        assert answer.all(name) == []
    assert visit(APP + "/headers/").all("x-secret") == []


def test_the_application_learns_who_asks(visit: Visit, estate: Estate) -> None:
    answer = visit(APP + "/headers/", "-HProxy: http://192.0.2.1", "-HAccept-Language: de", as_="192.0.2.9")
    expected = {
        "host": "app.lab.test",
        "x-forwarded-for": "192.0.2.9",
        "x-real-ip": "192.0.2.9",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "app.lab.test",
        "x-forwarded-port": "443",
        "x-extra": 'a "b"; {c} for app.lab.test',
        "x-request-id": answer.all("x-request-id")[0],
    }
    assert answer.echo.items() >= expected.items()
    assert not {"proxy", "accept-language", "upgrade"} & set(answer.echo)


def test_a_long_header_passes_where_there_is_memory_for_it(visit: Visit) -> None:
    assert visit(APP + "/?bulk=30000").status == 502
    answer = visit(APP + "/wordy/?bulk=30000")
    assert (answer.status, len(answer.all("x-bulk")[0])) == (200, 30000)
    assert visit(APP + "/wordy/?bulk=40000").status == 502


def test_underscores_pass_but_not_in_a_header_of_the_proxys(visit: Visit) -> None:
    strange = ("-HX_Api_Key: k", "-HX_Forwarded_For: 6.6.6.6", "-HX_Real-IP: 6.6.6.6", "-HX-Extra: e", "-HX_Extra: e")
    for path in ("/", "/headers/"):
        echo = visit(APP + path, *strange, as_="192.0.2.9").echo
        assert echo["x_api_key"] == "k"
        assert "6.6.6.6" not in echo.values()
    assert "x_extra" not in echo


def test_a_balancer_that_ends_tls_is_served_in_clear(visit: Visit) -> None:
    answer = visit("http://app.lab.test/x", "-HX-Forwarded-Proto: https")
    assert (
        answer.echo.items() >= {"x-forwarded-proto": "https", "x-forwarded-port": "443", "host": "app.lab.test"}.items()
    )
    assert answer.all("strict-transport-security") == ["max-age=63072000"]
    elsewhere = visit("http://app.lab.test/x", "-HX-Forwarded-Proto: https", "-HX-Forwarded-Port: 8443").echo
    assert (elsewhere["host"], elsewhere["x-forwarded-port"]) == ("app.lab.test:8443", "8443")
    assert visit("http://app.lab.test/x", "-HX-Forwarded-Proto: http").all("location") == ["https://app.lab.test/x"]


def test_only_a_balancer_numbers_requests(visit: Visit, estate: Estate) -> None:
    given = "-HX-Request-Id: from-the-balancer-1"
    assert visit(APP + "/", given).all("x-request-id") == ["from-the-balancer-1"]
    assert re.fullmatch("[0-9a-f]{32}", visit(APP + "/", "-HX-Request-Id: a b; c").all("x-request-id")[0])
    # The controller is no balancer: neither its number counts, nor its word for the visitor's address.
    run = estate.host("backend1").run(
        f"curl -s -H 'Host: clear.lab.test' -H 'X-Request-Id: from-a-visitor-1' -H 'X-Forwarded-For: 192.0.2.9'"
        f" http://{estate.address('proxy1')}/"
    )
    seen = json.loads(run.stdout)["headers"]
    assert seen["x-forwarded-for"] == estate.address("backend1")
    assert re.fullmatch("[0-9a-f]{32}", seen["x-request-id"])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_dead_application_is_answered_with_a_page_and_the_requests_number(visit: Visit, method: str) -> None:
    answer = visit(DEAD, "-X", method, "-d", "x=1")
    assert answer.status == 502
    assert answer.all("content-type") == ["text/html"]
    assert answer.all("cache-control") == ["no-store"]
    assert answer.all("retry-after") == ["30"]
    assert "Try again" in answer.body
    assert f"<code>{answer.all('x-request-id')[0]}</code>" in answer.body
    assert "<!--#" not in answer.body
    assert {name: answer.all(name) for name in SECURITY} == SECURITY
    assert answer.all("content-security-policy") == ["default-src 'none'; style-src 'unsafe-inline'"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("application/problem+json, */*", "application/json"),
        ("text/html, application/json", "text/html"),
        ("*/*", "text/html"),
    ],
)
def test_a_program_that_asks_for_json_gets_json(visit: Visit, accept: str, kind: str) -> None:
    answer = visit(DEAD, f"-HAccept: {accept}")
    assert answer.all("content-type") == [kind]
    if kind == "application/json":
        assert answer.json()["status"] == answer.status == 502
        assert answer.json()["request_id"] == answer.all("x-request-id")[0]


def test_a_site_brings_a_page_of_its_own(visit: Visit) -> None:
    answer = visit("https://own.lab.test/")
    assert answer.status == 502
    assert f"<b>{answer.all('x-request-id')[0]}</b>" in answer.body
    assert "<title>Our own page" in answer.body


def test_an_applications_own_errors_reach_the_visitor(visit: Visit) -> None:
    answer = visit(APP + "/?status=503")
    assert (answer.status, answer.json()["method"]) == (503, "GET")


def test_nobody_fetches_an_error_page_himself(visit: Visit) -> None:
    assert visit(APP + "/.gatehouse/unavailable.html").status == 404
    assert visit(APP + "/.gatehouse/../.gatehouse/unavailable.json").status == 404


@pytest.mark.parametrize("path", ["/", "/old/", "/files/a%20b.txt", "/missing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_site_under_maintenance_says_so(visit: Visit, path: str, method: str) -> None:
    answer = visit(CLOSED + path, "-X", method, as_="192.0.2.8")
    assert (answer.status, answer.all("retry-after")) == (503, ["300"])
    assert "We are working on this site" in answer.body
    assert f"<code>{answer.all('x-request-id')[0]}</code>" in answer.body


def test_those_who_work_on_it_see_the_application(visit: Visit) -> None:
    assert visit(CLOSED + "/x", as_="192.0.2.7").json()["path"] == "/x"
    assert visit(CLOSED + "/old/", as_="192.0.2.7").status == 308


@pytest.mark.parametrize(
    ("accepts", "encoding"), [("br, gzip", ["br"]), ("gzip", ["gzip"]), ("identity", []), ("deflate", [])]
)
@pytest.mark.parametrize("proxy", ["proxy1", "proxy2"])
def test_text_is_compressed_as_the_visitor_can_read_it(
    visit: Visit, accepts: str, encoding: list[str], proxy: str
) -> None:
    options = [f"-HAccept-Encoding: {accepts}"] + (["--haproxy-protocol"] if proxy == "proxy2" else [])
    answer = visit(APP + "/?size=5000", *options, proxy=proxy)
    assert answer.status == 200
    assert answer.all("content-encoding") == encoding
    assert answer.all("vary") == ["Accept-Encoding"]


@pytest.mark.parametrize(
    "query", ["size=10", "size=5000&type=image/png", "size=5000&type=text/event-stream", "size=5000&type=font/woff2"]
)
def test_what_would_not_get_smaller_is_not_compressed(visit: Visit, query: str) -> None:
    assert visit(f"{APP}/?{query}", "-HAccept-Encoding: br, gzip").all("content-encoding") == []


def test_nothing_is_compressed_twice(visit: Visit) -> None:
    answer = visit(f"{APP}/?size=5000&header=Content-Encoding:zstd", "-HAccept-Encoding: br, gzip, zstd")
    assert answer.all("content-encoding") == ["zstd"]
    assert answer.json()["path"].startswith("/?size=5000")
