"""The program that keeps ACME certificates, on folders and an nginx made for the test: what is asked, kept, undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import load

acme = load("roles/certificate/files/acme.py")

NOW = datetime.now(UTC)
DIRECTORY = "https://acme.example/dir"
SHOP: dict[str, Any] = {"name": "shop", "names": ["shop.test", "www.shop.test"]}
DESK: dict[str, Any] = {"name": "desk", "names": ["desk.test"]}


def made(names: list[str], start: float = -1, end: float = 89) -> list[bytes]:
    """Return a new chain and key for `names`; start and end in days from now."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    first, last = NOW + timedelta(days=start), NOW + timedelta(days=end)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), first, last)
    extension = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    leaf = builder.add_extension(extension, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return [leaf.public_bytes(pem), key.private_bytes(pem, *plain)]


class Host:
    """Folders of a host, its certbot, and an nginx that at each reload serves what is there."""

    def __init__(self, root: Path) -> None:
        self.root, self.places, self.home = root, root / "ssl", root / "home"
        self.orders: list[str] = []
        self.refusal = self.silent = self.nginx_says = ""
        self.deaf = False
        self.shown: dict[str, str] = {}
        for name in ("ssl", "home/certbot/live", "home/certbot/renewal"):
            (root / name).mkdir(parents=True)

    def put(self, folder: Path, pair: list[bytes]) -> None:
        folder.mkdir(exist_ok=True)
        for name, data in zip(("fullchain.pem", "privkey.pem"), pair, strict=True):
            (folder / name).write_bytes(data)

    def got(self, site: dict[str, Any], directory: str = DIRECTORY, **life: float) -> None:
        """Have certbot hold a certificate for a site."""
        self.put(self.home / "certbot" / "live" / site["name"], made(site["names"], **life))
        (self.home / "certbot" / "renewal" / f"{site['name']}.conf").write_text(
            f"[renewalparams]\nserver = {directory}\n"
        )

    def order(self, keeper: Any, site: dict[str, Any]) -> str:
        self.orders.append(site["name"])
        if not self.refusal:
            self.got(site)
        return self.refusal

    def reload(self) -> None:
        if not self.deaf:
            self.shown = {
                name: pair.fingerprint
                for site in (SHOP, DESK)
                for name in site["names"]
                if (pair := acme.Pair.read(self.places / str(site["name"])))
            }

    def test(self, command: list[str]) -> None:
        if self.nginx_says:
            raise acme.RefusedError(self.nginx_says)

    def place(self, name: str) -> bytes:
        return (self.places / name / "fullchain.pem").read_bytes()

    def lineage(self, name: str) -> bytes:
        return (self.home / "certbot" / "live" / name / "fullchain.pem").read_bytes()

    def run(self, *sites: dict[str, Any], now: datetime = NOW) -> tuple[int, dict[str, Any]]:
        """Run once; return the exit status and each site's outcome."""
        config = {
            "directory": DIRECTORY,
            "ca_bundle": "",
            "certificate_dir": str(self.places),
            "home": str(self.home),
            "address": "127.0.0.1",
            "sites": list(sites),
        }
        keeper = acme.Keeper(config, now)
        keeper.ask()
        keeper.serve()
        code = keeper.finish()
        reported = json.loads((self.home / "result.json").read_text())["sites"]
        return code, {site["name"]: site for site in reported}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)

    @contextmanager
    def locked() -> Iterator[None]:
        yield

    real = acme.Keeper.order

    def order(keeper: Any, site: dict[str, Any]) -> str:
        return host.order(keeper, site)

    monkeypatch.setattr(acme.Keeper, "order", order)
    monkeypatch.setattr(acme.Keeper, "real_order", real, raising=False)
    monkeypatch.setattr(acme.Keeper, "authority_silent", lambda keeper: host.silent)
    monkeypatch.setattr(acme.Keeper, "served", lambda keeper, name: host.shown.get(name, ""))
    monkeypatch.setattr(acme, "locked", locked)
    monkeypatch.setattr(acme, "reload_nginx", host.reload)
    monkeypatch.setattr(acme, "run", host.test)
    monkeypatch.setattr(acme, "PROOF_SECONDS", 0.5)
    monkeypatch.setattr(acme.time, "sleep", lambda seconds: None)
    return host


