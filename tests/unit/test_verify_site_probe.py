"""site_probe against a small TLS server on loopback: what is good, and the exact words for what is not."""

from __future__ import annotations

import itertools
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.gatehouse.core.plugins.module_utils import member_turns
from cryptography import x509

# pytest imports by file here (--import-mode=importlib), so a neighbour must be made known.
sys.path.insert(0, str(Path(__file__).parent))
from verify_stand_in import WEB1, WEB2, Answer, Authority, Proxy

from .conftest import load

ROLE = Path(__file__).resolve().parents[2] / "roles" / "verify"


site_probe = load("roles/verify/library/site_probe.py")

NAME = "shop.lab.test"
LOOK = "look at the application's journal on {0}, and at whether proxy1 reaches it"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Test CA")


@pytest.fixture
def proxy(authority: Authority, tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    made: list[Proxy] = []

    def make(*names: str, days: float = 90.5, ca: Authority = authority, old_tls: bool = False) -> Proxy:
        made.append(Proxy(ca.leaf(tmp_path, list(names) or [NAME], days), old_tls=old_tls))
        return made[-1]

    yield make
    for one in made:
        one.close()


def question(proxy: Proxy, authority: Authority, **changes: Any) -> dict[str, Any]:
    """Return the module's parameters for one site with two members."""
    return {
        "proxies": [{"name": "proxy1", "address": "127.0.0.1"}],
        "sites": [{"name": "shop", "server_names": [NAME], "locations": [{"path": "/", "upstream": "shop"}]}],
        "upstreams": upstream(),
        "ca_pem": authority.pem,
        "ca_name": "ca.pem",
        "min_days": 7,
        "attempts": 10,
        "timeout": 2,
        # Too short to ask a member again that nginx may have left alone.
        "budget": 10,
        "https_port": proxy.https_port,
        "http_port": proxy.http_port,
        **changes,
    }


def problems(proxy: Proxy, authority: Authority, **changes: Any) -> list[str]:
    return list(site_probe.run(question(proxy, authority, **changes))[1])


def upstream(method: str = "round_robin", **states: str) -> list[dict[str, Any]]:
    """Return an upstream of web1 and web2, both up unless said otherwise."""
    members = [
        {"name": name, "address": address, "port": 5000, "state": states.get(name, "up")}
        for name, address in (("web1", "10.0.0.11"), ("web2", "10.0.0.12"))
    ]
    return [{"name": "shop", "method": method, "members": members}]


def test_a_good_site_has_no_problem_and_a_full_row(proxy: Any, authority: Authority) -> None:
    rows, found = site_probe.run(question(proxy(), authority))
    assert found == []
    assert rows == [
        {
            "site": "shop",
            "proxy": "proxy1",
            "tls": "TLSv1.3",
            "issuer": "Test CA",
            "days_left": 90,
            "members": ["shop: web1, web2"],
        }
    ]
    assert site_probe.table(rows) == [
        "site  proxy   tls      issuer   days left  members that answered",
        "shop  proxy1  TLSv1.3  Test CA  90         shop: web1, web2",
    ]


def test_a_ca_file_is_trusted_besides_the_systems_store(
    proxy: Any, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = Authority("Public CA")
    (tmp_path / "store.pem").write_text(public.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "store.pem"))
    assert problems(proxy(ca=public), authority) == []
    assert problems(proxy(), authority) == []
    # Without a file the store alone is trusted.
    assert problems(proxy(ca=public), authority, ca_pem="") == []
    assert len(problems(proxy(), authority, ca_pem="", ca_name="the store")) == 1


def test_every_name_and_location_is_asked_and_wildcards_by_a_label(proxy: Any, authority: Authority) -> None:
    server = proxy(NAME, "*.shop.lab.test")
    locations = [
        {"path": "/", "upstream": "shop"},
        {"path": "/static/", "upstream": "shop", "cache": "assets"},
    ]
    names = [NAME, "*.shop.lab.test", "~^x", "_"]
    site = {"name": "shop", "server_names": names, "certificate": {}, "locations": locations}
    assert problems(server, authority, sites=[site]) == []
    assert server.asked == {
        (name, path) for name in (NAME, "gatehouse-probe.shop.lab.test") for path in ("/", "/static/")
    }


WRONG_NAME = (
    "https://shop.lab.test shows a certificate for another name; add shop.lab.test to the names of its certificate"
)
EXPIRED = "https://shop.lab.test shows a certificate that has expired; run site.yml, or replace its file"
FEW_DAYS = (
    "the certificate of https://shop.lab.test has 3 days left, fewer than verify_min_days (7); run site.yml, "
    "or replace its file"
)
UNKNOWN_CA = (
    "https://shop.lab.test shows a certificate that no CA in ca.pem or the system's store signed (unable to get "
    "local issuer certificate); look at verify_ca_file, and at the chain of the certificate"
)
OLD_TLS = "https://shop.lab.test accepts TLSv1.1; ssl_protocols must be TLSv1.2 TLSv1.3"


def test_a_certificate_for_another_name(proxy: Any, authority: Authority) -> None:
    assert problems(proxy("other.lab.test"), authority) == [f"shop on proxy1: {WRONG_NAME}"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"days": -1}, EXPIRED),
        ({"days": 3.5}, FEW_DAYS),
        ({"ca": Authority("Other CA")}, UNKNOWN_CA),
        ({"old_tls": True}, OLD_TLS),
    ],
)
def test_a_bad_certificate_or_protocol(
    proxy: Any, authority: Authority, options: dict[str, Any], expected: str
) -> None:
    assert problems(proxy(**options), authority) == [f"shop on proxy1: {expected}"]


