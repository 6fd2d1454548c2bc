"""What the proxies keep, for whom, and for how long: asked from a client outside."""

from __future__ import annotations

import json
import shlex
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from testinfra.host import Host

from cache.asking import PROXIES, Get, states, written
from estate import Estate

HERE = Path(__file__).parent
RECIPES = ("standard", "assets", "pages", "api", "basic")
Seen = Callable[[str], int]


def bring(client: Host, *names: str) -> None:
    """Put modules of this folder on the client."""
    client.check_output("mkdir -p /srv/cache")
    for name in ("__init__.py", *names):
        script = (HERE / name).read_text()
        client.check_output(f"cat > /srv/cache/{name} <<'EOF'\n{script}\nEOF")


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_recipe_standard_does_what_rfc_9111_asks(estate: Estate, client: Host, proxy: str) -> None:
    bring(client, "conversation.py", "rfc9111.py")
    address = estate.variables(proxy)["public_address"]
    command = f"cd /srv && python3 -m cache.rfc9111 {address} 80 standard.test ''"
    table = json.loads(client.check_output(command))
    assert table["must"] >= 90
    assert {name: problem for name, problem in table["problems"].items() if problem} == {}


def test_a_miss_then_hits_and_both_headers_say_so(get: Get, seen: Seen) -> None:
    path = written({"control": "max-age=60"})
    answers = [get("standard", path) for _ in range(3)]
    assert states(answers) == ["MISS", "HIT", "HIT"]
    assert [answer.headers["cache-status"] for answer in answers] == [
        "gatehouse; fwd=miss", "gatehouse; hit", "gatehouse; hit",
    ]  # fmt: skip
    assert seen(path) == 1


def test_an_answer_without_a_cache_says_nothing_of_one(get: Get) -> None:
    headers = get("plain", written({"control": "max-age=60"})).headers
    assert "x-cache-status" not in headers
    assert "cache-status" not in headers


def test_an_old_answer_is_fetched_anew_or_confirmed(get: Get) -> None:
    plain = written({"control": "max-age=1"})
    tagged = written({"control": "max-age=1", "headers": {"ETag": '"1"'}}, {"status": 304, "headers": {"ETag": '"1"'}})
    for path in (plain, tagged):
        get("standard", path)
    time.sleep(2.1)
    expired, confirmed = get("standard", plain), get("standard", tagged)
    assert states([expired, confirmed]) == ["EXPIRED", "REVALIDATED"]
    assert (expired.body, confirmed.body) == ("answer 2\n", "answer 1\n")
    assert confirmed.headers["cache-status"] == "gatehouse; fwd=stale; fwd-status=304"


def test_the_dead_origins_old_answers_go_on_where_the_recipe_or_the_answer_says_so(get: Get) -> None:
    gone = {"fault": "close"}
    short, permitted = {"control": "max-age=1"}, {"control": "max-age=1, stale-if-error=60"}
    cases = [("assets", short, "STALE"), ("pages", short, "STALE"), ("api", short, "STALE"),
             ("standard", permitted, "STALE"), ("standard", short, "EXPIRED")]  # fmt: skip
    paths = [written(answer, gone) for _, answer, _ in cases]
    for (site, _, _), path in zip(cases, paths, strict=True):
        assert states([get(site, path)]) == ["MISS"]
    time.sleep(2.1)
    answers = [get(site, path) for (site, _, _), path in zip(cases, paths, strict=True)]
    assert states(answers)[:4] == ["STALE"] * 4
    assert [answer.body for answer in answers[:4]] == ["answer 1\n"] * 4
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 502]


@pytest.mark.parametrize("site", ["standard", "assets", "pages", "api"])
def test_fifty_at_once_reach_the_origin_once(estate: Estate, client: Host, get: Get, seen: Seen, site: str) -> None:
    path = written({"control": "max-age=60", "delay": 0.6})
    address = estate.variables("proxy1")["public_address"]
    one = ["curl", "-s", "--max-time", "20", "--connect-to", f"::{address}:", f"http://{site}.test{path}"]
    bodies = client.check_output(f"seq 50 | xargs -P50 -I_ {shlex.join(one)}").split("\n")
    assert bodies == ["answer 1"] * 50
    assert seen(path) == 1


@pytest.mark.parametrize("site", RECIPES)
def test_a_cookie_is_never_shared(get: Get, seen: Seen, site: str) -> None:
    path = written({"control": "max-age=60", "headers": {"Set-Cookie": "session=1"}})
    assert "HIT" not in states([get(site, path) for _ in range(3)])
    assert seen(path) == 3


@pytest.mark.parametrize("site", RECIPES)
def test_an_answer_to_credentials_is_never_shared(get: Get, seen: Seen, site: str) -> None:
    path = written({"control": "max-age=60"})
    get(site, path, "-u", "visitor:secret")
    assert states([get(site, path), get(site, path)]) == ["MISS", "HIT"]
    assert seen(path) == 2