@pytest.mark.parametrize(
    ("asked", "names", "start", "end", "reason"),
    [
        (DIRECTORY, ["shop.test", "www.shop.test"], -1, 89, ""),
        (DIRECTORY, ["www.shop.test", "shop.test"], -59, 31, ""),
        (
            DIRECTORY,
            ["shop.test", "www.shop.test"],
            -61,
            29,
            f"it ends on {NOW + timedelta(days=29):%Y-%m-%d %H:%M} UTC",
        ),
        (DIRECTORY, ["shop.test", "www.shop.test"], -2, 4, ""),
        (DIRECTORY, ["shop.test", "www.shop.test"], -4, 2, f"it ends on {NOW + timedelta(days=2):%Y-%m-%d %H:%M} UTC"),
        (DIRECTORY, ["shop.test"], -1, 89, "it is for shop.test"),
        (
            "https://staging.example/dir",
            ["shop.test", "www.shop.test"],
            -1,
            89,
            "it is from https://staging.example/dir",
        ),
        ("", ["shop.test", "www.shop.test"], -1, 89, "it is from another authority"),
    ],
)
def test_why_a_certificate_is_asked_for(asked: str, names: list[str], start: float, end: float, reason: str) -> None:
    pair = acme.Pair(*made(names, start, end))
    assert acme.why_ask(SHOP["names"], pair, asked, DIRECTORY, NOW) == reason


def test_what_is_no_pair_is_asked_for(tmp_path: Path) -> None:
    assert acme.why_ask(["shop.test"], None, "", DIRECTORY, NOW) == "there is none"
    chain, key = made(["a.test"])
    for other in ([chain, made(["a.test"])[1]], [b"none", key], [chain, b"none"]):
        for name, data in zip(("fullchain.pem", "privkey.pem"), other, strict=True):
            (tmp_path / name).write_bytes(data)
        assert acme.Pair.read(tmp_path) is None


