"""The document of status.yml and its table, from what was read of two proxies and three hosts."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.answers import FOREIGN

Filters = Callable[[str], Callable[..., Any]]

UPSTREAMS = [
    {
        "name": "shop",
        "members": [{"name": f"shop{n}", "address": f"10.0.0.{n}", "port": 443, "state": "up"} for n in (1, 2, 3)],
    }
]
SITES = [
    {
        "name": "shop",
        "server_names": ["shop.test", "www.shop.test"],
        "locations": [{"path": "/", "upstream": "shop"}, {"path": "/x", "upstream": "shop"}, {"path": "/y"}],
    }
]
UNREACHABLE = {
    "unreachable": True,
    "msg": 'Task failed: no data. Make sure it can be reached over ssh: ssh: No\nroute "x"',
}
NOTE = {"by": "anna", "since": "2026-11-28T09:00:00+00:00", "kind": "maintenance", "reason": "new \x1b[31mmemory"}


def certificate(**more: Any) -> dict[str, Any]:
    usual = {"name": "shop", "end": "2027-02-20", "days_left": 83, "issuer": "A CA", "revoked": False}
    return {"certificates": [{**usual, "key_matches": True, **more}], "missing": []}


def proxy(*members: tuple[int, int, str], words: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Return what was read of a proxy: of each member (status, ms, problem), and the words of its `server`."""
    servers = {f"10.0.0.{n}:443": (words or {}).get(f"shop{n}", "") for n in (1, 2, 3)}
    answers = [
        {"member": f"shop{n}", "upstream": "shop", "status": status, "ms": ms, "problem": problem}
        for n, (status, ms, problem) in enumerate(members, 1)
    ]
    status = {"state": "active", "started": 1e9, "version": "0001-a", "serves": "0001-a", "since": 1e9}
    return {
        "__proxy_status": {**status, "upstreams": {"shop": servers}, **more},
        "__rollout_report": {"members": answers},
        "__certificate_state": certificate(),
    }


def host(*units: dict[str, Any], release: str = "1.0-aaaaaaaa") -> dict[str, Any]:
    usual = {"unit": "shop.service", "state": "active", "substate": "running", "result": "success", "restarts": 0}
    shown = [{**usual, "since": 1e9, "next": 0.0, **unit} for unit in units or ({},)]
    gate = {"path": "/up", "status": 200, "body": "", "host": "shop.test"}
    return {"__app_status": {"release": release, "since": 1e9, "gate": gate, "units": shown}}


GOOD = (200, 3, "")


@pytest.fixture(autouse=True)
def utc(in_zone: Callable[[str], None]) -> None:
    in_zone("UTC")


@pytest.fixture
def document(filters: Filters) -> Callable[..., dict[str, Any]]:
    """Return a function that makes the document of an estate in which all is well, but for what it is given."""

    def make(
        notes: Any = None, app: str = "", locks: Any = (), upstreams: Any = UPSTREAMS, **hosts: Any
    ) -> dict[str, Any]:
        usual = {"proxy1": proxy(GOOD, GOOD, GOOD), "proxy2": proxy(GOOD, GOOD, GOOD)}
        usual |= {f"shop{n}": host() for n in (1, 2, 3)}
        about = {
            "environment": "prod", "app": app, "apps": {"shop": ["shop1", "shop2", "shop3"]},
            "proxies": ["proxy1", "proxy2"], "notes": notes or {}, "locks": list(locks), "min_days": 7,
        }  # fmt: skip
        return dict(filters("environment_status")(upstreams, SITES, {**usual, **hosts}, about))

    return make


@pytest.fixture
def table(filters: Filters) -> Callable[[dict[str, Any]], list[str]]:
    def lines(found: dict[str, Any]) -> list[str]:
        laid = filters("status_table")(found, 7)
        assert [line["text"] for line in laid if len(line["text"]) > 100] == []
        return [line["text"] for line in laid]

    return lines


