"""All that a check of preflight may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..waf_inputs import uses_waf
from .evaluation import Host, Problems
from .problem import Problem, mapping, numbered
from .project import Load, Need, Roles

# What the proxies look at of a host's endpoint.
_ENDPOINT = ("tls_endpoint_mode", "tls_endpoint_port", "tls_endpoint_ca", "tls_endpoint_clients")


def _ports(service: Any) -> Iterable[int]:
    """Return the ports that an entry of firewall_services opens."""
    about = mapping(service)
    first, _, last = str(about.get("ports") or "").partition("-")
    if first.isdigit() and last.isdigit():
        return range(int(first), min(int(last), 65535) + 1)
    return [about["port"]] if isinstance(about.get("port"), int) else []


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
    # An environment without the wiring, so that most inputs are missing.
    unwired: bool = False
    # Upstreams that a missing group or application would make.
    absent: set[str] = field(default_factory=set)

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
    def waf_rules(self) -> Mapping[Any, Any]:
        """Return {number: {message, paranoia}} of the application firewall's rules, where a site has one."""
        used = any(uses_waf(host.values.get("proxy_sites")) for host in self.hosts)
        return (self.load(self.roles.waf_rules) or {}) if used else {}

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

    @cached_property
    def asked(self) -> set[str]:
        """Return the upstreams that locations name, as far as it is written plainly."""
        sites = [site for host in self.hosts for _, site in numbered(host.raw.get("proxy_sites"))]
        locations = [location for site in sites for _, location in numbered(site.get("locations"))]
        return {str(location["upstream"]) for location in locations if location.get("upstream")}

    @cached_property
    def opened(self) -> dict[str, dict[str, Any]]:
        """Return {host: {addresses, ports: those of its firewall_services}} of the hosts behind the proxies."""
        found = {}
        for host in self.hosts:
            services = host.values.get("firewall_services")
            if "proxies" in host.raw["group_names"] or not isinstance(services, list):
                continue
            addresses = {str(host.evaluate(name)) for name in ("private_address", "ansible_host") if name in host.raw}
            found[host.name] = {"addresses": addresses, "ports": {port for one in services for port in _ports(one)}}
        return found

    @cached_property
    def runs(self) -> dict[str, dict[str, set[str]]]:
        """Return {role: {host: the inputs that each of its plays gives, whatever the inventory says}}."""
        runs: dict[str, dict[str, set[str]]] = {}
        for need in self.needs:
            for name in need["hosts"]:
                given = set(need["given"])
                runs.setdefault(need["role"], {})[name] = given & runs.get(need["role"], {}).get(name, given)
        return runs
