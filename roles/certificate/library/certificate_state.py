#!/usr/bin/python
"""Compare the certificates on a host with those requested, in one read."""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.certificate_requests import request_problems
from ansible_collections.gatehouse.core.plugins.module_utils.files import read

try:
    from ansible_collections.gatehouse.core.plugins.module_utils.leaf import (
        describe,
        is_foreign,
        is_internal,
        is_revoked,
    )
    from ansible_collections.gatehouse.core.plugins.module_utils.name_constraints import outside
    from ansible_collections.gatehouse.core.plugins.module_utils.pem import certificates, signed_by
    from cryptography import x509

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

DOCUMENTATION = r"""
---
module: certificate_state
short_description: Compare the certificates on a host with those requested
description:
  - Reads C(<path>/<name>/fullchain.pem) and C(privkey.pem) for every request. Changes nothing.
  - One of source acme is issued by the internal CA as well until there is another one, which is then left alone.
  - Works without the Python library cryptography, and then only says what is there and what is not.
options:
  path:
    description: The folder with one folder for each certificate.
    type: path
    required: true
  requests:
    description: The certificates that should be there.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The folder.
        type: str
        required: true
      names:
        description: DNS names.
        type: list
        elements: str
        required: true
      addresses:
        description: IP addresses, in their canonical form.
        type: list
        elements: str
        default: []
      source:
        description: Who signs it, or where it is copied from.
        type: str
        choices: [internal_ca, files, acme]
        required: true
      chain:
        description: The controller's path. Not read here.
        type: str
        default: ''
      key:
        description: The controller's path. Not read here.
        type: str
        default: ''
      usage:
        description: What the internal CA permits it for.
        type: str
        choices: [server, client]
        default: server
      used_by:
        description: What uses it, for people.
        type: str
        default: ''
  chain_sums:
    description: SHA-256 of the controller's chain by name, for source files.
    type: dict
    default: {}
  key_sums:
    description: SHA-256 of the controller's key by name, for source files.
    type: dict
    default: {}
  ca:
    description: The CA's certificate as PEM; empty means that there is none yet.
    type: str
    default: ''
  others:
    description: The CAs that replace it, or that it replaces, as PEM. What they signed is issued again.
    type: str
    default: ''
  crl:
    description: The revocation lists of the CA, as PEM. What they name is issued again, with a new key.
    type: str
    default: ''
  organization:
    description: What the subject of every leaf of an internal CA has, and no other leaf.
    type: str
    required: true
  days:
    description: How long a new certificate lives.
    type: int
    required: true
  renew_days:
    description: A certificate of the internal CA with fewer days left is to be issued again.
    type: int
    required: true
  renew:
    description: Issue everything of the internal CA again.
    type: bool
    default: false
author: Gatehouse
"""

EXAMPLES = r"""
- name: Compare the certificates
  certificate_state:
    path: /etc/ssl/gatehouse
    requests: [{name: storefront, names: [shop.example.com], source: internal_ca}]
    ca: "{{ lookup('ansible.builtin.file', 'ca.pem') }}"
    organization: Gatehouse
    days: 90
    renew_days: 30
"""

RETURN = r"""
cryptography:
  description: Whether the library is there, so that certificates could be read.
  type: bool
  returned: success
to_issue:
  description: Requests that the internal CA must sign, as C(name), C(reason) and C(new_key), whether the key has to go.
  type: list
  elements: dict
  returned: success
foreign:
  description: Leaves of an internal CA, not ended, that neither C(ca) nor one of C(others) signed; as C(name),
    C(issuer) and C(end).
  type: list
  elements: dict
  returned: success
to_copy:
  description: Requests whose files must be copied, as C(name) and C(reason).
  type: list
  elements: dict
  returned: success
modes:
  description: What is with another owner or mode, as C(path), C(mode) (wanted) and C(found).
  type: list
  elements: dict
  returned: success
acme:
  description: Whether this host keeps certificates that come over ACME.
  type: bool
  returned: success
orphans:
  description: Folders that no request names.
  type: list
  elements: str
  returned: success
certificates:
  description: What is there, as C(name), C(names), C(addresses), C(issuer), C(end), C(days_left), C(usage),
    C(key_matches), C(serial) (hexadecimal), C(revoked), C(source) and C(used_by).
  type: list
  elements: dict
  returned: success
missing:
  description: Requests without a certificate that can be read here, as C(name), C(names) and C(reason).
  type: list
  elements: dict
  returned: success
"""

FILES = (("fullchain.pem", "0644"), ("privkey.pem", "0600"))


def why_issue(
    request: Any, found: Any, certificate: x509.Certificate, ca: x509.Certificate | None, params: dict[str, Any]
) -> str:
    """Why the internal CA must sign anew; '' when what is there is good."""
    if not found["key_matches"]:
        return "its key does not belong to it"
    if ca is None:
        return "there is no CA yet"
    if not signed_by(certificate, ca):
        return f"it was issued by another CA, {found['issuer']}"
    if (found["names"], found["addresses"]) != (sorted(set(request["names"])), sorted(set(request["addresses"]))):
        return f"it is for {', '.join(found['names'] + found['addresses'])}"
    if found["usage"] not in (request.get("usage", "server"), "any"):
        return f"its usage is {found['usage']}"
    if found["days_left"] < params["renew_days"]:
        return f"it has {found['days_left']} days left"
    return "its renewal was asked for" if params.get("renew") else ""