@pytest.mark.parametrize("site", ["pages", "api"])
def test_a_visitor_with_a_session_goes_past_the_cache(get: Get, site: str) -> None:
    path = written({"control": "max-age=60"})
    get(site, path)
    cookie = "_ga=GA1.2.3; session=7"
    assert states([get(site, path, "-H", f"Cookie: {cookie}"), get(site, path)]) == ["BYPASS", "HIT"]


def test_a_cookie_of_statistics_does_not_make_a_page_personal(get: Get) -> None:
    path = written({"control": "max-age=60"})
    cookie = "_ga=GA1.2.3; _ga_X1=GS1.1; cookieconsent_status=allow"
    assert states([get("pages", path, "-H", f"Cookie: {cookie}"), get("pages", path)]) == ["MISS", "HIT"]
    assert states([get("pages", path, "-H", "Cookie: _gang=1; id=2")]) == ["BYPASS"]


def test_a_client_that_asks_for_it_defeats_the_basic_cache_and_no_other(get: Get) -> None:
    wish = ("-H", "Cache-Control: no-cache")
    path = written({"control": "max-age=60"})
    for site in RECIPES:
        get(site, path)
    assert states([get(site, path, *wish) for site in RECIPES]) == ["HIT", "HIT", "HIT", "HIT", "BYPASS"]


def test_each_recipe_keeps_silent_answers_as_long_as_it_says(get: Get) -> None:
    paths = {site: written({}) for site in RECIPES}
    for site, path in paths.items():
        get(site, path)
    now = {site: states([get(site, path)])[0] for site, path in paths.items()}
    time.sleep(2.1)
    later = {site: states([get(site, path)])[0] for site, path in paths.items()}
    # A second may be over before the next request is made.
    assert now.pop("api") in ("HIT", "STALE", "EXPIRED")
    assert now == {"standard": "MISS", "assets": "HIT", "pages": "HIT", "basic": "HIT"}
    assert (later["assets"], later["pages"], later["basic"]) == ("HIT", "HIT", "HIT")
    assert later["api"] in ("EXPIRED", "STALE")


def test_a_locations_own_rules_hold(get: Get) -> None:
    path = written({})
    assert states([get("own", f"{path}?n={number}") for number in range(3)]) == ["MISS", "MISS", "HIT"]
    assert states([get("own", path, "-H", "Cookie: session=1"), get("own", path)]) == ["BYPASS", "HIT"]


def test_large_files_are_kept_in_pieces(get: Get, seen: Seen) -> None:
    path = written({"size": 5_000_000, "ranges": True, "control": "max-age=60"})
    first = get("slices", path, "-r", "1500000-1500009")
    assert (first.status, first.body) == (206, "x" * 10)
    assert first.headers["content-range"] == "bytes 1500000-1500009/5000000"
    assert seen(path) == 1
    assert len(get("slices", path).body) == 5_000_000
    assert seen(path) == 5
    get("slices", path, "-r", "0-9")
    assert seen(path) == 5


@pytest.mark.parametrize("proxy", PROXIES)
def test_forgetting_an_entry_leaves_downloads_whole(estate: Estate, client: Host, get: Get, proxy: str) -> None:
    bring(client, "download.py")
    size = 100_000_000
    path = written({"size": size, "control": "max-age=600"}, {"control": "max-age=600"})
    get("standard", path, "-o", "/dev/null", proxy=proxy)
    address = estate.variables(proxy)["public_address"]
    reported = json.loads(client.check_output(f"cd /srv && python3 -m cache.download {address} standard {path}"))
    whole = {"status": "HIT", "length": size, "received": size, "foreign": 0}
    assert reported == whole | {"posted": [200, 200, 200], "after": "MISS"}


def test_a_trace_goes_past_the_cache_and_leaves_nothing(estate: Estate, get: Get) -> None:
    path = written({"control": "max-age=60"})
    url = f"http://{estate.variables('proxy1')['public_address']}{path}"
    request = urllib.request.Request(url, headers={"Host": "standard.test", "Gatehouse-Trace": "1"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.headers["X-Cache-Status"] == "BYPASS"
        assert answer.headers["Gatehouse-Member"] == "10.32.0.101:5000"
    first = get("standard", path)
    assert states([first, get("standard", path)]) == ["MISS", "HIT"]
    assert "gatehouse-member" not in first.headers


def test_the_disk_is_bounded(estate: Estate, get: Get) -> None:
    for _ in range(20):
        get("small", written({"control": "max-age=60", "size": 200_000}), "-o", "/dev/null")
    command = "du -sb /var/lib/nginx/cache-small | cut -f1"
    deadline = time.monotonic() + 20
    while (used := int(estate.host("proxy1").check_output(command))) > 1_200_000 and time.monotonic() < deadline:
        time.sleep(1)
    assert 100_000 < used <= 1_200_000


def test_zones_belong_to_nginx_alone(estate: Estate) -> None:
    for proxy in PROXIES:
        for folder in ("cache-main", "cache-small", "cache"):
            place = estate.host(proxy).file(f"/var/lib/nginx/{folder}")
            assert (place.user, oct(place.mode)) == ("www-data", "0o700")
