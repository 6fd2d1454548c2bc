#!/usr/bin/python
"""Ansible module: what a lab needs on this machine, or why it cannot be."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import resource
import shutil
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.lab_rules import (
    Host,
    Network,
    address_problems,
    controller_in_lab,
    name_problems,
    network_problems,
    range_problems,
    read_setting,
    stands_on,
)

DOCUMENTATION = r"""
---
module: lab_plan
short_description: Plan the networks and containers of a lab, and refuse what cannot run here
description:
  - Reads the machine (container runtimes, control groups, limits, routes, podman's networks) and changes nothing.
  - Every problem is reported at once, each with its remedy.
  - What is as it should is not in the plan, so that a second run has nothing to do.
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
  image_tag: {description: Tag of the bare images, type: str, required: true}
  prepared_tag:
    description: Tag of the images, made from the bare ones, that the containers start from; empty for the bare ones.
    type: str
    default: ''
  keys: {description: Folder with the keys that every container mounts, type: str, required: true}
  controller_edge_address: {description: This machine's address on the edge network, type: str, required: true}
  client: {description: Name of the container that is on the edge only; none if empty, type: str, default: ''}
  acme: {description: Name of the container of an ACME authority on the edge; none if empty, type: str, default: ''}
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
networks: {description: "Networks that are missing or different: name, subnet, gateway", type: list, returned: success}
containers: {description: "For podman_containers, each that does not stand as planned", type: list, returned: success}
removed_containers:
  description: Containers of this lab for which there is no host any more, whose network has to change, or that were
    killed behind podman's back.
  type: list
  returned: success
releases: {description: Debian releases whose bare images are missing, type: list, returned: success}
prepared_releases: {description: Debian releases whose prepared images are missing, type: list, returned: success}
run_options: {description: Options that a container needs on this machine, type: list, returned: success}
outdated_images: {description: Images of other recipes that no other lab uses, type: list, returned: success}
addresses: {description: The address on which each host's SSH answers, type: dict, returned: success}
acme_address: {description: The address of the ACME authority; empty if there is none, type: str, returned: success}
controller:
  description: Where the hosts see this machine, if that is elsewhere than the inventory says, by the variable.
  type: dict
  returned: success
"""

LABEL = "gatehouse.lab"
IMAGES = "localhost/gatehouse-lab"
SETTINGS = ("private_network", "edge_network", "controller_address", "controller_edge_address")
CAP_SYS_RESOURCE = 24
# What podman asks for by itself is often more; these serve nginx and Node well and are below the usual hard limits.
WANTED_LIMITS = {"nofile": (resource.RLIMIT_NOFILE, 65536), "nproc": (resource.RLIMIT_NPROC, 16384)}


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


def mac_address(address: str) -> str:
    """Return the same locally administered MAC for an address each time.

    A container that comes back with another one is out of reach until its neighbours' ARP entries expire.
    """
    digest = hashlib.sha256(address.encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (0x0A, *digest[:5]))


def plan_containers(lab: str, hosts: Sequence[Host], image_tag: str, common: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a container for each host, in the words of containers.podman.podman_containers."""
    return [
        {
            "name": f"{lab}-{host['name']}",
            "hostname": host["name"],
            "image": image_name(host["release"], image_tag),
            "network": [
                f"gatehouse-{lab}-{network}:ip={address},mac={mac_address(address)}"
                for _, network, address in stands_on(host)
            ],
            "state": "started",
            "systemd": "always",
            "cap_add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"],
            "label": {LABEL: lab},
            **common,
        }
        for host in hosts
    ]


def image_name(release: str, tag: str) -> str:
    """Return the name of the image of a Debian release."""
    return f"{IMAGES}-{release}:{tag}"


def is_current(container: dict[str, Any], inspected: dict[str, Any]) -> bool:
    """Return whether a container runs and was created by the very words that its plan would be created by.

    False only sends it to podman_containers, which looks closer: so a doubt costs time and no container.
    """
    words = {
        "--name",
        container["name"],
        "--hostname",
        container["hostname"],
        container["image"],
        *container["cmd_args"],
    }
    words |= {f"--systemd={container['systemd']}"}
    options = {
        "--cap-add": container["cap_add"],
        "--label": [f"{key}={value}" for key, value in container["label"].items()],
        "--network": container["network"],
        "--ulimit": container["ulimit"],
        "--volume": container["volume"],
    }
    for option, values in options.items():
        words |= {option, *values} if values else set()
    created = set(inspected["Config"].get("CreateCommand") or [])
    return bool(inspected["State"]["Running"]) and created - {"podman", "container", "run", "--detach=True"} == words


def was_killed(inspected: dict[str, Any], processes: Path = Path("/proc")) -> bool:
    """Return whether podman takes a container as running whose monitor is gone.

    That is how a container looks whose processes and monitor were killed together: nobody is left who would report it.
    """
    state = inspected["State"]
    try:
        monitor = (processes / str(state["ConmonPid"]) / "cmdline").read_text()
    except OSError:
        monitor = ""
    return bool(state["Running"]) and inspected["Id"] not in monitor


def network_stands(wanted: dict[str, str], networks: Sequence[dict[str, Any]]) -> bool:
    """Return whether podman's list of networks holds this one as it is wanted."""
    return any(
        network["name"] == wanted["name"]
        and network.get("subnets") == [{"subnet": wanted["subnet"], "gateway": wanted["gateway"]}]
        and not network.get("dns_enabled")
        and (network.get("options") or {}).get("isolate") == "true"
        for network in networks
    )


def current(name: str, tag: str, prepared_tag: str) -> bool:
    """Return whether an image is of the recipes of these tags; without `prepared_tag`, any made from `tag` is."""
    found = name.rpartition(":")[2]
    return found in (tag, prepared_tag) or (not prepared_tag and found.startswith(f"{tag}-"))


def outdated_images(
    images: Sequence[dict[str, Any]], containers: Sequence[dict[str, Any]], tag: str, lab: str, prepared_tag: str = ""
) -> list[str]:
    """Return the names of the lab's images of other recipes that no other lab's container was made from."""
    used = {container["ImageID"] for container in containers if (container.get("Labels") or {}).get(LABEL) != lab}
    return sorted(
        name
        for image in images
        for name in image.get("Names") or []
        if name.startswith(f"{IMAGES}-") and not current(name, tag, prepared_tag) and image["Id"] not in used
    )


def missing_images(
    releases: Iterable[str], present: Container[str], tag: str, prepared_tag: str
) -> tuple[list[str], list[str]]:
    """Return the releases whose bare images have to be made, and those whose prepared ones have to."""
    if not prepared_tag:
        return sorted(release for release in releases if image_name(release, tag) not in present), []
    prepared = sorted(release for release in releases if image_name(release, prepared_tag) not in present)
    return missing_images(prepared, present, tag, "")[0], prepared


def _json(module: AnsibleModule, *argv: str) -> list[dict[str, Any]]:
    _, out, _ = module.run_command(list(argv), check_rc=True)
    return list(json.loads(out or "[]") or [])


def _fail(module: AnsibleModule, problems: list[str]) -> None:
    listing = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, 1))
    module.fail_json(msg=f"The lab {module.params['name']!r} cannot be started:\n{listing}", problems=problems)


