"""What an audit finds of one item on one host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .host import Host, Server

PASS, FAIL, WAIVED, ABSENT = "pass", "fail", "waived", "not applicable"
# Where it is, and what is wrong there.
Finding = tuple[str, str]


@dataclass(frozen=True)
class Verdict:
    """The result, why, and of a failure each place; `reason` is the project's own, if it fails the item knowingly."""

    result: str
    why: str
    findings: tuple[Finding, ...] = field(default=())
    reason: str = ""


@dataclass(frozen=True)
class Item:
    """One thing that an audit looks at. `benchmark` is its number in the CIS NGINX Benchmark 2.1, if it has one."""

    name: str
    title: str
    benchmark: str
    judge: Callable[[Host], Verdict]


def absent(why: str) -> Verdict:
    return Verdict(ABSENT, why)


def judged(findings: Iterable[Finding], fine: str, reason: str = "") -> Verdict:
    """Return a pass for no finding, else a failure whose reasons are said once each."""
    found = tuple(dict.fromkeys(findings))
    if not found:
        return Verdict(PASS, fine)
    return Verdict(FAIL, "; ".join(dict.fromkeys(why for _, why in found)), found, reason)


_UNASKED = "visitors do not get here, only the proxies"


def of_visitors(
    look: Callable[[Host, Server], Iterable[Finding]], fine: str, reason: str = "", sites: bool = True
) -> Callable[[Host], Verdict]:
    """Return a judge of each server that answers visitors (`sites`: that does more than redirect them)."""

    def judge(host: Host) -> Verdict:
        servers = host.sites if sites else host.public
        if not servers:
            return absent(_UNASKED if host.servers else "no server listens on the network")
        return judged((finding for server in servers for finding in look(host, server)), fine, reason)

    return judge


Table = tuple[Item, ...]
Facts = Mapping[str, object]
