"""What a proxy asks members, against servers of its own: plain, over TLS, and with certificates on both sides."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import load

PATH = Path(__file__).parents[2] / "roles" / "rollout" / "library" / "member_probe.py"
OPTIONS = {
    "path": "/healthz",
    "status": 200,
    "body": "",
    "host": "",
    "tries": 1,
    "timeout": 2,
    "ca": "",
    "certificate": "",
    "key": "",
}


@pytest.fixture(scope="module")
def probe() -> Any:
    return load("roles/rollout/library/member_probe.py")


class Member(BaseHTTPRequestHandler):
    """Answers what its server is set to, and remembers what it was asked."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(dict(self.headers) | {"path": self.path})
        status, text = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *words: Any) -> None:
        """Log nothing."""


Serve = Callable[..., tuple[Any, dict[str, Any]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a member with these answers and gives (server, endpoint)."""
    running = []

    def start(*answers: tuple[int, str], trust: ssl.SSLContext | None = None, **endpoint: Any) -> tuple[Any, Any]:
        server: Any = HTTPServer(("127.0.0.1", 0), Member)
        server.answers, server.asked = list(answers), []
        if trust:
            server.socket = trust.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        usual = {"member": "web1", "upstream": "shop", "transport": "http", "tls_name": "", "headers": {}}
        return server, {**usual, "address": "127.0.0.1", "port": server.server_port, **endpoint}

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def test_a_good_answer_is_no_problem(probe: Any, serve: Serve) -> None:
    server, endpoint = serve((200, "all is well"), headers={"Host": "shop.example", "X-Forwarded-Proto": "https"})
    assert probe.probe(endpoint, {**OPTIONS, "body": "well"}) == ""
    [asked] = server.asked
    assert (asked["path"], asked["Host"], asked["X-Forwarded-Proto"]) == ("/healthz", "shop.example", "https")


@pytest.mark.parametrize(
    ("answer", "options", "problem"),
    [
        ((500, "no database"), {}, "status 500: no database"),
        ((200, "starting"), {"body": "well"}, "status 200 without 'well': starting"),
        ((200, ""), {"status": 204}, "status 200"),
        ((302, ""), {}, "status 302"),
    ],
)
def test_another_answer_is_reported(probe: Any, serve: Serve, answer: Any, options: Any, problem: str) -> None:
    assert probe.probe(serve(answer)[1], {**OPTIONS, **options}) == problem


def test_an_applications_own_name_goes_before_its_sites(probe: Any, serve: Serve) -> None:
    server, endpoint = serve((200, ""), headers={"Host": "shop.example", "X-Forwarded-Proto": "http"})
    assert probe.probe(endpoint, {**OPTIONS, "host": "own.example"}) == ""
    [asked] = server.asked
    assert (asked["Host"], asked["X-Forwarded-Host"], asked["X-Forwarded-Proto"]) == (
        "own.example",
        "own.example",
        "http",
    )


def test_it_is_asked_again_until_it_is_well(probe: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.time, "sleep", lambda seconds: None)
    server, endpoint = serve((503, ""), (503, ""), (200, ""))
    assert probe.probe(endpoint, {**OPTIONS, "tries": 2}) == "status 503"
    assert probe.probe(endpoint, {**OPTIONS, "tries": 2}) == ""
    assert len(server.asked) == 3


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\nwell"])
def test_an_answer_that_never_ends_has_one_deadline(probe: Any, start: bytes) -> None:
    """A byte every 50 ms meets no timeout of one `recv`: in the status line, in a header, in the body."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            with listener.accept()[0] as client, suppress(OSError):
                client.sendall(start)
                for _ in range(100):
                    client.sendall(b"x")
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        endpoint = {"member": "web1", "transport": "http", "address": "127.0.0.1", "headers": {}, "tls_name": ""}
        began = time.monotonic()
        problem = probe.ask({**endpoint, "port": listener.getsockname()[1]}, {**OPTIONS, "timeout": 0.5})
    assert "timed out" in problem
    assert time.monotonic() - began < 3


def test_what_is_quoted_commands_no_terminal(probe: Any, serve: Serve) -> None:
    _, endpoint = serve((500, "\x1b]0;owned\x07\nall is \u202ewell"))
    assert probe.probe(endpoint, OPTIONS) == r"status 500: \x1b]0;owned\x07\x0aall is \u202ewell"


def test_nobody_there(probe: Any, serve: Serve) -> None:
    server, endpoint = serve((200, ""))
    server.shutdown()
    server.server_close()
    assert "refused" in probe.probe(endpoint, OPTIONS)


class Authority:
    """A CA that signs leaves into files."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.ca = folder / f"{name}.pem"
        self.certificate = self.sign(name, self.key, ca=True)
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, name: str, key: ec.EllipticCurvePrivateKey, ca: bool = False) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(own, critical=False).add_extension(signer, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def leaf(self, name: str) -> tuple[str, str]:
        """Return (certificate, key) as files."""
        key = ec.generate_private_key(ec.SECP256R1())
        files = (self.folder / f"{name}.crt", self.folder / f"{name}.key")
        files[0].write_bytes(self.sign(name, key).public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(files[0]), str(files[1])


def test_a_member_behind_mtls_is_verified_and_shown_the_proxys_certificate(
    probe: Any, serve: Serve, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "members")
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    trust.load_cert_chain(*authority.leaf("shop.internal"))
    trust.verify_mode = ssl.CERT_REQUIRED
    _, endpoint = serve((200, ""), trust=trust, transport="mtls", tls_name="shop.internal")
    certificate, key = authority.leaf("proxy.internal")
    options = {**OPTIONS, "ca": str(authority.ca), "certificate": certificate, "key": key}
    assert probe.probe(endpoint, options) == ""
    assert "Hostname mismatch" in probe.probe({**endpoint, "tls_name": "other.internal"}, options)
    # Without a certificate the member ends the handshake, with another authority's too.
    assert probe.probe({**endpoint, "transport": "https"}, options) != ""
    other = Authority(tmp_path, "others")
    assert "certificate verify failed" in probe.probe(endpoint, {**options, "ca": str(other.ca)})
    assert probe.probe(endpoint, {**options, "ca": str(tmp_path / "none.pem")}).startswith("no TLS with ")


def test_a_report_asks_each_once_at_the_same_time_and_fails_for_none(probe: Any, serve: Serve) -> None:
    class Slow(Member):
        def do_GET(self) -> None:
            time.sleep(0.5)
            super().do_GET()

    gate = {"path": "/up", "status": 204, "body": ""}
    _, good = serve((204, ""), member="good", gate=gate)
    _, bad = serve((500, "no database"), member="bad", gate=gate)
    ungated = [serve(answer, member=f"web{answer[0]}", gate={})[1] for answer in ((404, ""), (502, ""))]
    gone, slow = dict(good, member="gone", port=1), []
    for number in range(4):
        server, endpoint = serve((204, ""), member=f"slow{number}", gate=gate)
        server.RequestHandlerClass = Slow
        slow.append(endpoint)
    began = time.monotonic()
    found = {one["member"]: one for one in probe.report([good, bad, *ungated, gone, *slow], OPTIONS)}
    assert time.monotonic() - began < 1.5
    assert {name: (one["status"], one["problem"]) for name, one in found.items() if "slow" not in name} == {
        "good": (204, ""),
        "bad": (500, "status 500: no database"),
        "web404": (404, ""),
        "web502": (502, "status 502"),
        "gone": (0, "Connection refused"),
    }
    assert all(found[f"slow{number}"]["ms"] >= 500 for number in range(4))
    assert good["upstream"] == found["good"]["upstream"] == "shop"


def test_a_report_names_the_files_that_it_cannot_use(probe: Any, serve: Serve) -> None:
    _, endpoint = serve((200, ""), transport="https")
    [found] = probe.report([endpoint], {**OPTIONS, "ca": "/no/ca.pem"})
    assert (found["status"], found["problem"].partition(" and ")[0]) == (0, "no TLS with /no/ca.pem, ")
