"""What is read of the application firewall's log, and what the report makes of it."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gatehouse.core.plugins.module_utils.answers import FOREIGN

from .conftest import load

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "proxy"
RULES = yaml.safe_load((ROLE / "files" / "waf" / "rules.yml").read_text())
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
SITES = [
    {"name": "shop", "server_names": ["shop.test", "*.shop.test"], "catch_all": False},
    {"name": "rest", "server_names": ["rest.test"], "catch_all": True},
]


records = load("roles/proxy/library/waf_records.py")
reports = load("roles/proxy/filter_plugins/waf_report.py")


def record(number: int = 1, **more: Any) -> dict[str, Any]:
    """Return a line of the firewall's log."""
    usual = {"time": int(NOW) - 60, "request_id": f"r{number}", "client": "192.0.2.1", "host": "shop.test"}
    usual |= {"method": "GET", "path": "/find", "refused": False, "score": 5, "hits": [["942100", "ARGS:q"]]}
    return {**usual, **more}


def access(number: str, status: str = "200", client: str = "192.0.2.1", agent: str = "Firefox") -> str:
    """Return a line of nginx's access log."""
    time = datetime.fromtimestamp(NOW - 50, UTC).isoformat()
    return json.dumps(
        {"time": time, "request_id": number, "client": client, "status": status, "user_agent": agent},
        separators=(",", ":"),
    )


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the access log, with the firewall's below it."""
    (tmp_path / "waf").mkdir()
    monkeypatch.setattr(records, "ACCESS", tmp_path)
    monkeypatch.setattr(records, "FOLDER", tmp_path / "waf")
    return tmp_path


def write(path: Path, *lines: Any) -> None:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    os.utime(path, (NOW, NOW))


@pytest.mark.parametrize(
    ("since", "seconds"), [("-7d", 7 * 86400), ("-12h", 12 * 3600), ("-30m", 1800), ("2026-11-28", 1.5 * 86400)]
)
def test_a_time_is_read(since: str, seconds: float) -> None:
    assert records.begin_of(since, NOW) == NOW - seconds


@pytest.mark.parametrize("since", ["yesterday", "7d", "-7w", "", "2026-13-40", "-99999d"])
def test_what_is_no_time_is_refused(since: str) -> None:
    with pytest.raises(records.WordError, match="is no time; write -7d, -12h, -30m or a date such as 2026-11-22"):
        records.begin_of(since, NOW)


def test_the_newest_records_are_read(logs: Path) -> None:
    write(logs / "waf" / "2026-11-29.json", record(3), "{broken", '{"time": "x"}', record(4))
    write(logs / "waf" / "2026-11-28.json", record(2, time=int(NOW) - 86400), record(1, time=int(NOW) - 2 * 86400))
    write(logs / "waf" / "notes.json", record(9))
    found, whole = records.records_since(NOW - 1.5 * 86400, 10)
    assert ([one["request_id"] for one in found], whole) == (["r2", "r3", "r4"], True)
    found, whole = records.records_since(NOW - 1.5 * 86400, 2)
    assert ([one["request_id"] for one in found], whole) == (["r3", "r4"], False)


