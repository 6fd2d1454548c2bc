"""The filters of source_values.py, and what preflight says of sources that contradict themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.sources import egress_problems, source_problems

SUM = " is no SHA-256; write the 64 hexadecimal digits that `sha256sum` prints"
PLACE = " is no place of a source; write a path on the controller or an address such as https://example.org/shop.git"
BRANCH = " is a branch, so whoever pushes there would decide what is deployed; write a tag or a commit's full id"
REF = " is no ref of git; write a tag or a commit's full id"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sha256_sum", "0123456789abcdef" * 4),
        ("source_place", "/srv/sources/shop.tar.gz"),
        ("source_place", "https://user:token@example.org/shop.git"),
        ("source_place", "git@example.org:shop.git"),
        ("git_ref", "refs/tags/v1"),
        ("git_ref", "release/1.2+build"),
    ],
)
def test_accepted(filters: Callable[[str], Callable[..., Any]], name: str, value: str) -> None:
    assert filters(name)(value) == value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sha256_sum", "0" * 63, f'"{"0" * 63}"{SUM}'),
        ("sha256_sum", "A" * 64, f'"{"A" * 64}"{SUM}'),
        ("sha256_sum", 1, f"1{SUM}"),
        ("source_place", "--upload-pack=x", f'"--upload-pack=x"{PLACE}'),
        ("source_place", "ext::sh -c x", f'"ext::sh -c x"{PLACE}'),
        ("source_place", "ext::x", f'"ext::x"{PLACE}'),
        ("source_place", "/a b", f'"/a b"{PLACE}'),
        ("git_ref", "-x", f'"-x"{REF}'),
        ("git_ref", "a..b", f'"a..b"{REF}'),
        ("git_ref", "v1^{commit}", f'"v1^{{commit}}"{REF}'),
        ("git_ref", None, f"null{REF}"),
        ("git_ref", "main", f'"main"{BRANCH}'),
        ("git_ref", "refs/heads/next", f'"refs/heads/next"{BRANCH}'),
        ("git_ref", "HEAD", f'"HEAD"{BRANCH}'),
    ],
)
def test_refused(filters: Callable[[str], Callable[..., Any]], name: str, value: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters(name)(value)
    assert error.value.message == message


ARCHIVE = {"location": "/srv/shop.tgz", "sha256": "0" * 64}
GIT = {"repository": "/srv/shop.git", "ref": "v1"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"app_source_archive": ARCHIVE}, []),
        ({"app_source_git": GIT}, []),
        ({"app_source_git": "shop.git"}, []),  # the wrong shape is spec_problems' to report
        (
            {"app_source_archive": ARCHIVE, "app_source_git": GIT},
            ["app_source_git is beside app_source_archive, and a release has one source; keep one of them"],
        ),
        (
            {"app_source_archive": {"location": "/srv/shop.tgz"}},
            [
                "app_source_archive.sha256 is missing, so another archive would be taken for it;"
                " write what `sha256sum` prints"
            ],
        ),
        (
            {"app_source_git": {"ref": "v1"}},
            ["app_source_git.repository is missing, so there is no source; write a path or an address"],
        ),
        (
            {"app_source_git": {"repository": "/srv/shop.git"}},
            ["app_source_git.ref is missing, so any commit could be meant; write a tag or a commit's full id"],
        ),
        (
            {"app_archive": "build/shop-1.0.tar.gz", "app_source_git": GIT},
            ["app_source_git has no meaning beside app_archive: nothing is built; take it away"],
        ),
    ],
)
def test_sources_that_contradict_themselves(values: dict[str, Any], expected: list[str]) -> None:
    found = source_problems(values)
    assert [f"{'.'.join(one['path'])} {one['problem']}; {one['remedy']}" for one in found] == expected
    assert {one["level"] for one in found} <= {"error"}


@pytest.mark.parametrize(
    ("entry", "path", "text"),
    [
        ({"name": "db"}, [0], "names nothing to connect to"),
        ({"name": "x", "application": "shopp"}, [0, "application"], "is shopp, which no host runs"),
        ({"name": "x", "application": "shop", "ports": [1]}, [0, "application"], "beside to, ports or protocol"),
        ({"name": "x", "to": ["10.0.0.1"], "protocol": "udp"}, [0, "protocol"], "has no meaning without ports"),
    ],
)
def test_egress_that_cannot_be_meant(entry: dict[str, Any], path: list[Any], text: str) -> None:
    found = egress_problems({"app_egress": [entry]}, {"shop", "blog"})
    assert [one["path"] for one in found] == [["app_egress", *path]]
    assert text in found[0]["problem"]
    good = {"app_egress": [{"name": "db", "to": ["10.0.0.1"], "ports": [5432]}, {"name": "x", "application": "shop"}]}
    assert egress_problems(good, {"shop"}) == []


def test_egress_names_are_each_of_one_entry() -> None:
    twice = {"app_egress": [{"name": "db", "to": ["10.0.0.1"]}, {"name": "db", "to": ["10.0.0.2"]}]}
    assert [one["path"] for one in egress_problems(twice, ())] == [["app_egress", 1, "name"]]
