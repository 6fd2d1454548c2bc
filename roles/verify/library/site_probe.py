#!/usr/bin/python
"""Ask proxies for their sites as the public does, and collect everything that is wrong."""

from __future__ import annotations

import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils.member_turns import check_members
from ansible_collections.gatehouse.core.plugins.module_utils.public_client import (
    Client,
    Door,
    Limits,
    NobodyThereError,
    OutOfTimeError,
    enter,
    short,
)
from ansible_collections.gatehouse.core.plugins.module_utils.site_checks import (
    check_locations,
    check_old_tls,
    check_plain,
)

DOCUMENTATION = r"""
---
module: site_probe
short_description: Ask proxies for their sites as the public does
description:
  - For each proxy and site, asks the proxy's address by HTTPS with each server name and checks the
    certificate (chain, name, days left), the status of each location, that TLS below 1.2 is refused, that
    http does what the site says, and that every member which is up answers. Requests with
    C(Gatehouse-Trace) are answered with C(Gatehouse-Member), the address and port of the member.
  - Needs Python's standard library only. Changes nothing. Bounded by O(budget) and O(attempts).
  - In check mode problems do not fail, and it is skipped where no proxy answers.
options:
  proxies:
    {description: "The proxies, each with name and address, and C(upstreams) where they differ from O(upstreams).",
     type: list, elements: dict, required: true}
  sites:
    {description: "The sites, each with name, server_names, https, http and locations (path, upstream).",
     type: list, elements: dict, required: true}
  upstreams:
    {description: "The upstreams, each with name, method and members (name, address, port, weight, state).",
     type: list, elements: dict, required: true}
  ca_pem: {description: "CAs to trust besides the system's store, as PEM.", type: str, default: ""}
  ca_name: {description: What messages call O(ca_pem)., type: str, default: the system's store}
  min_days: {description: Fewer days left on a certificate are a problem., type: int, default: 7}
  attempts: {description: "Requests for each member of an upstream, at most.", type: int, default: 10}
  timeout: {description: Seconds for one answer., type: int, default: 5}
  budget: {description: Seconds for everything., type: int, default: 120}
  https_port: {description: Where the proxies speak HTTPS., type: int, default: 443}
  http_port: {description: Where they speak plain http., type: int, default: 80}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Ask the proxy for the storefront
  site_probe:
    proxies: [{name: proxy1, address: 203.0.113.10}]
    sites:
      - name: storefront
        server_names: [shop.example.com]
        locations: [{path: /, upstream: storefront}]
    upstreams:
      - name: storefront
        members: [{name: web1, address: 10.0.0.11, port: 5000, state: up}]
  delegate_to: localhost
"""

RETURN = r"""
table:
  description: A line for each site and proxy, under a heading.
  type: list
  elements: str
  returned: success
results:
  description: The same as C(site), C(proxy), C(tls), C(issuer), C(days_left) and C(members).
  type: list
  elements: dict
  returned: success
problems:
  description: Each problem, with what to look at. Filled only in check mode, for they fail otherwise.
  type: list
  elements: str
  returned: success
"""

WORKERS = 4
WILDCARD_LABEL = "gatehouse-probe"
HEADINGS = ("site", "proxy", "tls", "issuer", "days left", "members that answered")


def concrete(server_name: str) -> str:
    """Return a name that a client can ask for, '' where there is none (a catch-all, an expression).

    https://nginx.org/en/docs/http/server_names.html
    """
    if server_name.startswith("*."):
        return f"{WILDCARD_LABEL}{server_name[1:]}"
    name = server_name.removeprefix(".")
    return name if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", name) else ""


def probe(door: Door, upstreams: dict[str, dict[str, Any]]) -> Door:
    """All checks of one site on one proxy."""
    site = door.site
    door.row = {
        "site": site["name"],
        "proxy": door.proxy,
        "tls": "",
        "issuer": "",
        "days_left": 0,
        "members": [],
    }
    names = [name for name in map(concrete, site["server_names"]) if name]
    if not names:
        door.complain("none of its server_names can be asked for; give it one full name")
    try:
        for position, name in enumerate(names):
            client = enter(door, name) if site.get("https", True) else None
            if client:
                check_locations(door, client)
                if position == 0:
                    check_old_tls(door, name)
                    check_upstreams(door, client, upstreams)
                client.close()
            check_plain(door, name)
    except NobodyThereError:
        pass
    except OutOfTimeError:
        door.complain("not all was asked within verify_budget seconds; look at what is slow, or raise it")
    return door


