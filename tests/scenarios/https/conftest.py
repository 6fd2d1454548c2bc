"""What the client sees of each proxy: through curl, and through OpenSSL's own client."""

from __future__ import annotations

import base64
import io
import re
import shlex
import tarfile

import pytest

from estate import Answer, Estate

PROXIES = ("proxy1", "proxy2", "proxy3")


class Visitor:
    """The client outside, who asks one proxy or another."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.client = estate.client
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            tar.add(estate.state / "visitors", "visitors")
        packed = base64.b64encode(archive.getvalue()).decode()
        self.client.check_output(f"echo {packed} | base64 -d | tar xz -C /srv")

    def address(self, proxy: str) -> str:
        return str(self.estate.variables(proxy)["public_address"])

    def curl(self, proxy: str, url: str, *options: str) -> Answer:
        """Ask a proxy for a URL and return its answer, the version of HTTP as header `version`."""
        name = url.split("/")[2]
        resolve = [f"{name}:{port}:{self.address(proxy)}" for port in (80, 443)]
        words = ["curl", "-si", "--max-time", "10", "--cacert", "/srv/ca.pem"]
        words += ["--resolve", resolve[0], "--resolve", resolve[1], *options, url]
        run = self.client.run(shlex.join(words))
        answer = Answer(run.rc, run.stdout)
        found = re.match(r"HTTP/([\d.]+)", run.stdout)
        answer.headers["version"] = found[1] if found else ""
        return answer

    def handshake(self, proxy: str, *options: str, name: str = "shop.lab.test", host: str = "") -> str:
        """Shake hands with a proxy, ask it for `/`, and return all that OpenSSL says."""
        request = f"GET / HTTP/1.1\\r\\nHost: {host or name}\\r\\nConnection: close\\r\\n\\r\\n"
        sni = ["-servername", name] if name else ["-noservername"]
        words = ["timeout", "10", "openssl", "s_client", "-connect", f"{self.address(proxy)}:443", "-ign_eof", *sni]
        words += ["-CAfile", "/srv/ca.pem", "-verify_hostname", name or "none", *options]
        run = self.client.run(f"printf '{request}' | {shlex.join(words)} 2>&1")
        return str(run.stdout)


@pytest.fixture(scope="session")
def visitor(estate: Estate) -> Visitor:
    return Visitor(estate)
