"""What the command line asks of the logs, and the lines of all hosts as one list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.answers import FOREIGN

NOW = "2026-11-29T10:30:00+01:00"
Filters = Callable[[str], Callable[..., Any]]


@pytest.fixture(autouse=True)
def berlin(in_zone: Callable[[str], None]) -> None:
    in_zone("CET-1")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("-10m", "2026-11-29T10:20:00+01:00"),
        ("2h", "2026-11-29T08:30:00+01:00"),
        ("-1d", "2026-11-28T10:30:00+01:00"),
        ("02:00", "2026-11-29T02:00:00+01:00"),
        ("23:15:30", "2026-11-28T23:15:30+01:00"),
        ("2026-11-29", "2026-11-29T00:00:00+01:00"),
        ("2026-11-29 02:00", "2026-11-29T02:00:00+01:00"),
        ("2026-11-29T02:00:00Z", "2026-11-29T03:00:00+01:00"),
    ],
)
def test_a_time_is_read(filters: Filters, text: str, moment: str) -> None:
    found = filters("log_query")({"since": text}, NOW)
    assert found["problems"] == []
    assert found["since"] == datetime.fromisoformat(moment).timestamp()
    assert found["until"] == datetime.fromisoformat(NOW).timestamp()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"since": "gestern"}, "-e since=gestern is no time; write -10m, -2h, 02:00, 2026-11-29 or 2026-11-29T02:00"),
        ({"since": "25:00"}, "-e since=25:00 is no time; "),
        ({"until": "-10x"}, "-e until=-10x is no time; "),
        ({"since": "-1h", "until": "-2h"}, "-e since=-1h is not before -e until=-2h; nothing was logged in between"),
        ({"lines": "0"}, "-e lines=0 is no number of lines; write one from 1 to 100000"),
        ({"lines": "many"}, "-e lines=many is no number of lines; "),
        ({"grep": "("}, "-e grep=( is no regular expression (missing ), unterminated subpattern at position 0); "),
        ({"request": "a b"}, "-e request=a b is no id of a request; copy it from an error page or from X-Request-Id"),
    ],
)
def test_what_cannot_be_read_is_named(filters: Filters, options: dict[str, str], problem: str) -> None:
    [found] = filters("log_query")(options, NOW)["problems"]
    assert found.startswith(problem)


def test_all_mistakes_are_named_at_once(filters: Filters) -> None:
    assert (
        len(
            filters("log_query")({"since": "x", "until": "y", "lines": "z", "grep": "[", "request": "?"}, NOW)[
                "problems"
            ]
        )
        == 5
    )


def test_a_request_is_looked_for_in_a_whole_day(filters: Filters) -> None:
    found = filters("log_query")({"request": "0123456789abcdef"}, NOW)
    assert found["until"] - found["since"] == 86400


def test_lines_are_merged_by_time_and_made_harmless(filters: Filters) -> None:
    hosts = {
        "proxy1": {
            "entries": [[1.5, "access", "200 GET /\x1b[2J", False, False], [3.0, "error", "[error] x", False, True]]
        },
        "web10": {"entries": [[2.0, "shop", "line\none", True, False]]},
        "web11": {"unreachable": True, "msg": "over ssh: no route"},
    }
    assert filters("log_lines")(hosts) == [
        r"1970-01-01T01:00:01.500+01:00 proxy1 access 200 GET /\x1b[2J",
        r"1970-01-01T01:00:02.000+01:00 web10  shop   ~ line\x0aone",
        r"1970-01-01T01:00:03+01:00     proxy1 error  [error] x",
    ]


def test_remarks_say_what_is_not_there(filters: Filters) -> None:
    hosts = {
        "web1": {"entries": [[1.5, "shop", "x", False, False]], "cut": True, "clock_offset": -90.0},
        "web2": {"entries": [], "clock_offset": 0.9},
        "web3": {
            "unreachable": True,
            "msg": "Task failed: lost. Make sure this host can be reached over ssh: no\nroute",
        },
    }
    assert filters("log_remarks")(hosts, {"since": 0, "until": 9}) == [
        "web1: there are more lines than these, which are from 1970-01-01T01:00:01.500+01:00 on; "
        "narrow -e since, -e until or -e grep, or raise -e lines",
        "web1: its clock is 90 s behind or more, and so are the times of its lines",
        "web3: no lines, it cannot be reached: no route",
    ]
    nothing = "nothing between 1970-01-01T01:00:00.000+01:00 and 1970-01-01T01:00:09.000+01:00"
    assert filters("log_remarks")({"web2": {"entries": []}}, {"since": 0, "until": 9}) == [nothing]


@pytest.mark.parametrize(
    "lie",
    [
        {"entries": [[1e300, "shop", "x", False, False]]},
        {"entries": [[float("nan"), "shop", "x", False, False]]},
        {"entries": [["now", "shop", "x", False, False]]},
        {"entries": [[1.5, "shop", "x"]]},
        {"entries": [[1.5, None, "x", False, False]]},
        {"entries": 5},
        {"entries": [], "clock_offset": "fast"},
        {"entries": [], "clock_offset": float("inf")},
    ],
)
def test_a_host_that_lies_keeps_nobodys_lines_back(filters: Filters, lie: dict[str, Any]) -> None:
    hosts = {"web1": lie, "web2": {"entries": [[2.0, "shop", "well", False, False]]}}
    assert [line.split()[-1] for line in filters("log_lines")(hosts)] == ["well"]
    assert filters("log_remarks")(hosts, {"since": 0, "until": 9}) == [f"web1: no lines, {FOREIGN}"]


def test_a_proxy_that_lies_sends_no_host_through_all_its_logs(filters: Filters) -> None:
    true = {"since": 5.0, "until": 8.0, "method": "GET", "uri": "/", "upstream": "10.0.0.1:443", "connection": "7"}
    lies: list[Any] = [
        {**true, "since": "x"}, {**true, "until": 1e300}, {**true, "until": -1.0}, {**true, "until": 99999.0}, 5,
        {"since": 5.0}, {**true, "since": 9.0},
    ]  # fmt: skip
    said: dict[str, Any] = {f"proxy{number}": {"requests": [lie]} for number, lie in enumerate(lies)}
    said |= {"honest": {"requests": [{**true, "more": 1}] * 50}, "away": {"unreachable": True}}
    assert filters("log_requests")(said, {"since": 0.0, "until": 10.0}) == [true] * 20


def test_an_application_has_members_and_sites(filters: Filters) -> None:
    pools = [
        {
            "name": "shop",
            "members": [{"name": "a", "address": "fd00::1", "port": 443}, {"name": "b", "address": "unix:/s"}],
        },
        {"name": "desk", "members": [{"name": "c", "address": "10.0.0.3", "port": 443}]},
    ]
    sites = [
        {
            "name": "one",
            "server_names": ["shop.test", "www.shop.test"],
            "locations": [{"path": "/", "upstream": "shop"}],
        },
        {"name": "two", "server_names": ["desk.test"], "locations": [{"path": "/", "upstream": "desk"}]},
    ]
    assert filters("log_selection")("", pools, sites) == {}
    assert filters("log_selection")("shop", pools, sites) == {
        "upstreams": ["shop"],
        "names": ["shop.test", "www.shop.test"],
        "endpoints": ["[fd00::1]:443", "unix:/s"],
    }


def test_applications_are_those_of_the_machine(filters: Filters) -> None:
    def of(name: str, port: int, standby: int) -> dict[str, Any]:
        return {"app_name": name, "endpoint_application": {"port": port, "app_port": 5000, "standby_port": standby}}

    hosts = {"web1.shop": of("shop", 443, 25000), "web1.desk": of("desk", 15000, 0)}
    assert filters("log_applications")(list(hosts), hosts) == {"shop": [443, 5000, 25000], "desk": [15000, 5000]}
    assert filters("log_applications")(list(hosts), hosts, "desk") == {"desk": [15000, 5000]}
