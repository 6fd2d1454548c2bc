"""What is read of nginx's files and the journal of a host, on files and a journalctl of the tests' own."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils import log_files, log_reader

from .conftest import load

BASE = Path(__file__).resolve().parents[2] / "roles" / "base"
NOON = 1_764_417_600.0  # 2025-11-29T12:00:00Z
ID = "0123456789abcdef0123456789abcdef"
OPTIONS: dict[str, Any] = {
    "since": NOON, "until": NOON + 600, "lines": 100, "size": 1 << 20, "grep": "", "request": "", "requests": [],
    "applications": {"shop": [443, 5000]}, "addresses": ["10.0.0.1", "127.0.0.1"], "names": [], "only": {},
}  # fmt: skip
ONLY = {"upstreams": ["shop"], "names": ["shop.test"], "endpoints": ["10.0.0.1:443", "10.0.0.2:443"]}


@pytest.fixture(autouse=True)
def utc(in_zone: Callable[[str], None]) -> None:
    in_zone("UTC")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return log_files


@pytest.fixture
def logs(files: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    module = log_reader
    monkeypatch.setattr(module, "LOGS", tmp_path)
    return module


def access(at: float, **more: Any) -> str:
    """Return a line as the role proxy has nginx write it."""
    fields = {
        "time": datetime.fromtimestamp(int(at), UTC).isoformat(), "epoch": at, "connection": 7, "request_id": "f" * 32,
        "site": "shop.test", "client": "192.0.2.1", "method": "GET", "host": "shop.test", "uri": "/", "status": "200",
        "seconds": 0.25, "upstream": "10.0.0.1:443", "upstream_status": "200", "cache": "",
    }  # fmt: skip
    return json.dumps(fields | more, separators=(",", ":"))


def error(at: float, text: str, connection: int = 7) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y/%m/%d %H:%M:%S} [error] 12#12: *{connection} {text}"


def about(uri: str = "/", member: str = "10.0.0.1:443", server: str = "shop.test") -> str:
    return (
        f'connect() failed, client: 192.0.2.1, server: {server}, request: "GET {uri} HTTP/1.1", '
        f'upstream: "https://{member}{uri}", host: "shop.test"'
    )


def write(path: Path, lines: list[str], at: float = NOON + 600) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    os.utime(path, (at, at))


def texts(reader: Any) -> list[str]:
    reader.read_files()
    return [entry[2] for entry in reader.result()]


def stamp(line: bytes) -> float | None:
    return float(line.split()[0]) if line[:1].isdigit() else None


def parse(moment: float, line: bytes) -> str:
    return line.decode()


@pytest.mark.parametrize("block", [16, 64, 1 << 18])
def test_lines_are_found_by_time_however_large_the_file(
    files: Any, monkeypatch: Any, tmp_path: Path, block: int
) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    write(tmp_path / "log", [f"{second} {'x' * (second % 40)}" for second in range(1000, 2000)], at=2000)
    found, more = files.newest(tmp_path / "log", (1500, 1503), stamp, parse, (100, files.Budget(1 << 20)))
    assert ([line.split()[0] for line in found], more) == (["1503", "1502", "1501", "1500"], False)
    found, more = files.newest(tmp_path / "log", (1500, 1999), stamp, parse, (3, files.Budget(1 << 20)))
    assert ([line.split()[0] for line in found], more) == (["1999", "1998", "1997"], True)
    assert files.newest(tmp_path / "log", (1000, 1999), stamp, parse, (5000, files.Budget(200)))[1]


def test_rotated_files_are_read_as_far_back_as_asked(files: Any, tmp_path: Path) -> None:
    write(tmp_path / "log", ["30 today"], at=30)
    write(tmp_path / "log.1", ["20 yesterday", "29 yesterday"], at=29)
    write(tmp_path / "log.2.gz", ["10 before", "19 before"], at=19)
    write(tmp_path / "log.10.gz", ["1 long ago"], at=9)
    for since, until, expected in (
        (0, 99, ["30 today", "29 yesterday", "20 yesterday", "19 before", "10 before", "1 long ago"]),
        (12, 25, ["20 yesterday", "19 before"]),
        (30, 99, ["30 today"]),
    ):
        found, more = files.newest(tmp_path / "log", (since, until), stamp, parse, (100, files.Budget(1 << 20)))
        assert (found, more) == (expected, False)


def test_a_damaged_compressed_file_gives_what_it_has(files: Any, tmp_path: Path) -> None:
    write(tmp_path / "log.2.gz", [f"{n} {os.urandom(40).hex()}" for n in range(2000)], at=3000)
    whole = (tmp_path / "log.2.gz").read_bytes()
    (tmp_path / "log.2.gz").write_bytes(whole[: len(whole) // 2])
    found, _ = files.newest(tmp_path / "log", (0, 99999), stamp, parse, (5000, files.Budget(1 << 20)))
    assert 500 < len(found) < 1500


def test_a_line_without_a_time_has_that_of_the_one_before(files: Any, tmp_path: Path) -> None:
    write(tmp_path / "log", ["10 a", "  more of a", "20 b"], at=20)
    found, _ = files.newest(
        tmp_path / "log", (10, 15), stamp, lambda moment, line: (moment, line), (9, files.Budget(999))
    )
    assert found == [(10.0, b"  more of a"), (10.0, b"10 a")]


def test_accesses_and_errors_are_one_list(logs: Any, tmp_path: Path) -> None:
    write(tmp_path / "access.log", [access(NOON + 1.5), "no JSON", access(NOON + 3, status="502", upstream_status="-")])
    write(tmp_path / "error.log", [error(NOON + 2, about())])
    reader = logs.Reader(OPTIONS)
    reader.read_files()
    found = [(round(moment - NOON, 1), source, text[:35], whole) for moment, source, text, _, whole in reader.result()]
    assert found == [
        (1.5, "access", "200 GET shop.test/ 0.25 s, 10.0.0.1", False),
        (1.5, "access", "no JSON", True),
        (2.0, "error", "[error] connect() failed, client: 1", True),
        (3.0, "access", "502 GET shop.test/ 0.25 s, 10.0.0.1", False),
    ]


def test_an_application_has_the_lines_of_its_members_and_sites(logs: Any, tmp_path: Path) -> None:
    write(
        tmp_path / "access.log",
        [
            access(NOON + 1, uri="/ours"),
            access(NOON + 2, uri="/theirs", upstream="10.0.0.9:443"),
            access(NOON + 3, uri="/retried", upstream="10.0.0.9:443, 10.0.0.2:443"),
            access(NOON + 4, uri="/cached", upstream="-"),
            access(NOON + 5, uri="/elsewhere", upstream="", site="desk.test"),
            access(NOON + 6, uri="/nobody", upstream="shop", site="desk.test"),
        ],
    )
    write(
        tmp_path / "error.log",
        [
            error(NOON + 7, about("/failed")),
            error(NOON + 8, about("/notours", member="10.0.0.9:443")),
            error(NOON + 9, 'access forbidden, client: 192.0.2.1, server: desk.test, request: "GET /no HTTP/1.1"'),
            error(NOON + 9, 'access forbidden, client: 192.0.2.1, server: shop.test, request: "GET /yes HTTP/1.1"'),
            error(NOON + 9, about("/local", member="127.0.0.1:5000", server="web1.internal")),
            f"{error(NOON + 10, 'x')[:20]}[alert] 12#12: worker process 13 exited on signal 9",
            f"{error(NOON + 10, 'x')[:20]}[notice] 12#12: start worker process 14",
        ],
    )
    found = " ".join(texts(logs.Reader(OPTIONS | {"only": ONLY})))
    for word in ("/ours", "/retried", "/cached", "/nobody", "/failed", "/yes", "/local", "exited on signal"):
        assert word in found, word
    for word in ("/theirs", "/elsewhere", "/notours", "/no ", "start worker"):
        assert word not in found, word


def test_a_request_has_its_own_errors_on_its_proxy(logs: Any, tmp_path: Path) -> None:
    write(
        tmp_path / "access.log",
        [
            access(NOON + 1, uri="/a", connection=8),
            access(NOON + 2, uri="/a", request_id=ID),
            access(NOON + 3, user=ID),
        ],
    )
    lines = [error(NOON + 1, about("/a")), error(NOON + 1, about("/a"), 8), error(NOON + 1, about("/b"))]
    write(tmp_path / "error.log", [*lines, error(NOON + 90, about("/a"))])
    reader = logs.Reader(OPTIONS | {"request": ID})
    assert [text.split(",")[0][:24] for text in texts(reader)] == [
        "[error] connect() failed",
        "200 GET shop.test/a 0.25",
    ]
    [request] = reader.own
    assert (request["method"], request["uri"], request["upstream"]) == ("GET", "/a", "10.0.0.1:443")
    assert request["since"] < NOON + 1.75 < NOON + 2 < request["until"]


def test_an_error_of_an_endpoint_is_near_a_request_that_another_host_logged(logs: Any, tmp_path: Path) -> None:
    write(tmp_path / "error.log", [error(NOON + 2, about("/a"), 99), error(NOON + 2, about("/ab"), 99)])
    request = logs.Reader.described(NOON + 2.1, json.loads(access(NOON + 2.1, uri="/a")))
    reader = logs.Reader(OPTIONS | {"request": ID, "requests": [request]})
    reader.read_files()
    assert [(source, near) for _, source, _, near, _ in reader.result()] == [("error", True)]


def journal(*entries: dict[str, Any]) -> str:
    """Return a journalctl that prints these, newest first, and the names of their units."""
    usual = {"_SYSTEMD_UNIT": "shop.service", "_TRANSPORT": "stdout", "SYSLOG_IDENTIFIER": "node"}
    lines = [json.dumps(usual | {"__REALTIME_TIMESTAMP": str(int(one.pop("at") * 1e6))} | one) for one in entries]
    shown = "\n".join(reversed(lines))
    return f"""#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in
    *--field=_SYSTEMD_UNIT*) printf 'shop.service\\nshop.worker@1.service\\nshop-admin.service\\n'; exit;;
    *--field=UNIT*) printf 'shop.tidy.timer\\n'; exit;;