def test_a_file_without_an_end_is_not_read_to_it(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of nginx own the folder: one that was taken over writes what it likes there."""
    monkeypatch.setattr(records, "LARGEST", 1 << 17)
    with (logs / "waf" / "2026-11-29.json").open("wb") as file:
        file.write(f"{json.dumps(record(1))}\n".encode())
        file.truncate(1 << 40)
    found, whole = records.records_since(NOW - 86400, 10)
    assert ([one["request_id"] for one in found], whole) == (["r1"], False)


def test_no_link_is_followed(logs: Path) -> None:
    write(logs / "elsewhere", record())
    (logs / "waf" / "2026-11-29.json").symlink_to(logs / "elsewhere")
    assert records.records_since(NOW - 86400, 10) == ([], True)


def test_visitors_are_counted_without_their_addresses(logs: Path) -> None:
    lines = [access("r1", "403"), *(access(f"x{n}") for n in range(3)), access("y", "404"), access("z", agent="curl")]
    write(logs / "access.log", *lines, access("w", client="192.0.2.2"))
    (logs / "access.log.1.gz").write_bytes(gzip.compress(f"{access('v')}\n".encode()))
    os.utime(logs / "access.log.1.gz", (NOW, NOW))
    found = [record(1)]
    good, whole = records.visitors(found, NOW - 3600, 10**6)
    assert whole
    assert good == {found[0]["visitor"]: 4}
    assert "client" not in found[0]
    assert not records.visitors([record(1)], NOW - 3600, 10)[1]


def report(*found: dict[str, Any], good: dict[str, int] | None = None, complete: bool = True) -> str:
    lines = [{"visitor": "ann", **{k: v for k, v in one.items() if k != "client"}} for one in found]
    said = {"records": lines, "good": {"ann": 9} if good is None else good, "complete": complete}
    return str(reports.waf_report({"proxy1": said}, SITES, RULES))


def pasted(text: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(line)[0] for line in text.splitlines() if line.strip().startswith("- {")]


LOOKUP = "/{{ lookup('pipe', 'id') }}"


@pytest.mark.parametrize(
    "lie",
    [
        {"path": LOOKUP}, {"host": "a\x1b[2J"}, {"request_id": "<b>"}, {"method": "A B"}, {"visitor": "ann bob"},
        {"hits": [["942100", f"ARGS:{LOOKUP}"]]}, {"hits": [["942100; x", "ARGS:q"]]}, {"hits": [[942100, "ARGS:q"]]},
        {"hits": [["942100"]]}, {"hits": 5}, {"time": 10**30}, {"time": "now"}, {"refused": "no"},
    ],
)  # fmt: skip
def test_what_a_proxy_makes_up_is_neither_shown_nor_pasted(lie: dict[str, Any]) -> None:
    true = {key: value for key, value in record(2).items() if key != "client"}
    said = {"records": [{"visitor": "ann", **true}, {"visitor": "ann", **true, **lie}], "good": {"ann": 9}}
    proxies = {"proxy1": {**said, "complete": True}, "proxy2": {"records": 5}, "proxy3": {"msg": "away"}}
    text = str(reports.waf_report(proxies, SITES, RULES))
    assert f"proxy1: {FOREIGN}, as to 1 request\nproxy2: {FOREIGN}\nproxy3: {FOREIGN}" in text
    assert pasted(text) == [
        {"rule": 942100, "parameter": "q", "path": "/find", "why": "1 request of 1 likely person, 2026-11-29"}
    ]
    assert "lookup" not in text
    assert text.isprintable() or "\x1b" not in text
    assert "<b>" not in reports.waf_page(proxies, SITES, RULES)


@pytest.mark.parametrize(
    ("hits", "path", "expected"),
    [
        ([["942100", "ARGS:q"]], "/find", {"rule": 942100, "parameter": "q", "path": "/find"}),
        ([["942100", "ARGS:q"], ["942110", "ARGS_NAMES:q"]], "/", {"tag": "attack-sqli", "parameter": "q"}),
        ([["941100", "REQUEST_COOKIES:x"]], "/a/*/b", {"rule": 941100, "cookie": "x", "path": "/a/"}),
        ([["920300", "REQUEST_HEADERS:User-Agent"]], "/a", {"rule": 920300, "header": "User-Agent", "path": "/a"}),
        ([["942100", "ARGS:json.items.array_3.text"]], "/a", {"rule": 942100, "path": "/a"}),
        ([["942100", "ARGS_NAMES:?"]], "/a", {"rule": 942100, "path": "/a"}),
        ([["1010", "REQBODY_ERROR"]], "/a", {"rule": 1010, "path": "/a"}),
        ([["942100", "ARGS:1"]], "/a", {"rule": 942100, "parameter": "1", "path": "/a"}),
        ([["942100", "ARGS:no"]], "/on", {"rule": 942100, "parameter": "no", "path": "/on"}),
        ([["942100", "ARGS:user[name]"]], "/a", {"rule": 942100, "parameter": "user[name]", "path": "/a"}),
    ],
)
def test_each_group_has_its_exclusion(hits: list[list[str]], path: str, expected: dict[str, Any]) -> None:
    (found,) = pasted(report(record(hits=hits, path=path)))
    assert found.pop("why") == "1 request of 1 likely person, 2026-11-29"
    assert found == expected


def test_a_rule_of_ones_own_is_named_and_not_excepted() -> None:
    lines = [{"visitor": "ann", **{k: v for k, v in record(hits=[["12345", "ARGS:id"]]).items() if k != "client"}}]
    rules = {**RULES, 12345: {"name": "numbers-only", "message": "an article has a number"}}
    said = reports.waf_report({"proxy1": {"records": lines, "good": {}, "complete": True}}, SITES, rules)
    assert "12345 an article has a number" in said
    assert "of your own waf.refuse: numbers-only" in said
    assert pasted(said) == []


def test_a_method_is_added_not_excepted() -> None:
    text = report(record(hits=[["911100", "REQUEST_METHOD"]], method="PROPFIND"))
    assert "add to methods, if the application has them: PROPFIND" in text
    assert pasted(text) == []


@pytest.mark.parametrize(
    ("found", "good", "expected"),
    [
        ([], {}, "Nothing was refused, and nothing would have been."),
        ([record()], {"ann": 9}, "block would have refused 1 request of 1 likely person: except those above first."),
        ([record()], {"ann": 2}, "block would have refused nobody who looks like a person."),
        ([record(n) for n in range(9)], {"ann": 4}, "block would have refused nobody who looks like a person."),
        ([record(refused=True)], {"ann": 9}, "1 request of 1 likely person were refused."),
        ([record(refused=True)], {}, "Nobody who looks like a person was refused."),
    ],
)
def test_the_last_word_is_of_people(found: list[dict[str, Any]], good: dict[str, int], expected: str) -> None:
    assert report(*found, good=good).splitlines()[-1] == expected


def test_a_site_is_found_as_nginx_does() -> None:
    text = report(record(1, host="a.shop.test:8443"), record(2, host="SHOP.test"), record(3, host="203.0.113.7"))
    assert [line for line in text.splitlines() if line.startswith("site ")] == ["site rest", "site shop"]


def test_what_was_not_read_is_said() -> None:
    assert "proxy1: more than the report reads; ask for less with since" in report(record(), complete=False)


def test_the_page_runs_nothing() -> None:
    said = {"records": [{**record(path="/<script>"), "visitor": "v"}], "good": {}, "complete": True}
    page = reports.waf_page({"proxy1": said}, SITES, RULES)
    assert "<svg" in page
    assert "<script" not in page
