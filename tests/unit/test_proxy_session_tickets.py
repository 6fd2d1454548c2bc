"""The keys of session tickets: the same on every proxy, another each day, and no way back."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.gatehouse.core.plugins.module_utils import session_tickets as tickets

from .conftest import load

ROLE = Path(__file__).parents[2] / "roles" / "proxy"
DAY = 740000


module = load("roles/proxy/library/session_tickets.py")
tls = load("roles/proxy/filter_plugins/tls.py")


def chain(day: int, seed: str = "a seed of 20 letters") -> Any:
    return tickets.Chain.read(tls.session_ticket_state(seed, day))


def test_the_controller_and_the_proxies_step_alike() -> None:
    assert chain(DAY).at(DAY + 3) == chain(DAY + 3)
    assert chain(DAY).same(chain(DAY + 400))
    assert not chain(DAY).same(chain(DAY, "another seed of many"))


def test_a_key_is_80_bytes_of_independent_parts() -> None:
    secret = chain(DAY).secret
    parts = [hmac.new(secret, word, hashlib.sha256).digest() for word in (b"name", b"mac", b"cipher")]
    assert chain(DAY).key() == parts[0][:16] + parts[1] + parts[2]
    assert len({chain(DAY + ahead).key() for ahead in range(100)}) == 100


def test_there_is_no_way_back() -> None:
    with pytest.raises(tickets.TicketError, match="the chain begins 1 days later, and does not go back"):
        chain(DAY).at(DAY - 1)


def test_what_one_proxy_seals_every_other_opens_a_day_apart() -> None:
    early, late = chain(DAY).files(), chain(DAY + 1).files()
    assert early["next.key"] == late["current.key"]
    assert early["current.key"] == late["previous.key"]
    assert early["previous.key"] not in late.values()
    assert {len(content) for name, content in early.items() if name != "state"} == {80}


def test_the_files_are_roots_alone_and_mended_when_touched(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    tickets.save(folder, chain(DAY))
    assert tickets.load(folder) == chain(DAY)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert tickets.wrong(folder, chain(DAY)) == []
    (folder / "next.key").write_bytes(b"x" * 80)
    (folder / "current.key").chmod(0o644)
    (folder / "previous.key").unlink()
    assert tickets.wrong(folder, chain(DAY)) == ["previous.key", "current.key", "next.key"]
    tickets.save(folder, chain(DAY))
    assert tickets.wrong(folder, chain(DAY)) == []
    assert sorted(path.name for path in folder.iterdir()) == ["current.key", "next.key", "previous.key", "state"]


def test_the_timer_steps_to_the_day_and_then_rests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tickets.save(tmp_path, chain(DAY))
    assert tickets.step(tmp_path, DAY + 5)
    assert tickets.load(tmp_path) == chain(DAY + 4)
    assert not tickets.step(tmp_path, DAY + 5)
    # A clock that went back.
    assert not tickets.step(tmp_path, DAY + 1)
    assert "4 days later: nothing was done" in capsys.readouterr().err
    assert tickets.load(tmp_path) == chain(DAY + 4)


@pytest.mark.parametrize("content", [None, "", "740000 abc\n", "x" * 70, "\xff"])
def test_the_timer_says_what_to_do_about_a_broken_secret(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "state").write_bytes(content.encode("latin-1"))
    with pytest.raises(tickets.TicketError, match="state is missing or broken: run the playbook of the proxies again"):
        tickets.step(tmp_path, DAY)


@pytest.mark.parametrize(
    ("have", "given", "expected", "reason"),
    [
        # The secret kept on a day is that of the day before: see Chain.files.
        (None, DAY - 1, DAY - 1, "there was no secret"),
        (DAY - 1, DAY - 1, DAY - 1, ""),
        (DAY - 2, DAY - 1, DAY - 2, ""),  # just after midnight, before the timer
        (DAY - 4, DAY - 1, DAY - 1, "the secret was that of 3 days before: the timer did not run"),
        (DAY + 3, DAY - 1, DAY - 1, "the secret was that of 4 days later"),
        (DAY - 1, DAY, DAY - 1, ""),  # the controller's clock is past midnight already
        (DAY, DAY - 1, DAY - 1, "the secret was that of 1 days later"),
        (DAY - 1, DAY - 2, DAY - 1, ""),  # the host's clock is past midnight already
    ],
)
def test_a_host_is_left_alone_unless_its_secret_is_wrong(
    have: int | None, given: int, expected: int, reason: str
) -> None:
    found = module.chosen(chain(have) if have else None, chain(given), DAY)
    assert found == (chain(expected), reason)


def test_a_host_with_another_secret_is_given_ours() -> None:
    found = module.chosen(chain(DAY - 1, "another seed of many"), chain(DAY - 1), DAY)
    assert found == (chain(DAY - 1), "the secret was another")


def test_a_host_without_a_seed_begins_its_own_and_keeps_it() -> None:
    own, reason = module.chosen(None, None, DAY)
    assert (own.day, len(own.secret), reason) == (DAY - 1, 32, "there was no secret")
    assert module.chosen(None, None, DAY)[0] != own
    assert module.chosen(own, None, DAY) == (own, "")
    assert module.chosen(own, None, DAY + 1) == (own, "")
    assert module.chosen(own, None, DAY + 5)[0] == own.at(DAY + 4)


@pytest.mark.parametrize(
    ("seed", "day", "message"),
    [
        ("short", DAY, "the seed must be text of 16 characters or more, or empty"),
        (12345678901234567890, DAY, "the seed must be text"),
        ("a seed of 20 letters", True, "the day must be a number"),
        ("a seed of 20 letters", 3, "the day must be a number not below 739617; is the controller's clock right?"),
    ],
)
def test_a_seed_is_refused_with_the_remedy(seed: Any, day: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        tls.session_ticket_state(seed, day)


def site(**wanted: Any) -> dict[str, Any]:
    certificates = {"mode": "required", "ca": "/srv/ca.pem", "crl": "", "depth": 1, **wanted}
    return {"name": "staff", "https": wanted.pop("https", True), "client_certificates": certificates}


@pytest.mark.parametrize(
    ("subject", "known"),
    [
        ("CN=ada.lab.test,O=Lab", True),
        ("O=Lab,CN=ada.lab.test", True),
        ("CN=Ada.Lab.test", True),
        (r"O=x\,CN=ada.lab.test", False),
        (r"O=x\,CN=ada.lab.test,CN=bob", False),
        ("CN=ada-lab.test", False),
        (r"CN=ada.lab.test\, of accounts", False),
        ("OCN=ada.lab.test", False),
    ],
)
def test_a_visitor_is_known_by_his_whole_common_name_alone(subject: str, known: bool) -> None:
    pattern = tls.client_name_pattern("Ada.lab.test")
    assert pattern.startswith("~*")
    assert bool(re.search(pattern.removeprefix("~*"), subject, re.IGNORECASE)) is known


def test_visitors_authorities_go_into_the_tree() -> None:
    assert tls.client_certificate_files([site(mode="none", ca="")]) == {}
    assert tls.client_certificate_files([site(mode="optional", crl="/srv/crl.pem")]) == {
        "clients/staff/ca.pem": "/srv/ca.pem",
        "clients/staff/crl.pem": "/srv/crl.pem",
    }


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"ca": ""}, "site staff: client_certificates.ca is empty; write the PEM file"),
        ({"https": False}, "site staff: client_certificates.mode is required without TLS; write https: true, or mode"),
    ],
)
def test_asking_for_certificates_needs_tls_and_an_authority(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        tls.client_certificate_files([site(**wanted)])
