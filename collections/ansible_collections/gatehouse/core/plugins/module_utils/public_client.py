"""The client of site_probe: one connection to one proxy for one name, and a look at the certificate it shows."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.deadline import limit
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible_line

# What a request can end with instead of an answer.
NO_ANSWER = (OSError, http.client.HTTPException)
BODY_LIMIT = 65536
BROKEN = 500  # a status from here on is the server's own failure (RFC 9110, 15.6)
# X509_V_ERR_* of OpenSSL's x509_vfy.h.
EXPIRED, WRONG_NAME, OUTSIDE_CONSTRAINTS, UNKNOWN_ISSUER = 10, 62, 47, (2, 18, 19, 20, 21)


class OutOfTimeError(Exception):
    """The budget for everything is used up."""


class NobodyThereError(Exception):
    """The proxy takes no connection, so nothing more can be asked of it."""


@dataclass
class Limits:
    """What bounds the probe: `timeout` in seconds, `deadline` on the monotonic clock."""

    timeout: float
    deadline: float
    attempts: int
    min_days: int

    def patience(self) -> float:
        """Seconds that the next answer may take."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise OutOfTimeError
        return min(self.timeout, left)


@dataclass
class Door:
    """One site on one proxy: where to ask, what to trust, and what was found there."""

    proxy: str
    address: str
    ports: tuple[int, int]  # https, http
    site: dict[str, Any]
    trust: ssl.SSLContext
    ca_name: str
    limits: Limits
    problems: list[str] = field(default_factory=list)
    row: dict[str, Any] = field(default_factory=dict)

    def complain(self, text: str) -> None:
        """Add a problem of this site on this proxy."""
        self.problems.append(f"{self.site['name']} on {self.proxy}: {text}")


class Client:
    """Asks one door for one server name, over one connection for as long as the proxy keeps it open."""

    def __init__(self, door: Door, name: str, context: ssl.SSLContext | None) -> None:
        self.door, self.name, self.context = door, name, context
        self.connection: http.client.HTTPConnection | None = None
        self.tls = ""
        self.certificate: dict[str, Any] = {}

    def open(self) -> http.client.HTTPConnection:
        """Connect to the proxy's address, with the name as SNI; the certificate is checked by the context."""
        door = self.door
        port = door.ports[0 if self.context else 1]
        plain = socket.create_connection((door.address, port), door.limits.patience())
        connection = http.client.HTTPConnection(self.name)
        connection.sock = plain
        if self.context:
            try:
                secure = self.context.wrap_socket(plain, server_hostname=self.name)
            except BaseException:
                plain.close()
                raise
            self.tls, self.certificate = secure.version() or "", dict(secure.getpeercert() or {})
            connection.sock = secure
        return connection

    def ask(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """GET a path. A kept connection that the proxy has closed meanwhile is opened again once."""
        kept, self.connection = self.connection, None
        try:
            connection = kept or self.open()
            patience = self.door.limits.patience()
            connection.sock.settimeout(patience)
            limit(connection, time.monotonic() + patience)
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers={"Host": self.name, "User-Agent": "Gatehouse-verify", **fields})
            response = connection.getresponse()
        except (ConnectionError, ssl.SSLEOFError, http.client.BadStatusLine):
            if kept is None:
                raise
            kept.close()
            return self.ask(path, **headers)
        with suppress(*NO_ANSWER):  # the status is known, and a stream need not end
            response.read(BODY_LIMIT)
        if response.isclosed() and not response.will_close:
            self.connection = connection
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Let go of the connection."""
        if self.connection:
            self.connection.close()


def why_untrusted(error: ssl.SSLCertVerificationError, name: str, ca_name: str) -> str:
    """Say what is wrong with a certificate, and what to do."""
    if error.verify_code == WRONG_NAME:
        return f"https://{name} shows a certificate for another name; add {name} to the names of its certificate"
    if error.verify_code == EXPIRED:
        return f"https://{name} shows a certificate that has expired; run site.yml, or replace its file"
    if error.verify_code in UNKNOWN_ISSUER:
        return (
            f"https://{name} shows a certificate that no CA in {ca_name} signed ({error.verify_message}); "
            "look at verify_ca_file, and at the chain of the certificate"
        )
    return f"https://{name} shows a certificate that is refused: {error.verify_message}"


def short(error: Exception) -> str:
    """Put an error in a few words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    text = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return visible_line(str(text)) if text else type(error).__name__


def untrusting() -> ssl.SSLContext:
    """Make a context that takes any certificate, to go on asking after a bad one was reported."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def enter(door: Door, name: str) -> Client | None:
    """Shake hands for a name and look at the certificate; None when the proxy will not."""
    client = Client(door, name, door.trust)
    try:
        client.connection = client.open()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == OUTSIDE_CONSTRAINTS and (door.site.get("certificate") or {}).get("source") == "acme":
            # The unit that asks for a certificate complains itself; until it has one, nginx starts with this one.
            door.row["issuer"] = "internal, until the ACME authority has issued one"
        else:
            door.complain(why_untrusted(error, name, door.ca_name))
        client.context = untrusting()
        return client
    except ssl.SSLError as error:
        door.complain(f"https://{name} refuses TLS ({short(error)}); look at nginx's error log on {door.proxy}")
        return None
    except OSError as error:
        door.complain(
            f"https://{name} does not answer at {door.address}:{door.ports[0]} ({short(error)}); look at "
            f"`systemctl status nginx` on {door.proxy} and at its firewall"
        )
        raise NobodyThereError from error
    ends = ssl.cert_time_to_seconds(client.certificate["notAfter"])
    days = int((ends - time.time()) // 86400)
    if days < door.limits.min_days:
        door.complain(
            f"the certificate of https://{name} has {days} days left, fewer than verify_min_days "
            f"({door.limits.min_days}); run site.yml, or replace its file"
        )
    if not door.row["tls"] or days < door.row["days_left"]:
        issuer = {key: value for part in client.certificate["issuer"] for key, value in part}
        door.row.update(
            tls=client.tls,
            days_left=days,
            issuer=issuer.get("commonName", issuer.get("organizationName", "?")),
        )
    return client
