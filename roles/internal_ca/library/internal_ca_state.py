#!/usr/bin/python
"""Read a CA folder on the controller and say whether it fits what is asked of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ansible_collections.gatehouse.core.plugins.module_utils import revocation
    from ansible_collections.gatehouse.core.plugins.module_utils.authority import Authority, Issued, issued
    from ansible_collections.gatehouse.core.plugins.module_utils.ca_folder import (
        ANEW,
        bundles_of,
        cheap_keys,
        differences,
        pair_of,
        parents_of,
        stage_of,
        wrong_modes,
    )
    from ansible_collections.gatehouse.core.plugins.module_utils.name_constraints import excluded_for, network_problems
    from ansible_collections.gatehouse.core.plugins.module_utils.pem import end_of
    from cryptography import x509

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

# A root cannot be replaced in an afternoon: every client must come to trust the new one first.
WARN_DAYS = 365


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
