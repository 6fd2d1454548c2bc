"""Whether every member of an upstream answers, asked from outside until each had its turn."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.public_client import BROKEN, NO_ANSWER, Client, Door

MOST_REQUESTS = 500
SILENT_LIMIT = 3
# For so long nginx leaves a member alone after one attempt that failed, which may be a connection that a reload on the
# member's side closed: https://nginx.org/en/docs/http/ngx_http_upstream_module.html#fail_timeout
LEFT_ALONE = 10.5


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

    def merged(self, later: Turnout) -> Turnout:
        """Return both as one; who answered the second time is not held to have failed to before."""
        return Turnout(
            self.seen | later.seen,
            (self.tried | later.tried) - later.seen,
            {**self.bad, **later.bad},
            self.asked + later.asked,
            later.untraced,
        )


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
    late = wanted - turnout.seen - set(turnout.bad)
    if turnout.seen and late and time.monotonic() + LEFT_ALONE < door.limits.deadline:
        time.sleep(LEFT_ALONE)
        turnout = turnout.merged(take_turns(client, path, late, attempts))
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
