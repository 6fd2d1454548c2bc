#!/usr/bin/python
"""Read a CA folder on the controller and say whether it fits what is asked of it."""

from __future__ import annotations

import ipaddress
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )
    from cryptography.x509.oid import NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

DOCUMENTATION = r"""
---
module: internal_ca_state
short_description: Read a CA folder and say whether it fits
description:
  - Reads C(ca.pem) and C(ca.key) in one folder of the host it runs on and changes nothing.
  - Fails, with every problem and its remedy at once, when a CA is there that cannot be used or that differs
    from the inputs. A CA is never changed in place, because every certificate it signed depends on it.
options:
  path:
    description: The folder.
    type: path
    required: true
  passphrase:
    description: What opens C(ca.key).
    type: str
    required: true
  common_name:
    description: The common name that the CA must have.
    type: str
    required: true
  curve:
    description: The curve that its key must have.
    type: str
    choices: [secp256r1, secp384r1]
    required: true
  permitted_dns:
    description: The domains that its name constraints must permit. Empty beside networks, it must exclude every name.
    type: list
    elements: str
    default: []
  permitted_ip:
    description: The networks that its name constraints must permit. Empty beside domains, it must exclude them all.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: It only reads.
author: Gatehouse
"""

EXAMPLES = r"""
- name: Read the CA that is there
  internal_ca_state:
    path: /srv/ca
    passphrase: "{{ vault_internal_ca_passphrase }}"
    common_name: Gatehouse internal CA
    curve: secp256r1
  delegate_to: localhost
"""

RETURN = r"""
present:
  description: Whether a usable CA that fits is there. False means that there is no ca.pem.
  type: bool
  returned: success
days_left:
  description: Whole days until it ends, 0 when it is not there.
  type: int
  returned: success
excluded:
  description: What its name constraints exclude, or must when it is made, like C(IP:0.0.0.0/0).
  type: list
  elements: str
  returned: success
modes:
  description: What stands with another mode, as C(path), C(mode) (wanted) and C(found).
  type: list
  elements: dict
  returned: success
problems:
  description: Each problem with its remedy.
  type: list
  elements: str
  returned: failure
"""

MODES = {"": "0700", "ca.pem": "0644", "ca.key": "0600"}
# A root cannot be replaced in an afternoon: every client must come to trust the new one first.
WARN_DAYS = 365
ANEW = "begin a new CA: move {path} away and run again, then every certificate is issued anew"


def wrong_modes(path: Path) -> list[dict[str, str]]:
    """Files of the CA in folder `path` whose mode is not the wanted one; what is not there is skipped."""
    wrong = []
    for name, mode in MODES.items():
        file = path / name
        if file.exists():
            found = f"{stat.S_IMODE(file.stat().st_mode):04o}"
            if found != mode:
                wrong.append({"path": str(file), "mode": mode, "found": found})
    return wrong


def read(path: Path) -> bytes | None:
    """Return the bytes of a file, None when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def end_of(certificate: x509.Certificate) -> datetime:
    """When a certificate ends, in UTC. cryptography before 42 has only the naive attribute."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=UTC)


def constraints_of(certificate: x509.Certificate) -> tuple[list[str], list[str], list[str]]:
    """Return what the name constraints of a CA say (RFC 5280, 4.2.1.10), each list sorted.

    They are the permitted domains, the permitted networks, and what is excluded as in `excluded_for`.
    """
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return [], [], []
    permitted = constraints.permitted_subtrees or []
    domains = sorted(tree.value for tree in permitted if isinstance(tree, x509.DNSName))
    networks = sorted(str(tree.value) for tree in permitted if isinstance(tree, x509.IPAddress))
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP"}
    excluded = [f"{kinds.get(type(tree), 'other')}:{tree.value}" for tree in constraints.excluded_subtrees or []]
    return domains, networks, sorted(excluded)


def excluded_for(permitted_dns: list[str], permitted_ip: list[str]) -> list[str]:
    """Return what a CA must exclude besides, as `DNS:<domain>` and `IP:<network>`, sorted.

    A permitted subtree limits only names of its own kind, so the kind that is not permitted is excluded whole.
    An empty domain is an ancestor of every name.
    """
    if permitted_dns and not permitted_ip:
        return ["IP:0.0.0.0/0", "IP:::/0"]
    return ["DNS:"] if permitted_ip and not permitted_dns else []


def network_problems(networks: list[str]) -> list[str]:
    """One message for each entry that is not a network in canonical form."""
    problems = []
    for position, text in enumerate(networks):
        where = f"internal_ca_permitted_ip[{position}]"
        try:
            canonical = str(ipaddress.ip_network(text, strict=False))
        except ValueError:
            problems.append(f"{where}: {text!r} is not a network; write it like 10.0.0.0/24")
            continue
        if canonical != text:
            problems.append(f"{where}: {text!r} must be written {canonical!r}")
    return problems


