"""What can be read between the proxy and its members, and who may talk to them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable

import pytest

from estate import Ask, Estate

from .conftest import DESK, NAMED, PLAIN, SHOP

# Counts the frames with a text in them on the private network's interface, until a signal ends it and that is silent.
SNIFF = """
import os, socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
wire.bind((sys.argv[1], 0)); wire.settimeout(0.5)
seen = frames = 0
print("listening", flush=True)
while True:
    try:
        frame = wire.recv(1 << 17)
        frames += 1; seen += sys.argv[2].encode() in frame
    except TimeoutError:
        if os.path.exists("/srv/sniff.stop"):
            break
print(frames, seen)
"""


def captured(estate: Estate, ask: Ask, url: str) -> tuple[int, int, str]:
    """Ask ten times with a marker; return (frames seen on the private network, those with the marker, its host)."""
    proxy, marker = estate.host("proxy1"), uuid.uuid4().hex
    device = proxy.check_output(f"ip -o route get {estate.address('shop1')} | grep -o 'dev [^ ]*' | cut -d' ' -f2")
    proxy.check_output("cat > /srv/sniff.py <<'END'\n" + SNIFF + "END")
    proxy.check_output(
        f"rm -f /srv/sniff.stop /srv/sniff.out; nohup python3 /srv/sniff.py {device} {marker} > /srv/sniff.out 2>&1 &"
        " until grep -q listening /srv/sniff.out; do sleep 0.05; done"
    )
    answers = [ask(f"{url}/{marker}", "-H", f"X-Marker: {marker}", "-d", marker) for _ in range(10)]
    assert [answer.status for answer in answers] == [200] * 10
    assert all(marker in answer.body for answer in answers)
    words = proxy.check_output("touch /srv/sniff.stop; until grep '^[0-9]' /srv/sniff.out; do sleep 0.05; done")
    frames, seen = words.split()
    return int(frames), int(seen), marker


@pytest.mark.parametrize("url", [SHOP, NAMED, DESK])
def test_nothing_can_be_read_on_the_way(estate: Estate, ask: Ask, url: str) -> None:
    frames, seen, _ = captured(estate, ask, url)
    assert frames >= 20
    assert seen == 0


def test_in_clear_everything_can_be_read(estate: Estate, ask: Ask) -> None:
    _, seen, _ = captured(estate, ask, PLAIN)
    assert seen >= 20  # a request and an answer each


def test_every_member_answers_over_each_transport(spread: Callable[..., Counter[str]]) -> None:
    assert set(spread(SHOP)) == {"shop1", "shop2", "shop3"}
    assert set(spread(NAMED)) == {"shop1", "shop2", "shop3"}
    assert set(spread(DESK)) == {"desk1"}
    assert set(spread(PLAIN)) == {"plain1"}


def test_the_applications_own_port_is_not_on_the_network(estate: Estate) -> None:
    proxy = estate.host("proxy1")
    knock = "timeout 3 bash -c '</dev/tcp/{}/{}'"
    for host, port in (("shop1", 5000), ("shop1", 22), ("desk1", 5000), ("plain1", 5000)):
        assert proxy.run(knock.format(estate.address(host), port)).rc != 0, f"{host}:{port}"
    assert proxy.run(knock.format(estate.address("shop1"), 443)).rc == 0
    assert proxy.run(knock.format(estate.address("plain1"), 8000)).rc == 0
    listening = estate.host("shop1").check_output("ss -Htln 'sport = :5000'").split()[3]
    assert listening == "127.0.0.1:5000"


def asked(estate: Estate, host: str, member: str, *options: str) -> str:
    """Ask a member from a host as its proxy would; return the status, or 000 without an answer."""
    name = "shop.internal.lab.test"
    words = " ".join(options)
    command = (
        f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 5 --cacert /srv/trust.pem {words} "
        f"--resolve {name}:443:{estate.address(member)} https://{name}/"
    )
    trust = (estate.state / "ca" / "trust.pem").read_text()
    estate.host(host).check_output("cat > /srv/trust.pem <<'END'\n" + trust + "END")
    return str(estate.host(host).run(command).stdout)


def own(folder: str) -> tuple[str, str]:
    return f"--cert /etc/ssl/gatehouse/{folder}/fullchain.pem", f"--key /etc/ssl/gatehouse/{folder}/privkey.pem"


def test_a_member_answers_the_proxys_own_certificate_only(estate: Estate) -> None:
    assert asked(estate, "proxy1", "shop1", *own("upstreams")) == "200"
    assert asked(estate, "proxy1", "shop1") == "400"
    # A server's certificate of the same CA is none of a client.
    assert asked(estate, "proxy1", "shop1", *own("shop")) == "400"


def test_another_application_host_gets_nowhere(estate: Estate) -> None:
    assert asked(estate, "desk1", "shop1", *own("endpoint")) == "000"
    # Nor would it if the firewall let it in.
    shop, rule = estate.host("shop1"), f"ip saddr {estate.address('desk1')} tcp dport 443 accept"
    shop.check_output(f"nft insert rule inet gatehouse input {rule}")
    try:
        assert asked(estate, "desk1", "shop1", *own("endpoint")) == "400"
        assert asked(estate, "desk1", "shop1") == "400"
    finally:
        handle = "nft -a list chain inet gatehouse input | sed -n 's/.*saddr {} tcp dport 443 accept # handle //p'"
        shop.check_output(
            f"nft delete rule inet gatehouse input handle $({handle.format(estate.address('desk1'))} | head -n 1)"
        )


def test_a_whole_gibibyte_crosses(ask: Ask, estate: Estate) -> None:
    estate.client.check_output("truncate -s 1G /srv/big")
    answer = ask(f"{SHOP}/", "-T", "/srv/big", "--max-time", "240")
    assert answer.status == 200, answer.body
    assert '"received": 1073741824' in answer.body


def test_a_websocket_crosses(ask: Ask) -> None:
    upgrade = ("--http1.1", "-H", "Connection: Upgrade", "-H", "Sec-WebSocket-Version: 13",
               "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "-H", "Upgrade: websocket")  # fmt: skip
    answer = ask(f"{SHOP}/live", *upgrade, "-T", "/etc/hostname", "--max-time", "4")
    assert answer.status == 101
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_application_knows_the_visitor_as_without_tls(ask: Ask, estate: Estate) -> None:
    for url in (SHOP, DESK, PLAIN):
        answer = ask(f"{url}/a%2Fb?x=1", "-H", "X-Forwarded-For: 192.0.2.1")
        assert '"path": "/a%2Fb?x=1"' in answer.body
        assert '"x-forwarded-proto": "https"' in answer.body
        assert f'"x-request-id": "{answer.headers["x-request-id"]}"' in answer.body
        assert "192.0.2.1" not in answer.body
