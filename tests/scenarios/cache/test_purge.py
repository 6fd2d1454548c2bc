"""What the playbook purge_cache takes away, and what it leaves."""

from __future__ import annotations

import re
import uuid

import pytest

from cache.asking import PROXIES, Get, states, written
from estate import Estate

LANGUAGES = ("en", "de")


def purge(estate: Estate, *arguments: str) -> str:
    """Run the playbook and return what it printed."""
    run = estate.play("playbooks/purge_cache.yml", *[word for pair in arguments for word in ("-e", pair)])
    assert run.returncode == 0, run.stdout + run.stderr
    return str(run.stdout)


def refusal(estate: Estate, *arguments: str) -> str:
    """Run the playbook, which must fail, and return what it printed on one line."""
    run = estate.play("playbooks/purge_cache.yml", *[word for pair in arguments for word in ("-e", pair)])
    assert run.returncode != 0
    return re.sub(r"\s+", " ", run.stdout + run.stderr)


def fill(get: Get, site: str, path: str, languages: tuple[str, ...] = LANGUAGES) -> None:
    """Have every proxy keep every variant."""
    for proxy in PROXIES:
        for language in languages:
            get(site, path, "-H", f"Accept-Language: {language}", proxy=proxy)


def kept(get: Get, site: str, path: str) -> set[str]:
    """Return the states of every variant on every proxy."""
    return {
        states([get(site, path, "-H", f"Accept-Language: {language}", proxy=proxy)])[0]
        for proxy in PROXIES
        for language in LANGUAGES
    }


def varied(name: str = "") -> str:
    return written({"control": "max-age=600", "headers": {"Vary": "Accept-Language"}}, name=name)


def test_one_url_goes_in_all_variants_on_all_proxies_and_nothing_else(estate: Estate, get: Get) -> None:
    path, other = varied(), varied()
    for site, asked in (("standard", path), ("standard", other), ("standard", f"{path}?a=1"), ("other", path)):
        fill(get, site, asked)
    printed = purge(estate, "purge_site=standard", f"purge_path={path}")
    assert "4 entries went, from proxy1: 2, proxy2: 2" in re.sub(r"\s+", " ", printed)
    assert kept(get, "standard", path) == {"MISS"}
    assert kept(get, "standard", other) == {"HIT"}
    assert kept(get, "standard", f"{path}?a=1") == {"HIT"}
    assert kept(get, "other", path) == {"HIT"}


def test_a_beginning_of_paths_goes(estate: Estate, get: Get) -> None:
    name = uuid.uuid4().hex
    first, second, third = varied(f"{name}-a"), varied(f"{name}-b"), varied()
    for path in (first, f"{first}?a=1", second, third):
        fill(get, "standard", path)
    printed = purge(estate, "purge_site=standard", f"purge_prefix=/x/{name}")
    assert "12 entries went, from proxy1: 6, proxy2: 6" in re.sub(r"\s+", " ", printed)
    assert kept(get, "standard", first) | kept(get, "standard", second) == {"MISS"}
    assert kept(get, "standard", third) == {"HIT"}


def test_any_method_and_any_key_of_the_site_is_found(estate: Estate, get: Get) -> None:
    path = written({"control": "max-age=600"})
    for site in ("basic", "own"):
        for _ in range(12):  # So often that each worker keeps the file open.
            get(site, path)
        assert states([get(site, path)]) == ["HIT"]
        assert "1 entries went" in purge(estate, f"purge_site={site}", f"purge_path={path}")
        assert "HIT" not in states([get(site, path)])


def test_what_a_worker_keeps_open_is_not_sent_once_more(estate: Estate, get: Get) -> None:
    path = written({"control": "max-age=600"})
    assert set(states([get("standard", path) for _ in range(13)])[1:]) == {"HIT"}
    purge(estate, "purge_site=standard", f"purge_path={path}")
    assert states([get("standard", path) for _ in range(2)]) == ["MISS", "HIT"]


def test_check_mode_counts_and_removes_nothing(estate: Estate, get: Get) -> None:
    path = written({"control": "max-age=600"})
    get("standard", path)
    run = estate.play("playbooks/purge_cache.yml", "--check", "-e", "purge_site=standard", "-e", f"purge_path={path}")
    assert "1 entries went, from proxy1: 1, proxy2: 0" in re.sub(r"\s+", " ", run.stdout)
    assert states([get("standard", path)]) == ["HIT"]


def test_nothing_that_nginx_did_not_write_is_touched(estate: Estate, get: Get) -> None:
    """Plant in the zone's folder what somebody who took over nginx might: links to files that look like entries."""
    host = estate.host("proxy1")
    name = "0" * 32
    outside, inside = f"/srv/{name}", f"/var/lib/nginx/cache-main/{name}"
    host.check_output(f"printf 'x\\nKEY: httpstandard.test/outside\\n' | tee {outside} /var/lib/nginx/cache-main/notes")
    host.check_output(f"ln -sfn {outside} {inside}; mkdir -p /srv/folder; cp {outside} /srv/folder/")
    host.check_output("ln -sfn /srv/folder /var/lib/nginx/cache-main/0")
    try:
        assert "0 entries went" in purge(estate, "purge_site=standard", "purge_prefix=/outside")
        for path in (outside, inside, f"/srv/folder/{name}", "/var/lib/nginx/cache-main/notes"):
            assert host.file(path).exists
    finally:
        host.check_output(f"rm -r {outside} {inside} /srv/folder /var/lib/nginx/cache-main/notes")
        host.check_output("[ ! -L /var/lib/nginx/cache-main/0 ] || rm /var/lib/nginx/cache-main/0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["purge_site=shpo", "purge_path=/"],
            '"shpo" is no site of proxy_sites; write purge_site as one of: api, assets,',
        ),
        (["purge_site=standard"], "write either purge_path, for one URL, or purge_prefix, for all that begin so"),
        (["purge_site=standard", "purge_path=css"], '"css" is no path; write it from / on as it is in the URL'),
        (
            ["purge_site=plain", "purge_path=/"],
            'no location of the site "plain" has a cache: there is nothing to purge',
        ),
    ],
)
def test_what_cannot_be_purged_is_named(estate: Estate, arguments: list[str], message: str) -> None:
    assert message in refusal(estate, *arguments)
