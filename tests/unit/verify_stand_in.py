"""A CA and a proxy in little, on loopback: what the tests of site_probe talk to."""

from __future__ import annotations

import itertools
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

WEB1, WEB2 = "10.0.0.11:5000", "10.0.0.12:5000"
SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A CA made for the test."""

    def __init__(self, name: str, *constraints: x509.ExtensionType) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.build(
            self.name, self.key, 100, x509.BasicConstraints(ca=True, path_length=0), *constraints
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        days: float,
        *extensions: x509.ExtensionType,
    ) -> x509.Certificate:
        end = datetime.now(UTC) + timedelta(days=days)
        builder = x509.CertificateBuilder(
            self.name, subject, key.public_key(), x509.random_serial_number(), end - timedelta(days=200), end
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        if subject == self.name:
            builder = builder.add_extension(SIGNS_CERTIFICATES, critical=True)
        ours = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuers = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(ours, critical=False).add_extension(issuers, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def leaf(self, folder: Path, names: list[str], days: float) -> Path:
        """Write a leaf and its key into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        leaf = self.build(subject, key, days, x509.SubjectAlternativeName([x509.DNSName(name) for name in names]))
        path = folder / "leaf.pem"
        path.write_bytes(
            leaf.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path


Answer = tuple[int, dict[str, str]]


class Proxy:
    """A stand-in for nginx: `answer(host, path, traced)` is its https, `redirect(host)` its http."""

    def __init__(self, certificate: Path, *, old_tls: bool = False) -> None:
        self.members: Iterator[str] = itertools.cycle([WEB1, WEB2])
        self.answer: Callable[[str, str, bool], Answer] = self.balanced
        self.redirect: Callable[[str], Answer] = lambda host: (301, {"Location": f"https://{host}/"})
        self.asked: set[tuple[str, str]] = set()
        self.servers: list[ThreadingHTTPServer] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if old_tls:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.set_ciphers("ALL:@SECLEVEL=0")
        self.https_port = self.serve(lambda host, path, traced: self.answer(host, path, traced), context)
        self.http_port = self.serve(lambda host, path, traced: self.redirect(host), None)

    def balanced(self, host: str, path: str, traced: bool) -> Answer:
        return 200, {"Gatehouse-Member": next(self.members)} if traced else {}

    def serve(self, answer: Callable[[str, str, bool], Answer], context: ssl.SSLContext | None) -> int:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                host, traced = self.headers["Host"], self.headers["Gatehouse-Trace"] == "1"
                proxy.asked.add((host, self.path))
                status, headers = answer(host, self.path, traced)
                self.send_response(status)
                for name, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.servers.append(server)
        return int(server.server_address[1])

    def close(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()
