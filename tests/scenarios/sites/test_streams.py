"""Connections that are not one request and one answer: upgrades, events, gRPC, and clients that take their time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from estate import Estate

from .conftest import Talk, Visit, parse

Converse = Callable[..., Talk]
NAME = "app.lab.test"
TIMEOUT = 2  # proxy_client_timeout
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"


def request(path: str, *headers: str) -> bytes:
    """Return a GET of HTTP/1.1 that ends its connection, unless a header says otherwise."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {NAME}", *headers]
    if not any(header.lower().startswith("connection") for header in headers):
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("protocol", ["websocket", "WebSocket"])
def test_a_websocket_is_opened_where_it_may_be(talk: Converse, protocol: str) -> None:
    found = talk(
        (0, request("/ws/", f"Upgrade: {protocol}", "Connection: Upgrade", KEY)),
        (1, b"\x81\x05hello"),
        name=NAME,
    )
    head, _, rest = found.data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, 1.3
    assert rest == b"\x81\x05hello"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", ("Upgrade: websocket", "Connection: Upgrade", KEY)),
        ("/ws/", ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")),
        ("/", ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")),
        ("/ws/", ("Upgrade: websocket, h2c", "Connection: Upgrade")),
        ("/ws/", ("Upgrade: h2c", "Upgrade: websocket", "Connection: Upgrade")),
        ("/ws/", ("Upgrade: TLS/1.0", "Connection: Upgrade")),
        ("/ws/", ("Upgrade: h2c\twebsocket", "Connection: Upgrade")),
    ],
)
def test_no_other_upgrade_reaches_an_application(talk: Converse, path: str, headers: tuple[str, ...]) -> None:
    found = talk((0, request(path, *headers)), name=NAME, quiet=1)
    assert b" 101 " not in found.data
    answer = parse(0, found.data.decode())
    if answer.status == 200:
        assert "upgrade" not in found.data.partition(b"\r\n\r\n")[2].decode()
    else:
        assert answer.status == 400  # nginx itself refuses two of the same header


def test_the_first_event_arrives_before_the_last_is_sent(talk: Converse) -> None:
    found = talk((0, request("/events/", "Accept-Encoding: gzip, br")), name=NAME, until=6)
    arrivals = [moment for moment, data in found.pieces if b"data: " in data]
    assert len(arrivals) == 3
    assert arrivals[0] < 1
    assert arrivals[2] - arrivals[0] > 1.5


def test_grpc_reaches_its_server_and_its_trailer_comes_back(visit: Visit) -> None:
    options = ("--http2", "-HContent-Type: application/grpc", "-HTE: trailers", "--data-binary", "0000")
    answer = visit(f"https://{NAME}/echo.Echo/Say", *options)
    number = answer.all("x-request-id")[0]
    assert answer.status == 200
    assert answer.body.startswith(f"POST /echo.Echo/Say HTTP/2.0 trailers {number} {NAME}\n")
    assert "grpc-status: 0" in answer.body
    assert answer.all("x-powered-by") == []


@pytest.mark.parametrize("name", ["", NAME])
def test_a_client_with_a_slow_header_is_let_go(talk: Converse, name: str) -> None:
    lines = [(0.0, b"GET / HTTP/1.1\r\nHost: app.lab.test\r\n")]
    found = talk(*lines, *[(number * 0.5, b"X-Slow: 1\r\n") for number in range(1, 20)], name=name, until=9)
    assert found.closed is not None
    assert TIMEOUT - 1 < found.closed < TIMEOUT + 3
    assert b"200" not in found.data


def test_a_client_that_sends_nothing_is_let_go(talk: Converse) -> None:
    found = talk(until=9)
    assert found.closed is not None
    assert found.closed < TIMEOUT + 3


def test_a_client_that_stops_in_its_body_is_let_go(talk: Converse) -> None:
    found = talk((0, request("/", "Content-Length: 100") + b"begun"), name=NAME, until=9)
    assert found.closed is not None
    assert found.closed < TIMEOUT + 3
    assert b"HTTP/1.1 200" not in found.data


def test_a_client_that_goes_on_is_waited_for(talk: Converse) -> None:
    pieces = [(float(moment), b"x") for moment in range(1, 5)]
    found = talk((0.0, request("/", "Content-Length: 4")), *pieces, name=NAME, until=9)
    assert found.data.startswith(b"HTTP/1.1 200 ")
    assert b'"received": 4' in found.data


def test_the_proxy_protocol_says_who_asks(estate: Estate, visit: Visit) -> None:
    ask = ("--haproxy-clientip", "192.0.2.9", "-HX-Forwarded-For: 203.0.113.9", "-HX-Request-Id: from-a-visitor-1")
    for scheme in ("http://clear.lab.test/", "https://app.lab.test/"):
        answer = visit(scheme, *ask, proxy="proxy2")
        assert answer.echo["x-forwarded-for"] == answer.echo["x-real-ip"] == "192.0.2.9"
        assert answer.echo["x-request-id"] != "from-a-visitor-1"
        assert visit(scheme, proxy="proxy2").code != 0
    assert visit("https://app.lab.test/outside/", "--haproxy-clientip", "192.0.2.9", proxy="proxy2").status == 403
    # Only the balancer's word counts, though anybody may speak the protocol.
    run = estate.host("backend1").run(
        "curl -s --haproxy-clientip 192.0.2.9 -H 'Host: clear.lab.test' http://%s/", estate.address("proxy2")
    )
    assert estate.address("backend1") in run.stdout
    assert "192.0.2.9" not in run.stdout
