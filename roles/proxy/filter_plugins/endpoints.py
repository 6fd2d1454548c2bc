"""From the TLS endpoints of the applications on a host to the sites and upstreams of its nginx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.specs import spec_defaults

# What a location of an application calls the application's upstream, whatever its name is in the configuration.
_OWN = "app"
# Each piece is passed on at once, both ways: the proxy has buffered what has to be.
_LOCATION = {"path": "/", "upstream": _OWN, "streaming": True, "websocket": True, "methods": []}
# The proxy decides how long to wait, and lets go.
_UPSTREAM = {"transport": "http", "send_timeout": "1h", "read_timeout": "1h", "next_upstream": ["off"]}


def _locations(endpoint: Mapping[str, Any], upstream: str) -> list[dict[str, Any]]:
    # Which methods a visitor may use is the proxies' to say.
    own = [{"methods": [], **location} for location in endpoint["locations"]]
    if "/" not in [location["path"] for location in own]:
        own.append(dict(_LOCATION))
    return [
        {**location, "upstream": upstream} if location.get("upstream") == _OWN else dict(location) for location in own
    ]


def endpoint_sites(endpoints: Sequence[Mapping[str, Any]], option: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return entries of proxy_sites: a site on a port of its own for each endpoint, which is its field `endpoint`.

    `endpoints`: proxy_endpoints with its defaults; `option`: proxy_sites in the spec, whose defaults are applied here.
    What the site passes on is unchanged: whoever asks is a proxy, which has limits, headers and pages of its own.
    """
    sites = []
    for endpoint in endpoints:
        secure, folder = endpoint["mode"] != "http", endpoint["certificate"]
        certificate = {"source": "host", "chain": f"{folder}/fullchain.pem", "key": f"{folder}/privkey.pem"}
        visitors = {
            "mode": "required",
            "ca": endpoint["ca"],
            "crl": endpoint["crl"],
            "names": endpoint["clients"],
            # The most that there can be: the CA is the estate's own, however many stand between it and its root.
            "depth": 10,
            "resume": True,
        }
        site = {
            "name": endpoint["name"],
            "port": endpoint["port"],
            "server_names": endpoint["names"],
            # A request names the public site.
            "catch_all": True,
            "unavailable": "close",
            "access_log": False,
            "https": secure,
            "http": "refuse" if secure else "serve",
            "certificate": certificate if secure else {},
            "client_certificates": visitors if endpoint["mode"] == "mtls" else {},
            "locations": _locations(endpoint, endpoint["upstream"] or endpoint["name"]),
        }
        full = spec_defaults([site], option, "proxy_sites")[0]
        address = endpoint["address"]
        listen = f"[{address}]" if ":" in address else address
        sites.append({**full, "endpoint": {**endpoint, "listen": listen}})
    return sites


def endpoint_upstreams(endpoints: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return entries of proxy_upstreams: of each endpoint the application, on this host, as the one member.

    `endpoints`: proxy_endpoints with its defaults. Where there is a standby_port, a second instance serves in place of
    the application; app_port is 0 for a socket.
    """
    upstreams = []
    for endpoint in endpoints:
        name, port = endpoint["upstream"] or endpoint["name"], endpoint["app_port"]
        members = [{"name": name, "address": endpoint["app_address"], **({"port": port} if port else {})}]
        if standby := endpoint["standby_port"]:
            members[0]["state"] = "drain"
            members.append({**members[0], "name": f"{name}-standby", "port": standby, "state": "up"})
        own = {"response_header_size": endpoint["response_header_size"]} if endpoint["response_header_size"] else {}
        upstreams.append({"name": name, **_UPSTREAM, **own, "members": members})
    return upstreams


class FilterModule:
    """Offer the functions above to templates."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"endpoint_sites": endpoint_sites, "endpoint_upstreams": endpoint_upstreams}
