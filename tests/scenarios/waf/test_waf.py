"""Watch, except, refuse: the road of the application firewall, asked from outside."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from estate import Ask, Estate

from .conftest import Send
from .traffic import CARD, COOKIE, FORM, JSON, PASSWORD, attacks, normal_use, request

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "tools"))

import waf_rules  # noqa: E402

LOG = "/var/log/nginx/waf"
SQL = quote("1' union select null,null from users-- -")
PASTED = ROOT / "molecule/waf/inventory/group_vars/proxies/exclusions.yml"


def without_why(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps({key: value for key, value in one.items() if key != "why"}) for one in entries)


def suggestions(report: str, site: str) -> list[dict[str, Any]]:
    """Return the exclusions that the report has for one site."""
    part = report.split(f"site {site}\n")[1].split("\nsite ")[0]
    return [yaml.safe_load(line)[0] for line in re.findall(r"^\s*(- \{.*\})$", part, re.MULTILINE)]


def lines(estate: Estate) -> list[dict[str, Any]]:
    """Return the firewall's log."""
    return [json.loads(line) for line in estate.host("proxy1").check_output(f"cat {LOG}/*.json").splitlines()]


def test_the_report_gives_the_pasted_exclusions(report: str) -> None:
    pasted = yaml.safe_load(PASTED.read_text())["pasted_exclusions"]
    assert without_why(suggestions(report, "watched")) == without_why(pasted)
    assert re.search(r"block would have refused \d+ requests of 1 likely person: except those above first", report)


def test_block_lets_normal_use_pass(send: Send) -> None:
    assert Counter(send("guarded", normal_use())) == {200: len(normal_use()) - 1, 101: 1}


def test_block_without_exclusions_refuses_normal_use(send: Send) -> None:
    # The negative of the test above: it is the exclusions that let it pass.
    assert Counter(send("strict", [one for one in normal_use() if one["method"] == "POST"]))[403] == 3


def test_attacks_are_refused(send: Send) -> None:
    orders = {name: found for name, found in attacks().items() if name != "beyond"}
    statuses = send("guarded", [one for found in orders.values() for one in found])
    assert len(statuses) >= 450
    # nginx itself answers 400 to what is no request at all, and 405 to a method that the site has not.
    place, shares = 0, {}
    for name, found in orders.items():
        own = statuses[place : place + len(found)]
        place += len(found)
        shares[name] = sum(status in (400, 403, 405) for status in own) / len(own)
    refused = sum(status in (400, 403, 405) for status in statuses)
    print(f"refused {refused} of {len(statuses)}: {shares}")
    assert refused / len(statuses) >= 0.98, shares
    assert all(share >= 0.9 for share in shares.values()), shares


def test_what_it_does_not_see_is_known(send: Send) -> None:
    # docs/waf.md says so: if one is refused one day, that page has to change.
    assert set(send("guarded", attacks()["beyond"])) == {200}


def test_nothing_secret_is_written_down(estate: Estate, send: Send, report: str) -> None:
    leaky = [request("POST", "/login", JSON, json.dumps({"password": PASSWORD})[:-1] + ", xx")]
    leaky += [request("POST", "/x", FORM, json.dumps({"password": f"{PASSWORD}<script>alert(1)</script>"}))]
    leaky += [request("GET", f"/reset/{COOKIE}/{CARD}?q={SQL}", {"Cookie": f"session={COOKIE}' union select 1,2-- -"})]
    assert send("guarded", leaky) == [403, 403, 403]
    host = estate.host("proxy1")
    assert [line["path"] for line in lines(estate)][-1] == "/reset/*/*"
    page = (estate.state / "waf.html").read_text()
    for secret in ("hunter2secret", CARD, COOKIE):
        assert secret not in report
        assert secret not in page
        assert host.run(f"grep -r {secret} {LOG}").rc == 1
    for secret in ("hunter2secret", "union select 1,2"):  # the path is in nginx's own log, as of every request
        assert host.run(f"grep -r '{secret}' /var/log/nginx").rc == 1


def test_the_report_is_a_page_too(estate: Estate, report: str) -> None:
    page = (estate.state / "waf.html").read_text()
    assert "<svg" in page
    assert "attack-sqli, parameter: json.text" in page
    assert not re.search(r"(src|href)=", page)


