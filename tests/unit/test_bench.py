"""The benchmark's arithmetic, its reports, and the configurations that it derives from ours."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench_cells import (
    DIRECT,
    KINDS,
    OURS,
    TUNED,
    Cell,
    Figure,
    Sample,
    all_cells,
    figure,
    figures,
    order,
    parse_cpu,
    parse_wrk,
    rotated,
)
from bench_report import TITLES, between, cost_table, cpu_table, plot, speed_table, thousands
from bench_variants import VARIANTS, Variant, ports, vary

RIVALS = [{"name": "tuned", "ports": {"plain": 1, "https": 2}}, {"name": "varnish", "ports": {"cached": 3}}]
WRK = """Running 3s test @ http://10.37.0.101:8080/page
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.51ms    3.10ms  45.62ms   92.24%
  120031 requests in 3.01s, 145.37MB read
{trouble}Requests/sec:  39878.41
Transfer/sec:     48.29MB
"""
SITE = """
log_format gatehouse escape=json '{"id":"$request_id"}';
access_log /var/log/nginx/access.log gatehouse;
server {
    listen *:80;
    listen [::]:443 ssl;
    listen [::]:443 quic;
    add_header X-Request-Id $request_id always;
    location ~ "^/a{2}$" {
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header Host $host;
        proxy_pass http://unix:/run/purge.sock;
    }
}
"""


def test_every_server_is_asked_every_kind_that_it_serves() -> None:
    cells = all_cells(RIVALS, "10.0.0.1:8080", {"no-log": {"http": 8200, "https": 8201}})
    urls = {cell.key: cell.url for cell in cells}
    assert urls["direct plain"] == "http://10.0.0.1:8080/page"
    assert urls["gatehouse https_cached"] == "https://bench.lab.test:443/cached/page"
    assert urls["tuned https"] == "https://bench.lab.test:2/page"
    assert urls["varnish cached"] == "http://bench.lab.test:3/cached/page"
    assert urls["ours no-log cached"] == "http://bench.lab.test:8200/cached/page"
    assert {cell.unit for cell in cells} == {"", "nginx", "bench-tuned", "bench-varnish", "bench-ours@no-log"}
    assert urls["by mtls-new plain"] == "http://bench.lab.test:80/mtls-new/page"
    assert len(urls) == len(cells) == 1 + 4 + 6 + 3 + 2


@pytest.mark.parametrize(("by", "expected"), [(0, "abc"), (1, "bca"), (3, "abc"), (5, "cab")])
def test_rotated(by: int, expected: str) -> None:
    assert "".join(rotated("abc", by)) == expected


def test_a_round_asks_each_cell_once_and_keeps_the_kinds_together() -> None:
    cells = all_cells(RIVALS, "10.0.0.1:8080", {})
    firsts = set()
    for turn in range(8):
        asked = order(cells, turn)
        assert sorted(cell.key for cell in asked) == sorted(cell.key for cell in cells)
        kinds = [cell.kind for cell in asked]
        assert sum(one != other for one, other in itertools.pairwise(kinds)) == len(KINDS) - 1
        firsts.add(asked[0].key)
    assert len(firsts) > 3


def test_wrk_gives_a_rate_only_if_every_answer_was_right() -> None:
    assert parse_wrk(WRK.format(trouble="")) == 39878.41
    with pytest.raises(ValueError, match=r"^Non-2xx or 3xx responses: 12$"):
        parse_wrk(WRK.format(trouble="  Non-2xx or 3xx responses: 12\n"))
    with pytest.raises(ValueError, match=r"^Socket errors: connect 0, read 3, write 0, timeout 0$"):
        parse_wrk(WRK.format(trouble="  Socket errors: connect 0, read 3, write 0, timeout 0\n"))
    with pytest.raises(ValueError, match="no rate in what wrk printed: unable to connect"):
        parse_wrk("unable to connect to bench.lab.test:81 Connection refused")


def test_the_cpu_of_all_threads_is_added() -> None:
    assert parse_cpu("1000 5 1\n2000 6 2\n\n") == 3000


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was half as fast in the second round; the two servers were equally fast in each.
    ours = [Sample(1000, 20), Sample(500, 40), Sample(1200, 20)]
    base = [Sample(1000, 10), Sample(500, 20), Sample(1000, 20)]
    assert figure(ours, base) == Figure(rate=1000, ratio=1.0, low=1.0, high=1.2, cpu=20, cpu_ratio=2.0)


def test_no_cpu_is_told_where_none_is_counted() -> None:
    found = figure([Sample(1000, 0)], [Sample(500, 10)])
    assert (found.cpu, found.cpu_ratio, found.ratio) == (None, None, 2.0)


def some_figures() -> dict[str, dict[str, Figure]]:
    samples = {f"{server} {kind}": [Sample(30_000, 20), Sample(31_000, 21)] for server in TITLES for kind in KINDS}
    samples |= {f"{OURS} plain": [Sample(27_000, 25), Sample(27_900, 25)]}
    samples = {key: many for key, many in samples.items() if key not in ("varnish plain", "direct https")}
    samples["direct plain"] = [Sample(99_970, 0)] * 2
    return figures(samples, list(TITLES), TUNED)


def test_the_tables_have_a_row_for_each_server_and_a_column_for_each_kind() -> None:
    lines = speed_table(some_figures()).splitlines()
    assert lines[0] == "| requests/s (ratio) | HTTP | HTTP, from the cache | HTTPS | HTTPS, from the cache |"
    assert "| Gatehouse | 27.4k (0.90) | 30.5k (1.00) | 30.5k (1.00) | 30.5k (1.00) |" in lines
    assert "| varnish |  | 30.5k (1.00) | 30.5k (1.00) | 30.5k (1.00) |" in lines
    assert len(lines) == 2 + len(TITLES)
    cpu = cpu_table(some_figures())
    assert "| Gatehouse | 25.0 (1.22) |" in cpu
    assert TITLES[DIRECT] in speed_table(some_figures())


def test_a_cost_is_what_goes_away_with_the_thing() -> None:
    one = Figure(rate=1, ratio=1.08, low=1, high=2, cpu=18, cpu_ratio=0.9)
    rows = cost_table({"the access log": dict.fromkeys(KINDS, one)}).splitlines()
    assert rows[2:] == ["| the access log | 10 % (+8 %) | 10 % (+8 %) |"]


@pytest.mark.parametrize(("rate", "text"), [(947, "0.9k"), (31_249, "31.2k"), (99_949, "99.9k"), (99_950, "100k")])
def test_thousands(rate: float, text: str) -> None:
    assert thousands(rate) == text


def test_the_plot_is_an_svg_with_a_bar_for_each_figure() -> None:
    drawn = ET.fromstring(plot(some_figures()))  # noqa: S314
    bars = [one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if "class" in one.attrib]
    assert len(bars) == sum(len(some_figures()[server]) for server in TITLES)
    assert sum(bar.attrib["class"] == "ours" for bar in bars) == len(KINDS)
    ours = [float(bar.attrib["width"]) for bar in bars if bar.attrib["class"] == "ours"]
    assert ours[0] == pytest.approx(0.9 * ours[1], rel=0.01)


def test_a_table_replaces_what_stood_at_its_place() -> None:
    page = "before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n"
    assert between(page, "speed", "new \\1") == "before\n<!-- speed -->\nnew \\1\n<!-- /speed -->\nafter\n"
    with pytest.raises(ValueError, match="0 places <!-- cpu -->"):
        between(page, "cpu", "new")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "shop.conf").write_text(SITE)
    (tmp_path / "sites" / "cache.js").write_text("export default {};\n")
    (tmp_path / "nginx.conf").write_text("pid /run/nginx.pid;\nhttp { include active/sites/*.conf; }\n")
    return tmp_path


def varied(tree: Path, variant: Variant) -> str:
    files = vary(tree, variant, {"http": 8200, "https": 8201})
    return files["sites/shop.conf"]


def test_a_variant_runs_beside_the_live_configuration(tree: Path) -> None:
    files = vary(tree, Variant("as-it-is", "nothing"), {"http": 8200, "https": 8201})
    site = files["sites/shop.conf"]
    assert "pid /run/nginx.pid.as-it-is;" in files["nginx.conf"]
    assert "include active/sites/*.conf;" in files["nginx.conf"]
    assert "listen *:8200;" in site
    assert "listen [::]:8201 ssl;" in site
    assert "quic" not in site
    assert files["sites/cache.js"] == "export default {};\n"
    assert "access_log /var/log/nginx/access.log.as-it-is gatehouse;" in site
    assert "proxy_pass http://unix:/run/purge.sock.as-it-is;" in site
    assert "location ~ '^/a{2}$'" in site


def test_a_variant_lacks_what_is_taken_away_and_nothing_else(tree: Path) -> None:
    site = varied(tree, Variant("x", "x", without=("add_header", "proxy_set_header X"), replace={"$request_id": "-"}))
    assert "add_header" not in site
    assert "X-Real-IP" not in site
    assert "proxy_set_header Host $host;" in site
    assert "$request_id" not in site
    assert "access_log" in site


def test_a_variant_may_add_to_http(tree: Path) -> None:
    files = vary(tree, Variant("x", "x", http="access_log /var/log/nginx/{name}.log;"), {"http": 1, "https": 2})
    assert files["http/variant.conf"] == "access_log /var/log/nginx/x.log;\n"


def test_a_tree_that_cannot_be_read_is_named(tree: Path) -> None:
    (tree / "sites" / "shop.conf").write_text("server {\n")
    with pytest.raises(ValueError, match=r"^sites/shop\.conf: "):
        varied(tree, VARIANTS[0])


def test_variants_have_ports_of_their_own() -> None:
    taken = [port for pair in ports().values() for port in pair.values()]
    assert len(set(taken)) == len(taken) == 2 * len(VARIANTS)
    # inventory/group_vars/proxies/firewall.yml opens these.
    assert set(taken) <= set(range(8200, 8240))


def test_a_cell_is_named_by_server_and_kind() -> None:
    assert Cell("caddy", "https", "https://x/", "bench-caddy").key == "caddy https"