def test_what_an_acme_site_starts_with_is_no_problem_and_anybody_elses_is(proxy: Any) -> None:
    limited = Authority("Test CA", x509.NameConstraints([x509.DNSName("internal.lab.test")], None))
    asked = question(proxy(ca=limited), limited)
    refused = "https://shop.lab.test shows a certificate that is refused: permitted subtree violation"
    assert site_probe.run(asked)[1] == [f"shop on proxy1: {refused}"]
    asked["sites"][0]["certificate"] = {"source": "acme"}
    rows, found = site_probe.run(asked)
    assert (found, rows[0]["issuer"]) == ([], "internal, until the ACME authority has issued one")
    assert rows[0]["members"] == ["shop: web1, web2"]
    # One that no CA here signed is refused of an ACME site too.
    stranger = question(proxy(ca=Authority("Other CA")), limited, sites=asked["sites"])
    assert len(site_probe.run(stranger)[1]) == 1


def test_a_member_that_never_answers(proxy: Any, authority: Authority) -> None:
    server = proxy()
    server.members = itertools.cycle([WEB1])
    assert problems(server, authority) == [
        f"shop on proxy1: member web2 ({WEB2}) of upstream shop did not answer one of 20 requests; "
        + LOOK.format("web2")
    ]


def test_a_member_that_nginx_left_alone_for_a_moment(
    proxy: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_turns, "LEFT_ALONE", 0.1)
    server = proxy()
    server.members = itertools.chain([f"{WEB2}, {WEB1}"], itertools.repeat(WEB1, 19), itertools.cycle([WEB1, WEB2]))
    assert problems(server, authority) == []
    server.members = itertools.cycle([WEB1])
    assert problems(server, authority) == [
        f"shop on proxy1: member web2 ({WEB2}) of upstream shop did not answer one of 40 requests; "
        + LOOK.format("web2")
    ]


def test_a_member_that_is_given_up_for_another(proxy: Any, authority: Authority) -> None:
    server = proxy()
    server.members = itertools.cycle([f"{WEB2}, {WEB1}"])
    assert problems(server, authority) == [
        f"shop on proxy1: member web2 ({WEB2}) of upstream shop was tried and did not answer; " + LOOK.format("web2")
    ]


