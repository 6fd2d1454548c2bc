"""What visitors see of a member whose certificate is wrong: nothing of that member, ever."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from estate import Estate

from .conftest import DESK, SHOP, Authority, proxy_log, public_key

Show = Callable[[str, str], None]
Spread = Callable[..., Counter[str]]

# What is wrong: the certificate's name, its days from now, whether another authority signed it; and what the log says.
WRONG = {
    "expired": ("{}.internal.lab.test", (-30, -1), False, "certificate has expired"),
    "wrong name": ("other.internal.lab.test", (-1, 30), False, 'upstream SSL certificate does not match "'),
    "another authority": ("{}.internal.lab.test", (-1, 30), True, "certificate verify error"),
}


@pytest.mark.parametrize("kind", sorted(WRONG))
@pytest.mark.parametrize(("url", "host", "left"), [(SHOP, "shop1", {"shop2", "shop3"}), (DESK, "desk1", {"502"})])
def test_nothing_comes_from_a_member_with_a_wrong_certificate(
    estate: Estate, shown: Show, spread: Spread, kind: str, url: str, host: str, left: set[str]
) -> None:
    name, days, other, reason = WRONG[kind]
    pem = Authority(estate, other).leaf(public_key(estate, host), name.format(host.rstrip("123")), days)
    before = len(proxy_log(estate).splitlines())
    shown(host, pem)
    assert set(spread(url)) == left
    log = proxy_log(estate, before)
    assert reason in log, log
    assert f'upstream: "https://{estate.address(host)}:443/' in log


def revoke(estate: Estate, *entries: str) -> None:
    """Update at both ends what is revoked, without issuing anything in its place."""
    play(estate, "playbooks/update_trust.yml", "-e", json.dumps({"internal_ca_revoked": list(entries)}))


def play(estate: Estate, playbook: str, *words: str) -> None:
    run = estate.play(playbook, *words)
    assert run.returncode == 0, run.stdout


def serial(estate: Estate, host: str, folder: str) -> str:
    """Return the serial number of a host's certificate, as an operator reads it."""
    command = f"openssl x509 -noout -serial -in /etc/ssl/gatehouse/{folder}/fullchain.pem"
    return str(estate.host(host).check_output(command).partition("=")[2])


def test_a_revoked_member_is_refused_and_gets_no_certificate(estate: Estate, spread: Spread) -> None:
    before, key = len(proxy_log(estate).splitlines()), public_key(estate, "shop1")
    revoke(estate, "shop1")
    assert set(spread(SHOP)) == {"shop2", "shop3"}
    assert "certificate revoked" in proxy_log(estate, before)
    # While it is named, no run issues it another one; afterwards the next does, for another key.
    words = ("--limit", "shop1", "-e", json.dumps({"internal_ca_revoked": ["shop1"]}))
    play(estate, "molecule/reencrypt/issue.yml", *words)
    assert public_key(estate, "shop1") == key
    play(estate, "molecule/reencrypt/issue.yml", "--limit", "shop1")
    assert public_key(estate, "shop1") != key
    assert set(spread(SHOP)) == {"shop1", "shop2", "shop3"}


def test_a_revoked_proxy_is_refused_even_if_it_came_before(estate: Estate, spread: Spread) -> None:
    assert set(spread(SHOP)) == {"shop1", "shop2", "shop3"}  # so that there are sessions to resume
    revoke(estate, serial(estate, "proxy1", "upstreams"))
    assert set(spread(SHOP, 4)) == {"400"}
    play(estate, "playbooks/proxies.yml")
    assert set(spread(SHOP)) == {"shop1", "shop2", "shop3"}


def test_a_host_that_left_the_inventory_is_revoked(estate: Estate, spread: Spread) -> None:
    number = serial(estate, "shop3", "endpoint")
    hosts = ["proxy1", "shop1", "shop2", "desk1", "plain1"]
    play(estate, "playbooks/update_trust.yml", "-e", json.dumps({"internal_ca_hosts": hosts}))
    assert set(spread(SHOP)) == {"shop1", "shop2"}
    listed = estate.host("shop1").check_output(
        "openssl crl -noout -text -in /etc/nginx/active/clients/endpoint/crl.pem"
    )
    assert number in listed
    # It came back: a new key and a new certificate, and the former one stays revoked.
    play(estate, "molecule/reencrypt/issue.yml", "--limit", "shop3")
    assert set(spread(SHOP)) == {"shop1", "shop2", "shop3"}


def test_a_name_that_is_revoked_and_is_nobody_is_refused(estate: Estate) -> None:
    run = estate.play("playbooks/update_trust.yml", "-e", json.dumps({"internal_ca_revoked": ["shop9"]}))
    assert run.returncode != 0
    assert "internal_ca_revoked has 'shop9', which is no host and no serial number" in " ".join(run.stdout.split())
