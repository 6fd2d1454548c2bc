"""A visitor's browser: Debian's Chromium by its chromedriver, in the words of https://www.w3.org/TR/webdriver2/."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from visitor import Visitor

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,900",
)  # fmt: skip


def key_of(visitor: Visitor) -> str:
    """Return the SHA-256 of the key that the proxy shows; the lab's CA is not on Chromium's own list."""
    connection = visitor.connection()
    connection.connect()
    assert isinstance(connection.sock, ssl.SSLSocket)
    leaf = x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True) or b"")
    connection.close()
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class Browser:
    """One window, which reaches the site's name at the proxy and nothing else."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor

    def __enter__(self) -> Browser:
        self._ways_out = contextlib.ExitStack()
        with self._ways_out:
            profile = self._ways_out.enter_context(tempfile.TemporaryDirectory())
            driver = self._ways_out.enter_context(
                subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
            )
            self._ways_out.callback(driver.terminate)
            assert driver.stdout
            port = next(
                found[1] for line in driver.stdout if (found := re.search(r"started successfully on port (\d+)", line))
            )
            self.base = f"http://127.0.0.1:{port}/session"
            options = [
                *QUIET, f"--user-data-dir={profile}", f"--ignore-certificate-errors-spki-list={key_of(self.visitor)}",
                f"--host-resolver-rules=MAP {self.visitor.name} {self.visitor.address}, MAP * ~NOTFOUND",
            ]  # fmt: skip
            wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": options}}
            session = self._ask("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            self.base += f"/{session}"
            self._ways_out.callback(self._ask, "", method="DELETE")
            self._kept = self._ways_out.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def _ask(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        kind = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data, kind, method=method)  # noqa: S310 (it is chromedriver)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise LookupError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def open(self, path: str) -> None:
        """Load a page of the site."""
        self._ask("/url", {"url": f"https://{self.visitor.name}{path}"})

    def run(self, script: str) -> Any:
        """Run a script in the page; return what it returns."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def find(self, selector: str) -> str:
        """Return the id of the first element that a CSS selector finds."""
        return str(self._ask("/element", {"using": "css selector", "value": selector})[ELEMENT])

    def wait_for(self, selector: str, seconds: float = 20) -> str:
        """Return the element as soon as it is there."""
        until = time.monotonic() + seconds
        while True:
            try:
                return self.find(selector)
            except LookupError:
                if time.monotonic() > until:
                    raise LookupError(
                        f"no {selector} on {self.run('return location.href')}: {self.page()[:600]}"
                    ) from None
                time.sleep(0.3)

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self._ask(f"/element/{self.wait_for(selector)}/text", method="GET"))

    def page(self) -> str:
        """Return the text of the page."""
        return str(self.run("return document.body.innerText"))

    def type(self, selector: str, text: str) -> None:
        """Type into a field; the path of a file into one for uploads."""
        self._ask(f"/element/{self.wait_for(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        """Click on an element."""
        self._ask(f"/element/{self.wait_for(selector)}/click")

    def picture(self, path: Path) -> None:
        """Write what the window shows."""
        path.write_bytes(base64.b64decode(self._ask("/screenshot", method="GET")))
