"""What is answered once hands are shaken: versions of HTTP, refusals, redirects, HSTS, and visitors' certificates."""

from __future__ import annotations

import json
import re

import pytest

from estate import Estate

from .conftest import PROXIES, Visitor

EACH = pytest.mark.parametrize("proxy", PROXIES)
SHOP = "https://shop.lab.test/"
NEW = ("proxy1", "proxy2")  # Debian 13
NO_ANSWER = (52, 56, 92)  # curl: empty reply, reset, stream closed
NOT_HEARD = (7, 28)  # curl: refused, timed out
TWO_YEARS = 63072000


@EACH
def test_http_2_is_spoken(visitor: Visitor, proxy: str) -> None:
    answer = visitor.curl(proxy, SHOP, "--http2")
    assert (answer.code, answer.status, answer.headers["version"]) == (0, 200, "2")
    assert visitor.curl(proxy, SHOP, "--http1.1").headers["version"] == "1.1"


@pytest.mark.parametrize("proxy", NEW)
def test_http_3_is_spoken_and_announced(visitor: Visitor, proxy: str) -> None:
    assert visitor.curl(proxy, SHOP).headers["alt-svc"] == 'h3=":443"; ma=86400'
    answer = visitor.curl(proxy, SHOP, "--http3-only")
    assert (answer.code, answer.status, answer.headers["version"]) == (0, 200, "3")
    assert json.loads(answer.body)["x-forwarded-proto"] == "https"
    assert "alt-svc" not in visitor.curl(proxy, "http://shop.lab.test/").headers


def test_a_host_that_cannot_speak_http_3_neither_announces_nor_hears_it(visitor: Visitor) -> None:
    assert "alt-svc" not in visitor.curl("proxy3", SHOP).headers
    assert visitor.curl("proxy3", SHOP, "--http3-only", "--max-time", "3").code in NOT_HEARD


def test_asking_such_a_host_for_http_3_is_refused_before_anything_is_changed(estate: Estate) -> None:
    run = estate.play("playbooks/proxies.yml", "--limit", "proxy3", "-e", '{"proxy_http3": true}')
    assert run.returncode != 0
    assert "proxy_http3" in run.stdout
    assert "nginx 1.22.1" in run.stdout
    assert re.search(r"^proxy3 .* changed=0 ", run.stdout, re.MULTILINE)


@EACH
@pytest.mark.parametrize("version", ["--http1.1", "--http2", "--http3-only"])
def test_a_host_that_no_site_has_gets_no_answer_on_a_known_sites_connection(
    visitor: Visitor, proxy: str, version: str
) -> None:
    if version == "--http3-only" and proxy not in NEW:
        return
    answer = visitor.curl(proxy, SHOP, version, "-H", "Host: unknown.lab.test")
    assert answer.status == 0
    assert answer.code != 0
    # Another of the site's own names is answered: one connection may serve them all.
    assert visitor.curl(proxy, SHOP, version, "-H", "Host: www.shop.lab.test").status == 200


@EACH
def test_in_clear_an_unknown_host_gets_no_answer_and_a_known_one_the_way_to_https(visitor: Visitor, proxy: str) -> None:
    assert visitor.curl(proxy, "http://unknown.lab.test/").code in NO_ANSWER
    assert visitor.curl(proxy, "http://shop.lab.test/", "--http1.0", "-H", "Host:").code in NO_ANSWER
    answer = visitor.curl(proxy, "http://shop.lab.test/a?b=c")
    assert (answer.status, answer.headers["location"]) == (308, "https://shop.lab.test/a?b=c")
    assert "strict-transport-security" not in answer.headers


@EACH
def test_browsers_come_by_https_only(visitor: Visitor, proxy: str) -> None:
    assert visitor.curl(proxy, SHOP).headers["strict-transport-security"] == f"max-age={TWO_YEARS}"


def certificate(name: str) -> tuple[str, str]:
    return ("--cert", f"/srv/visitors/{name}.pem")


@EACH
def test_a_visitor_with_a_good_certificate_is_let_in_and_named(visitor: Visitor, proxy: str) -> None:
    for url in ("https://staff.lab.test/", "https://guests.lab.test/"):
        answer = visitor.curl(proxy, url, *certificate("good"))
        assert (answer.code, answer.status) == (0, 200)
        headers = json.loads(answer.body)
        assert headers["x-client-verify"] == "SUCCESS"
        assert headers["x-client-dn"] == "CN=Ada\\, of accounts,O=Lab"


@EACH
@pytest.mark.parametrize("name", ["revoked", "expired", "stranger"])
def test_a_bad_certificate_lets_nobody_in(visitor: Visitor, proxy: str, name: str) -> None:
    for url in ("https://staff.lab.test/", "https://guests.lab.test/"):
        answer = visitor.curl(proxy, url, *certificate(name))
        assert answer.status == 400
        assert "The SSL certificate error" in answer.body


@EACH
def test_without_a_certificate_guests_are_let_in_and_staff_is_not(visitor: Visitor, proxy: str) -> None:
    answer = visitor.curl(proxy, "https://staff.lab.test/")
    assert (answer.status, "No required SSL certificate was sent" in answer.body) == (400, True)
    answer = visitor.curl(proxy, "https://guests.lab.test/")
    assert answer.status == 200
    assert not [name for name in json.loads(answer.body) if name.startswith("x-client")]


@EACH
@pytest.mark.parametrize("site", ["shop", "guests"])
def test_nobody_can_say_himself_that_his_certificate_was_good(visitor: Visitor, proxy: str, site: str) -> None:
    forged = ("-H", "X-Client-Verify: SUCCESS", "-H", "X-Client-DN: CN=root", "-H", "X_Client_Verify: SUCCESS")
    answer = visitor.curl(proxy, f"https://{site}.lab.test/", *forged)
    assert answer.status == 200
    assert not [name for name in json.loads(answer.body) if name.replace("_", "-").startswith("x-client")]


@EACH
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_site_with_certificates_is_not_reached_through_another_sites_connection(
    visitor: Visitor, proxy: str, version: str
) -> None:
    for site in ("staff", "guests"):
        answer = visitor.curl(proxy, SHOP, version, "-H", f"Host: {site}.lab.test", *certificate("good"))
        assert answer.status == 421
