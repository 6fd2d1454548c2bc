"""Who gets how many requests: by method, weight and state, counted over requests of a visitor outside."""

from __future__ import annotations

import base64
import time

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.upstreams import upstream_zone_size

from estate import Estate

from .conftest import Members, Visit, spread, statuses

ALL = {"member1", "member2", "member3"}


def test_round_robin_takes_turns(visit: Visit, members: Members) -> None:
    counts = spread(visit("/turns?[1-300]"))
    assert set(counts) == ALL
    assert max(counts.values()) - min(counts.values()) <= 2, counts


def test_a_weight_is_a_share_of_the_requests(visit: Visit, members: Members) -> None:
    counts = spread(visit("/weights?[1-600]"))
    for name, share in (("member1", 100), ("member2", 200), ("member3", 300)):
        assert abs(counts[name] - share) <= 3, counts


def test_random_two_reaches_everybody(visit: Visit, members: Members) -> None:
    counts = spread(visit("/random?[1-300]"))
    assert set(counts) == ALL
    assert min(counts.values()) >= 50, counts


def test_a_visitor_stays_with_his_member_by_address(visit: Visit, members: Members) -> None:
    assert len(spread(visit("/sticky?[1-60]"))) == 1


def test_a_key_stays_with_its_member_and_keys_spread(visit: Visit, members: Members) -> None:
    first = [reply.member for reply in visit("/hash?id=[1-300]")]
    assert first == [reply.member for reply in visit("/hash?id=[1-300]")]
    assert set(first) == ALL
    assert min(first.count(name) for name in ALL) >= 50


def test_a_drained_member_takes_only_its_own_keys_along(visit: Visit, members: Members) -> None:
    before = [reply.member for reply in visit("/hash?id=[1-300]")]
    after = [reply.member for reply in visit("/hash-drained?id=[1-300]")]
    assert set(after) == {"member1", "member2"}
    assert [(old, new) for old, new in zip(before, after, strict=True) if old not in ("member3", new)] == []


def test_a_slow_member_gets_less_by_least_conn_and_its_turn_by_round_robin(visit: Visit, members: Members) -> None:
    asked = {}
    for pool in ("least", "turns"):
        members.behave("member3", seconds=0.3)
        replies = visit(f"/{pool}?[1-90]", "-Z", "--parallel-max", "6", "-o", "/dev/null")
        assert statuses(replies) == {200: 90}
        asked[pool] = members.counts("member3")["requests"]
    assert 28 <= asked["turns"] <= 32, asked
    assert asked["least"] <= 15, asked


def test_a_drained_member_gets_nothing(visit: Visit, members: Members) -> None:
    counts = spread(visit("/drained?[1-60]"))
    assert set(counts) == {"member1", "member2"}
    assert members.counts("member3")["requests"] == 0


def test_a_backup_is_asked_only_when_nobody_else_is_there(visit: Visit, members: Members, estate: Estate) -> None:
    assert set(spread(visit("/backup?[1-60]"))) == {"member1", "member2"}
    hosts = [estate.host(name) for name in ("member1", "member2")]
    try:
        for host in hosts:
            host.check_output("systemctl stop member")
        replies = visit("/backup?[1-60]")
        assert (statuses(replies), set(spread(replies))) == ({200: 60}, {"member3"})
    finally:
        for host in hosts:
            host.check_output("systemctl start member")
    time.sleep(11)
    assert set(spread(visit("/backup?[1-60]"))) == {"member1", "member2"}


def test_connections_to_a_member_are_kept(visit: Visit, members: Members) -> None:
    visit("/kept?[1-100]")
    kept = members.counts("member1")
    members.behave("member1")
    visit("/unkept?[1-100]")
    unkept = members.counts("member1")
    assert kept["requests"] == unkept["requests"] == 100
    assert kept["connections"] <= 6, kept
    assert unkept["connections"] >= 100, unkept


def test_members_are_reached_by_ipv6_by_socket_and_by_name(visit: Visit, estate: Estate) -> None:
    reached = {reply.reached for reply in visit("/local?[1-60]")}
    assert {"::1", "/run/member.sock"} <= reached, reached
    text = estate.host("proxy1").file("/etc/nginx/active/upstreams/local.conf").content_string
    assert "server 127.0.0.1:5000; # localhost" in text
    assert "server unix:/run/member.sock;" in text


def test_a_name_without_an_address_does_not_keep_nginx_from_starting(visit: Visit, estate: Estate) -> None:
    host = estate.host("proxy1")
    text = host.file("/etc/nginx/active/upstreams/local.conf").content_string
    assert "# gone.balance.invalid has no address" in text
    host.check_output("systemctl restart nginx")
    assert statuses(visit("/local?[1-12]")) == {200: 12}


def test_nginx_starts_while_no_name_can_be_resolved(visit: Visit, estate: Estate) -> None:
    host = estate.host("proxy1")
    files = ("/etc/resolv.conf", "/etc/hosts")
    try:
        for path in files:
            host.check_output(f"cp {path} /srv/{path.rpartition('/')[2]}; truncate -s 0 {path}")
        assert host.run("getent ahosts localhost.localdomain").rc != 0
        host.check_output("systemctl restart nginx")
    finally:
        for path in files:
            host.check_output(f"cat /srv/{path.rpartition('/')[2]} > {path}")
    assert statuses(visit("/local?[1-12]")) == {200: 12}


MANY = r"""
import sys
size, form = sys.argv[1:]
print("events {}\nhttp {\nupstream many {\nzone many %s;" % size)
print("\n".join("server " + form.format(n >> 8, n & 255) + ";" for n in range(10000)))
print("}\nserver { listen 127.0.0.1:8099; location / { proxy_pass http://many; } }\n}")
"""


@pytest.mark.parametrize("form", ["10.1.{}.{}:5000", "[fd00:1111:2222:3333:4444:5555:{:x}:{:x}]:50000"])
def test_ten_thousand_members_fit_into_the_shared_memory(estate: Estate, form: str) -> None:
    host = estate.host("proxy1")
    size = upstream_zone_size(10_000)
    host.check_output("echo %s | base64 -d > /srv/many.py", base64.b64encode(MANY.encode()).decode())
    host.check_output("python3 /srv/many.py %s %s > /srv/many.conf", size, form)
    assert host.run("nginx -t -c /srv/many.conf").rc == 0
    host.check_output("python3 /srv/many.py 7000k %s > /srv/many.conf", form)
    refused = host.run("nginx -t -c /srv/many.conf")
    assert refused.rc != 0
    assert 'in upstream zone "many"' in refused.stderr
