"""The endpoints by which proxies may still ask for applications: those of the last run that configured every proxy.

A proxy learns a new way to an application only after the way is there, so the former one has to stay until then: an
application that moves to another host, a host that gets a second one, whose endpoint then has another port.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

_FILE = "endpoints.json"

Endpoint = Mapping[str, Any]


def recorded_endpoints(folder: Any) -> dict[str, dict[str, Any]]:
    """Return {machine: {application: endpoint}} that the proxies were last configured with, {} without a record.

    `folder`: the environment's, with `endpoints.json`. An endpoint is an entry of tls_endpoint_applications; None where
    the proxy beside the application asks it through loopback, and nobody else does.
    """
    file = Path(str(folder)) / _FILE
    try:
        return dict(json.loads(file.read_text())) if file.is_file() else {}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file} is no record that Gatehouse wrote ({error}); look at it and remove it") from None


def _endpoint(said: Mapping[str, Any]) -> Endpoint | None:
    """Return the endpoint of an application's host, by its variables."""
    return None if said["asked_on_loopback"] else said["endpoint_application"]


def machine_endpoints(machines: Any, hostvars: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return {machine: {application: endpoint or None}} of an inventory, to be recorded.

    `hostvars`: Ansible's, of which a machine's `instances` are read, and the instances' `app_name`,
    `asked_on_loopback` and `endpoint_application`.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in machines:
        for said in (hostvars[instance] for instance in hostvars[name]["instances"]):
            endpoint = _endpoint(said)
            # Who serves from a standby is noted elsewhere.
            kept = {**endpoint, "standby_port": 0} if endpoint else None
            found.setdefault(str(name), {})[str(said["app_name"])] = kept
    return found


def _port(endpoint: Endpoint | None) -> Any:
    """Return the port of the private address by which an application is asked; 0 where it is asked through loopback."""
    return endpoint["app_port" if endpoint["mode"] == "none" else "port"] if endpoint else 0


def endpoint_services(endpoints: Any) -> list[dict[str, Any]]:
    """Return [{name, port}] of firewall_services: what of a machine's endpoints has to be open for the proxies."""
    names = {"endpoint": "app"}
    return [{"name": names.get(one["name"], one["name"]), "port": _port(one)} for one in endpoints]


def former_endpoints(
    recorded: Mapping[str, Mapping[str, Any]], machine: Any, endpoints: Mapping[str, Endpoint]
) -> dict[str, dict[str, Any]]:
    """Return {application: endpoint} that a machine keeps until the proxies have learned of its present ones.

    `recorded`: see P(recorded_endpoints#filter); `endpoints`: {application: endpoint} of the machine now. One whose
    port another has now is left out. An application that is still there is asked where it is now, at its standby too.
    """
    taken = {_port(one) for one in endpoints.values()}
    found = {}
    for app, said in recorded.get(str(machine), {}).items():
        if said and _port(said) not in taken:
            name, present = f"former.{app}", endpoints.get(app, said)
            found[str(app)] = {**present, "name": name, "upstream": name, "port": said["port"], "mode": said["mode"]}
    return found


def new_endpoints(
    recorded: Mapping[str, Mapping[str, Any]], machine: Any, endpoints: Mapping[str, Endpoint]
) -> list[str]:
    """Return the applications of a machine that the proxies were not yet configured to ask where they are now."""
    known = recorded.get(str(machine), {})
    return [str(app) for app, said in endpoints.items() if _port(known.get(app)) != _port(said)]


def former_machines(
    recorded: Mapping[str, Mapping[str, Any]], present: Mapping[str, Mapping[str, Any]], machines: Any
) -> list[str]:
    """Return the machines that keep former endpoints; `present`: see P(machine_endpoints#filter)."""
    now = {str(name): {app: said for app, said in present.get(name, {}).items() if said} for name in machines}
    return [name for name, endpoints in now.items() if former_endpoints(recorded, name, endpoints)]


def moved_hosts(hosts: Any, hostvars: Mapping[str, Any], recorded: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts of an application that the proxies ask in another way than the inventory says.

    `hostvars`: Ansible's, of which what `machine_endpoints` reads of an instance is read, and `machine`. A host that no
    proxy asks yet is none of them.
    """
    found = []
    for host in hosts:
        said = hostvars[host]
        known, app = recorded.get(str(said["machine"]), {}), str(said["app_name"])
        if app in known and _port(known[app]) != _port(_endpoint(said)):
            found.append(str(host))
    return found
