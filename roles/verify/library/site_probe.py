#!/usr/bin/python
"""Ask proxies for their sites as the public does, and collect everything that is wrong."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.gatehouse_door import (
    NO_ANSWER,
    Client,
    Door,
    Limits,
    NobodyThereError,
    OutOfTimeError,
    enter,
    short,
    untrusting,
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
    {description: "The proxies, each with name and address.", type: list, elements: dict, required: true}
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
MOST_REQUESTS = 500
BROKEN = 500  # a status from here on is the server's own failure (RFC 9110, 15.6)
SILENT_LIMIT = 3
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


def check_locations(door: Door, client: Client) -> None:
    """Every location must answer below 500."""
    for location in door.site["locations"]:
        where, upstream = f"https://{client.name}{location['path']}", location.get("upstream") or ""
        look = (
            f"the application's journal on the members of {upstream}"
            if upstream
            else f"nginx's error log on {door.proxy}"
        )
        try:
            status = client.ask(location["path"]).status
        except NO_ANSWER as error:
            door.complain(f"{where} gives no answer ({short(error)}); look at {look}")
            continue
        if status >= BROKEN:
            door.complain(f"{where} answered {status}; look at {look}")


def check_plain(door: Door, name: str) -> None:
    """Plain http must do what the site says: send the client to the same name by https, serve it, or let it go."""
    client, does = (
        Client(door, name, None),
        door.site.get("http", "redirect") if door.site.get("https", True) else "serve",
    )
    try:
        answer = client.ask("/")
    except NO_ANSWER as error:
        if does != "refuse":
            door.complain(
                f"http://{name}/ does not answer at {door.address}:{door.ports[1]} ({short(error)}); look at "
                f"`systemctl status nginx` on {door.proxy} and at its firewall"
            )
        return
    finally:
        client.close()
    if does == "refuse":
        door.complain(
            f"http://{name}/ answered {answer.status}, and the site says http: refuse; look at what listens on port "
            f"{door.ports[1]} of {door.proxy}"
        )
    elif does == "redirect":
        check_redirect(door, name, answer)
    elif answer.status >= BROKEN:
        door.complain(f"http://{name}/ answered {answer.status}; look at nginx's error log on {door.proxy}")


def check_redirect(door: Door, name: str, answer: Any) -> None:
    """Plain http must send the client to the same name by https."""
    wanted = f"https://{name}/"
    target = answer.getheader("Location") or ""
    if answer.status not in (301, 308) or not target.startswith(wanted):
        seen = f"{answer.status} to {target}" if target else str(answer.status)
        door.complain(
            f"http://{name}/ answered {seen}, not 301 or 308 to {wanted}; look at what listens on port "
            f"{door.ports[1]} of {door.proxy}"
        )


def check_old_tls(door: Door, name: str) -> None:
    """TLS 1.0 and 1.1 must be refused (RFC 8996). Where they cannot be offered, nothing is said."""
    context = untrusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    client = Client(door, name, context)
    try:
        client.connection = client.open()
    except OSError:
        return
    door.complain(f"https://{name} accepts {client.tls}; ssl_protocols must be TLSv1.2 TLSv1.3")
    client.close()


def endpoints(member: dict[str, Any]) -> list[str]:
    """Write a member as nginx writes it in $upstream_addr; a host name as each of its addresses, as the proxy does."""
    address = str(member["address"])
    if address.startswith("unix:"):
        return [address]
    try:
        found = [str(ipaddress.ip_address(address))]
    except ValueError:
        try:
            found = sorted({str(one[4][0]) for one in socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)})
        except OSError:
            found = []
    return [f"[{one}]:{member['port']}" if ":" in one else f"{one}:{member['port']}" for one in found]


def answered_by(trace: str) -> tuple[list[str], str]:
    """Split `$upstream_addr` into (endpoints that were tried and left, the one that answered).

    https://nginx.org/en/docs/http/ngx_http_upstream_module.html#var_upstream_addr
    """
    *left, last = [part.strip() for part in re.split(r",| : ", trace)]
    return left, last


@dataclass
class Turnout:
    """Who answered for an upstream: endpoints seen, tried and left, and those with a bad status."""

    seen: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)
    bad: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    untraced: bool = False


def take_turns(client: Client, path: str, wanted: set[str], attempts: int) -> Turnout:
    """Ask for a path until each of the `wanted` endpoints has answered, or one when none is wanted."""
    turnout, silent = Turnout(), 0
    while turnout.asked < attempts and silent < SILENT_LIMIT:
        turnout.asked += 1
        try:
            answer = client.ask(path, Gatehouse_Trace="1")
        except NO_ANSWER:
            silent += 1
            continue
        trace = answer.getheader("Gatehouse-Member")
        if not trace:
            turnout.untraced = True
            return turnout
        left, last = answered_by(trace)
        turnout.tried.update(left)
        if answer.status >= BROKEN:
            turnout.bad[last] = answer.status
        else:
            turnout.seen.add(last)
        if wanted.issubset(turnout.seen | set(turnout.bad)):
            return turnout
    return turnout


def check_members(door: Door, client: Client, upstream: dict[str, Any], path: str) -> None:
    """Each member that is up must answer, and no stranger; any one where a client stays on one member."""
    name = upstream["name"]
    known = {spot: member for member in upstream["members"] for spot in endpoints(member)}
    up = {spot for spot, one in known.items() if one.get("state", "up") == "up" and not one.get("backup")}
    sticky = re.match(r"(ip_)?hash\b", upstream.get("method") or "")
    wanted = set() if sticky else up
    # Smooth weighted balancing gives each its turn within one round of all weights.
    weight = sum(int(known[spot].get("weight") or 1) for spot in wanted)
    attempts = min(MOST_REQUESTS, max(door.limits.attempts * max(len(wanted), 1), 2 * weight))
    turnout = take_turns(client, path, wanted, attempts)
    if turnout.untraced:
        door.complain(
            f"https://{client.name}{path} names no member of upstream {name} in a Gatehouse-Member header; "
            "the address that asks must be in proxy_trace_sources"
        )
        return
    came = turnout.seen | set(turnout.bad)
    for spot in sorted(came - set(known) - {name}):
        door.complain(f"upstream {name} was answered by {spot}, which is no member of it; run site.yml")
    for spot in sorted(set(known) & (came | wanted)):
        why = why_absent(turnout, spot, path, drained=known[spot].get("state") == "drain")
        if why:
            door.complain(
                f"member {known[spot]['name']} ({spot}) of upstream {name} {why}; look at "
                f"the application's journal on {known[spot]['name']}, and at whether {door.proxy} reaches it"
            )
    if not wanted and not turnout.seen:
        door.complain(f"no member of upstream {name} answered {path}; look at the application's journal on them")
    names = ", ".join(sorted(known[spot]["name"] for spot in turnout.seen & set(known))) or "none"
    note = f" (one of {len(up)}: {sticky[0]} keeps a client on it)" if sticky else ""
    door.row["members"].append(f"{name}: {names}{note}")


def why_absent(turnout: Turnout, spot: str, path: str, *, drained: bool) -> str:
    """Say what is wrong with one endpoint that answered or should have; '' when it did well."""
    if spot in turnout.bad:
        return f"answered {turnout.bad[spot]} to {path}"
    if spot in turnout.seen:
        return "is drained and was still asked" if drained else ""
    if spot in turnout.tried:
        return "was tried and did not answer"
    return f"did not answer one of {turnout.asked} requests"


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
    upstreams = {upstream["name"]: upstream for upstream in params["upstreams"]}
    doors = [
        Door(proxy["name"], proxy["address"], ports, site, trust, ca_name, limits)
        for site in params["sites"]
        for proxy in params["proxies"]
    ]
    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(lambda door: probe(door, upstreams), doors))
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