def differences(certificate: x509.Certificate, params: dict[str, Any]) -> list[str]:
    """One message for each input that a CA which is there does not have."""
    path = params["path"]
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    key = certificate.public_key()
    domains, networks, excluded = constraints_of(certificate)
    pairs: list[tuple[str, Any, Any]] = [
        ("internal_ca_common_name", str(names[0].value) if names else "", params["common_name"]),
        (
            "internal_ca_curve",
            key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else "not EC",
            params["curve"],
        ),
        ("internal_ca_permitted_dns", domains, sorted(params["permitted_dns"])),
        ("internal_ca_permitted_ip", networks, sorted(params["permitted_ip"])),
    ]
    problems = [
        f"{path}/ca.pem was made with {name} {found!r} and the inventory says {wanted!r}. A CA is never "
        f"changed in place: set the input back, or {ANEW.format(path=path)}"
        for name, found, wanted in pairs
        if found != wanted
    ]
    wanted = excluded_for(params["permitted_dns"], params["permitted_ip"])
    # Where the permitted names differ already, this would only say it twice.
    if excluded != wanted and (domains, networks) == (pairs[2][2], pairs[3][2]):
        problems.append(
            f"{path}/ca.pem excludes {excluded!r} and must exclude {wanted!r}, or it signs for any name of the kind "
            f"whose internal_ca_permitted list is empty. A CA is never changed in place: {ANEW.format(path=path)}"
        )
    return problems


def key_problem(certificate: x509.Certificate | None, key_pem: bytes, params: dict[str, Any]) -> str:
    """Why the key cannot be used with the passphrase and the certificate; '' when it can."""
    path = params["path"]
    try:
        key = load_pem_private_key(key_pem, params["passphrase"].encode())
    except TypeError:
        return (
            f"{path}/ca.key is not encrypted: encrypt it (openssl ec -aes256 -in ca.key -out new.key, with "
            f"internal_ca_passphrase), or {ANEW.format(path=path)}"
        )
    except ValueError:
        return (
            f"{path}/ca.key does not open with internal_ca_passphrase: write the passphrase that it was made "
            f"with, or {ANEW.format(path=path)}"
        )
    if certificate is not None:
        ours, theirs = (
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for public in (key.public_key(), certificate.public_key())
        )
        if ours != theirs:
            return (
                f"{path}/ca.key is not the key of {path}/ca.pem: put back the pair that belongs together "
                f"from a backup, or {ANEW.format(path=path)}"
            )
    return ""


def state(params: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Tell what stands in the folder: `present`, `days_left`, `excluded`, `modes` and `problems` (see RETURN)."""
    path = Path(params["path"])
    pem, key_pem = (read(path / name) for name in ("ca.pem", "ca.key"))
    excluded = excluded_for(params["permitted_dns"], params["permitted_ip"])
    result = {"present": pem is not None, "days_left": 0, "excluded": excluded, "modes": wrong_modes(path)}
    problems = network_problems(params["permitted_ip"])
    if not params["passphrase"]:
        return {**result, "problems": [*problems, "internal_ca_passphrase is empty: write one, in a vault"]}
    certificate = None
    if pem is not None:
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            problems.append(
                f"{path}/ca.pem is not a PEM certificate: put it back from a backup, or {ANEW.format(path=path)}"
            )
    if pem is not None and key_pem is None:
        problems.append(
            f"{path}/ca.pem is there without its key: copy ca.key from the controller that made this CA, or "
            f"{ANEW.format(path=path)}"
        )
    if key_pem is not None:
        problems += filter(None, [key_problem(certificate, key_pem, params)])
    if certificate is not None:
        problems += differences(certificate, params)
        result["days_left"] = (end_of(certificate) - now).days
        if end_of(certificate) <= now:
            problems.append(f"{path}/ca.pem ended on {end_of(certificate):%Y-%m-%d}: {ANEW.format(path=path)}")
    return {**result, "problems": problems}


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "passphrase": {"type": "str", "required": True, "no_log": True},
            "common_name": {"type": "str", "required": True},
            "curve": {"type": "str", "required": True, "choices": ["secp256r1", "secp384r1"]},
            "permitted_dns": {"type": "list", "elements": "str", "default": []},
            "permitted_ip": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    try:
        result = state(module.params, datetime.now(UTC))
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename}: {error.strerror}; internal_ca_dir must be readable for who runs the play"
        )
    if result["problems"]:
        module.fail_json(msg="The internal CA cannot be used:\n- " + "\n- ".join(result["problems"]), **result)
    if result["present"] and result["days_left"] < WARN_DAYS:
        module.warn(f"{module.params['path']}/ca.pem ends in {result['days_left']} days: plan a new CA")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
