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
    from ansible.module_utils import gatehouse_revocation as revocation
    from ansible.module_utils.gatehouse_authority import (
        Authority,
        Issued,
        certificates,
        end_of,
        issued,
        next_update_of,
        pem_of,
        read,
        revocation_lists,
        signed_by,
    )
    from ansible.module_utils.gatehouse_seal import is_sealed, open_key
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509.oid import NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

DOCUMENTATION = r"""
---
module: internal_ca_state
short_description: Read a CA folder and say whether it fits
description:
  - Reads the folder of a CA on the host it runs on and changes nothing. C(ca.pem) and C(ca.key) are the CA that signs;
    C(next/) and C(former/) hold another pair while one replaces the other; C(parents.pem) what is above a CA
    of the operator's own, C(issued/<host>/) a copy of each certificate.
  - Fails, with every problem and its remedy at once, when a CA is there that cannot be used or that differs
    from the inputs. A CA is never changed in place, because every certificate it signed depends on it. One that is
    being replaced may differ, and the one in C(next/) may not.
  - Says which revocation lists have to be signed anew, and what both ends of a connection must trust.
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
    description:
      - The domains that its name constraints must permit. One that permits more is kept.
      - Empty beside networks, it must exclude every name.
    type: list
    elements: str
    default: []
  permitted_ip:
    description: The networks that its name constraints must permit. Empty beside domains, it must exclude them all.
    type: list
    elements: str
    default: []
  provided:
    description: The CA was made elsewhere. It need not have the other inputs, and its key may be elsewhere too.
    type: bool
    default: false
  replacing:
    description: The CA is about to be replaced, so it need not have the inputs.
    type: bool
    default: false
  hosts:
    description: The hosts that there are. What was issued to any other is revoked; none means that nobody left.
    type: list
    elements: str
    default: []
  revoked:
    description: Hosts, or serial numbers in hexadecimal, whose certificates are revoked.
    type: list
    elements: str
    default: []
  crl_days:
    description: How long a revocation list is good; with less than half of that left it is signed anew.
    type: int
    default: 180
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
  description: What is with another mode, as C(path), C(mode) (wanted) and C(found).
  type: list
  elements: dict
  returned: success
stage:
  description: C(begun) while C(next/) waits to become the CA, C(switching) in the midst of that, C(switched) while
    C(former/) is still trusted, else empty.
  type: str
  returned: success
lists:
  description: Revocation lists that have to be signed, as C(path), C(folder), C(issuer), C(reason) and C(revoked)
    (each C(serial_number) and C(revocation_date)).
  type: list
  elements: dict
  returned: success
bundles:
  description: Files for both ends of a connection that are not as they should be, as C(path) and C(content).
  type: list
  elements: dict
  returned: success
cheap_keys:
  description: Keys, but external ones, to be encrypted anew, so that each guess at a passphrase costs something.
  type: list
  elements: str
  returned: success
stale:
  description: What is to be removed, records of certificates that have ended and what an interrupted replacement left.
  type: list
  elements: str
  returned: success
problems:
  description: Each problem with its remedy.
  type: list
  elements: str
  returned: failure
"""

FOLDERS = ("", "next", "former")
MODES = {"": "0700", "ca.pem": "0644", "ca.key": "0600"}
# A root cannot be replaced in an afternoon: every client must come to trust the new one first.
WARN_DAYS = 365
ANEW = "begin a new CA: move {path} away and run again, then every certificate is issued anew"
REPLACE = "run `ansible-playbook playbooks/rotate_certificates.yml -e internal_ca_replace=true`, which replaces it"
# What to do about an input that a CA does not have, by the stage of its replacement.
REMEDIES = {
    "": f"set the input back, or {REPLACE}",
    "begun": f"set the input back, or move {{path}} away and {REPLACE}",
    "switched": f"set the input back; once the replacement that was begun has ended, {REPLACE}",
}


def wrong_modes(path: Path) -> list[dict[str, str]]:
    """Files of the CA in folder `path` whose mode is not the wanted one; what is not there is skipped."""
    wrong = []
    for file, mode in [(path / folder / name, mode) for folder in FOLDERS for name, mode in MODES.items()]:
        if file.exists():
            found = f"{stat.S_IMODE(file.stat().st_mode):04o}"
            if found != mode:
                wrong.append({"path": str(file), "mode": mode, "found": found})
    return wrong


def cheap_keys(path: Path) -> list[str]:
    """Return the keys in the folders of the CA whose encryption costs who guesses its passphrase next to nothing."""
    keys = [path / folder / "ca.key" for folder in FOLDERS]
    return [str(key) for key in keys if (pem := read(key)) is not None and not is_sealed(pem)]


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


def is_permitted(domain: str, permitted: list[str]) -> bool:
    """Whether one of the permitted domains is this one or above it."""
    return any(f".{domain.lower()}".endswith(f".{one.lower().removeprefix('.')}") for one in permitted)


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


