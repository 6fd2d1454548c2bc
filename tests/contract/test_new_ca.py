"""A controller without a CA: a fresh environment gets one; hosts with certificates of another one stop the run.

And a key that the operator gives, which no CA of ours has to do with.
"""

from __future__ import annotations

import json
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
REQUEST = {"name": "endpoint", "names": ["web.lab.test"], "source": "internal_ca"}
REPLACE = ("-e", '{"certificate_replace_ca": true}')
GROUPS = ("apps", "machines", "probed", "proxies", "returned", "shared_machines", "skipped")
PLAYBOOKS = ("internal_ca", "update_trust", "rotate_certificates")


class Environment:
    """Two hosts, both on this machine, of which `web2` may have a certificate of the CA that the controller lost."""

    def __init__(self, root: Path) -> None:
        self.root, self.ca = root, root / "state" / "ca"
        own = {f"web{number}": {"certificate_dir": str(root / f"web{number}")} for number in (1, 2)}
        everything = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "internal_ca_dir": str(self.ca),
            "internal_ca_passphrase": "a passphrase of this test",
            "certificate_ca_dir": str(self.ca),
            "certificate_requests": [REQUEST],
            "reachable_proxies": [],
        }
        groups: dict[str, dict[str, dict[str, str]]] = {name: {"hosts": {}} for name in GROUPS}
        inventory = {"all": {"vars": everything, "hosts": own, "children": groups}}
        (root / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def issue(self) -> None:
        """Give `web2` a certificate of a CA that is nowhere any more."""
        folder, key = self.root / "web2" / "endpoint", ec.generate_private_key(ec.SECP256R1())
        folder.mkdir(parents=True)
        attributes = {NameOID.COMMON_NAME: "web.lab.test", NameOID.ORGANIZATION_NAME: "Gatehouse"}
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes.items()])
        issuer, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The lost CA")]), datetime.now(UTC)
        end = now + timedelta(days=60)
        leaf = x509.CertificateBuilder(issuer, subject, key.public_key(), 1, now - timedelta(days=1), end)
        signed = leaf.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        (folder / "fullchain.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        pkcs8, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / "privkey.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, clear))

    def run(self, playbook: str, *words: str) -> tuple[bool, str]:
        """Run a playbook; return (whether it succeeded, what it said on one line)."""
        command = ["ansible-playbook", f"playbooks/{playbook}.yml", "-i", str(self.root / "hosts.yml"), *words]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        return run.returncode == 0, " ".join((run.stdout + run.stderr).split())

    def issue_certificates(self, requests: list[dict[str, Any]], *words: str) -> tuple[bool, str]:
        """Run the role certificate as root of a namespace, whoever runs the tests; return as `run` does."""
        play = {"hosts": "web1:web2", "gather_facts": False, "roles": ["certificate"]}
        (self.root / "play.yml").write_text(yaml.safe_dump([play]))
        inputs = json.dumps({"certificate_requests": requests, "certificate_reload_units": []})
        command = ["unshare", "--user", "--map-root-user", "ansible-playbook", str(self.root / "play.yml")]
        command += ["-i", str(self.root / "hosts.yml"), "-e", inputs, *words]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        return run.returncode == 0, " ".join((run.stdout + run.stderr).split())


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_lost_ca_is_not_replaced_unasked(environment: Environment, playbook: str) -> None:
    environment.issue()
    succeeded, said = environment.run(playbook)
    assert not succeeded
    assert "web2/endpoint/fullchain.pem, good until" in said
    assert "was issued by another CA, The lost CA" in said
    assert (
        f"{environment.ca}/ca.pem on this controller is not there, and nothing was changed. Restore the folder" in said
    )
    assert not environment.ca.exists()


def test_a_lost_ca_is_replaced_when_asked(environment: Environment) -> None:
    environment.issue()
    succeeded, said = environment.run("internal_ca", *REPLACE)
    assert succeeded, said
    assert (environment.ca / "ca.pem").exists()


def test_a_fresh_environment_gets_a_ca(environment: Environment) -> None:
    succeeded, said = environment.run("internal_ca")
    assert succeeded, said
    assert (environment.ca / "ca.pem").exists()
    # From now on no host is asked: one that is not the CA's is the role certificate's business.
    environment.issue()
    succeeded, said = environment.run("internal_ca")
    assert succeeded, said
    # That one issues nothing over it, nor to the host that has none: which of the two CAs is right, nobody knows.
    leaf = environment.root / "web2" / "endpoint" / "fullchain.pem"
    foreign = leaf.read_bytes()
    succeeded, said = environment.issue_certificates([REQUEST])
    assert not succeeded
    assert f"was issued by another CA, The lost CA. {environment.ca}/ca.pem on this controller did not sign it" in said
    assert leaf.read_bytes() == foreign
    assert not (environment.root / "web1" / "endpoint").exists()


def test_a_key_of_the_operators_is_roots_alone_and_never_shown(environment: Environment) -> None:
    environment.issue()
    pair = {name: environment.root / "web2" / "endpoint" / f"{name}.pem" for name in ("fullchain", "privkey")}
    request = {"name": "site", "names": ["web.lab.test"], "source": "files"}
    request |= {"chain": str(pair["fullchain"]), "key": str(pair["privkey"])}
    succeeded, said = environment.issue_certificates([request], "--limit", "web1", "--diff", "-vvv")
    assert succeeded, said
    copied = environment.root / "web1" / "site" / "privkey.pem"
    assert copied.read_bytes() == pair["privkey"].read_bytes()
    assert stat.S_IMODE(copied.stat().st_mode) == 0o600
    for line in copied.read_text().splitlines()[1:-1]:
        assert line not in said
    # What is shown of the chain could have been shown of the key.
    assert (environment.root / "web1" / "site" / "fullchain.pem").read_text().splitlines()[1] in said


def test_a_ca_is_not_made_for_some_hosts(environment: Environment) -> None:
    environment.issue()
    succeeded, said = environment.run("internal_ca", "--limit", "web1")
    assert not succeeded
    assert "ca.pem is not there on this controller, and a host that this run leaves out may have certificates" in said
    assert not environment.ca.exists()
