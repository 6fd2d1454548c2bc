#!/usr/bin/python
"""Ansible module: what a lab needs on this machine, or why it cannot be."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import resource
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_plan
short_description: Plan the networks and containers of a lab, and refuse what cannot run here
description:
  - Reads the machine (container runtimes, control groups, limits, routes, podman's networks) and changes nothing.
  - Every problem is reported at once, each with its remedy.
options:
  name: {description: The lab's name, type: str, required: true}
  hosts:
    description: The hosts as the filter P(lab_hosts#filter) lists them.
    type: list
    elements: dict
    required: true
  release: {description: Debian release of a host that names none, type: str, required: true}
  private_network: {description: Range of the private network, type: str, required: true}
  edge_network: {description: Range of the network where the proxies meet the public, type: str, required: true}
  controller_address:
    description: This machine's address on the private network, so that the hosts' firewalls know the controller.
    type: str
    required: true
  image_tag: {description: Tag of the images that the containers start from, type: str, required: true}
  keys: {description: Folder with the keys that every container mounts, type: str, required: true}
  controller_edge_address: {description: This machine's address on the edge network, type: str, required: true}
  client: {description: Name of the container that stands on the edge only; none if empty, type: str, default: ''}
author: [the Gatehouse project]
"""

EXAMPLES = r"""
- lab_plan:
    name: lab
    hosts: "{{ groups['all'] | lab_hosts(hostvars) }}"
    release: trixie
    private_network: 10.20.0.0/24
    edge_network: 198.51.100.0/25
    controller_address: 10.20.0.1
    controller_edge_address: 198.51.100.1
    image_tag: 7e90e5b6202d
    keys: /var/lib/gatehouse-lab/lab
"""

RETURN = r"""
networks: {description: "What podman_network needs: name, subnet, gateway", type: list, returned: success}
containers: {description: What podman_containers needs, type: list, returned: success}
addresses: {description: The address on which each host's SSH answers, type: dict, returned: success}
releases: {description: Debian releases whose images are needed, type: list, returned: success}
leftovers: {description: Containers of this lab that no host stands for any more, type: list, returned: success}
"""

LABEL = "gatehouse.lab"
# podman_network knows no labels, so a network says in its name whose it is.
LAB_NETWORK = re.compile(r"gatehouse-(?P<lab>.+)-(?:private|edge)")
CAP_SYS_RESOURCE = 24
# What podman asks for by itself is often more; these serve nginx and Node well and are below the usual hard limits.
WANTED_LIMITS = {"nofile": (resource.RLIMIT_NOFILE, 65536), "nproc": (resource.RLIMIT_NPROC, 16384)}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def choose_runtime(unified_cgroups: bool, present: Iterable[str]) -> str | None:
    """Return the OCI runtime to use, or None: crun refuses hybrid and legacy control groups, runc takes all."""
    order = ["crun", "runc"] if unified_cgroups else ["runc"]
    return next((runtime for runtime in order if runtime in present), None)


def container_limits(effective_capabilities: int, hard_limits: dict[str, int]) -> list[str]:
    """Return podman --ulimit values; empty where the machine lets podman set its own.

    Without CAP_SYS_RESOURCE a limit above the hard one cannot be set and the container does not start.
    """
    if effective_capabilities >> CAP_SYS_RESOURCE & 1:
        return []
    values = {}
    for name, (_, wanted) in WANTED_LIMITS.items():
        hard = hard_limits[name]
        values[name] = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    return [f"{name}={value}:{value}" for name, value in sorted(values.items())]


def address_problems(hosts: Sequence[dict[str, str]], private: Network, edge: Network, controller: str,
                     controller_edge: str) -> list[str]:
    """Return one sentence for each address that the lab's networks cannot give."""
    problems = []
    taken = {controller: "the controller (controller_address)", controller_edge: "the controller (controller_edge_address)"}
    if ipaddress.ip_address(controller) not in private:
        problems.append(f"controller_address {controller} is outside private_network {private}")
    if ipaddress.ip_address(controller_edge) not in edge:
        problems.append(f"controller_edge_address {controller_edge} is outside edge_network {edge}")
    for host in hosts:
        for key, network, where in (
            ("private_address", private, "private_network"),
            ("public_address", edge, "edge_network"),
        ):
            address = host[key]
            if not address:
                continue
            try:
                inside = ipaddress.ip_address(address) in network
            except ValueError:
                problems.append(f"{host['name']}: {key} {address!r} is not an IP address: a lab cannot give names")
                continue
            if not inside:
                problems.append(
                    f"{host['name']}: {key} {address} is outside {where} {network}: widen {where} or move the host"
                )
            if address in taken:
                problems.append(f"{host['name']}: {key} {address} is taken by {taken[address]}: choose another")
            taken.setdefault(address, host["name"])
    return problems


def range_problems(wanted: dict[str, Network], networks: Sequence[dict[str, Any]], routes: Sequence[dict[str, Any]],
                   lab: str) -> list[str]:
    """Return one sentence for each range that something else on this machine uses already."""
    problems = []
    bridges = set()
    for network in networks:
        lab_network = LAB_NETWORK.fullmatch(network["name"])
        owner = lab_network["lab"] if lab_network else None
        bridges.add(network.get("network_interface"))
        if owner == lab:
            continue
        what = f"lab {owner!r} (make lab-down ENV={owner} ends it)" if owner else f"podman network {network['name']!r}"
        for subnet in network.get("subnets") or []:
            problems += _overlaps(wanted, subnet["subnet"], what)
    for route in routes:
        destination = route.get("dst", "default")
        if destination != "default" and route.get("dev") not in bridges:
            problems += _overlaps(wanted, destination, f"this machine's interface {route.get('dev')}")
    return problems


