"""The benchmark's arithmetic, its reports, and the configurations that it derives from ours."""

from __future__ import annotations

import ipaddress
import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

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
from cost_lab import Trees, describe, describe_rival, groups_of_applications
from cost_plan import LARGEST, NOW, RIVAL, THEN, minutes, plan, turns
from cost_report import estate_table, growth, rival_table, sweep_table
from cost_report import plot as cost_plot
from cost_runs import Run, parse_changed, parse_trips, tree_memory
from run_cost import MARKER, Results, report

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


def test_no_cpu_is_named_where_none_is_counted() -> None:
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


RECAP = """
PLAY RECAP *********
dashboard1                 : ok=51   changed=0    unreachable=0    failed=0    skipped=20
proxy1                     : ok=70   changed=2    unreachable=0    failed=0    skipped=9
localhost                  : ok=1    changed=1    unreachable=0    failed=0    skipped=0
"""
LAB: dict[str, Any] = {
    "all": {
        "vars": {"environment_name": "lab", "private_network": "10.20.0.0/24", "kept": True},
        "children": {
            "proxies": {"hosts": {"proxy1": {"ansible_host": "10.20.0.11"}}},
            "apps": {"children": {"shop": {"hosts": {"shop1": None}}, "blog": {"hosts": {"blog1": None}}}},
        },
    }
}


@pytest.mark.parametrize(
    ("output", "changed"),
    [(RECAP, ("localhost", "proxy1")), (RECAP.replace("changed=1", "changed=0").replace("changed=2", "changed=0"), ())],
)
def test_changed_hosts_are_those_of_the_recap(output: str, changed: tuple[str, ...]) -> None:
    assert parse_changed(output) == changed


def test_a_run_without_a_recap_is_no_run() -> None:
    with pytest.raises(ValueError, match="no recap"):
        parse_changed("ERROR! the playbook could not be found\n")


def test_round_trips_are_counted_by_address() -> None:
    lines = [
        "<10.0.0.1> ESTABLISH SSH",
        "<10.0.0.1> SSH: EXEC ssh",
        "<10.0.0.2> SSH: EXEC sftp",
        "<10.0.0.1> SSH: EXEC",
    ]
    output = "\n".join(lines)
    assert parse_trips(output) == {"10.0.0.1": 2, "10.0.0.2": 1}
    assert parse_trips("TASK [Look]\nok: [proxy1]\n") == {}


def process(proc: Path, number: int, kilobytes: int | None, **children: str) -> None:
    for task, numbers in {"main": "", **children}.items():
        (proc / str(number) / "task" / task).mkdir(parents=True)
        (proc / str(number) / "task" / task / "children").write_text(numbers)
    if kilobytes is not None:
        (proc / str(number) / "smaps_rollup").write_text(f"Rss:  99999 kB\nPss:  {kilobytes} kB\nPss_Anon:  7 kB\n")


def test_memory_is_that_of_a_process_and_all_below_it(tmp_path: Path) -> None:
    process(tmp_path, 10, 1024, main="11 13 14 ", thread="12 ")
    process(tmp_path, 11, 2048, main="15 ")
    process(tmp_path, 12, 256)
    process(tmp_path, 13, None)  # it ends just now, and 14 has ended
    process(tmp_path, 15, 256)
    process(tmp_path, 20, 9999)
    assert tree_memory(tmp_path, 10) == 3.5
    assert tree_memory(tmp_path, 99) == 0


def test_what_a_run_of_the_bench_costs_is_shown_beforehand() -> None:
    steps = plan([], 6, [30, 3, 10], True, 20)
    assert [step.row for step in steps] == [
        *["lab", "first", "idle", "proxy", "deploy", "rollback", "rotate", "replace"],
        *["sweep first 3", "sweep idle 3", "sweep first 10", "sweep idle 10", "sweep first 30", "sweep idle 30"],
    ]
    short = {step.row: step.runs for step in steps if step.part in ("idle", "proxy", "deploy")}
    assert set(short.values()) == {5}
    assert next(step for step in steps if step.row == "proxy").sides == (THEN, NOW, RIVAL)
    assert all(step.sides == (NOW,) for step in steps if step.part == "sweep")
    assert 30 < minutes(steps) < 150


