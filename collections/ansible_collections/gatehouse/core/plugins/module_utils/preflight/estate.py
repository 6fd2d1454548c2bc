"""All that a check of preflight may look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from .evaluation import Host, Problems
from .problem import Problem
from .project import Load, Need, Roles

# What the proxies look at of a host's endpoint.
_ENDPOINT = ("tls_endpoint_mode", "tls_endpoint_port", "tls_endpoint_ca", "tls_endpoint_clients")


@dataclass
class Estate:
    """The hosts of an inventory with their variables, the roles, and what reads files as a play does."""

    hosts: Sequence[Host]
    problems: Problems
    roles: Roles
    needs: Sequence[Need]
    inventory: Path
    certificate_days: int
    load: Load
    # The path of a file on the controller, where `copy` looks for it, and its text, vaulted or not; else AnsibleError.
    find: Callable[[str], str]
    read: Callable[[str], str]
    # Whether a name has an address, of those that were asked for.
    resolved: dict[str, bool] = field(default_factory=dict)
    # {(chain, key, names): what is wrong with them}
    certificates: dict[tuple[str, ...], list[Problem]] = field(default_factory=dict)
    # Without the group proxies, which all of the wiring reads.
    rootless: bool = False

    @property
    def groups(self) -> dict[str, list[str]]:
        """Return Ansible's groups."""
        every: Any = self.hosts[0].raw["groups"]
        return {str(name): list(hosts) for name, hosts in every.items()}

    @cached_property
    def sites(self) -> list[str]:
        """Return the names of all sites."""
        every = [site for host in self.hosts for site in host.values.get("proxy_sites") or ()]
        return sorted({str(site.get("name")) for site in every if isinstance(site, Mapping)})

    @cached_property
    def applications(self) -> set[str]:
        """Return the names of all applications that a host runs."""
        return {str(host.values["app_name"]) for host in self.hosts if "app_name" in host.values}

    @cached_property
    def endpoints(self) -> dict[str, dict[str, Any]]:
        """Return {host: what _ENDPOINT names, with defaults} of the hosts that have an endpoint."""
        found = {}
        for host in self.hosts:
            if "tls_endpoint_address" not in host.raw:
                continue
            about = {name: self.roles.known[name].get("default") for name in _ENDPOINT if name in self.roles.known}
            about |= {name: host.evaluate(name) for name in _ENDPOINT if name in host.raw}
            if about.get("tls_endpoint_mode") != "none":
                found[host.name] = about
        return found
