"""What the tests of TLS between proxy and members share: what visitors are answered, and wrong certificates."""

from __future__ import annotations

import base64
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from estate import Ask, Estate

SHOP, DESK, NAMED, PLAIN = (f"https://{name}.lab.test" for name in ("shop", "desk", "named", "plain"))
LOAD = Path(__file__).resolve().parents[1].joinpath("load.py").read_text()
SECONDS = 420  # the load ends by itself after so long, whatever becomes of the test
ENDPOINT = "/etc/ssl/gatehouse/endpoint/fullchain.pem"


@pytest.fixture
def spread(ask: Ask) -> Callable[..., Counter[str]]:
    """Return a function that asks a site often, and counts who answered; what is no 200 counts by its status."""

    def count(url: str, times: int = 12) -> Counter[str]:
        answers = [ask(f"{url}/") for _ in range(times)]
        return Counter(json.loads(one.body)["host"] if one.status == 200 else str(one.status) for one in answers)

    return count


class Authority:
    """The environment's CA, opened to sign what no role would; or another one of the same name."""

    def __init__(self, estate: Estate, other: bool = False) -> None:
        folder = estate.state / "ca"
        self.certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        passphrase = (estate.state / "secrets" / "environment_passphrase").read_text().strip().encode()
        known = load_pem_private_key((folder / "ca.key").read_bytes(), passphrase)
        assert isinstance(known, ec.EllipticCurvePrivateKey)
        self.key = ec.generate_private_key(ec.SECP256R1()) if other else known

    def leaf(self, public_key: bytes, name: str, days: tuple[int, int] = (-1, 30)) -> str:
        """Return a server's certificate for a key and a name, good from and to the given days from now."""
        now = datetime.now(UTC)
        key = load_pem_public_key(public_key)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Gatehouse")]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.fixture
def shown(estate: Estate) -> Iterator[Callable[[str, str], None]]:
    """Return a function that has an endpoint show another certificate; afterwards each shows its own again."""
    touched: list[str] = []

    def show(host: str, pem: str) -> None:
        touched.append(host)
        text = base64.b64encode(pem.encode()).decode()
        write = f"cp -n {ENDPOINT} {ENDPOINT}.own; echo {text} | base64 -d > {ENDPOINT}"
        estate.host(host).check_output(f"{write} && systemctl reload nginx && sleep 1")

    yield show
    for host in touched:
        estate.host(host).check_output(f"mv {ENDPOINT}.own {ENDPOINT} && systemctl reload nginx && sleep 1")


def public_key(estate: Estate, host: str) -> bytes:
    """Return the public key of a host's endpoint."""
    command = "openssl pkey -in /etc/ssl/gatehouse/endpoint/privkey.pem -pubout"
    return str(estate.host(host).check_output(command)).encode()


def proxy_log(estate: Estate, since: int = 0) -> str:
    """Return what nginx's error log on the proxy has after so many lines."""
    return str(estate.host("proxy1").check_output(f"tail -n +{since + 1} /var/log/nginx/error.log"))


@contextmanager
def visitors(estate: Estate) -> Iterator[dict[str, Any]]:
    """Ask the site shop without pause; the yielded report is filled in when the block ends."""
    report: dict[str, Any] = {}
    settings = {"addresses": [estate.entry], "name": "shop.lab.test", "seconds": SECONDS, "stop": "/srv/load.stop",
                "report": "/srv/load.json", "kinds": ["get", "post", "kept"]}  # fmt: skip
    client = f"{estate.lab}-client"
    estate.client.check_output("rm -f /srv/load.stop /srv/load.json")
    script = base64.b64encode(LOAD.encode()).decode()
    estate.client.check_output(f"echo {script} | base64 -d > /srv/load.py")
    with subprocess.Popen(
        ["podman", "exec", client, "python3", "/srv/load.py", json.dumps(settings)], text=True, stderr=subprocess.PIPE
    ) as running:
        try:
            yield report
        finally:
            estate.client.check_output("touch /srv/load.stop")
            _, said = running.communicate(timeout=60)
    assert running.returncode == 0, said
    report.update(json.loads(estate.client.check_output("cat /srv/load.json")))


def assert_nobody_noticed(report: dict[str, Any]) -> None:
    """No request failed, and there were some of each kind."""
    assert {kind: tally["failures"] for kind, tally in report.items()} == {kind: [] for kind in report}
    counts = {kind: len(tally["answers"]) for kind, tally in report.items()}
    assert min(counts.values()) >= 20, counts
    print(f"\nanswers {counts}, failures 0")
