"""What status.yml and logs.yml show of real hosts that are well, drained, stopped, slow, and gone."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from estate import Ask, Estate

PAGE = "https://storefront.lab.test/api/whoami?sight=1"


def status(estate: Estate, *arguments: str) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """Return the document, read from a stdout that has nothing else."""
    run = estate.play("playbooks/status.yml", "-e", "format=json", *arguments)
    return json.loads(run.stdout), run


def members(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for upstream in found["upstreams"] for one in upstream["members"]}


@pytest.fixture(scope="module")
def trouble(estate: Estate, ask: Ask) -> Iterator[Estate]:
    """Have one host drained, one whose application is stopped, one that is slow, and one that is gone."""
    drained = estate.play("playbooks/drain.yml", "-e", "host=storefront3", "-e", '{"reason": "new memory"}')
    assert drained.returncode == 0, drained.stdout
    stopped, slow = estate.host("storefront2"), estate.host("dashboard3")
    stopped.check_output("systemctl stop storefront")
    slow.check_output("systemctl kill -s STOP dashboard")
    estate.podman("kill", "dashboard2")
    yield estate
    estate.podman("start", "dashboard2")
    slow.check_output("systemctl kill -s CONT dashboard")
    stopped.check_output("systemctl start storefront")
    assert estate.play("playbooks/undrain.yml", "-e", "host=storefront3").returncode == 0
    # Boots take their time, and nginx leaves out for a while who did not answer.
    deadline = time.monotonic() + 90
    for app in ("storefront", "dashboard"):
        url = f"https://{app}.lab.test/api/whoami"
        while (
            len({json.loads(answer.body)["host"] for answer in (ask(url) for _ in range(9)) if answer.status == 200})
            < 3
        ):
            assert time.monotonic() < deadline, f"not all hosts of {app} serve again"
            time.sleep(1)


def test_status_shows_each_member_as_it_is(trouble: Estate) -> None:
    found, run = status(trouble, "-e", "fail=true")
    assert run.returncode == 2, run.stderr
    seen = members(found)
    views = {name: (one["proxies"][0]["state"], one["proxies"][0]["status"]) for name, one in seen.items()}
    assert views == {
        "storefront1": ("in", 200), "storefront2": ("out", 0), "storefront3": ("drained", 200),
        "dashboard1": ("in", 200), "dashboard2": ("out", 0), "dashboard3": ("out", 0),
    }  # fmt: skip
    assert (seen["storefront3"]["drained"]["kind"], seen["storefront3"]["drained"]["reason"]) == (
        "maintenance",
        "new memory",
    )
    assert [(unit["unit"], unit["state"]) for unit in seen["storefront2"]["units"]] == [
        ("storefront.service", "inactive")
    ]
    assert seen["dashboard3"]["proxies"][0]["ms"] >= 4900
    assert "timed out" in seen["dashboard3"]["proxies"][0]["problem"]
    assert (seen["dashboard2"]["reachable"], seen["dashboard2"]["release"]) == (False, "")
    assert seen["storefront1"]["release"] == trouble.host("storefront1").check_output(
        "basename $(readlink /srv/storefront/current)"
    )
    [proxy] = found["proxies"]
    assert proxy["configuration"]["version"] == trouble.host("proxy1").check_output(
        "basename $(readlink /etc/nginx/active)"
    )
    ends = {site["name"]: site["certificates"][0] for site in found["sites"]}
    assert {name: one["days_left"] > 80 and not one["problem"] for name, one in ends.items()} == dict.fromkeys(
        ends, True
    )
    named = {problem.split()[0].rstrip(":") for problem in found["problems"]}
    assert named == {"storefront2", "dashboard2", "dashboard3"}


def test_the_table_names_who_drained_and_what_is_out(trouble: Estate) -> None:
    run = trouble.play("playbooks/status.yml", "-e", "app=storefront")
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line for line in lines if len(line) > 100] == []
    words = {line.split()[0]: line.split()[1:6] for line in lines if re.match(r"  storefront\d", line)}
    assert words["storefront1"][:3] == ["in", "proxy1", "200"]
    assert words["storefront2"][:3] == ["out", "proxy1", "none"]
    assert words["storefront3"][:3] == ["drained", "proxy1", "200"]
    assert re.search(
        r"^      drained for maintenance by \S+ since [\d-]+ [\d:]+: new memory$", run.stdout, re.MULTILINE
    )
    assert re.search(r"^      storefront\.service is inactive since [\d-]+ [\d:]+$", run.stdout, re.MULTILINE)
    assert re.fullmatch(r"3 members: 1 in, 1 drained, 1 out; 2 problems", lines[-1])
    assert "dashboard" not in run.stdout


def test_a_request_is_found_on_proxy_endpoint_and_application(trouble: Estate, ask: Ask) -> None:
    """The answer comes from storefront1; the stopped application of storefront2 may have been asked before it."""
    for _ in range(20):
        answer = ask(PAGE)
        asked = trouble.host("proxy1").check_output(
            f"sleep 0.3; grep -F {answer.headers['x-request-id']} /var/log/nginx/access.log"
        )
        if answer.status == 200 and "10.21.0.102" in json.loads(asked)["upstream"]:
            break
    else:
        pytest.fail("nginx never asked storefront2 first")
    number = answer.headers["x-request-id"]
    # A further unit of the application, as a worker is, that logs the number.
    trouble.host("storefront1").check_output(
        f"systemd-run --quiet --wait --unit=storefront.note printf 'job of {number} \\033[2J\\n'"
    )
    trouble.host("proxy1").check_output("logrotate --force /etc/logrotate.d/nginx")  # as in the night between
    run = trouble.play("playbooks/logs.yml", "-e", f"request={number}")
    assert run.returncode == 0, run.stderr
    lines = [line.split(maxsplit=3) for line in run.stdout.splitlines()]
    found = {(host, source): text for _, host, source, text in lines}
    assert [moment for moment, *_ in lines] == sorted(moment for moment, *_ in lines)
    assert found[("proxy1", "access")].startswith("200 GET storefront.lab.test/api/whoami?sight=1 ")
    assert found[("proxy1", "access")].endswith(f"id {number}")
    assert "upstream prematurely closed" in found[("proxy1", "error")]
    assert found[("storefront2", "error")].startswith("~ [error] connect() failed (111: Connection refused)")
    assert rf"job of {number} \x1b[2J" in run.stdout
    assert {host for host, _ in found} <= {"proxy1", "storefront1", "storefront2"}
    assert "dashboard2: no lines, it cannot be reached" in run.stderr


def test_the_logs_of_one_application_are_bounded_and_can_be_searched(trouble: Estate, ask: Ask) -> None:
    for _ in range(5):
        ask(PAGE)
    run = trouble.play(
        "playbooks/logs.yml",
        "-e",
        "app=storefront",
        "-e",
        "since=-1h",
        "-e",
        "lines=3",
        "-e",
        "grep='^200 GET store|systemd:'",
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split(maxsplit=3) for line in run.stdout.splitlines()]
    hosts = [host for _, host, _, _ in lines]
    assert set(hosts) <= {"proxy1", "storefront1", "storefront2", "storefront3"}
    assert max(hosts.count(host) for host in hosts) == 3
    assert all(re.search(r"^200 GET store|systemd:", text) for *_, text in lines)
    assert re.search(r"^proxy1: there are more lines than these, which are from \S+ on; ", run.stderr, re.MULTILINE)
    assert "clock" not in run.stderr


@pytest.mark.parametrize(
    ("playbook", "words", "message"),
    [
        ("status", ["app=shopp"], "-e app=shopp is no application; write one of storefront, dashboard"),
        ("logs", ["since=gestern"], "-e since=gestern is no time; write -10m, -2h, 02:00"),
    ],
)
def test_what_cannot_be_asked_is_refused(estate: Estate, playbook: str, words: list[str], message: str) -> None:
    run = estate.play(f"playbooks/{playbook}.yml", *(part for word in words for part in ("-e", word)))
    assert run.returncode != 0
    assert message in run.stderr
    assert run.stdout == ""