def test_a_member_that_fails(proxy: Any, authority: Authority) -> None:
    server = proxy()

    def answer(host: str, path: str, traced: bool) -> Answer:
        member = next(server.members) if traced else ""
        return 502 if member == WEB2 else 200, {"Gatehouse-Member": member}

    server.answer = answer
    assert problems(server, authority) == [
        f"shop on proxy1: member web2 ({WEB2}) of upstream shop answered 502 to /; " + LOOK.format("web2")
    ]


def test_nothing_behind_the_proxy(proxy: Any, authority: Authority) -> None:
    server = proxy()
    server.answer = lambda host, path, traced: (502, {"Gatehouse-Member": "shop"})  # no live upstreams
    assert problems(server, authority) == [
        "shop on proxy1: https://shop.lab.test/ answered 502; look at the application's journal on the members of shop",
        *(
            f"shop on proxy1: member {name} ({spot}) of upstream shop did not answer one of 20 requests; "
            + LOOK.format(name)
            for name, spot in (("web1", WEB1), ("web2", WEB2))
        ),
    ]


def test_a_drained_member_and_a_stranger(proxy: Any, authority: Authority) -> None:
    server = proxy()
    server.members = itertools.cycle([WEB2, "10.9.9.9:5000", WEB1])
    assert problems(server, authority, upstreams=upstream(web2="drain")) == [
        "shop on proxy1: upstream shop was answered by 10.9.9.9:5000, which is no member of it; run site.yml",
        f"shop on proxy1: member web2 ({WEB2}) of upstream shop is drained and was still asked; " + LOOK.format("web2"),
    ]


def test_a_proxy_asks_what_is_beside_it_in_its_own_way(proxy: Any, authority: Authority) -> None:
    server, beside = proxy(), upstream()
    beside[0]["members"] = [{"name": "proxy1.shop", "address": "127.0.0.1", "port": 3000, "state": "up"}]
    server.members = itertools.cycle(["127.0.0.1:3000"])
    asked = {"name": "proxy1", "address": "127.0.0.1", "upstreams": beside}
    assert problems(server, authority, proxies=[asked]) == []
    found = problems(server, authority, proxies=[{**asked, "upstreams": []}])
    assert found[0].endswith("no member of it; run site.yml")


def test_drain_and_backup_are_not_expected(proxy: Any, authority: Authority) -> None:
    server, reserve = proxy(), upstream()
    reserve[0]["members"][1]["backup"] = True
    server.members = itertools.cycle([WEB1])
    assert problems(server, authority, upstreams=upstream(web2="drain")) == []
    assert problems(server, authority, upstreams=reserve) == []


@pytest.mark.parametrize("method", ["ip_hash", "hash $remote_addr consistent"])
def test_one_is_enough_where_a_client_stays_on_it(proxy: Any, authority: Authority, method: str) -> None:
    server = proxy()
    server.members = itertools.cycle([WEB2])
    rows, found = site_probe.run(question(server, authority, upstreams=upstream(method)))
    assert found == []
    assert rows[0]["members"] == [f"shop: web2 (one of 2: {method.split()[0]} keeps a client on it)"]


def test_a_light_member_gets_its_turn(proxy: Any, authority: Authority) -> None:
    server, pool = proxy(), upstream()
    pool[0]["members"][0]["weight"] = 40
    server.members = itertools.cycle([WEB1] * 40 + [WEB2])
    assert problems(server, authority, upstreams=pool) == []


