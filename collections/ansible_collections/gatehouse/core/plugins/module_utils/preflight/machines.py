"""What can be wrong with applications that share a machine, or the proxy's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from .problem import Problem, wrong

# The ports of an application on its machine: the input, and what has it.
_PORTS = {
    "app_port": "port",
    "app_standby_port": "port of the standby",
    "tls_endpoint_port": "port of the TLS endpoint",
}


def machine_problems(hosts: Mapping[str, Mapping[str, Any]], proxies: Sequence[str]) -> list[Problem]:
    """Return what is wrong with applications that share a host with others, or with a proxy; `path` is [host, input].

    `hosts`: {an application's host: {machine, app_name, app_port, app_standby_port, tls_endpoint_port,
    tls_endpoint_mode, tls_endpoint_locations}}, the inputs optional; `proxies`: the group's hosts.
    """
    problems: list[Problem] = []
    for host, values in hosts.items():
        machine = str(values["machine"])
        neighbours = {name: one for name, one in hosts.items() if one["machine"] == machine and name != host}
        if machine in proxies:
            problems += _on_a_proxy(host, values, hosts, proxies)
        if neighbours:
            problems += _clashes(host, values, neighbours, machine in proxies)
    return problems


def _on_a_proxy(
    host: str, values: Mapping[str, Any], hosts: Mapping[str, Mapping[str, Any]], proxies: Sequence[str]
) -> Iterator[Problem]:
    """Yield why nginx of the proxy cannot be all that is before an application on its host."""
    machine, name = values["machine"], values.get("app_name")
    elsewhere = [one["machine"] for one in hosts.values() if one.get("app_name") == name and one["machine"] != machine]
    remedy = f"put {name} on hosts that are no proxies, or on {machine} alone with no other proxy"
    others = [proxy for proxy in proxies if proxy != machine]
    if others or elsewhere:
        far = f"{', '.join(others)} cannot reach it there" if others else f"it has other hosts, {', '.join(elsewhere)}"
        yield wrong(
            [host, "app_name"], f"{name} is on the proxy {machine}, which asks it through loopback, and {far}", remedy
        )
    if values.get("tls_endpoint_mode", "mtls") != "mtls":
        problem = f"changes an endpoint that there is not: the proxy {machine} asks it through loopback"
        yield wrong([host, "tls_endpoint_mode"], problem, "take the line away")
    if values.get("tls_endpoint_locations"):
        problem = f"are of an endpoint that there is not: the proxy {machine} asks the application through loopback"
        yield wrong([host, "tls_endpoint_locations"], problem, "write the locations in the site, in sites.yml")


def _clashes(
    host: str, values: Mapping[str, Any], neighbours: Mapping[str, Mapping[str, Any]], is_proxy: bool
) -> Iterator[Problem]:
    """Yield the ports of an application that a neighbour has too; of two the one that sorts later is at fault."""
    kinds = [kind for kind in _PORTS if not (is_proxy and kind == "tls_endpoint_port")]
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
