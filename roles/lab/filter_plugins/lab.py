"""The inventory as the lab sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def lab_hosts(names: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """List what each container needs to know of its host.

    Shape: [{name, private_address, public_address, release}, ...], sorted as `names`; an address that the host
    does not have and a release that it does not choose are ''. The private address is `private_address`, else
    `ansible_host`. A host with no address at all is an AnsibleFilterError that names it.
    """
    hosts = []
    for name in names:
        variables = hostvars[name]
        private = variables.get("private_address") or variables.get("ansible_host") or ""
        public = variables.get("public_address") or ""
        if not (private or public):
            raise AnsibleFilterError(
                f"host {name} has no address: give it a private_address (or an ansible_host) in the inventory"
            )
        hosts.append(
            {
                "name": str(name),
                "private_address": str(private),
                "public_address": str(public),
                "release": str(variables.get("lab_release") or ""),
            }
        )
    return hosts


class FilterModule:
    """Filters of the role lab."""

    def filters(self) -> dict[str, Any]:
        return {"lab_hosts": lab_hosts}
