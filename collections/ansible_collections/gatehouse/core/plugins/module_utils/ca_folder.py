"""A CA's folder on the controller: what is there, whether it can be used, and what both ends of TLS are to trust."""

from __future__ import annotations

import stat
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.authority import Authority
from ansible_collections.gatehouse.core.plugins.module_utils.files import read
from ansible_collections.gatehouse.core.plugins.module_utils.key_seal import is_sealed, open_key
from ansible_collections.gatehouse.core.plugins.module_utils.name_constraints import (
    constraints_of,
    excluded_for,
    is_permitted,
)
from ansible_collections.gatehouse.core.plugins.module_utils.pem import (
    certificates,
    next_update_of,
    pem_of,
    revocation_lists,
    signed_by,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

FOLDERS = ("", "next", "former")
MODES = {"": "0700", "ca.pem": "0644", "ca.key": "0600"}
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


def stage_of(path: Path) -> str:
    """Return how far the replacement of one CA by the next is."""
    waits, trusted = (path / "next" / "ca.pem").exists(), (path / "former" / "ca.pem").exists()
    return {(True, False): "begun", (True, True): "switching", (False, True): "switched"}.get((waits, trusted), "")


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
