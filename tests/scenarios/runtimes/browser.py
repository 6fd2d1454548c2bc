"""A visitor's browser on the controller: what a page is after its scripts ran, and a picture of it."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import struct
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estate import ROOT, Estate

SCREENSHOTS = ROOT / "build" / "screenshots"
# Without what Chromium would ask the network for on its own.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1280,900",
    "--timeout=40000", "--virtual-time-budget=3000",
)  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"


class _Text(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def corner(picture: bytes) -> tuple[int, ...]:
    """Return red, green and blue of a PNG's first pixel, before which there is none that a filter could refer to."""
    assert picture.startswith(PNG)
    place, packed = len(PNG), b""
    while place < len(picture):
        length, kind = struct.unpack(">I4s", picture[place : place + 8])
        if kind == b"IDAT":
            packed += picture[place + 8 : place + 8 + length]
        place += length + 12
    # One byte says which filter the row has.
    return tuple(zlib.decompress(packed)[1:4])


@dataclass(frozen=True)
class Page:
    """A page as the browser had it: its text, and the colour in the corner of its picture."""

    text: str
    corner: tuple[int, ...]


class Browser:
    """Debian's Chromium, which reaches the lab's names at the proxy and nothing else."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate

    def key_of(self, name: str) -> str:
        """Return the SHA-256 of the key that the proxy shows for a name, in a certificate of the lab's CA.

        Chromium keeps a list of authorities of its own, so it gets the key instead of the CA.
        """
        trust = ssl.create_default_context(cafile=str(self.estate.state / "ca" / "ca.pem"))
        with (
            socket.create_connection((self.estate.entry, 443), timeout=10) as plain,
            trust.wrap_socket(plain, server_hostname=name) as secure,
        ):
            leaf = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
        key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(key).digest()).decode()

    def visit(self, name: str, path: str = "/") -> Page:
        """Load a page of a site, wait until it is quiet, and give it; the picture stays in build/screenshots."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        picture = SCREENSHOTS / f"{name.split('.')[0]}.png"
        picture.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as profile:
            run = subprocess.run(
                [
                    "chromium", *QUIET, f"--user-data-dir={profile}", "--dump-dom", f"--screenshot={picture}",
                    f"--host-resolver-rules=MAP {name} {self.estate.entry}, MAP * ~NOTFOUND",
                    f"--ignore-certificate-errors-spki-list={self.key_of(name)}", f"https://{name}{path}",
                ],
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert picture.is_file(), run.stderr
        parser = _Text()
        parser.feed(run.stdout)
        return Page(" ".join("".join(parser.text).split()), corner(picture.read_bytes()))
