"""Items of an audit: who is answered, how long they are waited for, how much they may ask, and what answers carry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from .host import PASSES, Host, Place, Server, seconds
from .verdict import Finding, Item, Table, Verdict, absent, judged, of_visitors

# What nginx answers itself, with its own name on the page unless there is another one.
_OWN_ANSWERS = {"400", "403", "404", "405", "413", "414", "429", "500", "502", "503", "504"}
_PRODUCT = "x-powered-by"
_LONGEST = 10
_CLIENT = {"binary_remote_addr", "remote_addr"}
_HALF_A_YEAR = 15768000


def _served(host: Host) -> Verdict:
    nginx = host.nginx
    if not nginx["served"]:
        return judged([("nginx", "the running server names no configuration: it is down, or not Gatehouse's")], "")
    if nginx["served"] != nginx["active"]:
        return judged([("nginx", f"{nginx['served']} runs, {nginx['active']} is linked")], "")
    # Workers begin anew with each reload; what is younger than all of them, nobody has read.
    read = max((one["started"] for one in nginx["processes"] if one["user"] != "root"), default=0.0)
    fresh = [one for one in host.files("configuration") if one["modified"] > read + 2]
    return judged(((one["path"], "was changed after nginx read it") for one in fresh), f"{nginx['served']} runs")


def _unknown_names(host: Host) -> Verdict:
    if not host.servers:
        return absent("no server listens on the network")

    def open_ones() -> Iterator[Finding]:
        addresses: dict[tuple[str, bool], list[Server]] = {}
        tls = {words[0] for server in host.servers for words in server.listens if {"ssl", "quic"} & set(words)}
        for server in host.servers:
            for words in server.listens:
                addresses.setdefault((words[0], "quic" in words), []).append(server)
        for (address, _), servers in addresses.items():
            chosen = [one for one in servers if any(w[0] == address and _is_default(w) for w in one.listens)]
            first = chosen[0] if chosen else servers[0]
            rejects = address in tls and first.value("ssl_reject_handshake") == "on"
            if not first.refuses and not first.guarded and not rejects:
                yield first.where, f"{first.label} answers every name that comes to {address}"

    return judged(open_ones(), "names that no site has are refused")


def _is_default(words: tuple[str, ...]) -> bool:
    return "default_server" in words or "default" in words


def _at_most(name: str, usual: str) -> Callable[[Host, Server], Iterator[Finding]]:
    def look(host: Host, server: Server) -> Iterator[Finding]:
        text = server.value(name, usual).split()[0]
        if not 0 < seconds(text) <= _LONGEST:
            yield server.label, f"{name} is {text}"

    return look


def _idle(host: Host, server: Server) -> Iterator[Finding]:
    # A balancer keeps its connections; for how long visitors keep theirs is its own.
    if not server.effective("set_real_ip_from"):
        yield from _at_most("keepalive_timeout", "75s")(host, server)


def _tokens(host: Host) -> Verdict:
    found = (one for one in host.servers if one.value("server_tokens") != "off")
    return judged(((one.label, "server_tokens is on") for one in found), "off")


def _pages(host: Host, server: Server) -> Iterator[Finding]:
    covered = {word for one in server.effective("error_page") for word in one.args}
    missing = sorted(_OWN_ANSWERS - covered)
    if missing:
        yield server.label, f"nginx's own page answers {', '.join(missing)}"


def _hidden(host: Host, server: Server) -> Iterator[Finding]:
    if any(_denies_hidden(place) for place in server.locations() if len(place.chain) == 4):
        return
    for place in server.locations():
        serves = place.has("root", "alias") and not place.internal and not place.has(*PASSES) and not place.returns()
        tried = " ".join(word for one in place.own.all("try_files") for word in one.args)
        looked_at = any(
            "/[.]" in one.name for name in host.sources(tried) if name in host.maps for one in host.maps[name].block
        )
        challenge = any("acme-challenge" in word for word in place.own.args)
        if serves and not looked_at and not challenge and not any(_denies_hidden(one) for one in place.locations()):
            yield place.where, "files whose names begin with a dot are served"


def _denies_hidden(place: Place) -> bool:
    words = " ".join(place.own.args)
    return bool(re.search(r"/(\[\.\]|\\\.)", words)) and (place.returns() >= 400 or place.value("deny") == "all")


def _products(host: Host) -> Verdict:
    def shown() -> Iterator[Finding]:
        for server in host.sites:
            for place in server.locations():
                for kind in ("proxy", "fastcgi", "grpc"):
                    hidden = {one.args[0].lower() for one in place.effective(f"{kind}_hide_header")}
                    if place.has(f"{kind}_pass") and _PRODUCT not in hidden:
                        yield place.where, "X-Powered-By of the application reaches visitors"
                    if place.has(f"{kind}_pass") and "Server" in place.value(f"{kind}_pass_header"):
                        yield place.where, "Server of the application reaches visitors"

    return judged(shown(), "hidden") if host.sites else absent("no visitor is answered")


def _addresses(host: Host) -> Verdict:
    def unsaid() -> Iterator[Finding]:
        for server in host.sites:
            for place in server.locations():
                # Reports of browsers go to nginx itself.
                reports = "/.gatehouse/csp-reports" in place.own.args
                if place.has("proxy_pass") and not place.internal and not reports:
                    sent = {one.args[0].lower() for one in place.effective("proxy_set_header")}
                    missing = [name for name in ("X-Forwarded-For", "X-Real-IP") if name.lower() not in sent]
                    if missing:
                        yield place.where, f"the application does not get {' and '.join(missing)}"

    return (
        judged(unsaid(), "in X-Forwarded-For and X-Real-IP")
        if host.sites
        else absent("the proxies say it, and it is passed on")
    )


def _methods(host: Host, server: Server) -> Iterator[Finding]:
    if _limits_methods(host, server):
        return
    for place in server.locations():
        if place.has(*PASSES) and not place.internal and not _limits_methods(host, place):
            yield place.where, "any method is passed on"


def _limits_methods(host: Host, place: Place) -> bool:
    conditions = [
        one for one in place.own.all("if")
        if any(two.args[0] in ("403", "405", "444", "501") for two in one.all("return"))
    ]  # fmt: skip
    return place.has("limit_except") or any("request_method" in host.sources(" ".join(one.args)) for one in conditions)


def _read_timeouts(host: Host, server: Server) -> Iterator[Finding]:
    for name in ("client_header_timeout", "client_body_timeout"):
        yield from _at_most(name, "60s")(host, server)


def _body(host: Host, server: Server) -> Iterator[Finding]:
    for place in (server, *server.locations()):
        size = place.value("client_max_body_size")
        if place is server and not size:
            yield server.label, "client_max_body_size is not said"
        elif size == "0":
            yield place.where, "a body may have any size"


def _buffers(host: Host, server: Server) -> Iterator[Finding]:
    if not server.effective("large_client_header_buffers"):
        yield server.label, "large_client_header_buffers is not said"


def _limits(kind: str) -> Callable[[Host, Server], Iterator[Finding]]:
    def look(host: Host, server: Server) -> Iterator[Finding]:
        zones = {}
        for one in host.http.all(f"{kind}_zone"):
            zone = next((re.sub(r"^zone=([^:]+).*", r"\1", word) for word in one.args if word.startswith("zone=")), "")
            zones[zone] = bool(_CLIENT & host.sources(one.args[0]))
        for place in (server, *server.locations()):
            if place is not server and (place.internal or not place.has(*PASSES)):
                continue
            named = [word.removeprefix("zone=") for one in place.effective(kind) for word in one.args]
            if not any(zones.get(word) for word in named):
                yield place.where, "one address may have any number"
                break

    return look


def _header(name: str, fits: Callable[[str], bool] = bool) -> Callable[[Host, Server], Iterator[Finding]]:
    def look(host: Host, server: Server) -> Iterator[Finding]:
        for place in (server, *server.locations()):
            sent = [one for one in place.effective("add_header") if one.args[0].lower() == name.lower()]
            if not any(fits(value) for one in sent for value in host.values(one.args[1])):
                yield place.where, f"{name} is missing" if not sent else f"{name} is {sent[0].args[1]}"
                break

    return look


def _framed(host: Host, server: Server) -> Iterator[Finding]:
    by_policy = list(_header("Content-Security-Policy", lambda value: "frame-ancestors" in value)(host, server))
    return iter(()) if not by_policy else _header("X-Frame-Options")(host, server)


def _hsts(host: Host, server: Server) -> Iterator[Finding]:
    def long_enough(value: str) -> bool:
        age = re.search(r"max-age=(\d+)", value)
        return bool(age) and int(age[1]) >= _HALF_A_YEAR if age else False

    return _header("Strict-Transport-Security", long_enough)(host, server) if server.tls else iter(())


def _cross_origin(host: Host, server: Server) -> Iterator[Finding]:
    for name in ("Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"):
        yield from _header(name)(host, server)


def day(text: str) -> datetime | None:
    """Return a moment as OpenSSL writes it (2027-02-27 12:00:00Z), or None."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "T", 1)).astimezone(UTC)
    except ValueError:
        return None


