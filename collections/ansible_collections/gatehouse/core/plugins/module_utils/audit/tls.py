"""Items of an audit: TLS towards visitors and towards members."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from .host import Host, Place, Server
from .serving import day
from .verdict import Finding, Item, Table, Verdict, absent, judged

_MODERN = {"TLSv1.2", "TLSv1.3"}
# Key exchange that keeps what was recorded secret, and encryption that notices changes.
_STRONG = re.compile(
    r"ECDHE-(?:ECDSA|RSA)-(?:AES(?:128|256)-GCM-SHA(?:256|384)|CHACHA20-POLY1305|AES(?:128|256)-CCM8?)"
)
_DHE = re.compile(r"(?<![A-Z])(?:DHE|EDH)-")
_TICKET_HOURS = 48
_LEAST_DAYS = 7
_NEAR = re.compile(r"127\.|\[::1\]|localhost\b|unix:")


def _of_tls(look: Callable[[Host, Server], Iterator[Finding]], fine: str) -> Callable[[Host], Verdict]:
    """Return a judge of each server with TLS, the endpoints' included."""

    def judge(host: Host) -> Verdict:
        servers = [one for one in host.servers if one.tls and one.value("ssl_certificate")]
        if not servers:
            return absent("no server has TLS")
        return judged((finding for server in servers for finding in look(host, server)), fine)

    return judge


def _redirected(host: Host) -> Verdict:
    def clear() -> Iterator[Finding]:
        for server in host.public:
            sends_on = any(
                one.args[0].startswith("30") and "https://" in " ".join(one.args)
                for block in (server.own, *server.own.all("if")) for one in block.all("return")
            )  # fmt: skip
            if server.plain and not server.redirects and not sends_on:
                yield server.label, "answers in plaintext"

    return judged(clear(), "everybody is sent to HTTPS") if host.public else absent("nobody is answered in plaintext")


def _certificates(host: Host) -> Verdict:
    found = host.files("certificates")
    now = datetime.fromtimestamp(host.facts["clock"], UTC)

    def bad() -> Iterator[Finding]:
        for one in found:
            ends = day(one["ends"])
            if one["kind"] != "file" or not ends:
                yield one["path"], "is no certificate that can be read"
            elif (ends - now).days < _LEAST_DAYS:
                yield one["path"], f"ends on {ends:%Y-%m-%d}"

    return (
        judged(bad(), f"valid for {_LEAST_DAYS} days or longer ({len(found)})")
        if found
        else absent("no server has TLS")
    )


def _versions(host: Host, server: Server) -> Iterator[Finding]:
    old = [one for one in server.value("ssl_protocols", "TLSv1 TLSv1.1").split() if one not in _MODERN]
    if old:
        yield server.label, f"takes {', '.join(old)}"


def _ciphers(host: Host, server: Server) -> Iterator[Finding]:
    if "TLSv1.2" not in server.value("ssl_protocols", "TLSv1.2"):
        return
    weak = [one for one in re.split(r"[: ,]", server.value("ssl_ciphers", "HIGH")) if not _STRONG.fullmatch(one)]
    weak = [one for one in weak if one and not one.startswith("!") and not one.startswith("TLS_")]
    if weak:
        yield server.label, f"takes {', '.join(weak[:3])}"


def _parameters(host: Host) -> Verdict:
    users = [one for one in host.servers if one.tls and _DHE.search(one.value("ssl_ciphers"))]
    if not users:
        return absent("no suite with finite-field Diffie-Hellman")
    return judged(
        ((one.label, "ssl_dhparam is missing") for one in users if not one.value("ssl_dhparam")), "of their own"
    )


def _stapled(host: Host) -> Verdict:
    asked = {one["path"] for one in host.files("certificates") if one["ocsp"]}
    if not asked:
        return absent("no certificate names an OCSP responder")
    users = (one for one in host.servers if one.value("ssl_certificate") in asked and one.value("ssl_stapling") != "on")
    return judged(((one.label, "ssl_stapling is off") for one in users), "on")


def _tickets(host: Host, server: Server) -> Iterator[Finding]:
    if server.value("ssl_session_tickets", "on") == "off":
        return
    keys = {one.args[0] for one in server.effective("ssl_session_ticket_key")}
    changed = [one["modified"] for one in host.files("keys") if one["path"] in keys]
    if not keys:
        yield server.label, "tickets are sealed by a key that lives as long as nginx"
    elif not changed or host.facts["clock"] - max(changed) > _TICKET_HOURS * 3600:
        yield server.label, f"the key of tickets is older than {_TICKET_HOURS} hours"


def _http2(host: Host, server: Server) -> Iterator[Finding]:
    if server.value("http2") != "on" and not any("http2" in words for words in server.listens):
        yield server.label, "HTTP/2 is off"


def _upstreams(look: Callable[[Place, str], Iterator[Finding]], fine: str) -> Callable[[Host], Verdict]:
    """Return a judge of each location that hands on to another host."""

    def judge(host: Host) -> Verdict:
        away = [
            (place, target)
            for place, target in host.passing("proxy_pass", "grpc_pass", "fastcgi_pass")
            if not all(_NEAR.match(member) for member in host.members(target))
            and not any("acme" in word for word in place.own.args)
        ]
        if not away:
            return absent("nothing is handed on to another host")
        return judged((finding for place, target in away for finding in look(place, target)), fine)

    return judge


def _shown(place: Place, target: str) -> Iterator[Finding]:
    kind = "grpc" if target.startswith("grpc") else "proxy"
    if not target.startswith(("https:", "grpcs:")):
        yield place.where, f"{target} is asked in plaintext"
    elif not place.value(f"{kind}_ssl_certificate"):
        yield place.where, f"shows {target} no certificate"


def _verified(place: Place, target: str) -> Iterator[Finding]:
    kind = "grpc" if target.startswith("grpc") else "proxy"
    if not target.startswith(("https:", "grpcs:")):
        yield place.where, f"{target} is asked in plaintext"
    elif place.value(f"{kind}_ssl_verify") != "on":
        yield place.where, f"the certificate of {target} is not verified"


ITEMS: Table = (
    Item("https_redirect", "Who comes in plaintext is sent to HTTPS", "4.1.1", _redirected),
    Item("certificates", "Certificates can be read and do not end soon", "4.1.2", _certificates),
    Item("tls_versions", "TLS 1.2 and 1.3 only", "4.1.4", _of_tls(_versions, "no older one")),
    Item("tls_ciphers", "Suites with forward secrecy and AEAD only", "4.1.5", _of_tls(_ciphers, "no other")),
    Item("dh_parameters", "Diffie-Hellman parameters are the host's own", "4.1.6", _parameters),
    Item("ocsp_stapling", "OCSP is stapled where there is a responder", "4.1.7", _stapled),
    Item(
        "session_tickets",
        "No ticket outlives a key that changes each day",
        "4.1.12",
        _of_tls(_tickets, "off, or sealed by such a key"),
    ),
    Item("http2", "HTTP/2 is on", "4.1.13", _of_tls(_http2, "on")),
    Item(
        "upstream_client", "Members see a certificate of the proxy's", "4.1.9", _upstreams(_shown, "at each location")
    ),
    Item(
        "upstream_verified", "Members' certificates are verified", "4.1.10", _upstreams(_verified, "at each location")
    ),
)