def rows(found: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return of each member what each proxy sees."""
    [upstream] = found["upstreams"]
    return {one["name"]: [(seen["proxy"], seen["state"]) for seen in one["proxies"]] for one in upstream["members"]}


def test_where_all_is_well_there_is_one_row_for_each(document: Any, table: Any) -> None:
    found = document()
    assert found["problems"] == []
    assert found["sites"][0]["upstreams"] == ["shop"]
    lines = table(found)
    assert lines[-1] == "3 members: 3 in; nothing to look at"
    [row] = [line for line in lines if line.startswith("  shop1")]
    assert row.split() == ["shop1", "in", "all", "200", "in", "3", "ms", "1.0-aaaaaaaa", "2001-09-09", "01:46"]
    assert json.loads(json.dumps(found)) == found


def test_a_member_is_shown_as_each_proxy_sees_it(document: Any, table: Any) -> None:
    bad = (0, 5, "Connection refused")
    found = document(
        proxy2=proxy(GOOD, bad, GOOD),
        shop2=host({"state": "failed", "substate": "failed", "result": "exit-code", "restarts": 4}),
    )
    assert rows(found)["shop2"] == [("proxy1", "in"), ("proxy2", "out")]
    assert found["problems"] == [
        "shop2 is out on proxy2: Connection refused",
        "shop2: shop.service is failed (exit-code), started again 4 times",
    ]
    lines = table(found)
    place = next(place for place, line in enumerate(lines) if line.startswith("  shop2"))
    assert lines[place].split()[:3] == ["shop2", "in", "proxy1"]
    assert lines[place + 1].split() == ["out", "proxy2", "none", "after", "5", "ms"]
    assert lines[place + 2] == "      proxy2: Connection refused"
    assert "shop.service is failed (exit-code), started again 4 times since 2001-09-09" in lines[place + 3]
    assert lines[-1] == "3 members: 2 in, 1 out; 2 problems"


def lies(answer: Any) -> Iterator[Any]:
    """Yield an answer with each value of it in turn replaced by what no module of ours returns."""
    keys = list(answer) if isinstance(answer, dict) else range(len(answer)) if isinstance(answer, list) else ()
    for key in keys:
        for lie in (*lies(answer[key]), 5, "x", ["x"], {}, 1e300, float("nan"), True):
            changed = copy.copy(answer)
            changed[key] = lie
            yield changed


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("proxy1", "__proxy_status"), ("proxy1", "__rollout_report"), ("proxy1", "__certificate_state"),
        ("shop2", "__app_status"),
    ],
)  # fmt: skip
def test_a_host_that_lies_is_a_row_like_the_others(document: Any, table: Any, name: str, key: str) -> None:
    honest = proxy(GOOD, GOOD, GOOD) if name == "proxy1" else host()
    answers = list(lies(honest[key]))
    assert len(answers) > 10
    for lie in answers:
        found = document(**{name: {**honest, key: lie}})
        assert json.loads(json.dumps(found)) == found
        assert table(found)[-1].startswith("3 members: ")
        assert all(one["reachable"] for one in found["proxies"] if one["name"] != name)


def test_an_answer_that_is_none_is_named(document: Any, table: Any) -> None:
    lie = host()
    lie["__app_status"]["since"] = 1e300
    found = document(shop2=lie)
    assert found["problems"] == [f"shop2: {FOREIGN}"]
    assert any(FOREIGN[:60] in line for line in table(found))


def test_a_page_that_a_host_names_is_a_path(filters: Filters) -> None:
    endpoints = [{"member": "shop1", "upstream": "shop"}]
    for path in ("/up", "x", "/\r\nX: y", "/\u00e9", 5, "http://elsewhere/"):
        said = host()
        said["__app_status"]["gate"]["path"] = path
        [found] = filters("gated_endpoints")(endpoints, {"shop": ["shop1"]}, {"shop1": said})
        assert bool(found["gate"]) is (path == "/up"), path


def test_a_drained_member_says_by_whom(document: Any, table: Any) -> None:
    down = {"shop3": "weight=2 down"}
    found = document(
        {"shop3": NOTE}, proxy1=proxy(GOOD, GOOD, GOOD, words=down), proxy2=proxy(GOOD, GOOD, GOOD, words=down)
    )
    assert {state for _, state in rows(found)["shop3"]} == {"drained"}
    assert found["problems"] == []
    [line] = [line for line in table(found) if "drained for" in line]
    assert line.strip() == r"drained for maintenance by anna since 2026-11-28 09:00: new \x1b[31mmemory"


def test_a_proxy_that_does_not_know_of_a_drain_is_named(document: Any, table: Any) -> None:
    found = document({"shop3": NOTE}, proxy1=proxy(GOOD, GOOD, GOOD, words={"shop3": "down"}))
    assert rows(found)["shop3"] == [("proxy1", "drained"), ("proxy2", "in")]
    assert "      proxy2 still sends it requests; run playbooks/proxies.yml" in table(found)


def test_a_member_that_nginx_does_not_have_is_missing(document: Any) -> None:
    proxy1 = proxy(GOOD, GOOD, GOOD)
    del proxy1["__proxy_status"]["upstreams"]["shop"]["10.0.0.1:443"]
    found = document(proxy1=proxy1)
    assert rows(found)["shop1"] == [("proxy1", "missing"), ("proxy2", "in")]
    assert found["problems"] == ["shop1 is missing on proxy1: not in its live configuration; run site.yml"]


def test_a_proxy_asks_what_is_beside_it_in_its_own_way(document: Any) -> None:
    proxy1 = proxy(GOOD, GOOD, GOOD)
    servers = proxy1["__proxy_status"]["upstreams"]["shop"]
    servers["127.0.0.1:3000"] = servers.pop("10.0.0.1:443")
    proxy1["__rollout_report"]["members"][0] |= {"address": "127.0.0.1", "port": 3000}
    found = document(proxy1=proxy1)
    assert rows(found)["shop1"] == [("proxy1", "in"), ("proxy2", "in")]
    assert found["problems"] == []


def test_hosts_that_cannot_be_reached_are_rows(document: Any, table: Any) -> None:
    found = document(proxy2={"__proxy_status": UNREACHABLE}, shop1={"__app_status": UNREACHABLE})
    assert rows(found)["shop1"] == [("proxy1", "in"), ("proxy2", "unknown")]
    assert found["problems"] == ['proxy2: ssh: No route "x"', 'shop1: ssh: No route "x"']
    lines = table(found)
    assert any(line.startswith("  proxy2  not reachable") for line in lines)
    assert '      shop1 cannot be reached: ssh: No route "x"' in lines


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"state": "failed"}, "nginx is failed"),
        ({"serves": "0002-b"}, "nginx serves 0002-b, and 0001-a is linked"),
        ({"serves": ""}, "nginx serves no configuration of ours, and 0001-a is linked"),
    ],
)
def test_a_proxy_that_serves_something_else_is_a_problem(document: Any, more: Any, problem: str) -> None:
    assert document(proxy1=proxy(GOOD, GOOD, GOOD, **more))["problems"] == [f"proxy1: {problem}"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"days_left": 6}, "ends in 6 days"),
        ({"revoked": True}, "is revoked"),
        ({"key_matches": False}, "has another key beside it"),
    ],
)
def test_a_certificate_near_its_end_is_a_problem(document: Any, table: Any, more: Any, problem: str) -> None:
    found = document(proxy2=proxy(GOOD, GOOD, GOOD) | {"__certificate_state": certificate(**more)})
    assert found["problems"] == [f"proxy2: the certificate of shop {problem}"]
    assert f"      proxy2: {problem}" in table(found)


def test_further_units_are_shown_and_judged(document: Any, table: Any) -> None:
    units: list[dict[str, Any]] = [
        {},
        {"unit": "shop.worker@1.service"},
        {"unit": "shop.clean.timer", "substate": "waiting", "next": 1e9},
        {"unit": "shop.clean.service", "state": "inactive", "substate": "dead"},
        {"unit": "shop.worker@2.service", "state": "activating", "substate": "auto-restart", "restarts": 1},
    ]
    found = document(shop1=host(*units))
    assert found["problems"] == ["shop1: shop.worker@2.service is activating auto-restart, started again 1 times"]
    [line] = [line for line in table(found) if "shop.clean.timer" in line]
    assert line.strip() == "shop.worker@1.service (active), shop.clean.timer (next 2001-09-09 01:46)"


def test_a_standby_and_a_change_under_way_are_shown(document: Any, table: Any) -> None:
    lock = {"app": "shop", "what": "deploy 1.1", "owner": "anna", "host": "desk", "since": "2026-11-28T09:00:00+00:00"}
    found = document({"shop1": NOTE | {"kind": "standby"}}, locks=[lock, lock | {"app": "other"}], app="shop")
    assert [change["app"] for change in found["changes"]] == ["shop"]
    lines = table(found)
    assert "shop is being changed: deploy 1.1 by anna on desk since 2026-11-28 09:00" in lines
    assert "      its standby serves" in lines
    assert found["upstreams"][0]["members"][0]["drained"] is None


def test_many_proxies_and_long_names_fit_the_page(document: Any, table: Any) -> None:
    long = [{**UPSTREAMS[0], "members": [{"name": "shop1", "address": "10.0.0.1", "port": 443}]}]
    release = "2026.11.29-" + "a" * 60
    assert any(
        "2026.11.29-aaa" in line and "…" in line
        for line in table(document(upstreams=long, shop1=host(release=release)))
    )


def test_a_host_cannot_forge_a_row(document: Any, table: Any) -> None:
    lines = table(document(shop1=host(release="1.0\n  shop2  in\x1b[2J")))
    assert sum(line.startswith("  shop2") for line in lines) == 1
    assert any(r"1.0\x0a  shop2  in\x1b[2J" in line for line in lines)


def test_slow_members_have_a_colour(document: Any, filters: Filters) -> None:
    found = document(proxy1=proxy((200, 2400, ""), GOOD, GOOD))
    [line] = [one for one in filters("status_table")(found, 7) if one["text"].startswith("  shop1")]
    assert line["color"] == "yellow"
    assert "200 in 2400 ms" in line["text"]


def test_a_member_without_an_application_is_asked_all_the_same(document: Any) -> None:
    found = document(
        upstreams=[{"name": "shop", "members": [{"name": "elsewhere", "address": "10.0.0.1", "port": 443}]}]
    )
    [member] = found["upstreams"][0]["members"]
    assert (member["release"], member["reachable"], member["units"]) == ("", True, [])
    assert {seen["state"] for seen in member["proxies"]} == {"out"}  # nobody was asked under this name


def test_a_gate_is_that_of_the_host_or_of_another(filters: Filters) -> None:
    hosts = {"shop1": {"__app_status": UNREACHABLE}, "shop2": host(), "other": {}}
    endpoints = [{"member": name, "upstream": pool} for name, pool in (("shop1", "shop"), ("other", "elsewhere"))]
    gated = filters("gated_endpoints")(endpoints, {"shop": ["shop1", "shop2"], "desk": ["other"]}, hosts)
    assert [one["gate"] for one in gated] == [{"path": "/up", "status": 200, "body": ""}, {}]


def test_locks_are_read_and_strange_ones_left_alone(filters: Filters, tmp_path: Path) -> None:
    lock = {"app": "shop", "what": "deploy", "owner": "anna", "host": "desk", "since": "2026-11-28T09:00:00+00:00"}
    for name, text in (("shop", json.dumps(lock | {"pid": 1})), ("desk", "no lock")):
        (tmp_path / "deploys" / name).mkdir(parents=True)
        (tmp_path / "deploys" / name / "lock").write_text(text)
    assert filters("rollout_locks")(tmp_path) == [lock]