def test_who_is_refused_reads_a_number(estate: Estate, ask: Ask) -> None:
    answer = ask(f"https://guarded.lab.test/find?q={SQL}", "-H", "Accept: text/html")
    assert answer.status == 403
    number = answer.headers["x-request-id"]
    assert number in answer.body
    assert "This request was refused" in answer.body
    assert "retry-after" not in answer.headers
    (line,) = [one for one in lines(estate) if one["request_id"] == number]
    assert (line["host"], line["path"], line["refused"]) == ("guarded.lab.test", "/find", True)
    assert ["942100", "ARGS:q"] in line["hits"]
    program = ask(f"https://guarded.lab.test/find?q={SQL}", "-H", "Accept: application/json")
    assert json.loads(program.body)["request_id"] == program.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        (f"/unwatched/?q={SQL}", (), 200),
        (f"/?q={SQL}", (), 403),
        ("/plain/", ("-X", "PROPFIND"), 200),
        ("/plain/", ("-X", "PUT"), 403),
        ("/small/", ("-d", "q=" + "a" * 1022), 200),
        ("/small/", ("-d", "q=" + "a" * 1023), 413),
        (f"/from-here/?q={SQL}", (), 200),
        (f"/from-there/?q={SQL}", (), 403),
        ("/cookies/", ("-b", "filter=1 union select null from users"), 200),
        ("/cookies/", ("-b", "other=1 union select null from users"), 403),
        ("/headers/", ("-H", "X-Filter: 1 union select null from users"), 200),
        ("/own/?id=17", (), 200),
        ("/own/?id=x", (), 403),
        ("/own/?id=%22", (), 403),
        ("/own/?other=x&q=debug", (), 200),
        ("/own/api/", ("-A", "oldclient/1.7"), 403),
        ("/own/%61pi/", ("-A", "OldClient/1.7"), 403),
        ("/own/", ("-A", "OldClient/1.7"), 200),
        ("/own/closed/a", (), 403),
        (f"/brackets/?where%5Bname%5D={SQL}", (), 200),
        (f"/brackets/?where%5Bid%5D={SQL}", (), 403),
    ],
)
def test_a_location_has_its_own_settings(ask: Ask, path: str, options: tuple[str, ...], status: int) -> None:
    assert ask(f"https://strict.lab.test{path}", *options).status == status


def test_a_full_disk_stops_nobody(estate: Estate, ask: Ask) -> None:
    host = estate.host("proxy1")
    inside = "nsenter -t $(cat /run/nginx.pid) -m"
    host.check_output(f"{inside} mount -t tmpfs -o size=16k,mode=0777 none {LOG}")
    try:
        host.run(f"{inside} dd if=/dev/zero of={LOG}/full bs=4k count=16")
        assert "100%" in host.check_output(f"{inside} df {LOG}")
        assert ask("https://guarded.lab.test/about").status == 200
        assert ask(f"https://guarded.lab.test/find?q={SQL}").status == 403
    finally:
        host.check_output(f"{inside} umount {LOG}")


def test_the_log_is_bounded(estate: Estate, ask: Ask) -> None:
    host = estate.host("proxy1")
    today = host.check_output("date -u +%F").strip()
    old, kept = (host.check_output(f"date -u -d '-{days} days' +%F").strip() for days in (20, 10))
    host.check_output(f"mv {LOG}/{today}.json {LOG}/aside && touch {LOG}/{old}.json {LOG}/{kept}.json")
    try:
        assert ask(f"https://guarded.lab.test/find?q={SQL}").status == 403
        assert sorted(host.file(LOG).listdir()) == sorted(["aside", f"{kept}.json", f"{today}.json"])
        host.check_output(f"truncate -s 32M {LOG}/{today}.json")
        assert ask(f"https://guarded.lab.test/find?q={SQL}").status == 403
        assert host.file(f"{LOG}/{today}.json").size == 32 * 1024 * 1024
    finally:
        host.check_output(f"mv {LOG}/aside {LOG}/{today}.json && rm {LOG}/{kept}.json")


def test_the_log_is_not_for_everybody(estate: Estate) -> None:
    folder = estate.host("proxy1").file(LOG)
    assert (folder.user, folder.group, folder.mode) == ("www-data", "adm", 0o750)


def test_the_same_settings_are_one_file(estate: Estate) -> None:
    names = estate.host("proxy1").file("/etc/nginx/active/waf").listdir()
    # `watched` and `guarded` have two each, for two sizes of bodies; `strict` has nine of its own.
    assert Counter(name.split("-")[0] for name in names) == {"detect": 2, "block": 11}


def test_the_known_rules_are_the_installed_ones(estate: Estate, tmp_path: Path) -> None:
    host = estate.host("proxy1")
    for name in host.check_output("ls /usr/share/modsecurity-crs/rules").split():
        if re.fullmatch(r"REQUEST-9[1-4].*\.conf", name):
            (tmp_path / name).write_text(host.file(f"/usr/share/modsecurity-crs/rules/{name}").content_string)
    known = yaml.safe_load((ROOT / "roles/proxy/files/waf/rules.yml").read_text())
    assert set(waf_rules.rules(tmp_path)) | set(waf_rules.OWN) == set(known)


def test_an_unknown_time_is_refused(estate: Estate) -> None:
    run = estate.play("playbooks/waf_report.yml", "-e", "since=yesterday")
    assert run.returncode != 0
    said = " ".join((run.stdout + run.stderr).split())
    assert 'since: \\"yesterday\\" is no time; write -7d' in said or 'since: "yesterday" is no time; write -7d' in said


def test_an_unknown_rule_is_refused_before_any_host(estate: Estate) -> None:
    wrong = json.dumps({"pasted_exclusions": [{"rule": 942105, "why": "x"}]})
    run = estate.play("playbooks/preflight.yml", "-e", wrong)
    assert run.returncode != 0
    said = " ".join((run.stdout + run.stderr).split())
    assert "proxy_sites[1].waf.exclude[0].rule 942105 is no rule of the application firewall" in said
    assert "write 942100, 942101 or 942110" in said