@pytest.mark.parametrize(
    ("only", "most", "rows"),
    [
        (["idle"], 20, {"idle": 5}),
        (["proxy", "idle"], 2, {"idle": 2, "proxy": 2}),
        (["deploy"], 1, {"deploy": 1, "rollback": 1}),
        (["sweep"], 3, {"sweep first 4": 1, "sweep idle 4": 3}),
    ],
)
def test_parts_can_be_selected(only: list[str], most: int, rows: dict[str, int]) -> None:
    steps = plan(only, 6, [4], False, most)
    assert {step.row: step.runs for step in steps} == rows
    assert minutes(steps) < minutes(plan([], 6, [4], False, 20))


@pytest.mark.parametrize(
    ("only", "hosts", "sizes", "message"),
    [
        (["idle", "lunch"], 6, [3], "there is no part lunch: the parts are lab, first, "),
        ([], 2, [3], "2 application hosts: an estate has 3 to 60"),
        ([], 6, [3, 61], "61 application hosts: an estate has 3 to 60"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(only: list[str], hosts: int, sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        plan(only, hosts, sizes, False, 20)


def test_sides_take_turns() -> None:
    assert turns((THEN, NOW), 3) == [(THEN, NOW), (NOW, THEN), (THEN, NOW)]


@pytest.mark.parametrize(("hosts", "shop", "blog"), [(2, 1, 1), (3, 2, 1), (30, 15, 15), (LARGEST, 30, 30)])
def test_an_estate_is_the_labs_in_another_size(hosts: int, shop: int, blog: int) -> None:
    estate = describe(LAB, f"bench-{hosts}", hosts)["all"]
    assert estate["vars"]["environment_name"] == f"bench-{hosts}"
    assert estate["vars"]["kept"] is True
    groups = estate["children"]["apps"]["children"]
    assert [len(groups[name]["hosts"]) for name in ("shop", "blog")] == [shop, blog]
    assert next(iter(groups["shop"]["hosts"])) == "shop1"
    network = ipaddress.ip_network(estate["vars"]["private_network"])
    addresses = [
        host["ansible_host"]
        for group in (*groups.values(), estate["children"]["proxies"])
        for host in group["hosts"].values()
    ]
    addresses.append(estate["vars"]["controller_address"])
    assert len(set(addresses)) == len(addresses) == hosts + 2
    assert all(ipaddress.ip_address(address) in network for address in addresses)
    assert LAB["all"]["vars"]["environment_name"] == "lab"


def test_an_estate_is_the_labs_whether_or_not_its_groups_have_a_parent() -> None:
    flat = {"proxies": LAB["all"]["children"]["proxies"], **LAB["all"]["children"]["apps"]["children"]}
    estate = describe(flat, "bench-2", 2)
    assert list(groups_of_applications(estate)) == ["shop", "blog"]
    assert estate["shop"] == describe(LAB, "bench-2", 2)["all"]["children"]["apps"]["children"]["shop"]
    assert estate["all"]["vars"]["environment_name"] == "bench-2"


def test_no_other_inventory_has_the_benchs_addresses() -> None:
    networks = {
        describe(LAB, "x", 2)["all"]["vars"]["private_network"],
        describe_rival(Path("/x/.lab/y"))["all"]["vars"]["lab_private_network"],
    }
    assert len(networks) == 2
    root = Path(__file__).resolve().parents[2]
    for file in [*root.glob("inventories/*/hosts.yml"), *root.glob("molecule/*/inventory/hosts.yml")]:
        said = yaml.safe_load(file.read_text()).get("all", {}).get("vars")
        said = said or yaml.safe_load((file.parent / "group_vars" / "all" / "environment.yml").read_text())
        taken = said["private_network"]
        assert not any(ipaddress.ip_network(taken).overlaps(ipaddress.ip_network(own)) for own in networks), file


def test_nothing_of_the_rivals_connection_has_to_be_templated() -> None:
    text = yaml.safe_dump(describe_rival(Path("/x/.lab/bench-rival")))
    assert "{{" not in text
    assert "/x/.lab/bench-rival/known_hosts" in text


def runs(*seconds: float, trips: int = 0) -> list[Run]:
    return [Run(one, one / 2, 100 + one, trips=trips) for one in seconds]


MEASURED = {
    "first": {NOW: runs(60), THEN: runs(120)},
    "idle": {NOW: runs(10, 12, 20, trips=7), THEN: runs(40, 60, 40, trips=17)},
    "proxy": {NOW: runs(4, 4), THEN: runs(12, 12), RIVAL: runs(8, 5)},
    **{
        f"sweep {kind} {size}": {NOW: runs(size * factor)}
        for kind, factor in (("first", 9.0), ("idle", 2.0))
        for size in (3, 10, 30)
    },
}


def test_runs_stand_beside_those_of_the_older_commit() -> None:
    lines = estate_table(MEASURED, "abc1234").splitlines()
    assert lines[0] == (
        "|  | runs | s, abc1234 | s, now | ratio | CPU s, abc1234 | CPU s, now | ratio | MiB | round trips |"
    )
    assert (
        lines[2]
        == "| `site.yml`, first run on bare hosts | 1 | 120.0 | 60.0 | 0.50 | 60.0 | 30.0 | 0.50 | 220 → 160 |  |"
    )
    # A ratio is one round's: 10/40, 12/60 and 20/40, not 12/40.
    assert "| 3 | 40.0 | 12.0 | 0.25 (0.20 to 0.50) |" in lines[3]
    assert lines[3].endswith("| 140 → 112 | 17 → 7 |")


def test_runs_stand_alone_without_one() -> None:
    alone = {row: {NOW: sides[NOW]} for row, sides in MEASURED.items()}
    lines = estate_table(alone, "").splitlines()
    assert lines[0].count("|") == lines[2].count("|") == 7
    assert "| `site.yml`, nothing to do | 3 | 12.0 | 6.0 | 112 | 7 |" in lines


def test_a_proxy_stands_beside_its_rival() -> None:
    lines = rival_table(MEASURED, "abc1234").splitlines()
    assert lines[2].startswith("| Gatehouse | 4.0 (0.65) |")
    assert lines[3].startswith("| Gatehouse abc1234 | 12.0 (1.95) |")
    assert lines[4].startswith("| the rival | 6.5 (1.00) |")


def test_a_sweep_has_a_row_for_each_size_and_shows_its_growth() -> None:
    lines = sweep_table(MEASURED, {"30": 2.04}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 3", "| 10", "| 30"]
    assert lines[0].count("|") == lines[4].count("|")
    assert lines[4].endswith("| 2.0 |")
    assert (
        "3.3 and 3.3 times as long with 10 hosts as with 3, 3.0 and 3.0 times as long with 30 hosts as with 10."
        in growth(MEASURED)
    )
    assert growth({row: sides for row, sides in MEASURED.items() if row.endswith(" 3")}) == ""


def test_the_plot_of_costs_has_every_point_and_both_schemes() -> None:
    tree = ET.fromstring(cost_plot(MEASURED))  # noqa: S314
    svg = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f".//{svg}circle")) == 3 * 2 * 3
    assert len(tree.findall(f".//{svg}polyline")) == 3 * 2
    style = tree.findtext(f"{svg}style") or ""
    assert "prefers-color-scheme: dark" in style
    # Each colour of the light scheme has one in the dark scheme.
    light, dark = style.split("@media")
    assert set(re.findall(r"(--\w+): #", light)) == set(re.findall(r"(--\w+): #", dark))
    width, height = float(tree.attrib["width"]), float(tree.attrib["height"])
    for text in tree.iter(f"{svg}text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height


def test_the_values_of_two_lines_do_not_meet() -> None:
    level = {f"sweep {kind} {size}": {NOW: runs(5)} for kind in ("first", "idle") for size in (3, 10)}
    tree = ET.fromstring(cost_plot(level))  # noqa: S314
    values = [text for text in tree.iter("{http://www.w3.org/2000/svg}text") if "value" in text.get("class", "")]
    places = {(text.attrib["x"], text.attrib["y"]) for text in values}
    assert len(places) == len(values) == 12


@pytest.mark.parametrize(
    ("now", "then", "rounds"), [((1, 2), (3, 4), 2), ((1, 2), (3,), 1), ((1,), (), 0), ((), (), 0)]
)
def test_a_round_that_was_interrupted_is_left_out(now: tuple[int, ...], then: tuple[int, ...], rounds: int) -> None:
    results = Results("c0ffee", "abc1234", 6)
    for side, given in ((NOW, now), (THEN, then)):
        for one in runs(*given):
            results.add("idle", side, one)
    results.cut(plan(["idle"], 6, [3], True, 5))
    assert {side: len(left) for side, left in results.samples.get("idle", {}).items()} == (
        {NOW: rounds, THEN: rounds} if rounds else {}
    )


def test_samples_are_read_as_they_were_stored() -> None:
    results = Results("c0ffee", "83e53fc", 6, 0.5, {"30": 2.0})
    results.add("idle", NOW, Run(1.5, 0.5, 80.0, (), 7))
    results.add("deploy", NOW, Run(2.5, 0.5, 80.0, ("shop1",)))
    assert Results.read(results.stored()) == results


@pytest.mark.parametrize(("commit", "kept"), [("c0ffee", True), ("c0ffee-dirty", False)])
def test_parts_are_kept_only_of_the_same_commit(commit: str, kept: bool) -> None:
    former, results = Results("c0ffee", hosts=6), Results(commit, hosts=6)
    former.add("idle", NOW, Run(1, 1, 1))
    former.add("first", NOW, Run(9, 9, 9))
    results.add("idle", NOW, Run(2, 2, 2))
    results.merge(former)
    assert results.samples["idle"] == {NOW: [Run(2, 2, 2)]}
    assert ("first" in results.samples) is kept


def test_a_report_has_what_was_measured_and_no_more() -> None:
    results = Results("c0ffee", "abc1234", 6, 0.5, {"30": 2.0}, {row: {**sides} for row, sides in MEASURED.items()})
    text = report(results)
    assert "busy" not in text
    assert "busy with other work** (a load of 7.1 before)" in report(replace(results, load=7.12))
    assert "commit c0ffee, and abc1234 in turns on the same hosts" in text
    assert "The largest estate had 30 application hosts, whose containers held 2.0 GiB of memory." in text
    results.samples = {"idle": results.samples["idle"]}
    assert "rival" not in report(results)
    assert "sweep" not in report(results)


def test_the_page_has_one_place_for_the_costs() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
    assert "\nx\n" in between(page.read_text(), MARKER, "x")


def test_releases_are_shared_and_none_is_replaced(tmp_path: Path) -> None:
    trees = Trees(tmp_path / "root", tmp_path, "abc1234")
    for side, content in ((NOW, "new"), (THEN, "old")):
        build = trees.paths[side] / "build"
        build.mkdir(parents=True)
        (build / "shop-1.0.0.json").write_text(content)
    (trees.paths[NOW] / "build" / "blog-2.0.0.tar.gz").write_text("blog")
    (trees.paths[NOW] / "build" / "bench-cost.json").write_text("{}")
    trees.share_releases()
    shared = {file.name: file.read_text() for file in (trees.paths[THEN] / "build").iterdir()}
    assert shared == {"shop-1.0.0.json": "old", "blog-2.0.0.tar.gz": "blog"}
    assert list(trees.built(THEN)) == ["shop-1.0.0.json"]
