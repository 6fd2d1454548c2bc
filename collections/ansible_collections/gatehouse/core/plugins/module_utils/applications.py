"""An entry of the list `applications`, and the inputs of roles that it gives its hosts.

The list is what an operator writes; the roles keep their own inputs. Which key becomes which input is a rule, not a
table, so that a new input of a role can be written in an entry at once:

    {name: shop, runtime: node, port: 3000, rollout: {batch: 2}, node: {build_script: build}}
    app_name, runtime, app_port, rollout_batch, node_app_build_script
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What an entry says of other things than the role `app`: a mapping of that role's inputs without their prefix.
SECTIONS = ("rollout", "tls_endpoint")
# A mapping of fields of the application's entry of proxy_upstreams: no input of its hosts.
UPSTREAM = "upstream"
# How a text begins that `make new` leaves to the operator; what follows says what to write.
UNFILLED = "FILL IN"


def named(applications: Any) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield (index, name, entry) of the entries that have a name, the first of each name.

    What else is wrong with the list is preflight's.
    """
    seen = set[str]()
    for index, entry in enumerate(applications if isinstance(applications, (list, tuple)) else ()):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if isinstance(name, str) and name and name not in seen:
            seen.add(name)
            yield index, str(name), entry


def inputs(entry: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (input of a role, path of its value in the entry)."""
    runtime = entry.get("runtime")
    for key in entry:
        name, value = str(key), entry[key]
        if name == "runtime":
            yield "runtime", (name,)
        elif name in SECTIONS and isinstance(value, Mapping):
            yield from ((f"{name}_{part}", (name, str(part))) for part in value)
        elif name == runtime and isinstance(value, Mapping):
            yield from ((f"{name}_app_{part}", (name, str(part))) for part in value)
        elif name != UPSTREAM:
            yield f"app_{name}", (name,)


def key_of(variable: str, runtime: str) -> str:
    """Return where an entry says an input of a role, as `rollout.batch`; '' for an input that no entry can say."""
    for section in (*SECTIONS, runtime):
        prefix = f"{section}_app_" if section == runtime else f"{section}_"
        if variable.startswith(prefix):
            return f"{section}.{variable.removeprefix(prefix)}"
    return variable.removeprefix("app_") if variable.startswith("app_") else ""


def runtimes(roles: Iterable[str]) -> list[str]:
    """Return the runtimes that there are, from the names of the roles."""
    return sorted(role.removesuffix("_app") for role in roles if role.endswith("_app"))
