"""What can be wrong with certificate_requests, by itself."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.names import NAME

LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
DNS_NAME = re.compile(rf"(\*\.)?({LABEL}\.)*{LABEL}")


def request_problems(requests: list[dict[str, Any]], days: int, renew_days: int) -> list[str]:
    """Everything that is wrong with the inputs, each with its place and the remedy."""
    problems = []
    if not 0 < renew_days < days:
        problems.append(
            f"certificate_renew_days is {renew_days} and certificate_days is {days}: the first must be above "
            "0 and below the second, or every run would renew"
        )
    seen: dict[str, int] = {}
    for position, request in enumerate(requests):
        where, name = f"certificate_requests[{position}]", request["name"]
        if not NAME.fullmatch(name):
            problems.append(f"{where}.name: {name!r} must be letters, digits, '.', '_' or '-', at most 63")
        if name in seen:
            problems.append(f"{where}.name: {name!r} is also certificate_requests[{seen[name]}]; give each its own")
        seen.setdefault(name, position)
        if not request["names"]:
            problems.append(f"{where}.names is empty; write at least one DNS name")
        for index, dns in enumerate(request["names"]):
            if not DNS_NAME.fullmatch(dns) or len(dns) > 253:
                problems.append(f"{where}.names[{index}]: {dns!r} is not a DNS name in lower case")
        for index, text in enumerate(request["addresses"]):
            try:
                if (canonical := str(ipaddress.ip_address(text))) != text:
                    problems.append(f"{where}.addresses[{index}]: {text!r} must be written {canonical!r}")
            except ValueError:
                problems.append(f"{where}.addresses[{index}]: {text!r} is not an IP address")
        problems += [
            f"{where}.{option} is empty; source files needs the controller's path"
            for option in ("chain", "key")
            if request["source"] == "files" and not request[option]
        ]
    return problems