def why_copy(name: str, chain: bytes, key: bytes, params: dict[str, Any]) -> str:
    """Why the controller's files must be copied; '' when the same stand here."""
    for text, data, sums in (("chain", chain, params["chain_sums"]), ("key", key, params["key_sums"])):
        if hashlib.sha256(data).hexdigest() != sums[name]:
            return f"the {text} differs from the controller's"
    return ""


def modes_of(path: Path, names: list[str]) -> list[dict[str, str]]:
    """Find what has another mode, or belongs to another user than the one this runs as (root)."""
    wanted = [(path, "0755")]
    for name in names:
        folder = path / name
        wanted += [(folder, "0755"), *((folder / file, mode) for file, mode in FILES)]
    wrong = []
    for file, mode in wanted:
        try:
            status = file.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        found = f"{stat.S_IMODE(status.st_mode):04o}"
        if (found, status.st_uid, status.st_gid) != (mode, os.geteuid(), os.getegid()):
            wrong.append({"path": str(file), "mode": mode, "found": f"{status.st_uid}:{status.st_gid} {found}"})
    return wrong


def judge(
    request: dict[str, Any], found: dict[str, Any], certificate: x509.Certificate, params: dict[str, Any], now: datetime
) -> tuple[str, bool, bool]:
    """Return (why the internal CA must sign anew or '', whether with a new key, whether a foreign CA signed it)."""
    organization, cas = params["organization"], certificates(params["ca"].encode())
    foreign = is_foreign(certificate, [*cas, *certificates(params.get("others", "").encode())], organization, now)
    # What an authority issued is the business of the unit that keeps it, unless nginx would refuse it.
    kept = request["source"] == "acme" and not is_internal(certificate, organization)
    if kept and found["key_matches"]:
        return "", False, foreign
    if is_revoked(certificate, params.get("crl", "")):
        return "it is revoked", True, foreign
    return why_issue(request, found, certificate, cas[0] if cas else None, params), False, foreign


def state(params: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Make the whole answer (see RETURN) for the module's parameters at the time `now`."""
    path, requests = Path(params["path"]), params["requests"]
    names = [request["name"] for request in requests]
    orphans = sorted(e.name for e in path.iterdir() if e.name not in names) if path.is_dir() else []
    result: dict[str, Any] = {"to_issue": [], "to_copy": [], "foreign": [], "certificates": [], "missing": []}
    for request in requests:
        name, files = request["name"], request["source"] == "files"
        chain, key = (read(path / name / file) for file, _ in FILES)
        reason, certificate, new_key = "", None, False
        if chain is None or key is None:
            reason = "there is none" if chain is None else "its key is missing"
        elif files:
            reason = why_copy(name, chain, key, params)
        if chain is not None and HAS_CRYPTOGRAPHY:
            try:
                certificate = x509.load_pem_x509_certificate(chain)
            except ValueError:
                reason = reason or ("" if files else "what is there is no certificate")
        if certificate is not None:
            found = describe(name, certificate, key or b"", now)
            about = {"source": request["source"], "used_by": request.get("used_by", "")}
            revoked = is_revoked(certificate, params.get("crl", ""))
            result["certificates"].append({**found, **about, "revoked": revoked})
            if not files:
                why, new_key, foreign = judge(request, found, certificate, params, now)
                reason = reason or why
                if foreign:
                    result["foreign"].append({key: found[key] for key in ("name", "issuer", "end")})
        else:
            why = "there is none" if chain is None else "what is there cannot be read"
            result["missing"].append({"name": name, "names": request["names"], "reason": why})
        if reason:
            verb, new = ("to_copy", "copy it") if files else ("to_issue", f"issue it for {', '.join(request['names'])}")
            entry = {"name": name, "reason": f"{name}: {reason}; {new}"}
            result[verb].append(entry if files else {**entry, "new_key": new_key})
    acme = Path("/etc/gatehouse/acme/acme.json").exists()
    fixed = {"cryptography": HAS_CRYPTOGRAPHY, "modes": modes_of(path, names), "orphans": orphans, "acme": acme}
    return {**result, **fixed}


def main() -> None:
    """Run as a module."""
    text = {"type": "str", "default": ""}
    request = {
        "name": {"type": "str", "required": True},
        "names": {"type": "list", "elements": "str", "required": True},
        "addresses": {"type": "list", "elements": "str", "default": []},
        "source": {"type": "str", "required": True, "choices": ["internal_ca", "files", "acme"]},
        "chain": text,
        "key": {**text, "no_log": False},
        "usage": {"type": "str", "choices": ["server", "client"], "default": "server"},
        "used_by": text,
    }
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "requests": {"type": "list", "elements": "dict", "required": True, "options": request},
            "chain_sums": {"type": "dict", "default": {}},
            "key_sums": {"type": "dict", "default": {}, "no_log": False},
            "ca": text,
            "others": text,
            "crl": text,
            "renew": {"type": "bool", "default": False},
            "organization": {"type": "str", "required": True},
            "days": {"type": "int", "required": True},
            "renew_days": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    problems = request_problems(params["requests"], params["days"], params["renew_days"])
    if not problems and HAS_CRYPTOGRAPHY and params["ca"]:
        problems = outside(params["requests"], x509.load_pem_x509_certificate(params["ca"].encode()))
    if problems:
        module.fail_json(msg="certificate_requests cannot be met:\n- " + "\n- ".join(problems))
    module.exit_json(changed=False, **state(params, datetime.now(UTC)))


if __name__ == "__main__":
    main()