def main() -> None:
    """Read the inventory's wishes and the machine, and say what there is to do."""
    text: dict[str, Any] = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            **dict.fromkeys(("name", "release", "image_tag", "keys", *SETTINGS), text),
            "hosts": {"type": "list", "elements": "dict", "required": True},
            "client": {"type": "str", "default": ""},
            "acme": {"type": "str", "default": ""},
            "prepared_tag": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    lab, tag, prepared_tag, client = (module.params[name] for name in ("name", "image_tag", "prepared_tag", "client"))
    if shutil.which("podman") is None:
        module.fail_json(msg="podman is not installed (check mode installs nothing): install Debian's package podman")
    settings, problems = {}, []
    for variable in SETTINGS:
        try:
            settings[variable] = read_setting(variable, module.params[variable])
        except ValueError as error:
            problems.append(str(error))
    if problems:
        _fail(module, problems)
    ranges = {name: value for name, value in settings.items() if isinstance(value, Network)}
    named = {name: value for name, value in settings.items() if isinstance(value, ipaddress.IPv4Address)}
    empty = dict.fromkeys(("ansible_host", "private_address", "public_address"), "")
    hosts = [
        {**empty, **host, "release": host.get("release") or module.params["release"]} for host in module.params["hosts"]
    ]
    controller = controller_in_lab(ranges, named, hosts)
    problems = network_problems(ranges, controller)
    if problems:
        _fail(module, problems)

    # Hosts that no inventory has stand at the end of the edge's range, the client last.
    acme = module.params["acme"]
    own = {name: str(ranges["edge_network"][place]) for name, place in ((client, -2), (acme, -3)) if name}
    problems = name_problems(lab, hosts, {client: "lab_client", acme: "lab_acme"})
    hosts += [
        {**empty, "name": name, "ansible_host": address, "public_address": address, "release": module.params["release"]}
        for name, address in own.items()
    ]
    problems += address_problems(hosts, ranges, controller)
    # Where every host has one address, that of the public, there is no private network.
    places = {place for host in hosts for _, place, _ in stands_on(host)}
    ranges = {name: one for name, one in ranges.items() if name.removesuffix("_network") in places}
    seen = controller if "private" in places else dict.fromkeys(controller, controller["controller_edge_address"])
    networks = _json(module, "podman", "network", "ls", "--format", "json")
    problems += range_problems(ranges, networks, _json(module, "ip", "-4", "-json", "route"), lab)
    runtime = choose_runtime(
        Path("/sys/fs/cgroup/cgroup.controllers").exists(), [name for name in ("crun", "runc") if shutil.which(name)]
    )
    if runtime is None:
        problems.append("no OCI runtime fits this machine's control groups: install Debian's package runc")
    if problems:
        _fail(module, problems)

    with Path("/proc/self/status").open(encoding="ascii") as status:
        capabilities = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    limits = container_limits(
        capabilities, {name: resource.getrlimit(which)[1] for name, (which, _) in WANTED_LIMITS.items()}
    )
    options = ["--runtime", runtime or ""]
    common: dict[str, list[str]] = {
        "cmd_args": options,
        "ulimit": limits,
        "volume": [f"{module.params['keys']}:/etc/ssh/lab:ro"],
    }
    wanted = plan_containers(lab, hosts, prepared_tag or tag, common)
    wanted_networks = [
        {
            "name": f"gatehouse-{lab}-{place}",
            "subnet": str(ranges[f"{place}_network"]),
            "gateway": str(controller[gateway]),
        }
        for place, gateway in (("private", "controller_address"), ("edge", "controller_edge_address"))
        if place in places
    ]
    everything = _json(module, "podman", "ps", "--all", "--format", "json")
    standing = [entry["Names"][0] for entry in everything if (entry.get("Labels") or {}).get(LABEL) == lab]
    inspected = {
        one["Name"]: one for one in (_json(module, "podman", "container", "inspect", *standing) if standing else [])
    }
    images = _json(module, "podman", "images", "--format", "json")
    present = {name for image in images for name in image.get("Names") or []}

    releases, prepared_releases = missing_images({host["release"] for host in hosts}, present, tag, prepared_tag)

    missing_networks = [one for one in wanted_networks if not network_stands(one, networks)]
    # podman changes no network that a container uses.
    moved = {one["name"] for one in missing_networks}
    names = {container["name"] for container in wanted}
    removed = sorted(
        name
        for name, one in inspected.items()
        if name not in names or moved & set(one["NetworkSettings"]["Networks"]) or was_killed(one)
    )
    module.exit_json(
        changed=False,
        networks=missing_networks,
        containers=[
            one for one in wanted
            if one["name"] in removed or one["name"] not in inspected or not is_current(one, inspected[one["name"]])
        ],
        removed_containers=removed,
        releases=releases,
        prepared_releases=prepared_releases,
        run_options=[*common["cmd_args"], *(f"--ulimit={limit}" for limit in limits)],
        outdated_images=outdated_images(images, everything, tag, lab, prepared_tag),
        addresses={host["name"]: host["ansible_host"] for host in hosts},
        acme_address=own.get(acme, ""),
        controller={name: str(address) for name, address in seen.items()} if seen != named else {},
    )  # fmt: skip


if __name__ == "__main__":
    main()