def test_an_answer_without_a_trace(proxy: Any, authority: Authority) -> None:
    server = proxy()
    server.answer = lambda host, path, traced: (200, {})
    assert problems(server, authority) == [
        "shop on proxy1: https://shop.lab.test/ names no member of upstream shop in a Gatehouse-Member "
        "header; the address that asks must be in proxy_trace_sources"
    ]


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ((200, {}), "200"),
        ((302, {"Location": "https://shop.lab.test/"}), "302 to https://shop.lab.test/"),
        ((301, {"Location": "https://elsewhere.lab.test/"}), "301 to https://elsewhere.lab.test/"),
    ],
)
def test_no_redirect_to_https(proxy: Any, authority: Authority, answer: Answer, seen: str) -> None:
    server = proxy()
    server.redirect = lambda host: answer
    assert problems(server, authority) == [
        f"shop on proxy1: http://shop.lab.test/ answered {seen}, not 301 or 308 to https://shop.lab.test/; "
        f"look at what listens on port {server.http_port} of proxy1"
    ]


@pytest.mark.parametrize(
    ("more", "answer", "message"),
    [
        ({"http": "serve"}, (200, {}), ""),
        ({"https": False}, (302, {"Location": "https://elsewhere.lab.test/"}), ""),
        ({"http": "serve"}, (502, {}), "answered 502; look at nginx's error log on proxy1"),
        (
            {"http": "refuse"},
            (308, {"Location": "https://shop.lab.test/"}),
            "answered 308, and the site says http: refuse; look at what listens on port {port} of proxy1",
        ),
    ],
)
def test_plain_http_does_what_the_site_says(
    proxy: Any, authority: Authority, more: dict[str, Any], answer: Answer, message: str
) -> None:
    server = proxy()
    server.redirect = lambda host: answer
    site = {"name": "shop", "server_names": [NAME], "locations": [{"path": "/", "upstream": "shop"}], **more}
    reported = f"shop on proxy1: http://shop.lab.test/ {message.format(port=server.http_port)}"
    assert problems(server, authority, sites=[site]) == ([reported] if message else [])


