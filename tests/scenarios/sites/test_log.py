"""The access log: JSON whatever a visitor sends, with what happened behind the proxy, and rotated."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from estate import Estate

from .conftest import Talk, Visit

APP = "https://app.lab.test"
LOG = "/var/log/nginx/access.log"


def lines(estate: Estate, proxy: str = "proxy1") -> list[dict[str, Any]]:
    """Return the lines of the log, each of which has to be JSON in UTF-8."""
    time.sleep(0.3)  # nginx writes its buffer ten times a second
    text = estate.host(proxy).run(f"cat {LOG}").stdout_bytes
    return [json.loads(line.decode("utf-8")) for line in text.splitlines()]


def of(estate: Estate, number: str) -> dict[str, Any]:
    """Return the one line of a request."""
    found = [line for line in lines(estate) if line["request_id"] == number]
    assert len(found) == 1, number
    return found[0]


def test_a_line_says_what_happened(estate: Estate, visit: Visit) -> None:
    answer = visit(
        APP + "/members/?x=1", "-uann:open sesame", '-Aa "b" \\ c', "-ehttps://example.org/é", as_="192.0.2.9"
    )
    line = of(estate, answer.all("x-request-id")[0])
    expected = {
        "site": "app.lab.test",
        "client": "192.0.2.9",
        "user": "ann",
        "method": "GET",
        "host": "app.lab.test",
        "uri": "/members/?x=1",
        "protocol": "HTTP/2.0",
        "status": "200",
        "upstream": "10.36.0.101:8080",
        "upstream_status": "200",
        "cache": "",
        "tls": "TLSv1.3",
        "referer": "https://example.org/é",
        "user_agent": 'a "b" \\ c',
    }
    assert line.items() >= expected.items()
    assert isinstance(line["bytes"], int)
    assert isinstance(line["seconds"], (int, float))
    assert float(line["upstream_seconds"]) <= line["seconds"] + 0.01


def test_a_failed_post_is_logged_as_what_it_was(estate: Estate, visit: Visit) -> None:
    line = of(estate, visit(APP + "/dead/", "-d", "x").all("x-request-id")[0])
    assert (line["method"], line["uri"], line["status"]) == ("POST", "/dead/", "502")


def test_no_byte_of_a_visitor_breaks_a_line(estate: Estate, talk: Callable[..., Talk]) -> None:
    hostile = [
        b'"}',
        b"\\",
        b"\x01\x1f\x7f",
        b"\xff\xfe",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        "ü\u2028😀".encode(),
        b"%22$host",
    ]
    requests = b"".join(
        b"GET /hostile/%d?%s HTTP/1.1\r\nHost: app.lab.test\r\nUser-Agent: %s\r\nReferer: %s\r\n"
        b"Authorization: Basic //86eA==\r\n\r\n"
        # A Referer with control characters is refused, and the connection ends.
        % (number, data if data.isalnum() or data[0] > 127 else b"x", data, data if data[0] > 31 else b"x")
        for number, data in enumerate(hostile)
    )
    anonymous = "GET /anonymous HTTP/1.1\r\nHost: app.lab.test\r\nUser-Agent: ü\r\n\r\n".encode()
    talk((0, requests + anonymous), (2, b"GARBAGE \xff\r\n\r\n"), name="app.lab.test", until=6)
    agents = {line["user_agent"] for line in lines(estate) if line["user"] == "(not UTF-8)"}
    assert agents == {'"}', "\\", "\x01\x1f\x7f", "(not UTF-8)", "ü\u2028😀", "%22$host"}
    [line] = [line for line in lines(estate) if line["uri"] == "/anonymous"]
    assert (line["user"], line["referer"], line["user_agent"]) == ("", "", "ü")


def test_a_quiet_site_leaves_no_line(estate: Estate, visit: Visit) -> None:
    assert visit("https://quiet.lab.test/hushed").status == 200
    assert visit(APP + "/heard").status == 200
    uris = [line["uri"] for line in lines(estate)]
    assert "/heard" in uris
    assert "/hushed" not in uris


def test_the_logs_are_rotated(estate: Estate, visit: Visit) -> None:
    for proxy, options in (("proxy1", ()), ("proxy2", ("--haproxy-protocol",))):
        host = estate.host(proxy)
        assert host.check_output("systemctl is-enabled logrotate.timer") == "enabled"
        assert visit(APP + "/before", *options, proxy=proxy).status == 200
        host.check_output("logrotate --force /etc/logrotate.d/nginx")
        assert visit(APP + "/after", *options, proxy=proxy).status == 200
        assert [line["uri"] for line in lines(estate, proxy)] == ["/after"]
        found = host.file(LOG)
        assert (found.user, found.mode & 0o007) == ("www-data", 0)
        assert '"uri":"/before"' in host.check_output(f"cat {LOG}.1")
