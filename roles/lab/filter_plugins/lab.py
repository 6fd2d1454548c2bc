"""The inventory as the lab sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ADDRESSES = ("ansible_host", "private_address", "public_address")


def lab_hosts(names: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """List what the lab needs to know of each host.

    Shape: [{name, ansible_host, private_address, public_address, release}, ...], sorted as `names`; what the
    inventory does not say of a host is ''. An application that shares its host has no container of its own (its
    `machine` is another host). Whether it can be so is for `lab_plan` to judge, all hosts at once.
    """
    return [
        {
            "name": str(name),
            **{address: str(hostvars[name].get(address) or "") for address in ADDRESSES},
            "release": str(hostvars[name].get("lab_release") or ""),
        }
        for name in names
        if hostvars[name].get("machine", name) == name
    ]


class FilterModule:
    """Filters of the role lab."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"lab_hosts": lab_hosts}
