"""Our own configuration with one thing taken away, to see what that thing costs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import crossplane

Directive = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """What differs: directives left out (by their first words), texts replaced in arguments, lines added to http."""

    name: str
    what: str
    without: tuple[str, ...] = ()
    replace: Mapping[str, str] = field(default_factory=dict)
    http: str = ""


# The first is the measure of the others: it lacks only what systemd does to the live nginx.
VARIANTS = (
    Variant("unconfined", "the unit's sandbox"),
    Variant("no-log", "the access log", without=("access_log",), http="access_log off;"),
    Variant(
        "no-log-check", "its test for bytes that are no UTF-8",
        without=("access_log",), http="access_log /var/log/nginx/access.log.{name} gatehouse_ascii buffer=64k;",
    ),
    Variant("no-request-id", "the request id", replace={"$request_id": "-"}),
    Variant("no-headers", "all response headers of ours", without=("add_header", "more_set_headers")),
    Variant("no-cache-headers", "those that show what the cache did",
            without=("add_header Age", "add_header Cache-Status", "add_header Gatehouse-Cache")),
    Variant("no-forwarding", "the request headers for the application, but Host",
            without=("proxy_set_header X", "proxy_set_header Proxy")),
    Variant("no-zone", "what workers share about members", without=("zone",)),
)  # fmt: skip
FIRST_PORT = 8200


def ports(variants: Sequence[Variant] = VARIANTS, first: int = FIRST_PORT) -> dict[str, dict[str, int]]:
    """Return the ports of each variant, by scheme."""
    return {
        variant.name: {"http": first + 2 * number, "https": first + 2 * number + 1}
        for number, variant in enumerate(variants)
    }


def vary(tree: Path, variant: Variant, listen: Mapping[str, int]) -> dict[str, str]:
    """Return the files of a configuration that runs beside the live one, on other ports and in other places.

    `tree` is a copy of /etc/nginx/active, and the result path to text.
    """
    files = {}
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        if path.suffix != ".conf":
            files[str(path.relative_to(tree))] = path.read_text()
            continue
        # check_*: a file that is included knows neither its context nor every module's directive.
        parsed = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False)
        if parsed["errors"]:
            raise ValueError(f"{path.relative_to(tree)}: {parsed['errors'][0]['error']}")
        block = _vary_block(parsed["config"][0]["parsed"], variant, listen)
        files[str(path.relative_to(tree))] = str(crossplane.build(block)) + "\n"
    files["identity.conf"] = "# The live tree's name is asked for on its own socket only.\n"
    files["http/variant.conf"] = variant.http.format(name=variant.name) + "\n"
    return files


def _vary_block(block: Sequence[Directive], variant: Variant, listen: Mapping[str, int]) -> list[Directive]:
    changed = []
    for directive in block:
        words = " ".join([directive["directive"], *directive["args"]])
        if any(words == out or words.startswith((f"{out} ", f"{out}-")) for out in variant.without):
            continue
        if directive["directive"] == "listen" and "quic" in directive["args"]:
            continue
        new = dict(directive) | {"args": _vary_arguments(directive, variant, listen)}
        if "block" in directive:
            new["block"] = _vary_block(directive["block"], variant, listen)
        changed.append(new)
    return changed


def _vary_arguments(directive: Directive, variant: Variant, listen: Mapping[str, int]) -> list[str]:
    name, arguments = directive["directive"], list(directive["args"])
    # What makes a variable stays: it would make another one of a name that nginx has.
    for old, new in variant.replace.items() if name != "map" else ():
        arguments = [argument.replace(old, new) for argument in arguments]
    arguments = [re.sub(r"unix:(/[\w./-]+)", rf"unix:\1.{variant.name}", argument) for argument in arguments]
    if name in ("pid", "error_log", "access_log", "proxy_cache_path") and arguments[0].startswith("/"):
        arguments[0] += f".{variant.name}"
    if name == "listen":
        arguments[0] = re.sub(r":80$", f":{listen['http']}", re.sub(r":443$", f":{listen['https']}", arguments[0]))
    return arguments
