"""What can be wrong with applications that share a machine, or the proxy's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .problem import Problem, wrong

# The ports of an application on its machine: the input, and what has it.
_PORTS = {
    "app_port": "port",
    "app_standby_port": "port of the standby",
    "tls_endpoint_port": "port of the TLS endpoint",
}


def machine_problems(hosts: Mapping[str, Mapping[str, Any]], proxies: Mapping[str, Collection[Any]]) -> list[Problem]:
    """Return what is wrong with applications that share a host with others, or with a proxy; `path` is [host, input].

    `hosts`: {an application's host: {machine, app_name, app_port, app_standby_port, tls_endpoint_port,
    asked_on_loopback}}, the inputs optional; `proxies`: {the group's hosts: the ports of their sites}.
    """
    problems: list[Problem] = []
    for host, values in hosts.items():
        machine = str(values["machine"])
        neighbours = {name: one for name, one in hosts.items() if one["machine"] == machine and name != host}
        taken = proxies.get(machine, ())
        if not values.get("asked_on_loopback") and (port := values.get("tls_endpoint_port", 0)) in taken:
            problem = f"{port} is the port of sites of the proxy {machine} too"
            others = {one.get("tls_endpoint_port") for one in neighbours.values()}
            remedy = f"write another, such as {_free(port, {*taken, *others})}"
            problems.append(wrong([host, "tls_endpoint_port"], problem, remedy))
        if neighbours:
            problems += _clashes(host, values, neighbours)
    return problems


def passed_ports(
    recorded: Mapping[str, Mapping[str, Any]], machines: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> list[Problem]:
    """Return the endpoints that have the port by which the proxies still ask another application; `path` is [machine].

    `recorded`: what the proxies were last configured with, see P(recorded_endpoints#filter); `machines`: {name:
    {application: endpoint}} now. The proxies would send one's visitors to the other until they have learned of it.
    """
    problems = []
    for machine, endpoints in machines.items():
        ports = {
            said["port"]: app for app, said in recorded.get(machine, {}).items() if said and said["mode"] != "none"
        }
        for app, said in endpoints.items():
            if (other := ports.get(said["port"], app)) != app:
                text = f"{said['port']} of {machine} is where the proxies ask {other}, and the port of {app} now"
                remedy = f"run site.yml without {app} there first, or write tls_endpoint: {{port: ...}} in its entry"
                problems.append(wrong([machine], text, remedy))
    return problems


def _clashes(host: str, values: Mapping[str, Any], neighbours: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield the ports of an application that a neighbour has too; of two the one that sorts later is at fault."""
    kinds = [kind for kind in _PORTS if not (values.get("asked_on_loopback") and kind == "tls_endpoint_port")]
    # An endpoint listens on the private address, and applications on loopback.
    for kind in kinds:
        group = ("tls_endpoint_port",) if kind == "tls_endpoint_port" else ("app_port", "app_standby_port")
        for name, other in neighbours.items():
            shared = next((one for one in group if other.get(one) == values.get(kind) is not None), "")
            # The other ports follow from the application's.
            follows = kind != "app_port" and other.get("app_port") == values.get("app_port")
            if (
                not shared
                or follows
                or (kind == shared and name > host)
                or (kind != shared and kind == "app_standby_port")
            ):
                continue
            taken = {one.get(port) for one in (values, *neighbours.values()) for port in group}
            problem = f"{values[kind]} is the {_PORTS[shared]} of {other.get('app_name')} on {values['machine']} too"
            yield wrong([host, kind], problem, f"write another, such as {_free(values[kind], taken)}")


def _free(port: int, taken: Collection[Any]) -> int:
    """Return the next port that is not taken."""
    return next(number for number in range(port + 1, port + 1000) if number not in taken)