def check_upstreams(door: Door, client: Client, upstreams: dict[str, dict[str, Any]]) -> None:
    """Look at the members of every upstream that the site uses, through its shortest path."""
    paths: dict[str, str] = {}
    for location in sorted(door.site["locations"], key=lambda location: len(location["path"])):
        if location.get("upstream"):
            paths.setdefault(location["upstream"], location["path"])
    for name, path in sorted(paths.items()):
        if name in upstreams:
            check_members(door, client, upstreams[name], path)
        else:
            door.complain(f"location {path} names upstream {name}, which is not in verify_upstreams")


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Lay out the rows as lines in columns, under a heading."""
    cells = [HEADINGS] + [
        (
            row["site"],
            row["proxy"],
            row["tls"],
            row["issuer"],
            str(row["days_left"]),
            "; ".join(row["members"]),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def somebody_listens(params: dict[str, Any]) -> bool:
    """Whether one of the proxies takes a connection on its HTTPS port."""
    for proxy in params["proxies"]:
        try:
            socket.create_connection((proxy["address"], params["https_port"]), min(2, params["timeout"])).close()
        except OSError:
            continue
        return True
    return False


def run(params: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Ask for every site on every proxy, a few at a time: (rows of the table, problems)."""
    # Given `cadata`, create_default_context would leave the system's store out, and with it every public certificate.
    trust, ca_name = ssl.create_default_context(), params["ca_name"]
    if params["ca_pem"]:
        trust.load_verify_locations(cadata=params["ca_pem"])
        ca_name += " or the system's store"
    limits = Limits(params["timeout"], time.monotonic() + params["budget"], params["attempts"], params["min_days"])
    ports = params["https_port"], params["http_port"]
    upstreams = {
        proxy["name"]: {one["name"]: one for one in proxy.get("upstreams") or params["upstreams"]}
        for proxy in params["proxies"]
    }
    doors = [
        Door(proxy["name"], proxy["address"], ports, site, trust, ca_name, limits)
        for site in params["sites"]
        for proxy in params["proxies"]
    ]
    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(lambda door: probe(door, upstreams[door.proxy]), doors))
    return [door.row for door in done], [problem for door in done for problem in door.problems]


def main() -> None:
    """Run as a module."""
    dicts = {"type": "list", "elements": "dict", "required": True}
    module = AnsibleModule(
        argument_spec={
            "proxies": dicts,
            "sites": dicts,
            "upstreams": dicts,
            "ca_pem": {"type": "str", "default": ""},
            "ca_name": {"type": "str", "default": "the system's store"},
            "min_days": {"type": "int", "default": 7},
            "attempts": {"type": "int", "default": 10},
            "timeout": {"type": "int", "default": 5},
            "budget": {"type": "int", "default": 120},
            "https_port": {"type": "int", "default": 443},
            "http_port": {"type": "int", "default": 80},
        },
        supports_check_mode=True,
    )
    params = module.params
    for option in ("proxies", "sites"):
        if not params[option]:
            module.fail_json(msg=f"verify_{option} is empty, so nothing would be asked; name what the public uses")
    if module.check_mode and not somebody_listens(params):
        module.exit_json(skipped=True, skip_reason="no proxy answers yet, and check mode makes none", changed=False)
    try:
        rows, problems = run(params)
    except ssl.SSLError as error:
        module.fail_json(msg=f"{params['ca_name']} holds no CA certificate that can be read: {short(error)}")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    if problems and not module.check_mode:
        module.fail_json(msg=f"{count} seen from outside:\n- " + "\n- ".join(problems))
    module.exit_json(changed=False, table=table(rows), results=rows, problems=problems)


if __name__ == "__main__":
    main()
