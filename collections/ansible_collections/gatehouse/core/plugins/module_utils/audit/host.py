"""A host as the module `host_audit` read it, with its nginx configuration as servers and locations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.nginx_config import Directive, parse_dump

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000, "": 1}
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
PASSES = ("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass")


def seconds(text: str) -> float:
    """Return an nginx time in seconds: `75`, `10s`, `1h 30m`."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwMy]?)", text))


@dataclass(frozen=True)
class Place:
    """A server or a location: the blocks that it is in, the outermost first, and itself."""

    chain: tuple[Directive, ...]

    @property
    def own(self) -> Directive:
        return self.chain[-1]

    @property
    def where(self) -> str:
        return self.own.place.removeprefix("/etc/nginx/").removeprefix("active/")

    def effective(self, name: str) -> list[Directive]:
        """Return the directives of a name that hold here: those of the innermost level that has any."""
        return next((found for block in reversed(self.chain) if (found := list(block.all(name)))), [])

    def value(self, name: str, usual: str = "") -> str:
        """Return the arguments of the last directive of a name that holds here, in one text."""
        found = self.effective(name)
        return " ".join(found[-1].args) if found else usual

    def locations(self) -> Iterator[Place]:
        """Yield the locations in here, at any depth."""
        for child in self.own.all("location"):
            place = Place((*self.chain, child))
            yield place
            yield from place.locations()

    def returns(self) -> int:
        """Return the status that is answered here whatever is asked, or 0."""
        found = next((one.args[0] for one in self.own.all("return") if one.args[0].isdigit()), "0")
        return int(found)

    def has(self, *names: str) -> bool:
        return any(self.own.all(*names))

    @cached_property
    def internal(self) -> bool:
        return self.has("internal") or bool(self.own.args and self.own.args[-1].startswith("@"))


class Server(Place):
    """A server block that listens on the network."""

    @property
    def listens(self) -> list[tuple[str, ...]]:
        return [one.args for one in self.own.all("listen") if not one.args[0].startswith("unix:")]

    @property
    def label(self) -> str:
        names = [name for one in self.own.all("server_name") for name in one.args if name]
        return names[0] if names else self.where

    @property
    def tls(self) -> bool:
        return any("ssl" in words or "quic" in words for words in self.listens)

    @property
    def plain(self) -> bool:
        return any("ssl" not in words and "quic" not in words for words in self.listens)

    @property
    def guarded(self) -> bool:
        """Return whether only who has a certificate is answered."""
        return self.value("ssl_verify_client") == "on" and not self.plain

    @property
    def refuses(self) -> bool:
        """Return whether nobody is answered here."""
        return self.returns() >= 400 or (self.value("ssl_reject_handshake") == "on" and not self.plain)

    @property
    def redirects(self) -> bool:
        """Return whether all that is answered is the way to somewhere else."""
        status = {self.returns(), *(place.returns() for place in self.locations() if not _challenge(place))} - {0}
        answers = any(place.has(*PASSES, "root", "alias") for place in self.locations() if not _challenge(place))
        return bool(status) and not answers and all(300 <= one < 400 or one == 444 for one in status)


def _challenge(place: Place) -> bool:
    """Return whether a location answers a certificate authority and nobody else."""
    return place.internal or any("/.well-known/acme-challenge/" in word for word in place.own.args)


class Host:
    """What was read of a host, and what of it the inventory wants."""

    def __init__(self, name: str, facts: Mapping[str, Any], services: Sequence[Mapping[str, Any]] = ()) -> None:
        self.name = name
        self.facts = facts
        self.services = services

    @property
    def nginx(self) -> Mapping[str, Any]:
        return dict(self.facts["nginx"])

    @cached_property
    def main(self) -> Directive:
        return parse_dump(self.nginx["configuration"])

    @cached_property
    def http(self) -> Directive:
        return next(self.main.all("http"), Directive("http", (), "", ()))

    @cached_property
    def servers(self) -> list[Server]:
        """Return the servers that listen on the network."""
        found = [Server((self.main, self.http, one)) for one in self.http.all("server")]
        return [one for one in found if one.listens or not one.has("listen")]

    @cached_property
    def public(self) -> list[Server]:
        """Return those that answer whoever comes."""
        return [one for one in self.servers if not one.guarded and not one.refuses]

    @cached_property
    def sites(self) -> list[Server]:
        """Return those that do more than to show the way to another one."""
        return [one for one in self.public if not one.redirects]

    @cached_property
    def maps(self) -> dict[str, Directive]:
        """Return the maps by the variable that they make, without its dollar."""
        return {one.args[-1].lstrip("$"): one for one in self.http.all("map") if len(one.args) == 2}

    def sources(self, text: str) -> set[str]:
        """Return the variables in a text, and those that they are made of."""
        found: set[str] = set()
        waiting = set(_VARIABLE.findall(text))
        while waiting:
            name = waiting.pop()
            found.add(name)
            if name in self.maps:
                made_of = [self.maps[name].args[0], *(word for one in self.maps[name].block for word in one.args)]
                waiting |= set(_VARIABLE.findall(" ".join(made_of))) - found
        return found

    def values(self, text: str) -> list[str]:
        """Return what a text may be: itself, or the values of the map whose variable it is."""
        found = _VARIABLE.fullmatch(text)
        if not found or found[1] not in self.maps:
            return [text]
        return [value for one in self.maps[found[1]].block for word in one.args[-1:] for value in self.values(word)]

    def members(self, target: str) -> list[str]:
        """Return the addresses that a `proxy_pass` leads to."""
        name = re.sub(r"^[a-z]+://", "", target).split("/")[0]
        pools = [one for one in self.http.all("upstream") if one.args == (name,)]
        return [server.args[0] for pool in pools for server in pool.all("server")] or [name]

    def passing(self, *names: str) -> Iterator[tuple[Place, str]]:
        """Yield (location, target) of what is handed on to an upstream."""
        for server in self.servers:
            for place in server.locations():
                for one in place.own.all(*(names or PASSES)):
                    yield place, one.args[0]

    def files(self, kind: str) -> list[Mapping[str, Any]]:
        return list(self.nginx["files"].get(kind, ()))
