"""Who can reach what.

Each closed door is also tried by somebody for whom it is open: nothing here is closed for want of a listener.
"""

from __future__ import annotations

import subprocess
import time

import pytest

from estate import Ask, Estate

TRY = "timeout 3 bash -c '</dev/tcp/{address}/{port}'"
# The application's own port, which is on loopback; the network has the TLS endpoint before it.
APPS = {"storefront1": 5000, "dashboard1": 3000}
ENDPOINT = 443
OTHER = {"storefront1": "dashboard1", "dashboard1": "storefront1"}


@pytest.mark.parametrize("app", sorted(APPS))
def test_the_proxy_reaches_the_application(estate: Estate, app: str) -> None:
    assert estate.host("proxy1").run(TRY.format(address=estate.address(app), port=ENDPOINT)).rc == 0
    assert estate.host("proxy1").run(TRY.format(address=estate.address(app), port=APPS[app])).rc != 0


@pytest.mark.parametrize("app", sorted(APPS))
def test_another_application_reaches_neither_it_nor_its_ssh(estate: Estate, app: str) -> None:
    other = estate.host(OTHER[app])
    assert other.run("ip route get " + estate.address(app)).rc == 0
    for port in (ENDPOINT, APPS[app], 22):
        assert other.run(TRY.format(address=estate.address(app), port=port)).rc != 0, f"port {port} is open"


def is_open(estate: Estate, address: str, port: int) -> bool:
    """Return whether a port is open from outside the private network, and stays so.

    podman keeps the lab's networks apart, and what it lets pass has the controller's address. While it takes down
    another lab's network it may take this one's rules too, whose bridge got the same name: they are loaded anew.
    """
    for pause in (0, 1, 3, 8):
        time.sleep(pause)
        if estate.client.run(TRY.format(address=address, port=port)).rc != 0:
            return False
        names = [f"{estate.lab}-{name}" for name in ("client", "proxy1", *sorted(OTHER.values()))]
        subprocess.run(["podman", "network", "reload", *names], check=True, capture_output=True, timeout=60)
    return True


@pytest.mark.parametrize("app", sorted(APPS))
def test_the_client_reaches_neither_the_application_nor_its_ssh(estate: Estate, app: str) -> None:
    for port in (ENDPOINT, APPS[app], 22):
        assert not is_open(estate, estate.address(app), port), f"port {port} is open"


def test_the_client_reaches_the_sites_and_not_the_proxys_ssh(estate: Estate) -> None:
    for port in (80, 443):
        assert estate.client.run(TRY.format(address=estate.entry, port=port)).rc == 0
    assert estate.client.run(TRY.format(address=estate.entry, port=22)).rc != 0


def test_an_application_does_not_reach_the_proxys_ssh(estate: Estate) -> None:
    proxy = estate.address("proxy1")
    assert estate.host("storefront1").run(TRY.format(address=proxy, port=443)).rc == 0
    assert estate.host("storefront1").run(TRY.format(address=proxy, port=22)).rc != 0


def test_an_application_listens_on_loopback_and_its_endpoint_on_the_private_address_only(estate: Estate) -> None:
    for app, port in APPS.items():
        lines = estate.host(app).check_output(f"ss -Htln 'sport = :{port} or sport = :80 or sport = :443'").splitlines()
        assert {line.split()[3] for line in lines} == {f"127.0.0.1:{port}", f"{estate.address(app)}:{ENDPOINT}"}


def test_the_private_side_is_reached_through_the_proxy_all_the_same(ask: Ask) -> None:
    assert ask("https://storefront.lab.test/healthz").status == 200
    assert ask("https://dashboard.lab.test/healthz").status == 200