def test_the_first_run_asks_and_the_second_does_not(host: Host) -> None:
    host.put(host.places / "shop", made(SHOP["names"]))
    code, reported = host.run(SHOP, DESK)
    assert (code, reported["shop"]["state"], reported["desk"]["state"]) == (0, "issued", "issued")
    assert reported["shop"]["reason"] == "there is none"
    assert host.place("shop") == host.lineage("shop")
    assert (host.places / "shop" / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert (host.places / "shop" / "fullchain.pem").stat().st_mode & 0o777 == 0o644
    code, reported = host.run(SHOP, DESK)
    assert (code, reported["shop"]["state"], reported["desk"]["state"]) == (0, "current", "current")
    assert host.orders == ["shop", "desk"]
    assert [path.name for path in host.places.rglob(".*")] == []


def test_a_silent_authority_changes_nothing_and_costs_nothing(host: Host) -> None:
    host.got(SHOP, start=-85, end=5)
    host.silent = "no answer"
    code, reported = host.run(SHOP, DESK)
    assert (code, host.orders) == (1, [])
    assert (reported["shop"]["problem"], reported["desk"]["problem"]) == ("no answer", "no answer")
    # What it has is better than what stood there, and desk has none at all.
    assert (reported["shop"]["state"], reported["desk"]["state"]) == ("issued", "kept")
    assert host.place("shop") == host.lineage("shop")
    assert reported["desk"]["end"] == ""


def test_a_refusal_of_one_site_leaves_the_others_alone(host: Host) -> None:
    host.got(DESK)
    host.refusal = "Type: unauthorized"
    code, reported = host.run(SHOP, DESK)
    assert (code, reported["shop"]["state"], reported["desk"]["state"]) == (1, "kept", "issued")
    assert reported["shop"]["problem"] == "Type: unauthorized"


def test_what_nginx_refuses_is_put_back_and_installed_later_without_asking_again(host: Host) -> None:
    host.put(host.places / "shop", made(SHOP["names"]))
    host.reload()
    before, host.nginx_says = host.place("shop"), "nginx: [emerg] something else is wrong"
    code, reported = host.run(SHOP, DESK)
    assert (code, reported["shop"]["state"], reported["desk"]["state"]) == (1, "refused", "refused")
    assert reported["shop"]["problem"] == f"{host.nginx_says}\nThe certificates from before are back and serve."
    assert host.place("shop") == before
    assert not (host.places / "desk" / "fullchain.pem").exists()
    host.nginx_says = ""
    code, reported = host.run(SHOP, DESK)
    assert (code, reported["shop"]["state"], host.orders) == (0, "issued", ["shop", "desk"])


def test_a_reload_that_does_not_show_the_new_one_is_a_failure(host: Host) -> None:
    host.put(host.places / "shop", made(SHOP["names"]))
    before, host.deaf = host.place("shop"), True
    code, reported = host.run(SHOP)
    assert (code, reported["shop"]["state"]) == (1, "refused")
    assert "nginx does not serve the new certificate of shop.test after its reload" in reported["shop"]["problem"]
    assert host.place("shop") == before


def test_an_nginx_that_shows_an_older_one_is_reloaded(host: Host) -> None:
    host.run(SHOP)
    host.shown["shop.test"] = "of before"
    code, reported = host.run(SHOP)
    assert (code, reported["shop"]["state"], host.orders) == (0, "reloaded", ["shop"])


def test_a_damaged_file_comes_back_without_asking(host: Host) -> None:
    host.run(SHOP)
    (host.places / "shop" / "privkey.pem").write_text("nothing")
    code, reported = host.run(SHOP)
    assert (code, reported["shop"]["state"], host.orders) == (0, "issued", ["shop"])


def test_what_an_operator_wants_renewed_is_asked_for_until_it_is_had(host: Host) -> None:
    host.run(SHOP, DESK)
    (host.home / "renew").write_text("shop\n")
    host.silent = "no answer"
    assert host.run(SHOP, DESK)[1]["shop"]["reason"] == "it was asked for by hand"
    host.silent = ""
    assert host.run(SHOP, DESK)[1]["shop"]["state"] == "issued"
    assert host.run(SHOP, DESK)[1]["shop"]["state"] == "current"
    assert host.orders == ["shop", "desk", "shop"]


def test_after_four_failures_an_hour_has_to_pass(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acme, "CERTBOT", "/nonexistent")
    keeper = {"directory": DIRECTORY, "certificate_dir": str(host.places), "home": str(host.home), "ca_bundle": ""}
    for minute in range(4):
        one = acme.Keeper(keeper, NOW + timedelta(minutes=minute))
        assert one.put_off(SHOP) == ""
        assert "No such file" in one.real_order(SHOP)
    waits = acme.Keeper(keeper, NOW + timedelta(minutes=10)).put_off(SHOP)
    assert waits.startswith(
        "4 attempts failed within an hour, and the authority counts them: the next one is made after "
    )
    assert f"{NOW + timedelta(hours=1):%H:%M} UTC" in waits
    assert acme.Keeper(keeper, NOW + timedelta(minutes=61)).put_off(SHOP) == ""
    other = {**SHOP, "names": ["other.test"]}
    assert acme.Keeper(keeper, NOW + timedelta(minutes=10)).put_off(other) == ""


def test_certbot_gets_everything_and_its_reason_is_passed_on(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certbot = tmp_path / "certbot"
    certbot.write_text(
        '#!/bin/sh\necho "$@" "$REQUESTS_CA_BUNDLE" > "$0.seen"\n'
        "cat <<'END'\nSaving debug log to /x\nRequesting a certificate for shop.test\n\n"
        "Certbot failed to authenticate some domains (authenticator: webroot).\n"
        "  Domain: shop.test\n  Type:   dns\n  Detail: no such name\n\nHint: look at it\nEND\nexit 1\n"
    )
    certbot.chmod(0o755)
    monkeypatch.setattr(acme, "CERTBOT", str(certbot))
    config = {"directory": DIRECTORY, "certificate_dir": "", "home": str(host.home), "ca_bundle": "/ca.pem"}
    problem = acme.Keeper(config, NOW).real_order(SHOP)
    assert problem == "Domain: shop.test Type:   dns Detail: no such name"
    assert (tmp_path / "certbot.seen").read_text().split() == [
        *("certonly", "--config", "/etc/gatehouse/acme/certbot.ini", "--non-interactive", "--force-renewal"),
        *("--renew-with-new-domains", "--cert-name", "shop", "-d", "shop.test", "-d", "www.shop.test", "/ca.pem"),
    ]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (
            "Saving debug log to /x\nAn unexpected error occurred:\nno route\nAsk for help or search",
            "An unexpected error occurred: no route",
        ),
        ("", "certbot failed without a word"),
    ],
)
def test_the_reason_in_what_certbot_says(output: str, text: str) -> None:
    assert acme.failure_text(output) == text


def test_an_authority_that_is_none_is_silent(tmp_path: Path) -> None:
    config = {"directory": "https://127.0.0.1:9/dir", "ca_bundle": "", "certificate_dir": "", "home": str(tmp_path)}
    said = acme.Keeper(config, NOW).authority_silent()
    assert said.startswith("https://127.0.0.1:9/dir does not answer as an ACME directory: ")
