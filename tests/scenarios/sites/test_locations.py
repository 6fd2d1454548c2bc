"""Which location answers, what of the path reaches the application, and files, redirects and limits on the way."""

from __future__ import annotations

import pytest

from .conftest import Visit

APP = "https://app.lab.test"


@pytest.mark.parametrize(
    ("path", "place"),
    [("/exact", "exact"), ("/exact/", None), ("/img/a.png", "regex"), ("/img/a.JPG", None), ("/img/a.gif", None)],
)
def test_an_exact_path_and_a_regular_expression_win(visit: Visit, path: str, place: str | None) -> None:
    assert visit(APP + path).echo.get("x-place") == place


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/raw/a%2Fb%20c?x=%20", "/raw/a%2Fb%20c?x=%20"),
        ("/raw//a/../b", "/raw//a/../b"),
        ("/moved/a%2Fb%20c?x=%20", "/a/b%20c?x=%20"),
        ("/moved//a/./b/../c", "/a/c"),
        ("/moved/", "/"),
        ("/inner/what%3Fnot%23", "/deep/inside/what%3Fnot%23"),
    ],
)
def test_a_path_is_passed_on_as_sent_or_replaced(visit: Visit, sent: str, seen: str) -> None:
    assert visit(APP + sent).json()["path"] == seen


def test_a_folder_without_its_slash_is_sent_to_the_one_with_it(visit: Visit) -> None:
    answer = visit(APP + "/moved?x=1")
    assert (answer.status, answer.all("location")) == (301, ["/moved/?x=1"])


@pytest.mark.parametrize(("size", "status"), [(1024, 200), (1025, 413)])
def test_a_body_has_its_largest_size(visit: Visit, size: int, status: int) -> None:
    assert visit(APP + "/small/", "-d", "x" * size).status == status


@pytest.mark.parametrize("path", ["/", "/unbuffered/"])
def test_a_body_arrives_whole_buffered_or_not(visit: Visit, path: str) -> None:
    assert visit(APP + path, "-d", "x" * 100_000).json()["received"] == 100_000
    chunked = visit(APP + path, "--http1.1", "-HTransfer-Encoding: chunked", "-d", "x" * 100_000)
    assert chunked.json()["received"] == 100_000


def test_an_application_gets_the_time_that_its_location_gives_it(visit: Visit) -> None:
    assert visit(APP + "/?sleep=2").status == 200
    assert visit(APP + "/quick/?sleep=2").status == 504


@pytest.mark.parametrize(
    ("url", "status", "target"),
    [
        (f"{APP}/old/x", 302, "/new"),
        (f"{APP}/elsewhere/x?y=%20", 308, "https://www.app.lab.test/elsewhere/x?y=%20"),
        ("http://app.lab.test/x?y=%20", 308, "https://app.lab.test/x?y=%20"),
        ("https://app.lab.test/files?a=1", 301, "/files/?a=1"),
        ("https://app.lab.test/files/sub?a=1", 301, "/files/sub/?a=1"),
    ],
)
def test_redirects(visit: Visit, url: str, status: int, target: str) -> None:
    answer = visit(url)
    assert (answer.status, answer.all("location")) == (status, [target])


@pytest.mark.parametrize(
    ("site", "clear", "encrypted"),
    [("clear", 200, 0), ("both", 200, 200), ("shut", 0, 200), ("app", 308, 200), ("www.app", 308, 200)],
)
def test_a_site_is_served_where_it_is_meant_to_be(visit: Visit, site: str, clear: int, encrypted: int) -> None:
    assert visit(f"http://{site}.lab.test/").status == clear
    assert visit(f"https://{site}.lab.test/").status == encrypted


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/files/a%20b.txt", 200, "files/a b.txt\n"),
        ("/files/sub/", 200, "files/sub/index.html\n"),
        ("/favicon.ico", 200, "files/favicon.ico\n"),
        ("/files/.well-known/security.txt", 200, "files/.well-known/security.txt\n"),
        ("/spa/", 200, "spa/index.html\n"),
        ("/spa/deep/link", 200, "spa/index.html\n"),
        ("/spa/assets", 200, "spa/index.html\n"),
        ("/spa/assets/app.js", 200, "spa/assets/app.js\n"),
        ("/files/missing", 404, None),
        ("/files/", 403, None),
        ("/files/.git/config", 404, None),
        ("/spa/.env", 404, None),
    ],
)
def test_files_come_from_the_proxys_own_disk(visit: Visit, path: str, status: int, body: str | None) -> None:
    answer = visit(APP + path)
    assert answer.status == status
    assert body in (None, answer.body)
    assert answer.all("x-frame-options") == ["SAMEORIGIN"]


def test_browsers_keep_files_for_as_long_as_the_site_says(visit: Visit) -> None:
    assert visit(APP + "/spa/assets/app.js").all("cache-control") == ["max-age=3600"]
    assert visit(APP + "/files/a%20b.txt").all("cache-control") == []


@pytest.mark.parametrize(
    "path",
    [
        "/files/../files-beside/secret",
        "/files../files-beside/secret",
        "/files/..%2ffiles-beside/secret",
        "/files/%2e%2e/files-beside/secret",
        "/files/sub/../../files-beside/secret",
        "/files-beside/secret",
        "/files/..\\files-beside/secret",
        "/files/%2e%2e%5cfiles-beside/secret",
        "/files//..//files-beside/secret",
        "/spa/../files-beside/secret",
        "/files/%252e%252e/files-beside/secret",
    ],
)
def test_no_path_leads_out_of_the_folder(visit: Visit, path: str) -> None:
    assert visit(APP + "/files/a%20b.txt").status == 200
    assert visit(APP + path).body != "files-beside/secret\n"
    assert "root:" not in visit(APP + path.replace("files-beside/secret", "../etc/passwd")).body


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("app.mjs", "application/javascript; charset=utf-8"),
        ("app.webmanifest", "application/manifest+json"),
        ("app.wasm", "application/wasm"),
        ("photo.avif", "image/avif"),
        ("read.md", "text/markdown; charset=utf-8"),
        ("a%20b.txt", "text/plain; charset=utf-8"),
        ("sub/", "text/html; charset=utf-8"),
    ],
)
def test_a_file_has_its_type(visit: Visit, file: str, kind: str) -> None:
    answer = visit(f"https://app.lab.test/files/{file}")
    assert (answer.status, answer.all("content-type")) == (200, [kind])
