"""A visitor's browser on the controller: what a page is after its scripts ran, and a picture of it."""

from __future__ import annotations

import base64
import hashlib
import socket
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estate import ROOT, Estate

SCREENSHOTS = ROOT / "build" / "screenshots"
# Without what Chromium would ask the network for on its own.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1280,900",
    "--timeout=10000", "--virtual-time-budget=3000",
)  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"


class _Marked(HTMLParser):
    """Collects the text of the elements that carry a data- attribute, and of all."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.marks: dict[str, str] = {}
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = next((name.removeprefix("data-") for name, _ in attrs if name.startswith("data-")), "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._open:
            self.marks[self._open] = data.strip()

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


@dataclass(frozen=True)
class Page:
    """A page as the browser had it: its text, what its marked elements say, and the picture."""

    text: str
    marks: dict[str, str]
    picture: Path


class Browser:
    """Debian's Chromium, which reaches the lab's names at the proxy and nothing else."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate

    def key_of(self, name: str) -> str:
        """Return the SHA-256 of the key that the proxy shows for a name, in a certificate of the lab's CA.

        Chromium keeps a list of authorities of its own, so it is told the key instead of the CA.
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
        assert picture.read_bytes().startswith(PNG), run.stderr
        marked = _Marked()
        marked.feed(run.stdout)
        return Page(" ".join("".join(marked.text).split()), marked.marks, picture)
