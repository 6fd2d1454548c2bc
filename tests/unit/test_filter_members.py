"""Who is drained, who is left, how a member is asked, and in which order hosts are moved over or go back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader
from ansible_collections.gatehouse.core.plugins.module_utils.health import visitor_headers


def pure(name: str) -> Callable[..., Any]:
    """Return a filter's function."""
    function: Callable[..., Any] = filter_loader.get(name).j2_function
    return function


def upstream(name: str = "shop", states: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Return an upstream with members on addresses that count up."""
    members = [
        {"name": member, "address": f"10.0.0.{number}", "port": 443, **({"state": state} if state else {})}
        for number, (member, state) in enumerate((states or {"web1": "", "web2": "up"}).items(), start=11)
    ]
    return {"name": name, "transport": "http", "members": members, **more}


def states(upstreams: list[dict[str, Any]]) -> list[list[str]]:
    return [[member.get("state", "up") for member in one["members"]] for one in upstreams]


def test_a_drained_member_is_drained_in_every_upstream() -> None:
    both = [upstream(), upstream("other", {"web2": "", "web3": "drain"})]
    assert states(pure("drain_members")(both, ["web2"])) == [["up", "drain"], ["drain", "drain"]]
    assert states(both) == [["up", "up"], ["up", "drain"]]


def test_without_anybody_to_drain_nothing_is_copied() -> None:
    both = [upstream()]
    assert pure("drain_members")(both, []) is both


@pytest.mark.parametrize("names", ["web1", None, [1], {"web1": True}])
def test_names_that_are_no_list_are_refused(names: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"names must be a list of members' names, got .*; write \['storefr"):
        pure("drain_members")([upstream()], names)


@pytest.mark.parametrize(
    ("given", "names", "found"),
    [
        ({"web1": "", "web2": ""}, ["web1"], []),
        ({"web1": "", "web2": ""}, ["web1", "web2"], [{"name": "shop", "members": ["web1", "web2"]}]),
        ({"web1": "", "web2": "drain"}, ["web1"], [{"name": "shop", "members": ["web1"]}]),
        # Nobody serves it anyway: nothing is lost.
        ({"web1": "drain"}, ["web1"], []),
        ({"web1": ""}, ["another"], []),
    ],
)
def test_an_upstream_that_loses_its_last_member_is_named(given: dict[str, str], names: list[str], found: Any) -> None:
    assert pure("unserved_upstreams")([upstream(states=given)], names) == found


SITES: list[dict[str, Any]] = [
    {"name": "none", "server_names": ["none.example"], "locations": [{"path": "/", "redirect": {"to": "/x"}}]},
    {
        "name": "shop",
        "server_names": ["*.shop.example", "~^x$", "www.shop.example"],
        "https": False,
        "locations": [{"path": "/", "upstream": "shop"}],
    },
]


def test_a_member_is_asked_where_and_as_the_proxy_does() -> None:
    pool = upstream(transport="mtls", tls={"name": "shop.members.internal"})
    assert pure("member_endpoints")([pool], ["web2"], SITES) == [
        {
            "member": "web2",
            "upstream": "shop",
            "transport": "mtls",
            "address": "10.0.0.12",
            "port": 443,
            "tls_name": "shop.members.internal",
            "ca": "",
            "headers": visitor_headers("www.shop.example", "http"),
        }
    ]


def test_visitors_ask_an_upstream_by_its_sites_first_name() -> None:
    assert [pure("site_host")(SITES, name) for name in ("shop", "other")] == ["www.shop.example", ""]
    wildcards = [{**SITES[1], "server_names": ["*.shop.example"]}]
    assert pure("site_host")(wildcards, "shop") == ""
    [asked] = pure("member_endpoints")([upstream()], ["web1"], wildcards)
    assert asked["headers"] == {"X-Forwarded-Proto": "http"}


def test_a_member_of_several_upstreams_is_asked_for_each_as_nginx_verifies_it() -> None:
    pool = upstream(transport="https", tls={"name": "pool.internal", "ca": "/srv/own.pem"})
    own = upstream("own", transport="mtls")
    for one in (pool, own):
        one["members"][0]["tls_name"] = "web1.internal"
    found = pure("member_endpoints")([pool, own, upstream("clear", transport="http")], ["web1"])
    assert [(one["upstream"], one["tls_name"], one["ca"], one["headers"]) for one in found] == [
        ("shop", "pool.internal", "/etc/nginx/active/upstreams/shop.ca.pem", {}),
        ("own", "web1.internal", "", {}),
        ("clear", "", "", {}),
    ]


@pytest.mark.parametrize(
    ("value", "hosts", "size"),
    [("1", 3, 1), (2, 3, 2), ("50%", 3, 1), ("50%", 4, 2), ("1%", 3, 1), ("100%", 3, 3)],
)
def test_the_size_of_a_batch(value: Any, hosts: int, size: int) -> None:
    assert pure("batch_size")(value, hosts) == size


@pytest.mark.parametrize("value", ["0", "-1", "101%", "0%", "half", "", None, True, "1.5"])
def test_what_is_no_size_of_a_batch(value: Any) -> None:
    with pytest.raises(
        AnsibleFilterError, match='is no size of a batch; write a number of hosts as "2", or a share as'
    ):
        pure("batch_size")(value)


def plan(host: str, **more: Any) -> dict[str, Any]:
    usual = {"host": host, "app": "shop", "moves": True, "serving": True, "standby": False, "batch": "1"}
    usual |= {"canary_seconds": 0, "undrained": False}
    return {**usual, **more}


def batches(*plans: dict[str, Any]) -> list[tuple[list[str], bool, bool]]:
    return [(one["hosts"], one["drain"], one["canary"]) for one in pure("rollout_batches")(plans)]


def test_hosts_that_serve_are_drained_batch_by_batch() -> None:
    plans = [plan(host, batch="2") for host in ("web1", "web2", "web3")]
    assert batches(*plans) == [(["web1", "web2"], True, False), (["web3"], True, False)]


def test_a_share_is_one_of_all_hosts_and_not_of_those_that_move() -> None:
    plans = [plan(f"web{n}", batch="50%", moves=n > 2) for n in range(1, 5)]
    assert batches(*plans) == [(["web3", "web4"], True, False)]


def test_hosts_that_serve_nobody_come_first_all_at_once_and_undrained() -> None:
    plans = [plan("web1"), plan("web2", serving=False), plan("web3", serving=False)]
    assert batches(*plans) == [(["web2", "web3"], False, False), (["web1"], True, False)]


def test_where_a_standby_serves_nobody_is_drained() -> None:
    plans = [plan("web1", standby=True), plan("web2", standby=True), plan("web3", standby=True, serving=False)]
    found = pure("rollout_batches")(plans)
    assert [(one["hosts"], one["drain"], one["standby"]) for one in found] == [
        (["web3"], False, False),
        (["web1"], False, True),
        (["web2"], False, True),
    ]


def test_hosts_that_a_run_will_undrain_come_first_and_take_nobody_out() -> None:
    plans = [plan("web1"), plan("web2", undrained=True), plan("web3", undrained=True), plan("web4", batch="2")]
    found = pure("rollout_batches")([{**one, "batch": "2"} for one in plans])
    assert [(one["hosts"], one["drain"], one["out"], one["back"]) for one in found] == [
        (["web2", "web3"], True, True, []),
        (["web1", "web4"], True, False, ["web2", "web3"]),
    ]
    # Nobody is sent to it, so it needs no standby while the others have one.
    mixed = [plan("web1", standby=True), plan("web2", undrained=True)]
    assert [(one["hosts"], one["drain"], one["standby"]) for one in pure("rollout_batches")(mixed)] == [
        (["web2"], True, False),
        (["web1"], False, True),
    ]


def test_the_canary_is_alone() -> None:
    plans = [plan(host, batch="100%", canary_seconds=60) for host in ("web1", "web2", "web3")]
    assert batches(*plans) == [(["web1"], True, True), (["web2", "web3"], True, False)]


def test_nothing_moves_where_nothing_is_to_be_done() -> None:
    assert batches(plan("web1", moves=False), plan("web2", moves=False, serving=False)) == []


UNCHANGED = "shop was changed on no host: each of them serves what it served before."


def test_an_application_is_left_as_it_is_where_one_of_its_hosts_is_not_prepared() -> None:
    hostvars = {host: {"rollout_app": "shop"} for host in ("shop1", "shop2", "shop3")} | {
        "blog1": {"rollout_app": "blog"}
    }
    hosts = list(hostvars)
    failures = pure("preparation_failures")
    assert failures(hosts, hostvars, hosts) == {}
    [(app, reason)] = failures(hosts, hostvars, ["shop1", "shop3", "blog1"]).items()
    assert app == "shop"
    assert reason.splitlines() == [
        "shop2 failed earlier in this run, or cannot be reached; -e skip_unreachable=true goes on without a host that "
        "cannot be reached",
        UNCHANGED,
    ]
    # One reason for all of its hosts is named once.
    broken = {"rollout_app": "shop", "rollout_failure": "npm failed"}
    assert failures(hosts, {**hostvars, "shop1": broken, "shop2": broken}, hosts) == {
        "shop": f"npm failed\n{UNCHANGED}"
    }


def test_each_application_has_a_line_in_the_report() -> None:
    plans = [
        {**plan("shop1"), "release": "2.0"},
        {**plan("shop2", moves=False), "release": "2.0"},
        {**plan("blog1", app="blog", moves=False), "release": "1.0"},
        {**plan("wiki1", app="wiki"), "release": "3.0"},
    ]
    failures = {"wiki": "wiki 3.0 failed on wiki1:\nstatus 500\nand more", "cart": f"a\nb\nc\ncart {UNCHANGED[5:]}"}
    assert pure("rollout_report")(plans, failures) == [
        "shop 2.0 runs on shop1, shop2; switched in this run: shop1",
        "blog 1.0 runs on blog1 already: nothing was changed",
        "wiki failed: wiki 3.0 failed on wiki1:\n  status 500",
        f"cart failed: a\n  b\n  cart {UNCHANGED[5:]}",
    ]


@pytest.mark.parametrize(
    ("kinds", "out"),
    [
        ({"web1.shop": "maintenance", "web1.blog": "unreachable"}, ["web1"]),
        ({"web1.shop": "maintenance"}, []),  # the other one on it serves
        ({"web1.shop": "maintenance", "web1.blog": "rollout"}, []),
        ({}, []),
    ],
)
def test_a_run_goes_on_by_itself_without_machines_that_serve_nobody(kinds: dict[str, str], out: list[str]) -> None:
    hostvars = {"web1": {"instances": ["web1.shop", "web1.blog"]}, "proxy1": {"instances": []}}
    notes = {host: {"kind": kind} for host, kind in kinds.items()}
    assert pure("skippable_machines")(["web1", "proxy1"], hostvars, notes, False) == out
    assert pure("skippable_machines")(["web1", "proxy1"], hostvars, notes, True) == ["web1", "proxy1"]


def test_applications_follow_one_another() -> None:
    found = pure("rollout_batches")([plan("a1", app="a"), plan("b1", app="b"), plan("a2", app="a")])
    assert [(one["app"], one["lead"]) for one in found] == [("a", "a1"), ("a", "a2"), ("b", "b1")]


def release(name: str, deployed: float, current: bool = False, failed: str = "") -> dict[str, Any]:
    return {"release": name, "deployed": deployed, "current": current, "failed": failed}


def chosen(*listings: list[dict[str, Any]], wanted: str = "", log: str = "") -> dict[str, Any]:
    """Return what the filter says for the hosts web1, web2..., of which the last ones may lie."""
    hosts = {f"web{number}": listing for number, listing in enumerate(listings, 1)}
    return dict(pure("rollback_target")(hosts, log, wanted))


def target(*listings: list[dict[str, Any]], wanted: str = "", log: str = "") -> str:
    return str(chosen(*listings, wanted=wanted, log=log)["release"])


def log_of(*runs: str) -> str:
    """Return a log of `deploy|go back RELEASE OUTCOME`, one each."""
    lines = []
    for run in runs:
        what, name, outcome = run.rsplit(" ", 2)
        facts = {"release": name, "gate": {"path": f"/{name}"}} if outcome != "interrupted" else {}
        lines.append(json.dumps({"what": f"{what} x", "outcome": outcome, **facts}))
    return "\n".join(lines)


LOG = log_of("deploy 1.0-vulnerable done", "deploy 2.0 done", "deploy 3.0 done")
HONEST = [release("3.0", 3, True), release("2.0", 2), release("1.0-vulnerable", 1)]
LIES = {
    "a date": [release("3.0", 3, True), release("2.0", 2), release("1.0-vulnerable", 2.9)],
    "a date in the past": [release("3.0", 1.5, True), release("2.0", 2), release("1.0-vulnerable", 1)],
    "that it failed": [release("3.0", 3, True), release("2.0", 2, failed="500"), release("1.0-vulnerable", 1)],
    "that it never served": [release("3.0", 3, True), release("2.0", 0), release("1.0-vulnerable", 1)],
    "another one runs": [release("3.0", 3), release("2.0", 2, True), release("1.0-vulnerable", 1)],
    "the oldest runs": [release("3.0", 3), release("2.0", 2), release("1.0-vulnerable", 1, True)],
}


@pytest.mark.parametrize("log", [LOG, ""], ids=["log", "majority"])
@pytest.mark.parametrize("lie", LIES)
def test_one_host_does_not_choose_for_the_others(lie: str, log: str) -> None:
    found = chosen(HONEST, HONEST, LIES[lie], log=log)
    assert found["release"] == "2.0"
    # A date is not even looked at where there is a log.
    assert {line.split()[0] for line in found["differs"]} == (set() if log and "date" in lie else {"web3"})
    assert chosen(HONEST, HONEST, HONEST, log=log)["differs"] == []


def test_a_host_that_lacks_the_release_is_named_and_no_older_one_chosen() -> None:
    lacking = [release("3.0", 3, True), release("1.0-vulnerable", 1)]
    for log in (LOG, ""):
        with pytest.raises(AnsibleFilterError, match=r"^web3 does not have release 2.0, .* leave that host out with"):
            target(HONEST, HONEST, lacking, log=log)


def test_the_page_is_that_of_the_log_or_of_most_hosts() -> None:
    assert chosen(HONEST, log=LOG)["gate"] == {"path": "/2.0"}
    honest = [release("b", 2, True), {**release("a", 1), "gate": {"path": "/well"}}]
    lie = [release("b", 2, True), {**release("a", 1), "gate": {"status": 404}}]
    assert chosen(honest, honest, lie)["gate"] == {"path": "/well"}


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (["deploy a done", "deploy b done", "deploy c done", "go back b done"], "a"),
        # A restart makes no release newer than it was.
        (["deploy a done", "deploy b done", "deploy c done", "go back b done", "restart b done"], "a"),
        (["deploy a done", "deploy b done", "deploy a done"], "b"),
        (["deploy a done", "deploy b done", "deploy b failed", "deploy c done"], "b"),   # its settings failed
        (["deploy a done", "deploy b done", "deploy a failed", "deploy c done"], "b"),
        (["deploy a done", "deploy b failed", "deploy c done"], "a"),
        (["deploy a done", "deploy b done", "deploy c failed"], "b"),                    # some hosts have it
        (["deploy a done", "deploy b done", "deploy c interrupted"], "b"),
    ],
)  # fmt: skip
def test_the_log_decides(runs: list[str], expected: str) -> None:
    listing = [release("c", 3, True), release("b", 2), release("a", 1)]
    assert target(listing, log=log_of(*runs)) == expected


def test_what_an_interrupted_run_did_not_touch_goes_further_back() -> None:
    log = log_of("deploy a done", "deploy b done", "deploy c interrupted")
    assert target([release("b", 2, True), release("a", 1)], log=log) == "a"


def test_what_all_hosts_have_removed_is_passed_over() -> None:
    listing = [release("c", 3, True), release("a", 1)]
    assert target(listing, listing, log=log_of("deploy a done", "deploy b done", "deploy c done")) == "a"


def test_what_is_no_log_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="line 2 of the log of deployments is none that Gatehouse wrote"):
        target(HONEST, log=LOG.splitlines()[0] + "\nmine!")


def test_one_goes_back_to_the_good_release_before() -> None:
    assert target([release("c", 3, True), release("b", 2), release("a", 1)]) == "b"


def test_going_back_again_goes_further_back() -> None:
    assert target([release("c", 3), release("b", 2, True), release("a", 1)]) == "a"


def test_a_failed_release_is_never_chosen_nor_one_that_never_served() -> None:
    assert target([release("d", 0), release("c", 3, True), release("b", 2, failed="500"), release("a", 1)]) == "a"


def test_without_a_log_hosts_that_do_not_agree_are_asked_about() -> None:
    moved = [release("b", 2, True), release("a", 1), release("z", 0.5)]
    waiting = [release("b", 0), release("a", 1, True), release("z", 0.5)]
    with pytest.raises(
        AnsibleFilterError, match="no log of deployments on this controller, and the hosts do not agree"
    ):
        target(moved, waiting)


def test_an_older_release_deployed_anew_is_newer() -> None:
    assert target([release("a", 3, True), release("b", 2)]) == "b"


def test_a_release_by_name_must_be_on_every_host() -> None:
    one = [release("c", 3, True), release("b", 2), release("a", 1)]
    assert target(one, one, wanted="a") == "a"
    with pytest.raises(AnsibleFilterError, match=r"web2 does not have release a"):
        target(one, one[:2], one, wanted="a")
    with pytest.raises(AnsibleFilterError, match=r"no good release d on each of them. The hosts have: c, b, a."):
        target(one, one, wanted="d")


def test_a_release_that_failed_or_never_served_is_not_gone_back_to_by_name() -> None:
    listing = [release("c", 3, True), release("b", 2, failed="hung"), release("a", 0)]
    for name in ("a", "b"):
        with pytest.raises(AnsibleFilterError, match=rf"no good release {name} on each of them.*b \(failed\)"):
            target(listing, wanted=name)


def test_nowhere_to_go_back_to() -> None:
    message = (
        r"no good release before the one that runs.* The hosts have: b, a \(failed\). Name one of them with -e rel"
    )
    for log in ("", log_of("deploy b done")):
        with pytest.raises(AnsibleFilterError, match=message):
            target([release("b", 2, True), release("a", 1, failed="hung")], log=log)


SHOP = upstream("shop", {"web1": "up", "web2": "up", "web3": "up"})
DESK = upstream("desk", {"desk1": "up", "desk2": "up"})
ADMIN = upstream("admin", {"web1": "up"})


@pytest.mark.parametrize(
    ("upstreams", "notes", "batches"),
    [
        # One of each upstream at a time.
        ([SHOP, DESK], {}, [(["desk1", "web1"],) * 2, (["desk2", "web2"],) * 2, (["web3"],) * 2]),
        # The last of an upstream stays in, and so does who serves nobody.
        ([SHOP, ADMIN], {}, [(["desk1", "desk2", "web1"], []), (["web2"],) * 2, (["web3"],) * 2]),
        ([DESK], {"desk2": "maintenance"}, [(["desk1", "web1", "web2", "web3"], []), (["desk2"], [])]),
        # A deployment left it drained because it does not answer.
        ([DESK], {"desk2": "rollout"}, [(["desk1", "web1", "web2", "web3"], []), (["desk2"], [])]),
        # What an interrupted rotation left drained comes first, and can be counted on afterwards.
        ([DESK], {"desk2": "rotation"}, [(["desk2", "web1", "web2", "web3"], ["desk2"]), (["desk1"],) * 2]),
        ([DESK], {"desk1": "maintenance", "desk2": "rotation"},
         [(["desk2", "web1", "web2", "web3"], ["desk2"]), (["desk1"], [])]),
    ],
)  # fmt: skip
def test_hosts_that_share_no_upstream_change_together(
    upstreams: list[Any], notes: dict[str, str], batches: list[tuple[list[str], list[str]]]
) -> None:
    hosts = ["desk1", "desk2", "web1", "web2", "web3"]
    found = pure("rotation_batches")(hosts, upstreams, {host: {"kind": kind} for host, kind in notes.items()}, {})
    assert [(batch["hosts"], batch["drains"]) for batch in found] == batches


def test_notes_are_read_back_and_what_is_none_is_named(tmp_path: Path) -> None:
    notes = pure("drain_notes")
    assert notes(tmp_path) == {}
    (tmp_path / "drained").mkdir()
    (tmp_path / "drained" / "web1.json").write_text('{"kind": "rollout"}')
    assert notes(tmp_path) == {"web1": {"kind": "rollout"}}
    (tmp_path / "drained" / "web2.json").write_text("mine!")
    with pytest.raises(
        AnsibleFilterError, match=r"web2.json is no note that Gatehouse wrote .*; look at it and remove"
    ):
        notes(tmp_path)


def test_a_machine_stands_for_its_members() -> None:
    hostvars = {"web1": {"instances": ["web1.shop", "web1.desk"]}, "web1.shop": {"instances": ["web1.shop"]}}
    hostvars["proxy1"] = {"instances": []}
    names = ["web1", "web1.shop", "proxy1", "elsewhere"]
    assert pure("member_hosts")(names, hostvars) == ["web1.shop", "web1.desk", "proxy1", "elsewhere"]


def test_a_rotation_takes_out_a_machine_with_all_that_is_on_it() -> None:
    machines = {f"{web}.{app}": web for web in ("web1", "web2") for app in ("shop", "desk")}
    upstreams = [
        {"name": app, "members": [{"name": f"{web}.{app}", "address": web} for web in ("web1", "web2")]}
        for app in ("shop", "desk")
    ]
    notes = {"web2.desk": {"kind": "rotation"}}
    assert pure("rotation_batches")(["web1", "web2"], upstreams, notes, machines) == [
        {"hosts": ["web2"], "drains": ["web2"]},
        {"hosts": ["web1"], "drains": ["web1"]},
    ]
    alone = [{"name": "desk", "members": [{"name": "web1.desk", "address": "web1"}]}]
    assert pure("rotation_batches")(["web1"], [*upstreams, *alone], {}, machines)[0]["drains"] == []