def _overlaps(wanted: dict[str, Network], used: str, what: str) -> list[str]:
    other = ipaddress.ip_network(used, strict=False)
    return [
        f"{name} {network} is in use already by {what}, which has {other}: choose another range in the inventory"
        for name, network in wanted.items()
        if network.version == other.version and network.overlaps(other)
    ]


def mac_address(address: str) -> str:
    """Return the same locally administered MAC for an address each time.

    A container that comes back with another one is out of reach until its neighbours' ARP entries expire.
    """
    digest = hashlib.sha256(address.encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x0A, *digest[:5]))


def plan_containers(lab: str, hosts: Sequence[dict[str, str]], release: str, image_tag: str,
                    common: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a container for each host, in the words of containers.podman.podman_containers."""
    containers = []
    for host in hosts:
        addresses = [
            (f"gatehouse-{lab}-private", host["private_address"]),
            (f"gatehouse-{lab}-edge", host["public_address"]),
        ]
        containers.append(
            {
                "name": f"{lab}-{host['name']}",
                "hostname": host["name"],
                "image": f"localhost/gatehouse-lab-{host['release'] or release}:{image_tag}",
                "network": [
                    f"{network}:ip={address},mac={mac_address(address)}" for network, address in addresses if address
                ],
                "state": "started",
                "systemd": "always",
                "cap_add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"],
                "label": {LABEL: lab},
                **common,
            }
        )
    return containers


def _json(module: AnsibleModule, argv: list[str]) -> list[dict[str, Any]]:
    _, out, _ = module.run_command(argv, check_rc=True)
    return list(json.loads(out or "[]") or [])


def main() -> None:
    text: dict[str, Any] = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "name": text, "release": text, "private_network": text, "edge_network": text, "controller_address": text,
            "controller_edge_address": text,
            "image_tag": text, "keys": text,
            "hosts": {"type": "list", "elements": "dict", "required": True},
            "client": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )  # fmt: skip
    lab = module.params["name"]
    hosts = list(module.params["hosts"])
    if os.geteuid() != 0:
        module.fail_json(msg="The lab needs root: run make as root, or as a user with sudo.")
    if shutil.which("podman") is None:
        module.fail_json(msg="podman is not installed and could not be: install Debian's package podman.")
    try:
        private = ipaddress.ip_network(module.params["private_network"])
        edge = ipaddress.ip_network(module.params["edge_network"])
        for key in ("controller_address", "controller_edge_address"):
            ipaddress.ip_address(module.params[key])
    except ValueError as error:
        module.fail_json(msg=f"The lab's networks are not well written: {error}; write for instance 10.20.0.0/24")
    if module.params["client"]:
        hosts.append({"name": module.params["client"], "private_address": "", "public_address": str(edge[-2]),
                      "release": ""})  # fmt: skip

    problems = address_problems(hosts, private, edge, module.params["controller_address"],
                                module.params["controller_edge_address"])
    problems += range_problems(
        {"private_network": private, "edge_network": edge},
        _json(module, ["podman", "network", "ls", "--format", "json"]),
        _json(module, ["ip", "-json", "route"]),
        lab,
    )
    runtimes = [runtime for runtime in ("crun", "runc") if shutil.which(runtime)]
    runtime = choose_runtime(os.path.exists("/sys/fs/cgroup/cgroup.controllers"), runtimes)
    if runtime is None:
        problems.append("no OCI runtime that fits this machine's control groups: install Debian's package runc")
    if problems:
        listing = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, 1))
        module.fail_json(msg=f"The lab {lab!r} cannot be brought up:\n{listing}", problems=problems)

    with open("/proc/self/status", encoding="ascii") as status:
        capabilities = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    limits = container_limits(
        capabilities, {name: resource.getrlimit(which)[1] for name, (which, _) in WANTED_LIMITS.items()}
    )
    containers = plan_containers(
        lab, hosts, module.params["release"], module.params["image_tag"],
        {"cmd_args": ["--runtime", runtime], "ulimit": limits, "volume": [f"{module.params['keys']}:/etc/ssh/lab:ro"]},
    )  # fmt: skip
    standing = _json(module, ["podman", "ps", "--all", "--format", "json", "--filter", f"label={LABEL}={lab}"])
    wanted_names = {container["name"] for container in containers}
    module.exit_json(
        changed=False,
        networks=[
            {"name": f"gatehouse-{lab}-private", "subnet": str(private), "gateway": module.params["controller_address"]},
            {"name": f"gatehouse-{lab}-edge", "subnet": str(edge), "gateway": module.params["controller_edge_address"]},
        ],
        containers=containers,
        addresses={host["name"]: host["private_address"] or host["public_address"] for host in hosts},
        releases=sorted({host["release"] or module.params["release"] for host in hosts}),
        leftovers=sorted(entry["Names"][0] for entry in standing if entry["Names"][0] not in wanted_names),
    )


if __name__ == "__main__":
    main()
