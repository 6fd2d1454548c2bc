"""An estate that grows and shrinks by edits of its inventory, each with one run, and visitors notice none of them.

The last module here: it ends where the scenario began.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from estate import Ask, Estate
from visitors import Load, visitors

from .edited import edited, play

# What visitors of the other proxy get.
ELSEWHERE = "curl -s --max-time 10 --cacert /srv/ca.pem --resolve {name}:443:{address} https://{name}/"


@pytest.fixture(scope="module", autouse=True)
def _as_the_inventory_says(estate: Estate) -> None:
    """Have no version of another module left: where hosts.yml moves an application, nothing else of it may change."""
    assert estate.play("site.yml").returncode == 0


def grown(inventory: Path) -> str:
    """Make an estate so, and return what the run said."""
    run = play(inventory, "site.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    return " ".join((run.stdout + run.stderr).split())


def servers(estate: Estate, proxy: str, pool: str) -> list[str]:
    """Return the members of a pool as a proxy asks them."""
    text = estate.host(proxy).file(f"/etc/nginx/active/upstreams/{pool}.conf").content_string
    return re.findall(r"server ([^\s;]+)", text)


@contextmanager
def load(estate: Estate, app: str, hosts: list[str]) -> Iterator[Load]:
    """Have visitors ask an application as long as the block runs, and none of them notice anything."""

    def orders() -> Counter[str]:
        return sum(
            (Counter(estate.host(host).run(f"cat /var/lib/{app}/orders").stdout.split()) for host in hosts), Counter()
        )

    # A WebSocket ends a minute after nginx was reloaded, whatever was changed.
    with visitors(estate, f"{app}.lab.test", orders, {"get", "post", "slow", "kept"}) as found:
        yield found
    found.assert_nobody_noticed()


def test_a_host_and_a_proxy_more(estate: Estate, tmp_path: Path) -> None:
    """`shop` gets a second host, whose other application gets a neighbour; web1 becomes a proxy beside its two."""
    inventory = edited(tmp_path, estate, shop=["proxy1", "web2"], proxies=["proxy1", "web1"])
    with load(estate, "shop", ["proxy1", "web2"]) as visited:
        grown(inventory)
    assert set(visited.spread) == {"proxy1", "web2"}
    proxy, web, other = (estate.address(name) for name in ("proxy1", "web1", "web2"))
    # What is beside the proxy alone, it asks through loopback, the other proxy over the network.
    assert servers(estate, "web1", "desk") == ["127.0.0.1:3001"]
    assert servers(estate, "proxy1", "desk") == [f"{web}:13001"]
    # Where there are members elsewhere too, nginx asks all of them in one way.
    for name in ("proxy1", "web1"):
        assert servers(estate, name, "shop") == [f"{proxy}:13000", f"{other}:13000"]
        assert servers(estate, name, "storefront") == [f"{web}:15000", f"{other}:15000"]
    for name in ("shop.lab.test", "desk.lab.test", "storefront.lab.test"):
        address = estate.variables("web1")["public_address"]
        answer = estate.client.run(ELSEWHERE.format(name=name, address=address) + " -o /dev/null -w '%{http_code}'")
        assert answer.stdout == "200", name
    # An endpoint on a proxy answers proxies alone, and neither endpoint nor application is on the public network.
    for port in (13000, 3000):
        assert not estate.controller_reaches("proxy1", port)
    way = f"curl -sk --max-time 3 https://{proxy}:13000/ -o /dev/null -w '%{{http_code}}'"
    assert estate.host("web1").run(way).stdout == "400"


def test_an_application_moves_and_a_host_goes(estate: Estate, tmp_path: Path) -> None:
    """`desk` leaves web1 for web2, and web1 the estate with all that it did."""
    serial = estate.host("web1").check_output(
        "openssl x509 -noout -serial -in /etc/ssl/gatehouse/endpoint/fullchain.pem"
    )
    inventory = edited(tmp_path, estate, shop=["proxy1", "web2"], desk=["web2"], storefront=["web2"])
    with load(estate, "desk", ["web1", "web2"]) as visited:
        grown(inventory)
    assert set(visited.spread) == {"web1", "web2"}
    revoked = estate.host("proxy1").check_output("openssl crl -noout -text -in /etc/nginx/active/upstreams/crl.pem")
    assert serial.partition("=")[2] in revoked.replace(":", "")


def test_an_application_goes_and_a_site_has_another_name(estate: Estate, ask: Ask, tmp_path: Path) -> None:
    """The proxy is alone on its host, `storefront` is no more, and `desk` has another name."""
    names = {"desk": ["office.lab.test"]}
    inventory = edited(tmp_path, estate, names, shop=["web2"], desk=["web2"], storefront=[])
    with load(estate, "shop", ["proxy1", "web2"]) as visited:
        said = grown(inventory)
    assert set(visited.spread) == {"proxy1", "web2"}
    # What they leave is named, and goes when asked.
    assert "shop was deployed to this host" in said
    assert "storefront was deployed to this host" in said
    assert estate.host("proxy1").run("systemctl is-active shop").stdout.strip() == "active"
    assert ask("https://office.lab.test/").status == 200
    assert not estate.host("proxy1").file("/etc/nginx/active/sites/endpoint.shop.conf").exists
    assert not estate.controller_reaches("proxy1", 13000)


def test_and_back(estate: Estate, ask: Ask) -> None:
    with load(estate, "shop", ["proxy1", "web2"]) as visited:
        run = estate.play("site.yml")
    assert run.returncode == 0, run.stdout
    assert set(visited.spread) == {"proxy1", "web2"}
    for site in ("storefront", "shop", "desk"):
        assert ask(f"https://{site}.lab.test/").status == 200, site
    assert servers(estate, "proxy1", "shop") == ["127.0.0.1:3000"]
