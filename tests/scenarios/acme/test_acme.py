"""Certificates over ACME on two proxies behind the same names, from an authority that fetches every challenge.

The tests stand in an order: those that look come first, then those that renew, cut the authority off or break nginx,
each of which puts the hosts back.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from testinfra.host import Host

from estate import Estate

PROXIES = ("proxy1", "proxy2")
NAMES = {"shop.lab.test": "shop", "www.shop.lab.test": "shop", "closed.lab.test": "closed", "both.lab.test": "both"}
CHALLENGE = "/.well-known/acme-challenge"
WEBROOT = f"/var/lib/gatehouse/acme/webroot{CHALLENGE}"
LIVE = "/var/lib/gatehouse/acme/certbot/live"


@pytest.fixture(scope="module")
def client(estate: Estate) -> Host:
    """The host outside, with the roots of the authority in /srv/acme.pem."""
    roots = base64.b64encode((estate.state / "acme" / "roots.pem").read_bytes()).decode()
    estate.client.check_output(f"echo {roots} | base64 -d > /srv/acme.pem")
    return estate.client


def curl(estate: Estate, url: str, proxy: str, *options: str) -> Any:
    """Ask one of the proxies as a visitor would."""
    name, address = url.split("/")[2], estate.variables(proxy)["public_address"]
    resolve = " ".join(f"--resolve {name}:{port}:{address}" for port in (80, 443))
    words = " ".join(f"'{option}'" for option in options)
    return estate.client.run(f"curl -s --max-time 10 {resolve} {words} '{url}'")


def issuer(estate: Estate, name: str, proxy: str) -> str:
    """Return who issued the certificate that a visitor is shown."""
    run = curl(estate, f"https://{name}/", proxy, "-kvo", "/dev/null")
    found = re.search(r"issuer: (.*)", run.stderr)
    assert found, run.stderr
    return found[1]


def fingerprint(host: Host, path: str) -> str:
    return str(host.check_output(f"openssl x509 -in {path} -noout -fingerprint -sha256"))


def served(estate: Estate, name: str, proxy: str) -> str:
    """Return the fingerprint of the leaf that a visitor is shown."""
    address = estate.variables(proxy)["public_address"]
    return str(
        estate.client.check_output(
            f"openssl s_client -connect {address}:443 -servername {name} </dev/null 2>/dev/null"
            " | openssl x509 -noout -fingerprint -sha256"
        )
    )


def tend(host: Host) -> dict[str, Any]:
    """Run the unit as its timer does; return its exit status and what it says of each site."""
    code = host.run("systemctl start gatehouse-acme.service").rc
    reported = json.loads(host.check_output("cat /var/lib/gatehouse/acme/result.json"))
    return {"code": code, **{site["name"]: site for site in reported["sites"]}}


def plant_aged(host: Host, site: str, names: list[str]) -> None:
    """Make nginx serve, and certbot have, a certificate of an authority of long ago with five days left of ninety."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of long ago")])
    start, end = now - timedelta(days=85), now + timedelta(days=5)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), start, end)
    alternative = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
    leaf = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    texts = {
        "fullchain.pem": leaf.public_bytes(pem),
        "privkey.pem": key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
    for file, text in texts.items():
        encoded = base64.b64encode(text).decode()
        host.check_output(f"echo {encoded} | base64 -d | tee {LIVE}/{site}/{file} > /etc/ssl/gatehouse/{site}/{file}")
    host.check_output("systemctl reload nginx && sleep 1")


@contextmanager
def cut_off(host: Host, authority: str) -> Iterator[None]:
    """Take the authority out of a proxy's reach."""
    host.check_output(f"ip route add unreachable {authority}/32")
    try:
        yield
    finally:
        host.check_output(f"ip route del unreachable {authority}/32")


@pytest.fixture(scope="module")
def authority(estate: Estate) -> str:
    """The authority's address."""
    return (estate.state / "acme" / "directory").read_text().split("/")[2].split(":")[0]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_visitor_gets_a_chain_of_the_authority_for_every_name(
    estate: Estate, client: Host, name: str, proxy: str
) -> None:
    trusted = curl(
        estate, f"https://{name}/", proxy, "--cacert", "/srv/acme.pem", "-o", "/dev/null", "-w", "%{http_code}"
    )
    assert (trusted.rc, trusted.stdout) == (0, "302")
    assert curl(estate, f"https://{name}/", proxy, "--cacert", "/srv/ca.pem", "-o", "/dev/null").rc == 60


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_site_of_the_internal_ca_stays_with_it(estate: Estate, client: Host, proxy: str) -> None:
    assert curl(estate, "https://desk.lab.test/", proxy, "--cacert", "/srv/ca.pem", "-o", "/dev/null").rc == 0
    assert curl(estate, "https://desk.lab.test/", proxy, "--cacert", "/srv/acme.pem", "-o", "/dev/null").rc == 60


def test_each_proxy_has_keys_and_an_account_of_its_own_that_root_alone_reads(estate: Estate) -> None:
    seen = set()
    for proxy in PROXIES:
        host = estate.host(proxy)
        assert host.file("/var/lib/gatehouse/acme/certbot").mode == 0o700
        for site in sorted(set(NAMES.values())):
            key = host.file(f"/etc/ssl/gatehouse/{site}/privkey.pem")
            assert (key.user, key.mode) == ("root", 0o600)
            seen.add(key.sha256sum)
        accounts = host.check_output("ls /var/lib/gatehouse/acme/certbot/accounts/*/dir").split()
        assert len(accounts) == 1
        seen.add(accounts[0])
    assert len(seen) == 2 * 4
    keys = {path.name for path in estate.state.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()}
    assert keys == {"ca.key", "host_key", "id_ed25519"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_proxy_answers_for_what_the_other_one_asked_for(estate: Estate, client: Host, name: str) -> None:
    estate.host("proxy1").check_output(f"mkdir -p {WEBROOT} && echo of proxy1 > {WEBROOT}/token-{name}")
    for proxy in PROXIES:
        answer = curl(estate, f"http://{name}{CHALLENGE}/token-{name}", proxy, "-w", "%{http_code} %{content_type}")
        assert answer.stdout == "of proxy1\n200 text/plain"
    estate.host("proxy1").check_output(f"rm {WEBROOT}/token-{name}")


def test_what_nobody_asked_for_goes_round_no_circle(estate: Estate, client: Host) -> None:
    # What climbs out of the folder is another path, and as every other one redirected.
    for path, status in (("nowhere", "404"), ("a/b", "404"), ("..%2f..%2fcertbot%2flogs", "308")):
        url = f"http://shop.lab.test{CHALLENGE}/{path}"
        assert curl(estate, url, "proxy1", "-o", "/dev/null", "-w", "%{http_code}").stdout == status, path
    # One more request, so that the wait is for what a circle would have written too: nginx writes its log every 100 ms.
    assert curl(estate, f"http://shop.lab.test{CHALLENGE}/last", "proxy1").rc == 0
    for proxy in PROXIES:
        log = estate.host(proxy).check_output(
            "for try in $(seq 50); do grep -q %s/last /var/log/nginx/access.log && break; sleep 0.1; done;"
            " cat /var/log/nginx/access.log",
            CHALLENGE,
        )
        assert log.count(f"{CHALLENGE}/nowhere") == 1, proxy


def test_port_80_serves_visitors_as_each_site_says(estate: Estate, client: Host) -> None:
    seen = {}
    for name in ("shop", "both", "closed"):
        run = curl(
            estate, f"http://{name}.lab.test/x?y", "proxy1", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"
        )
        seen[name] = (run.rc, run.stdout)
    assert seen == {
        "shop": (0, "308 https://shop.lab.test/x?y"),
        "both": (0, "302 https://else.lab.test/"),
        "closed": (56, "000 "),  # the connection is reset
    }


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_site_with_files_that_the_host_keeps_has_them_served_and_asks_for_none(estate: Estate, proxy: str) -> None:
    host = estate.host(proxy)
    assert served(estate, "kept.lab.test", proxy) == fingerprint(host, "/etc/kept/chain.pem")
    assert not host.file("/etc/ssl/gatehouse/kept").exists


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_timer_waits_and_a_run_with_nothing_due_changes_nothing(estate: Estate, proxy: str) -> None:
    host = estate.host(proxy)
    shown = host.check_output("systemctl show gatehouse-acme.timer -p ActiveState,UnitFileState")
    assert set(shown.split()) == {"ActiveState=active", "UnitFileState=enabled"}
    worker = host.check_output("pgrep -n -u www-data nginx")
    reported = tend(host)
    assert {reported[site]["state"] for site in NAMES.values()} == {"current"}
    assert reported["code"] == 0
    assert host.check_output("pgrep -n -u www-data nginx") == worker


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_certificate_that_nears_its_end_is_renewed_with_a_new_key_and_the_same_account(
    estate: Estate, proxy: str
) -> None:
    host = estate.host(proxy)
    account = host.check_output("ls /var/lib/gatehouse/acme/certbot/accounts/*/dir")
    plant_aged(host, "shop", ["shop.lab.test", "www.shop.lab.test"])
    key = host.file("/etc/ssl/gatehouse/shop/privkey.pem").sha256sum
    assert "long ago" in issuer(estate, "shop.lab.test", proxy)
    reported = tend(host)
    assert (reported["code"], reported["shop"]["state"], reported["both"]["state"]) == (0, "issued", "current")
    assert reported["shop"]["reason"].startswith("it ends on ")
    assert "Pebble" in issuer(estate, "shop.lab.test", proxy)
    assert served(estate, "shop.lab.test", proxy) == fingerprint(host, "/etc/ssl/gatehouse/shop/fullchain.pem")
    assert host.file("/etc/ssl/gatehouse/shop/privkey.pem").sha256sum != key
    assert host.check_output("ls /var/lib/gatehouse/acme/certbot/accounts/*/dir") == account


def test_a_renewal_that_nginx_does_not_take_is_undone_and_made_good_later(estate: Estate) -> None:
    host, tree = estate.host("proxy1"), "/etc/nginx/active/nginx.conf"
    plant_aged(host, "shop", ["shop.lab.test", "www.shop.lab.test"])
    before = fingerprint(host, "/etc/ssl/gatehouse/shop/fullchain.pem")
    host.check_output(f"echo 'broken here;' >> {tree}")
    try:
        reported = tend(host)
    finally:
        host.check_output(f"sed -i '/^broken here;$/d' {tree}")
    assert reported["code"] != 0
    assert reported["shop"]["state"] == "refused"
    assert 'unknown directive "broken"' in reported["shop"]["problem"]
    assert fingerprint(host, "/etc/ssl/gatehouse/shop/fullchain.pem") == before
    assert served(estate, "shop.lab.test", "proxy1") == before
    asked = host.check_output(f"ls {LIVE}/../archive/shop | wc -l")
    reported = tend(host)
    assert (reported["code"], reported["shop"]["state"]) == (0, "issued")
    assert host.check_output(f"ls {LIVE}/../archive/shop | wc -l") == asked, "it was asked for twice"
    assert "Pebble" in issuer(estate, "shop.lab.test", "proxy1")


def test_without_the_authority_a_site_keeps_what_it_has_and_a_new_one_starts_on_the_internal_ca(
    estate: Estate, client: Host, authority: str
) -> None:
    host = estate.host("proxy1")
    plant_aged(host, "shop", ["shop.lab.test", "www.shop.lab.test"])
    host.check_output(
        f"rm -r {LIVE}/closed {LIVE}/../archive/closed {LIVE}/../renewal/closed.conf /etc/ssl/gatehouse/closed"
    )
    # Meanwhile, what keeps the certificate of the last site has renewed it.
    host.check_output("rm /etc/kept/*")
    assert estate.play("molecule/acme/prepare.yml", "--limit", "proxy1").returncode == 0
    with cut_off(host, authority):
        run = estate.play("playbooks/proxies.yml", "--limit", "proxy1")
        said = " ".join(run.stdout.split() + run.stderr.split())
        assert run.returncode == 0, run.stdout
        assert f"https://{authority}:14000/dir does not answer as an ACME directory" in said
        assert "site shop: its certificate could not be had (it ends on" in said
        assert "site closed: its certificate could not be had (there is none)" in said
        assert "long ago" in issuer(estate, "shop.lab.test", "proxy1")
        assert curl(estate, "https://closed.lab.test/", "proxy1", "--cacert", "/srv/ca.pem").rc == 0
        assert host.run("systemctl is-failed gatehouse-acme.service").rc == 0
    assert served(estate, "kept.lab.test", "proxy1") == fingerprint(host, "/etc/kept/chain.pem")
    reported = tend(host)
    assert (reported["code"], reported["shop"]["state"], reported["closed"]["state"]) == (0, "issued", "issued")
    for name in ("shop.lab.test", "closed.lab.test"):
        assert curl(estate, f"https://{name}/", "proxy1", "--cacert", "/srv/acme.pem", "-o", "/dev/null").rc == 0


def test_another_authority_is_asked_anew_and_the_account_with_the_first_one_is_kept(
    estate: Estate, authority: str
) -> None:
    host, accounts = estate.host("proxy1"), "ls /var/lib/gatehouse/acme/certbot/accounts/*/dir"
    pebble = estate.inside("pebble")
    pebble.check_output("sed 's/:14000/:14001/; s/:15000/:15001/' /etc/pebble/config.json > /etc/pebble/second.json")
    start = "systemd-run --quiet --collect --unit=second -E PEBBLE_VA_NOSLEEP=1 -E PEBBLE_WFE_NONCEREJECT=0"
    pebble.check_output(f"{start} pebble -config /etc/pebble/second.json")
    pebble.check_output(
        "for try in $(seq 100); do ss -Hltn 'sport = :14001' | grep -q . && exit; sleep 0.2; done; exit 1"
    )
    # The second authority remembers nothing of an earlier run of this test.
    host.check_output("rm -rf /var/lib/gatehouse/acme/certbot/accounts/*:14001 /var/lib/gatehouse/acme/failures.json")
    first = host.check_output(accounts)
    try:
        host.check_output(
            "sed -i s,:14000/dir,:14001/dir, /etc/gatehouse/acme/acme.json /etc/gatehouse/acme/certbot.ini"
        )
        reported = tend(host)
        problems = {site: reported[site]["problem"] for site in NAMES.values()}
        assert (reported["code"], reported["shop"]["state"], set(problems.values())) == (0, "issued", {""}), problems
        assert reported["shop"]["reason"] == f"it is from https://{authority}:14000/dir"
        assert len(host.check_output(f"{accounts} | grep -v :").split()) == 2
    finally:
        host.check_output(
            "sed -i s,:14001/dir,:14000/dir, /etc/gatehouse/acme/acme.json /etc/gatehouse/acme/certbot.ini"
        )
        pebble.check_output("systemctl stop second; rm /etc/pebble/second.json")
    reported = tend(host)
    assert (reported["code"], reported["shop"]["reason"]) == (0, f"it is from https://{authority}:14001/dir")
    assert first.split()[-1] in host.check_output(accounts)
    assert len(host.check_output(f"{accounts} | grep -v :").split()) == 2


def test_a_name_that_the_authority_cannot_reach_is_not_asked_for_without_end(estate: Estate) -> None:
    host, config = estate.host("proxy1"), "/etc/gatehouse/acme/acme.json"
    kept = host.check_output(f"cat {config}")
    wrong = json.loads(kept)
    wrong["sites"].append({"name": "wrong", "names": ["nowhere.lab.test"]})
    problems = []
    host.check_output("rm -f /var/lib/gatehouse/acme/failures.json")
    try:
        host.check_output(f"echo {base64.b64encode(json.dumps(wrong).encode()).decode()} | base64 -d > {config}")
        for _ in range(5):
            reported = tend(host)
            assert (reported["code"] != 0, reported["shop"]["state"]) == (True, "current")
            problems.append(reported["wrong"]["problem"])
    finally:
        host.check_output(f"echo {base64.b64encode(kept.encode()).decode()} | base64 -d > {config}")
    assert all("nowhere.lab.test" in problem for problem in problems[:4]), problems
    assert problems[4].startswith("4 attempts failed within an hour, and the authority counts them")
