"""Which members by name have no address here, where the role proxy looks for it too."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from .estate import Estate
from .problem import Problem, wrong
from .upstreams import named_members

# Seconds that all host names of an estate may take to be resolved; what takes longer is not judged.
_SECONDS = 3.0


def unresolved_members(estate: Estate, upstreams: Any) -> Iterator[Problem]:
    """Yield the members that have no address.

    Such a member is left out, so it is a warning, unless its upstream has no other.
    """
    named = named_members(upstreams)
    _resolve_all(sorted({one["name"] for one in named} - set(estate.resolved)), estate.resolved)
    lost = [one for one in named if estate.resolved.get(one["name"]) is False]
    count = Counter(one["path"][1] for one in lost)
    for one in lost:
        alone = count[one["path"][1]] == len(upstreams[one["path"][1]]["members"])
        what = "its upstream has no other" if alone else "the member is left out"
        problem = f"{one['name']} has no address that this machine knows: {what}"
        remedy = "correct it, or write the member's IP address"
        yield wrong(one["path"], problem, remedy, "error" if alone else "warning")


def _resolve_all(names: Sequence[str], resolved: dict[str, bool]) -> None:
    """Note of each name whether it has an address."""
    # Threads of their own: a resolver without network takes long, and cannot be stopped.
    threads = [threading.Thread(target=_resolve, args=(names[n::8], resolved), daemon=True) for n in range(8)]
    deadline = time.monotonic() + _SECONDS
    for thread in threads[: len(names)]:
        thread.start()
    for thread in threads[: len(names)]:
        thread.join(max(0.0, deadline - time.monotonic()))


def _resolve(names: Sequence[str], resolved: dict[str, bool]) -> None:
    for name in names:
        try:
            resolved[name] = bool(socket.getaddrinfo(name, None))
        except OSError:
            resolved[name] = False
