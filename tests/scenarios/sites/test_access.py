"""Who may come in: by address, by password, and how often."""

from __future__ import annotations

import json
import subprocess

import pytest

from estate import Estate

from .conftest import Statuses, Visit

APP, PRIVATE = "https://app.lab.test", "https://private.lab.test"
ANN, BOB = "-uann:open sesame", "-ubob:let me in"


@pytest.mark.parametrize(
    ("path", "visitor", "status"),
    [
        ("/inside/", "192.0.2.9", 200),
        ("/inside/", "198.51.100.9", 403),
        ("/outside/", "192.0.2.9", 403),
        ("/outside/", "198.51.100.9", 200),
        ("/", "192.0.2.9", 200),
    ],
)
def test_addresses_are_let_in_or_not(visit: Visit, path: str, visitor: str, status: int) -> None:
    assert visit(APP + path, as_=visitor).status == status


@pytest.mark.parametrize(
    ("path", "visitor", "user", "status"),
    [
        ("/", "192.0.2.9", BOB, 200),
        ("/", "2001:db8::9", BOB, 200),
        ("/", "192.0.2.9", "-ubob:open sesame", 401),
        ("/", "192.0.2.9", ANN, 401),
        ("/", "192.0.2.9", "", 401),
        ("/", "198.51.100.9", BOB, 403),
        ("/", "192.0.2.66", BOB, 403),
        ("/healthz", "198.51.100.9", "", 200),
        ("/healthz", "192.0.2.66", "", 403),
        ("/members/", "192.0.2.9", ANN, 200),
        ("/members/", "192.0.2.9", BOB, 401),
        ("/members/", "198.51.100.9", ANN, 403),
    ],
)
def test_a_location_keeps_what_its_site_asks_or_says_otherwise(
    visit: Visit, path: str, visitor: str, user: str, status: int
) -> None:
    assert visit(PRIVATE + path, *([user] if user else []), as_=visitor).status == status


def test_the_application_never_sees_the_password_that_the_proxy_checked(visit: Visit) -> None:
    assert visit(APP + "/members/").all("www-authenticate") == ['Basic realm="Members only"']
    assert "authorization" not in visit(APP + "/members/", ANN).echo
    assert "authorization" not in visit(PRIVATE + "/", BOB, as_="192.0.2.9").echo
    assert visit(APP + "/", "-uann:of the application").echo["authorization"].startswith("Basic ")


def test_users_are_read_by_root_and_the_workers_only(estate: Estate) -> None:
    host = estate.host("proxy1")
    files = host.check_output("find -L /etc/nginx/active/secrets -type f").split()
    assert len(files) == 3
    for file in files:
        found = host.file(file)
        assert (found.user, found.group, found.mode) == ("root", "www-data", 0o640)
    assert host.run("runuser -u deploy -- cat /etc/nginx/active/secrets/private/site.users").rc != 0


def play(estate: Estate, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the proxy's role alone."""
    return estate.play("molecule/sites/change.yml", "--limit", "proxy1", *arguments)


def test_no_hash_of_a_password_stands_in_a_diff_or_a_log(estate: Estate, visit: Visit) -> None:
    fresh = "$5$elsewhere$0123456789012345678901234567890123456789012"
    users = json.dumps({"__staff": [{"name": "eve", "password_hash": fresh}]})
    run = play(estate, "--check", "--diff", "-vvv", "-e", users)
    assert run.returncode == 0, run.stdout
    assert "active/secrets/private/site.users" in run.stdout
    assert "the new content is secret" in run.stdout
    for text in (fresh, "$5$gatehouse2$", "$5$gatehouse1$"):
        assert text not in run.stdout + run.stderr


def test_a_folder_that_nginx_cannot_read_is_named_before_anything_is_changed(estate: Estate) -> None:
    host = estate.host("proxy1")
    before = host.check_output("readlink /etc/nginx/active")
    host.check_output("chmod 0700 /srv/spa")
    try:
        run = play(estate)
    finally:
        host.check_output("chmod 0755 /srv/spa")
    assert run.returncode != 0
    reported = " ".join(run.stdout.split())
    assert "fatal: [proxy1]: FAILED!" in reported
    assert "nginx serves files from /srv/spa, and its workers (www-data) cannot read that; make the folder" in reported
    assert host.check_output("readlink /etc/nginx/active") == before


def test_more_requests_than_the_limit_and_its_burst_are_answered_429(statuses: Statuses) -> None:
    found = statuses([f"{APP}/limited/{number}" for number in range(8)], as_="192.0.2.30")
    assert found[200] in (3, 4)  # one, two of the burst, and perhaps one more after two seconds
    assert found[200] + found[429] == 8
    assert statuses([f"{APP}/limited/"], as_="192.0.2.31") == {200: 1}


def test_more_requests_at_once_than_the_limit_are_answered_429(statuses: Statuses) -> None:
    urls = [f"{APP}/busy/{number}?sleep=3" for number in range(5)]
    assert statuses(urls, "--parallel", "--parallel-immediate", as_="192.0.2.32") == {200: 2, 429: 3}
    assert statuses(urls[:1], as_="192.0.2.32") == {200: 1}