def differences(path: Path, certificate: x509.Certificate, params: dict[str, Any], stage: str) -> list[str]:
    """One message for each input that the CA in folder `path` does not have; `stage` as in `stage_of`."""
    remedy = REMEDIES[stage].format(path=path)
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
    # One that permits more domains than are asked for now is kept, because replacing it costs every host a certificate.
    covered = bool(params["permitted_dns"]) and all(is_permitted(name, domains) for name in params["permitted_dns"])
    if covered:
        del pairs[2]
    problems = [
        f"{path}/ca.pem was made with {name} {found!r} and the inventory says {wanted!r}. A CA is never "
        f"changed in place: {remedy}"
        for name, found, wanted in pairs
        if found != wanted
    ]
    wanted = excluded_for(params["permitted_dns"], params["permitted_ip"])
    # Where the permitted names differ already, this would only say it twice.
    same_domains = covered or domains == sorted(params["permitted_dns"])
    if excluded != wanted and same_domains and networks == sorted(params["permitted_ip"]):
        problems.append(
            f"{path}/ca.pem excludes {excluded!r} and must exclude {wanted!r}, or it signs for any name of the kind "
            f"whose internal_ca_permitted list is empty. A CA is never changed in place: {remedy}"
        )
    return problems


def key_problem(certificate: x509.Certificate | None, key_pem: bytes, params: dict[str, Any]) -> str:
    """Why the key cannot be used with the passphrase and the certificate; '' when it can."""
    path = params["path"]
    try:
        key = open_key(key_pem, params["passphrase"].encode())
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


def parents_of(
    path: Path, certificate: x509.Certificate, now: datetime
) -> tuple[list[x509.Certificate], list[str], list[str]]:
    """Return (what is above a CA, the root last; their revocation lists as PEM texts; problems).

    OpenSSL looks for a list of every authority of a chain (X509_V_FLAG_CRL_CHECK_ALL), so those have to be here too.
    """
    chain, lists = path / "parents.pem", path / "parents.crl.pem"
    try:
        above = certificates(read(chain) or b"")
    except ValueError:
        return [], [], [f"{chain} is damaged: write the certificates above ca.pem there, the root last (PEM)"]
    below = certificate
    for parent in above:
        if not signed_by(below, parent):
            break
        below = parent
    else:
        if signed_by(below, below):
            return above, *_lists_of(above, lists, now)
    what = "does not lead from it to a root" if above else "is not there"
    return (
        [],
        [],
        [
            f"{path}/ca.pem is signed by another authority, and {chain} {what}: write those above it there, "
            "the root last"
        ],
    )


def _lists_of(above: list[x509.Certificate], file: Path, now: datetime) -> tuple[list[str], list[str]]:
    """Return (the text with the lists of the authorities `above`, problems)."""
    text = read(file) or b""
    try:
        found = [crl for crl in revocation_lists(text) if next_update_of(crl) > now]
    except ValueError:
        return [], [f"{file} is damaged: write there the revocation list of each authority in parents.pem (PEM)"]
    lacking = [one.subject.rfc4514_string() for one in above if not any(signed_by(crl, one) for crl in found)]
    problems = [f"{file} has no revocation list in force of {name}: have it signed, and add it" for name in lacking]
    return [text.decode()], problems


def pair_of(folder: Path, params: dict[str, Any]) -> tuple[Authority | None, list[str]]:
    """Return (the authority of a folder, None when there is no ca.pem; problems with it and its key)."""
    pem, key_pem = (read(folder / name) for name in ("ca.pem", "ca.key"))
    certificate: x509.Certificate | None = None
    problems: list[str] = []
    if pem is not None:
        try:
            certificate = certificates(pem)[0]
        except (ValueError, IndexError):
            anew = ANEW.format(path=folder)
            problems.append(f"{folder}/ca.pem is not a PEM certificate: put it back from a backup, or {anew}")
    if pem is not None and key_pem is None and not params["provided"]:
        problems.append(
            f"{folder}/ca.pem is there without its key: copy ca.key from the controller that made this CA, or "
            f"{ANEW.format(path=folder)}"
        )
    if key_pem is not None:
        problems += filter(None, [key_problem(certificate, key_pem, {**params, "path": folder})])
    return Authority(folder, certificate, key_pem is not None) if certificate else None, problems


def stage_of(path: Path) -> str:
    """Return how far the replacement of one CA by the next is."""
    waits, trusted = (path / "next" / "ca.pem").exists(), (path / "former" / "ca.pem").exists()
    return {(True, False): "begun", (True, True): "switching", (False, True): "switched"}.get((waits, trusted), "")