def test_a_site_that_refuses_plain_http_lets_the_client_go(proxy: Any, authority: Authority) -> None:
    site = {"name": "shop", "server_names": [NAME], "locations": [{"path": "/", "upstream": "shop"}], "http": "refuse"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: refused
        assert problems(proxy(), authority, sites=[site], http_port=free.getsockname()[1]) == []


def test_nobody_listens_is_reported_once(proxy: Any, authority: Authority) -> None:
    locations = [{"path": "/", "upstream": "shop"}]
    site = {"name": "shop", "server_names": [NAME, "www.lab.test"], "locations": locations}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = free.getsockname()[1]
        assert problems(proxy(), authority, sites=[site], https_port=port) == [
            f"shop on proxy1: https://shop.lab.test does not answer at 127.0.0.1:{port} (Connection "
            "refused); look at `systemctl status nginx` on proxy1 and at its firewall"
        ]


def test_no_tls_on_the_port(proxy: Any, authority: Authority) -> None:
    server = proxy()
    assert problems(server, authority, https_port=server.http_port) == [
        "shop on proxy1: https://shop.lab.test refuses TLS (WRONG_VERSION_NUMBER); look at nginx's error log on proxy1"
    ]


def test_all_problems_of_all_proxies_are_reported(proxy: Any, authority: Authority) -> None:
    server = proxy("other.lab.test")
    server.redirect = lambda host: (200, {})
    proxies = [{"name": f"proxy{n}", "address": "127.0.0.1"} for n in (1, 2)]
    assert [text.split(": ")[0] for text in problems(server, authority, proxies=proxies)] == [
        "shop on proxy1",
        "shop on proxy1",
        "shop on proxy2",
        "shop on proxy2",
    ]


def test_a_proxy_that_closes_after_each_answer(proxy: Any, authority: Authority) -> None:
    server = proxy()

    def answer(host: str, path: str, traced: bool) -> Answer:
        status, headers = server.balanced(host, path, traced)
        return status, {**headers, "Connection": "close"}

    server.answer = answer
    assert problems(server, authority) == []


def test_the_budget_ends_it(proxy: Any, authority: Authority) -> None:
    server, started = proxy(), time.monotonic()

    def answer(host: str, path: str, traced: bool) -> Answer:
        time.sleep(0.4)
        return server.balanced(host, path, traced)

    server.answer = answer
    server.members = itertools.cycle([WEB1])
    assert problems(server, authority, budget=1)[-1] == (
        "shop on proxy1: not all was asked within verify_budget seconds; look at what is slow, or raise it"
    )
    assert time.monotonic() - started < 3


def test_an_unknown_upstream(proxy: Any, authority: Authority) -> None:
    assert problems(proxy(), authority, upstreams=[]) == [
        "shop on proxy1: location / names upstream shop, which is not in verify_upstreams"
    ]


AsModule = Callable[..., dict[str, Any]]


@pytest.fixture
def as_module(capsys: pytest.CaptureFixture[str]) -> AsModule:
    """Run the module's main with parameters, and return what it prints."""

    def run(parameters: dict[str, Any], *, check: bool = False) -> dict[str, Any]:
        with patch_module_args({**parameters, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            site_probe.main()
        answer = json.loads(capsys.readouterr().out)
        assert isinstance(answer, dict)
        return answer

    return run


def test_the_module_fails_with_the_list_and_check_mode_only_reports(
    proxy: Any, authority: Authority, as_module: AsModule
) -> None:
    server = proxy()
    server.redirect = lambda host: (200, {})
    failed = as_module(question(server, authority))
    assert failed["failed"]
    head, said_by_failure = failed["msg"].split("\n- ")
    assert head == "1 problem seen from outside:"
    reported = as_module(question(server, authority), check=True)
    assert (reported.get("failed"), reported["changed"], reported["problems"]) == (None, False, [said_by_failure])


def test_check_mode_is_skipped_on_a_fresh_estate(proxy: Any, authority: Authority, as_module: AsModule) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = as_module(question(proxy(), authority, https_port=free.getsockname()[1]), check=True)
    assert answer["skipped"]
    assert not answer["changed"]


def test_nothing_to_ask_is_no_success(proxy: Any, authority: Authority, as_module: AsModule) -> None:
    answer = as_module(question(proxy(), authority, sites=[]))
    assert answer["failed"]
    assert answer["msg"] == "verify_sites is empty, so nothing would be asked; name what the public uses"


def test_a_ca_file_without_a_certificate(proxy: Any, authority: Authority, as_module: AsModule) -> None:
    answer = as_module(question(proxy(), authority, ca_pem="nothing"))
    assert answer["failed"]
    assert answer["msg"].startswith("ca.pem holds no CA certificate that can be read: ")


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (WEB1, ([], WEB1)),
        (f"{WEB1}, {WEB2}", ([WEB1], WEB2)),
        (
            f"{WEB1}, unix:/run/x.sock : [2001:db8::1]:5000",
            ([WEB1, "unix:/run/x.sock"], "[2001:db8::1]:5000"),
        ),
    ],
)
def test_upstream_addr_is_read_as_nginx_writes_it(trace: str, expected: tuple[list[str], str]) -> None:
    assert member_turns.answered_by(trace) == expected


def test_a_member_by_ipv6_is_written_as_nginx_writes_it() -> None:
    assert member_turns.endpoints({"address": "2001:DB8::1", "port": 80}) == ["[2001:db8::1]:80"]


def test_a_member_is_known_by_its_socket_and_by_every_address_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"web": ["10.0.0.2", "10.0.0.1", "fd00::1"]}

    def resolve(name: str, *_: Any, **__: Any) -> list[Any]:
        if name not in found:
            raise OSError
        return [(0, 0, 0, "", (address, 0)) for address in found[name]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert member_turns.endpoints({"address": "unix:/run/web.sock"}) == ["unix:/run/web.sock"]
    assert member_turns.endpoints({"address": "web", "port": 80}) == ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]
    assert member_turns.endpoints({"address": "gone", "port": 80}) == []
