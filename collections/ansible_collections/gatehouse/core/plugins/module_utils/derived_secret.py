"""Secrets that follow from one passphrase."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

_LENGTH = 16
# 16 MiB and about 40 ms for each guess at the passphrase (RFC 7914, section 2).
_COST = {"n": 2**14, "r": 8, "p": 1}


@lru_cache
def _derived(passphrase: str, purpose: str) -> str:
    salt = b"gatehouse\0" + purpose.encode()
    key = hashlib.scrypt(passphrase.encode(), salt=salt, dklen=32, **_COST)
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def derived_secret(passphrase: Any, purpose: Any) -> str:
    """Return a secret of 43 letters, digits, `-` and `_` (256 bits) for one purpose, always the same.

    `passphrase`: text of at least 16 characters, the environment's; `purpose`: what the secret is for, such as
    `session tickets`. Whoever has one secret learns neither the passphrase nor another secret.
    Source: RFC 7914 (scrypt).
    """
    if not isinstance(passphrase, str) or len(passphrase) < _LENGTH:
        raise InputError(
            f"the passphrase that secrets are derived from must be a text of {_LENGTH} characters or more",
            "a longer one, such as what `openssl rand -base64 24` prints",
        )
    if not isinstance(purpose, str) or not purpose:
        raise InputError(
            f"a derived secret needs a purpose, got {json.dumps(purpose, default=str)}", "derived_secret('tickets')"
        )
    return _derived(str(passphrase), str(purpose))


def long_secret(value: Any) -> str:
    """Return a secret of at least 16 characters, which is not shown where it is refused."""
    if not isinstance(value, str) or len(value) < _LENGTH:
        raise InputError(
            f"the secret is shorter than {_LENGTH} characters", "one such as `openssl rand -base64 24` prints"
        )
    return str(value)


def base64url_key(value: Any) -> str:
    """Return a key in base64url without padding (RFC 4648, section 5), which is not shown where it is refused."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{22,}", value) or len(value) % 4 == 1:
        raise InputError(
            "the key is not in base64url",
            "it as the authority shows it: letters, digits, `-` and `_`, 22 or more, no `=`",
        )
    return str(value)
