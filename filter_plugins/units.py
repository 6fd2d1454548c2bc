"""Names, versions and paths that become a systemd unit, an account and files of an application's host.

Roles name these filters in their specs (`Format: unit_name.`), so that preflight refuses what a module or systemd
would refuse later, on a host. Sources: systemd.exec(5) (ReadWritePaths), useradd(8) (names of accounts).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+~-]{0,63}")
# The unit has the path as it is: a blank would end it there, and %, quotes and backslashes have a meaning.
_PATH = re.compile(r"/[0-9A-Za-z._+~@:=,/-]*")


def unit_name(value: Any) -> str:
    """Return the name of an application or account: it names a unit, a folder and a Linux user."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise AnsibleFilterError(
            f"{json.dumps(value, default=str)} is no name of an application or account;"
            " write at most 31 lower-case letters, digits or -, beginning with a letter"
        )
    return str(value)


def release_version(value: Any) -> str:
    """Return the version of a release: it names an archive and a folder."""
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        raise AnsibleFilterError(
            f"{json.dumps(value, default=str)} is no version of a release;"
            " write at most 64 letters, digits or . _ + ~ -, beginning with a letter or digit"
        )
    return str(value)


def unit_path(value: Any) -> str:
    """Return an absolute path that stands in a unit as it is."""
    if not isinstance(value, str) or not _PATH.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise AnsibleFilterError(
            f"{json.dumps(value, default=str)} is no path for a unit;"
            " write it from / on, without . and .., in letters, digits and ._+~@:=,- such as /var/cache/shop"
        )
    return str(value)


class FilterModule:
    """Offer the functions above to templates under their own names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (unit_name, release_version, unit_path)}
