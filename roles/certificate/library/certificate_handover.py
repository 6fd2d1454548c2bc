#!/usr/bin/python
"""Hand certificate requests to an authority whose key is elsewhere, and take what it signed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

DOCUMENTATION = r"""
---
module: certificate_handover
short_description: Have requests signed by hand
description:
  - Writes C(requests/<host>.<name>.csr) and reads C(signed/<host>.<name>.pem) in the CA's folder on the controller.
  - Fails until each request has a certificate of C(ca.pem), in force, for its key, its names and its usage.
  - What was signed for an earlier request stays there; it is refused where it is the one to be renewed.
options:
  path: {description: The folder of the CA., type: path, required: true}
  host: {description: The host that made the requests., type: str, required: true}
  requests: {description: The requests as PEM by their names., type: dict, required: true}
  renew_days: {description: A certificate with fewer days left answers no request., type: int, required: true}
  standing:
    description: Serial numbers (hexadecimal), by name, of what has to be renewed on the host, whatever is left.
    type: dict
    default: {}
attributes:
  check_mode:
    support: none
author: Gatehouse
"""

EXAMPLES = r"""
- name: Have the requests of this host signed by hand
  certificate_handover:
    path: /srv/ca
    host: "{{ inventory_hostname }}"
    requests: {endpoint: "{{ csr }}"}
    renew_days: 30
  delegate_to: localhost
"""

RETURN = r"""
results:
  description: What was signed, as C(certificate) (PEM), in the order of the requests.
  type: list
  elements: dict
  returned: success
"""


def public_key(thing: Any) -> bytes:
    """Return the public key of a request or a certificate, as DER."""
    return bytes(thing.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def extension(thing: Any, kind: Any) -> Any:
    """Return the value of an extension, None where there is none."""
    try:
        return thing.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def refusal(
    csr: x509.CertificateSigningRequest, pem: bytes, ca: x509.Certificate, now: datetime, renew_days: int, standing: str
) -> str:
    """Say why a signed certificate does not answer its request; '' where it does.

    `standing`: the serial number of the one on the host that has to be renewed, '' where none has to.
    """
    try:
        leaf = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return "is no certificate in PEM"
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return f"was not signed by {ca.subject.rfc4514_string()}"
    if public_key(leaf) != public_key(csr):
        return "is for another key: the request was made anew since, so have the present one signed"
    for kind, what in ((x509.SubjectAlternativeName, "names"), (x509.ExtendedKeyUsage, "usage")):
        wanted, found = extension(csr, kind), extension(leaf, kind)
        if found is None or set(found) != set(wanted):
            return f"has other {what} than the request: the authority has to copy the request's extensions"
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        return f"is good from {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d} only"
    # By the same count as certificate_state, which would ask for its renewal again.
    if (left := (leaf.not_valid_after_utc - now).days) < renew_days:
        return f"is the one to be renewed: it has {left} days left, and certificate_renew_days asks for {renew_days}"
    if f"{leaf.serial_number:X}" == standing:
        return "is the one to be renewed: it is on the host"
    return ""


def exchange(
    path: Path, host: str, requests: dict[str, str], now: datetime, renew_days: int, standing: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Write the requests and return (certificates as PEM, one message for each that is not there or does not fit)."""
    for folder in ("requests", "signed"):
        (path / folder).mkdir(mode=0o700, exist_ok=True)
    ca = x509.load_pem_x509_certificate((path / "ca.pem").read_bytes())
    signed, waiting = [], []
    for name, text in requests.items():
        request, answer = path / "requests" / f"{host}.{name}.csr", path / "signed" / f"{host}.{name}.pem"
        # Written anew: around what was looked at, a host may have put anything else.
        csr = x509.load_pem_x509_csr(text.encode())
        request.write_bytes(csr.public_bytes(Encoding.PEM))
        pem = answer.read_bytes() if answer.is_file() else b""
        why = refusal(csr, pem, ca, now, renew_days, standing.get(name, "")) if pem else "is not there"
        if why:
            waiting.append(f"{answer} {why}; the request is {request}")
        else:
            signed.append(pem.decode())
    return signed, waiting


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "host": {"type": "str", "required": True},
            "requests": {"type": "dict", "required": True},
            "renew_days": {"type": "int", "required": True},
            "standing": {"type": "dict", "default": {}},
        },
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    params = module.params
    about = params["renew_days"], params["standing"]
    signed, waiting = exchange(Path(params["path"]), params["host"], params["requests"], datetime.now(UTC), *about)
    if waiting:
        module.fail_json(
            msg=f"The key of {params['path']}/ca.pem is not here. Have these requests signed where it is, put each "
            "certificate (PEM) in its place, and run this again:\n- " + "\n- ".join(waiting)
        )
    module.exit_json(changed=False, results=[{"certificate": pem} for pem in signed])


if __name__ == "__main__":
    main()
