#!/usr/bin/python
"""Makes the key of a CA, and encrypts one that is there so that each guess at its passphrase costs something."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ansible_collections.gatehouse.core.plugins.module_utils.key_seal import is_sealed, make_key, open_key, seal

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

DOCUMENTATION = r"""
---
module: internal_ca_key
short_description: Make the key of a CA, encrypted so that each guess at its passphrase costs something
description:
  - Makes a key where none is, encrypted as PKCS 8 with scrypt (RFC 7914) and AES-256.
  - A key that is there is never replaced. One whose encryption costs a guesser less, as the 2048 rounds of PBKDF2 that
    OpenSSL takes by default, is encrypted anew with the same passphrase. It fails where that does not open the key.
options:
  path: {description: The file., type: path, required: true}
  passphrase: {description: What encrypts it., type: str, required: true}
  curve: {description: The curve of a key that is made., type: str, choices: [secp256r1, secp384r1], required: true}
attributes:
  check_mode: {support: full, description: Says what it would do.}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Make the CA's key
  internal_ca_key:
    path: /srv/ca/ca.key
    passphrase: "{{ vault_internal_ca_passphrase }}"
    curve: secp256r1
  delegate_to: localhost
"""

RETURN = r"""
changes: {description: What was done., type: list, elements: str, returned: always}
"""


def write(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, in one rename."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def settle(path: Path, passphrase: bytes, curve: str, check: bool) -> str:
    """Make the key so; return what was done, '' where nothing was. ValueError: the passphrase does not open it."""
    if path.exists():
        pem = path.read_bytes()
        key = open_key(pem, passphrase)
        done = "" if is_sealed(pem) else "encrypted anew, with scrypt"
    else:
        key, done = make_key(curve), "made"
    if done and not check:
        write(path, seal(key, passphrase))
    return done


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "passphrase": {"type": "str", "required": True, "no_log": True},
            "curve": {"type": "str", "choices": ["secp256r1", "secp384r1"], "required": True},
        },
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    path = Path(module.params["path"])
    try:
        done = settle(path, module.params["passphrase"].encode(), module.params["curve"], module.check_mode)
    except (TypeError, ValueError):
        module.fail_json(
            msg=f"{path} does not open with internal_ca_passphrase: write the passphrase that it was made with, or "
            "move the file away"
        )
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    module.exit_json(changed=bool(done), changes=[f"{path}: {done}"] if done else [])


if __name__ == "__main__":
    main()
