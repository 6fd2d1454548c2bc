"""What a site promises the public: an answer at each location, plain http as it says, and no old TLS."""

from __future__ import annotations

import ssl
import warnings
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.public_client import (
    BROKEN,
    NO_ANSWER,
    Client,
    Door,
    short,
    untrusting,
)


def check_locations(door: Door, client: Client) -> None:
    """Every location must answer below 500."""
    for location in door.site["locations"]:
        where, upstream = f"https://{client.name}{location['path']}", location.get("upstream") or ""
        look = (
            f"the application's journal on the members of {upstream}"
            if upstream
            else f"nginx's error log on {door.proxy}"
        )
        try:
            status = client.ask(location["path"]).status
        except NO_ANSWER as error:
            door.complain(f"{where} gives no answer ({short(error)}); look at {look}")
            continue
        if status >= BROKEN:
            door.complain(f"{where} answered {status}; look at {look}")


def check_plain(door: Door, name: str) -> None:
    """Plain http must do what the site says: send the client to the same name by https, serve it, or let it go."""
    client, does = (
        Client(door, name, None),
        door.site.get("http", "redirect") if door.site.get("https", True) else "serve",
    )
    try:
        answer = client.ask("/")
    except NO_ANSWER as error:
        if does != "refuse":
            door.complain(
                f"http://{name}/ does not answer at {door.address}:{door.ports[1]} ({short(error)}); look at "
                f"`systemctl status nginx` on {door.proxy} and at its firewall"
            )
        return
    finally:
        client.close()
    if does == "refuse":
        door.complain(
            f"http://{name}/ answered {answer.status}, and the site says http: refuse; look at what listens on port "
            f"{door.ports[1]} of {door.proxy}"
        )
    elif does == "redirect":
        check_redirect(door, name, answer)
    elif answer.status >= BROKEN:
        door.complain(f"http://{name}/ answered {answer.status}; look at nginx's error log on {door.proxy}")


def check_redirect(door: Door, name: str, answer: Any) -> None:
    """Plain http must send the client to the same name by https."""
    wanted = f"https://{name}/"
    target = answer.getheader("Location") or ""
    if answer.status not in (301, 308) or not target.startswith(wanted):
        seen = f"{answer.status} to {target}" if target else str(answer.status)
        door.complain(
            f"http://{name}/ answered {seen}, not 301 or 308 to {wanted}; look at what listens on port "
            f"{door.ports[1]} of {door.proxy}"
        )


def check_old_tls(door: Door, name: str) -> None:
    """TLS 1.0 and 1.1 must be refused (RFC 8996). Where they cannot be offered, nothing is said."""
    context = untrusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    client = Client(door, name, context)
    try:
        client.connection = client.open()
    except OSError:
        return
    door.complain(f"https://{name} accepts {client.tls}; ssl_protocols must be TLSv1.2 TLSv1.3")
    client.close()
