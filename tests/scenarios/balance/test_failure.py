"""What a visitor sees when a member dies, hangs or fails, with counts; and that nothing is done twice unasked."""

from __future__ import annotations

from estate import Estate

from .conftest import Members, Visit, spread, statuses

POST = ("-X", "POST", "-d", "1")


def test_of_a_dead_host_a_visitor_sees_a_pause_and_no_error(visit: Visit, members: Members, estate: Estate) -> None:
    estate.podman("kill", "member3")
    try:
        replies = visit("/killed?[1-60]")
        posted = visit("/killed?id=[1-60]", *POST)
    finally:
        estate.podman("start", "member3")
        members.wait("member3")
    assert (statuses(replies), statuses(posted)) == ({200: 60}, {200: 60})
    assert set(spread(replies)) == {"member1", "member2"}
    waited = [reply.seconds for reply in replies if reply.seconds > 1]
    assert len(waited) == 1, waited
    assert waited[0] < 3, waited
    assert set(members.posts().values()) == {1}


def test_of_a_hung_member_a_visitor_sees_one_read_timeout(visit: Visit, members: Members, estate: Estate) -> None:
    estate.podman("pause", "member3")
    try:
        replies = visit("/hung?[1-60]")
    finally:
        estate.podman("unpause", "member3")
    assert statuses(replies) == {200: 60}
    waited = [reply.seconds for reply in replies if reply.seconds > 0.9]
    assert len(waited) == 1, waited
    assert waited[0] < 2, waited


def test_what_was_posted_to_a_hung_member_goes_to_nobody_else(visit: Visit, members: Members, estate: Estate) -> None:
    estate.podman("pause", "member3")
    try:
        replies = visit("/hung-posts?id=[1-60]", *POST)
    finally:
        estate.podman("unpause", "member3")
    assert statuses(replies) == {200: 59, 504: 1}
    members.wait("member3")
    posts = members.posts()
    assert set(posts.values()) == {1}
    # The hung member may have read it before it hung, or read it afterwards: the visitor cannot know, nor can nginx.
    assert len(posts) in (59, 60)


def test_an_applications_own_error_is_passed_on(visit: Visit, members: Members) -> None:
    members.behave("member3", status=500)
    assert statuses(visit("/plain500?[1-60]")) == {200: 40, 500: 20}


def test_an_error_that_the_operator_names_is_asked_elsewhere(visit: Visit, members: Members) -> None:
    members.behave("member3", status=500)
    assert statuses(visit("/retry500?[1-60]")) == {200: 60}
    assert members.counts("member3")["requests"] == 20


def test_a_post_is_processed_once_even_then(visit: Visit, members: Members) -> None:
    members.behave("member3", status=500)
    assert statuses(visit("/retry500?id=[1-60]", *POST)) == {200: 40, 500: 20}
    posts = members.posts()
    assert (len(posts), sum(posts.values())) == (60, 60)


def test_a_post_is_processed_twice_where_that_was_asked_for(visit: Visit, members: Members) -> None:
    members.behave("member3", status=500)
    assert statuses(visit("/twice?id=[1-60]", *POST)) == {200: 60}
    posts = members.posts()
    assert (len(posts), sum(posts.values())) == (60, 80)


def test_a_member_is_left_alone_after_max_fails(visit: Visit, members: Members) -> None:
    members.behave("member3", status=500)
    assert statuses(visit("/failing?[1-60]")) == {200: 60}
    assert members.counts("member3")["requests"] == 2


def test_without_any_member_a_visitor_is_refused_at_once(visit: Visit) -> None:
    replies = visit("/nobody?[1-6]")
    assert statuses(replies) == {502: 6}
    assert max(reply.seconds for reply in replies) < 1
