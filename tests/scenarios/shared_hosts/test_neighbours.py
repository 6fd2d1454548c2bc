"""Applications that share a host, or the proxy's: each answers at its own site, and none reaches its neighbour."""

from __future__ import annotations

import re

import pytest

from estate import Ask, Estate

WAY = "timeout 3 bash -c '</dev/tcp/{address}/{port}'"


def as_account(name: str, command: str) -> str:
    """Return a command as an application's account runs it, with the rules of its unit for what it may connect to."""
    return f"runuser -u {name} -- {command}"


@pytest.mark.parametrize(
    ("site", "release"),
    [("storefront", "/api/whoami"), ("shop", "/"), ("desk", "/")],
    ids=["storefront", "shop", "desk"],
)
def test_each_answers_at_its_own_site(estate: Estate, ask: Ask, site: str, release: str) -> None:
    answer = ask(f"https://{site}.lab.test{release}")
    assert answer.status == 200
    host = "proxy1" if site == "shop" else "web"
    assert f'"host":"{host}' in answer.body.replace(" ", "")


def test_a_second_run_changes_nothing(estate: Estate) -> None:
    run = estate.play("site.yml")
    assert run.returncode == 0, run.stdout
    changed = dict(re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", run.stdout, re.MULTILINE))
    names = {"proxy1", "proxy1.shop", "web1", "web1.storefront", "web1.desk", "web2"}
    assert changed == dict.fromkeys(names, "0")


def test_what_is_on_the_proxy_is_not_on_the_network(estate: Estate) -> None:
    proxy = estate.host("proxy1")
    assert proxy.run(WAY.format(address="127.0.0.1", port=3000)).rc == 0
    for address in (estate.address("proxy1"), estate.entry):
        assert proxy.run(WAY.format(address=address, port=3000)).rc != 0
    assert not estate.controller_reaches("proxy1", 3000)


def test_the_proxy_reaches_each_at_an_endpoint_of_its_own(estate: Estate) -> None:
    proxy, address = estate.host("proxy1"), estate.address("web1")
    for port, opened in ((15000, True), (13001, True), (443, False), (5000, False), (3001, False)):
        assert (proxy.run(WAY.format(address=address, port=port)).rc == 0) is opened, port
    assert not estate.controller_reaches("web1", 13001)


@pytest.mark.parametrize(
    ("name", "own", "other", "port"), [("desk", 3001, "storefront", 5000), ("storefront", 5000, "desk", 3001)]
)
def test_a_neighbour_is_out_of_reach(estate: Estate, name: str, own: int, other: str, port: int) -> None:
    host = estate.host("web1")
    reaches = as_account(name, WAY)
    assert host.run(reaches.format(address="127.0.0.1", port=own)).rc == 0
    for address in ("127.0.0.1", estate.address("web1")):
        assert host.run(reaches.format(address=address, port=port)).rc != 0
    for path in (f"/var/lib/{other}", f"/etc/gatehouse/{other}.secrets.env", f"/srv/{other}/shared"):
        assert host.run(f"test -e {path}").rc == 0 or path.endswith("shared")
        assert host.run(as_account(name, f"ls {path}/.")).rc != 0, path
    pid = host.check_output(f"systemctl show --property=MainPID --value {other}.service")
    assert host.run(f"cat /proc/{pid}/environ").rc == 0
    assert host.run(as_account(name, f"cat /proc/{pid}/environ")).rc != 0
    # In the sandbox of its unit, not even the neighbour's processes are seen.
    mine = host.check_output(f"systemctl show --property=MainPID --value {name}.service")
    assert host.run(f"nsenter --target {mine} --mount runuser -u {name} -- ls /proc/{pid}").rc != 0


def test_one_is_drained_and_its_neighbour_is_not(estate: Estate) -> None:
    def down(pool: str) -> list[str]:
        text = estate.host("proxy1").file(f"/etc/nginx/active/upstreams/{pool}.conf").content_string
        return re.findall(r"server (\S+) down;", text)

    run = estate.play("playbooks/drain.yml", "-e", "host=web1")
    # Its host has the only member of another upstream too.
    assert run.returncode != 0
    assert "upstream desk would have no member left: web1.desk" in run.stdout
    assert (down("storefront"), down("desk")) == ([], [])
    try:
        assert estate.play("playbooks/drain.yml", "-e", "host=web1.storefront").returncode == 0
        assert (down("storefront"), down("desk")) == ([f"{estate.address('web1')}:15000"], [])
    finally:
        assert estate.play("playbooks/undrain.yml", "-e", "host=web1").returncode == 0
    assert (down("storefront"), down("desk")) == ([], [])