_EACH = "at each location"
_SOON = "at most 10 s"
ITEMS: Table = (
    Item("configuration", "What is on disk is what nginx serves", "", _served),
    Item("unknown_names", "Names that no site has are refused", "2.4.2", _unknown_names),
    Item("keepalive_timeout", "An idle connection is closed after 10 s", "2.4.3",
         of_visitors(_idle, _SOON, sites=False)),
    Item("send_timeout", "Who does not read is let go after 10 s", "2.4.4",
         of_visitors(_at_most("send_timeout", "60s"), _SOON, sites=False)),
    Item("server_tokens", "No answer has nginx's version", "2.5.1", _tokens),
    Item("error_pages", "No error page names nginx", "2.5.2", of_visitors(_pages, "pages of the site's own")),
    Item("hidden_files", "Files like .git and .env are not served", "2.5.3", of_visitors(_hidden, "none is")),
    Item("product_headers", "Applications do not say what they are made of", "2.5.4", _products),
    Item("source_address", "Applications get the visitor's address", "3.7", _addresses),
    Item("methods", "Only methods that are named are let through", "5.1.2", of_visitors(_methods, _EACH)),
    Item("read_timeouts", "Who sends slowly is let go after 10 s", "5.2.1",
         of_visitors(_read_timeouts, _SOON, sites=False)),
    Item("body_size", "Bodies have a largest size", "5.2.2", of_visitors(_body, _EACH)),
    Item("header_buffers", "Request lines and headers have a largest size", "5.2.3", of_visitors(_buffers, "said")),
    Item("connections", "One address has a limit of requests at once", "5.2.4",
         of_visitors(_limits("limit_conn"), _EACH)),
    Item("request_rate", "One address has a limit of requests a second", "5.2.5",
         of_visitors(_limits("limit_req"), _EACH)),
    Item("hsts", "Browsers come by HTTPS only", "4.1.8", of_visitors(_hsts, "for half a year or longer")),
    Item("frame_options", "Others cannot frame the site", "5.3.1", of_visitors(_framed, _EACH)),
    Item("content_type_options", "Browsers do not guess types", "5.3.2",
         of_visitors(_header("X-Content-Type-Options"), _EACH)),
    Item("content_security_policy", "Each site has a policy for its content", "5.3.3",
         of_visitors(_header("Content-Security-Policy"), _EACH)),
    Item("referrer_policy", "Other sites do not learn full addresses", "5.3.4",
         of_visitors(_header("Referrer-Policy"), _EACH)),
    Item("cross_origin", "Other sites do not get pages and files as their own", "",
         of_visitors(_cross_origin, "both headers")),
)  # fmt: skip
