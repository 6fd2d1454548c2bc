"""Where the source of a release comes from: an archive with its SHA-256, or a commit of a git repository.

The role app names these filters in its spec (`Format: sha256_sum.`), so that preflight refuses what a build would
refuse later. Source: git-check-ref-format(1).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

_SUM = re.compile(r"[0-9a-f]{64}")
# Printable and without blanks; `-` in front would be an option, `::` one of git's helpers that run a command.
_PLACE = re.compile(r"(?!-)(?!\w+::)[!-~]+")
_REF = re.compile(r"(?!-)[0-9A-Za-z._/+@-]+")
# What is surely no tag. Of any other name the repository says what it is, when the release is built.
_BRANCH = re.compile(r"HEAD|main|master|refs/(?!tags/).*")


def sha256_sum(value: Any) -> str:
    """Return a SHA-256 as `sha256sum` prints it."""
    if not isinstance(value, str) or not _SUM.fullmatch(value):
        raise InputError(
            f"{json.dumps(value, default=str)} is no SHA-256", "the 64 hexadecimal digits that `sha256sum` prints"
        )
    return str(value)


def source_place(value: Any) -> str:
    """Return the path or address of an archive or of a git repository."""
    if not isinstance(value, str) or not _PLACE.fullmatch(value):
        raise InputError(
            f"{json.dumps(value, default=str)} is no place of a source",
            "a path on the controller or an address such as https://example.org/shop.git",
        )
    return str(value)


def git_ref(value: Any) -> str:
    """Return a tag or a commit's full id."""
    if not isinstance(value, str) or not _REF.fullmatch(value) or ".." in value:
        raise InputError(f"{json.dumps(value, default=str)} is no ref of git", "a tag or a commit's full id")
    if _BRANCH.fullmatch(value):
        raise InputError(
            f"{json.dumps(value)} is a branch, so whoever pushes there would decide what is deployed",
            "a tag or a commit's full id",
        )
    return str(value)