def lists_due(
    authorities: list[Authority], records: list[Issued], params: dict[str, Any], now: datetime
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return (the revocation lists to sign; problems with those that cannot be signed here). The first CA signs."""
    due: list[dict[str, Any]] = []
    problems: list[str] = []
    ended = revocation.ended_serials(records, now)
    for authority in authorities:
        signs = authority is authorities[0]
        wanted = revocation.wanted_serials(authority, records, params["hosts"], params["revoked"], signs)
        if not authority.has_key:
            problems += filter(None, [revocation.external_problem(authority, wanted, ended, now)])
        elif found := revocation.to_sign(authority, wanted, ended, params["crl_days"], now):
            due.append(found)
    problems += [
        f"internal_ca_revoked has {entry!r}, which is no host and no serial number: write a host of the inventory, or "
        "what `openssl x509 -noout -serial` prints"
        for entry in revocation.nobody_meant(params["revoked"], params["hosts"], records)
    ]
    return due, problems


def bundles_of(
    path: Path, authorities: list[Authority], above: list[x509.Certificate], lists: list[str]
) -> list[dict[str, str]]:
    """Return the files for both ends of a connection that are not there as they should be: [{path, content}].

    `trust.pem` has the roots, `chain.pem` what a server sends after its leaf, `crl.pem` the list of every authority.
    """
    signer = authorities[0]
    roots = [one.certificate for one in authorities if one.is_root]
    texts = {
        "trust.pem": pem_of([*above[-1:], *(root for root in roots if root not in above)]),
        "chain.pem": "" if signer.is_root else pem_of([signer.certificate, *above[:-1]]),
        "crl.pem": "".join([*((read(one.list_file) or b"").decode() for one in authorities), *lists]),
    }
    return [
        {"path": str(path / name), "content": text}
        for name, text in texts.items()
        if read(path / name) != text.encode()
    ]


def state(params: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Make the whole answer (see RETURN) for the module's parameters at the time `now`."""
    path = Path(params["path"])
    excluded = excluded_for(params["permitted_dns"], params["permitted_ip"])
    stage = stage_of(path)
    result = {"present": (path / "ca.pem").exists(), "days_left": 0, "excluded": excluded, "modes": wrong_modes(path)}
    result |= {"stage": stage, "lists": [], "bundles": [], "stale": [], "cheap_keys": []}
    problems = network_problems(params["permitted_ip"])
    if not params["passphrase"] and not params["provided"]:
        return {**result, "problems": [*problems, "internal_ca_passphrase is empty: write one, in a vault"]}
    if stage == "switching":  # An interrupted run left two halves, which internal_ca_switch joins.
        return {**result, "present": True, "problems": problems}
    signer, found = pair_of(path, params)
    problems += found
    if params["provided"] and not result["present"]:
        problems.append(
            f"{path}/ca.pem is not there, and internal_ca_external says that it was made elsewhere: put it there, or "
            "take internal_ca_external away to have one made"
        )
    if signer is not None:
        # What is being replaced need not have the inputs: its successor has to.
        leaving = stage == "begun" or (params["replacing"] and not stage)
        if not params["provided"] and not leaving:
            problems += differences(path, signer.certificate, params, stage)
        result["days_left"] = (end_of(signer.certificate) - now).days
        if end_of(signer.certificate) <= now:
            problems.append(f"{path}/ca.pem ended on {end_of(signer.certificate):%Y-%m-%d}: {ANEW.format(path=path)}")
    if signer is not None and not problems:
        problems += complete(result, path, signer, params, now)
    return {**result, "problems": problems}


def complete(result: dict[str, Any], path: Path, signer: Authority, params: dict[str, Any], now: datetime) -> list[str]:
    """Add to the answer what hangs on a sound CA; return problems with that."""
    others, problems = list[Authority](), list[str]()
    for name in ("next", "former"):
        other, found = pair_of(path / name, params) if (path / name / "ca.pem").exists() else (None, [])
        others += [other] if other else []
        problems += found
        if other and name == "next" and not params["provided"]:
            problems += differences(path / name, other.certificate, params, result["stage"])
    above, texts = list[x509.Certificate](), list[str]()
    if not signer.is_root:
        above, texts, found = parents_of(path, signer.certificate, now)
        problems += found
    try:
        records = issued(path)
    except ValueError as error:
        return [*problems, str(error)]
    due, found = lists_due([signer, *others], records, params, now)
    problems += found
    if not problems:
        if not params["provided"]:
            result["cheap_keys"] = cheap_keys(path)
        ended = revocation.ended_serials(records, now)
        result["stale"] = [str(one.path) for one in records if one.certificate.serial_number in ended]
        result["stale"] += [str(half) for half in [path / ".former"] if half.exists()]  # see internal_ca_switch
        result["lists"] = due
        result["bundles"] = [] if due else bundles_of(path, [signer, *others], above, texts)
    return problems


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
            "provided": {"type": "bool", "default": False},
            "replacing": {"type": "bool", "default": False},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "revoked": {"type": "list", "elements": "str", "default": []},
            "crl_days": {"type": "int", "default": 180},
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