esac
cat <<'END'
{shown}
END
"""


@pytest.fixture
def journalctl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that puts a journalctl with these entries on the path, and gives the file with its calls."""

    def put(*entries: dict[str, Any]) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "journalctl").write_text(journal(*entries))
        (folder / "journalctl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder / "calls"

    return put


def test_the_journal_has_all_units_and_what_gatehouse_did(logs: Any, journalctl: Any) -> None:
    calls = journalctl(
        {"at": NOON + 1, "MESSAGE": "hello"},
        {"at": NOON + 2, "MESSAGE": [104, 255, 105]},
        {"at": NOON + 3, "MESSAGE": "Started.", "_SYSTEMD_UNIT": "init.scope", "UNIT": "shop.worker@1.service"},
        {
            "at": NOON + 4,
            "MESSAGE": "shop: link 1.0",
            "SYSLOG_IDENTIFIER": "gatehouse",
            "_SYSTEMD_UNIT": "session-1.scope",
            "_UID": "0",
        },
        {"at": NOON + 4.5, "MESSAGE": "shop: link 2.0", "SYSLOG_IDENTIFIER": "gatehouse", "_UID": "995"},
        {"at": NOON + 5, "MESSAGE": "gatehouse shop may not connect: DST=10.9.9.9", "_TRANSPORT": "kernel"},
        {"at": NOON + 6, "MESSAGE": "usb 1-1: new device", "_TRANSPORT": "kernel"},
        {"at": NOON + 601, "MESSAGE": "too late"},
    )
    reader = logs.Reader(OPTIONS)
    reader.read_journal()
    assert [(source, text) for _, source, text, _, _ in reader.result()] == [
        ("shop", "hello"),
        ("shop", "h\ufffdi"),
        ("shop.worker@1", "systemd: Started."),
        ("gatehouse", "shop: link 1.0"),
        ("shop", "shop: link 2.0"),
        ("kernel", "gatehouse shop may not connect: DST=10.9.9.9"),
    ]
    asked = calls.read_text().splitlines()[-1]
    for unit in ("shop.service", "shop.worker@1.service", "shop.tidy.timer", "nginx.service"):
        assert f"_SYSTEMD_UNIT={unit} + UNIT={unit} _PID=1 +" in asked
    assert "shop-admin" not in asked
    assert f"--since=@{int(NOON)} --until=@{int(NOON) + 601}" in asked


def test_what_an_application_wrote_while_it_answered_is_near(logs: Any, journalctl: Any) -> None:
    journalctl(
        {"at": NOON + 1, "MESSAGE": "Traceback"},
        {"at": NOON + 2, "MESSAGE": f"order {ID}"},
        {"at": NOON + 9, "MESSAGE": "later"},
    )
    for upstream, expected in (
        ("10.0.0.7:443, 10.0.0.1:443", [("Traceback", True), (f"order {ID}", False)]),
        ("10.0.0.7:443", [(f"order {ID}", False)]),
    ):
        request = {"since": NOON, "until": NOON + 3, "method": "GET", "uri": "/", "upstream": upstream}
        reader = logs.Reader(OPTIONS | {"request": ID, "requests": [request]})
        reader.read_journal()
        assert [(text, near) for _, _, text, near, _ in reader.result()] == expected


def test_what_is_returned_has_two_bounds(logs: Any, tmp_path: Path) -> None:
    write(tmp_path / "error.log", [error(NOON + n, f"{n} " + "x" * 100) for n in range(50)])
    reader = logs.Reader(OPTIONS | {"lines": 3})
    assert [text.split()[1] for text in texts(reader)] == ["47", "48", "49"]
    assert reader.cut
    reader = logs.Reader(OPTIONS | {"size": 400})
    assert [text.split()[1] for text in texts(reader)] == ["47", "48", "49"]
    assert reader.cut
    reader = logs.Reader(OPTIONS | {"grep": r"\b1\d "})
    assert len(texts(reader)) == 10
    assert not reader.cut


def test_an_access_is_searched_as_it_is_shown(logs: Any, tmp_path: Path) -> None:
    write(tmp_path / "access.log", [access(NOON + 1), access(NOON + 2, status="502"), access(NOON + 3, uri="/502 ")])
    for expression, number in ((r"^50[0-9] ", 1), (r"^200 GET shop\.test/", 2), ('"status"', 0)):
        assert len(texts(logs.Reader(OPTIONS | {"grep": expression}))) == number


def test_a_very_long_line_is_shortened(logs: Any, tmp_path: Path) -> None:
    write(tmp_path / "error.log", [error(NOON + 1, "x" * 5000)])
    [text] = texts(logs.Reader(OPTIONS))
    assert text.endswith("x… (1008 more characters)")


@pytest.mark.parametrize(
    ("clock", "expected"),
    [([100.2, 109.0], 0.0), ([100.0, 110.0], 0.0), ([160.2, 169.0], 59.0), ([40.2, 49.0], -59.8)],
)
def test_a_clock_is_wrong_only_beyond_what_the_way_took(clock: list[float], expected: float) -> None:
    action = load("roles/base/action_plugins/host_logs.py")
    assert action.offset(100.0, 110.0, clock) == pytest.approx(expected)
