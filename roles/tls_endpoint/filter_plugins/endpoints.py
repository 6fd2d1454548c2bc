"""From the applications on a machine to the sites and upstreams of its nginx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_TLS = ("mtls", "https")
# What a location of an application calls the application's upstream, whatever its name is in the configuration.
_OWN = "app"


def _locations(application: Mapping[str, Any], usual: Mapping[str, Any]) -> list[dict[str, Any]]:
    # Which methods a visitor may use is the proxies' to say.
    own = [{"methods": [], **location} for location in application["locations"]]
    if "/" not in [location["path"] for location in own]:
        own.append(dict(usual))
    name = application.get("upstream", application["name"])
    return [{**location, "upstream": name} if location.get("upstream") == _OWN else dict(location) for location in own]


def endpoint_sites(
    applications: Sequence[Mapping[str, Any]],
    site: Mapping[str, Any],
    location: Mapping[str, Any],
    certificate: Mapping[str, Any],
    visitors: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return proxy_sites: a site on a port of its own for each application that has an endpoint.

    `applications`: [{name, mode, port, locations, upstream}], the last one optional; `site`: what the sites have in
    common; `location`: the one that hands on to the application; `certificate` and `visitors`: the values of the
    fields `certificate` and `client_certificates` where the mode asks for them.
    """
    return [
        {
            **site,
            "name": application["name"],
            "port": application["port"],
            "https": application["mode"] in _TLS,
            "http": "refuse" if application["mode"] in _TLS else "serve",
            "certificate": certificate if application["mode"] in _TLS else {},
            "client_certificates": visitors if application["mode"] == "mtls" else {},
            "locations": _locations(application, location),
        }
        for application in applications
        if application["mode"] != "none"
    ]


def endpoint_upstreams(applications: Sequence[Mapping[str, Any]], upstream: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return proxy_upstreams: of each application that has an endpoint the one member, on this machine.

    `applications`: [{name, mode, app_address, app_port, standby_port, response_header_size, upstream}], the last three
    optional and app_port 0 for a socket; where there is a standby_port, a second instance serves in place of the
    application. `upstream`: what the upstreams have in common.
    """
    upstreams = []
    for application in applications:
        if application["mode"] == "none":
            continue
        name, port = application.get("upstream", application["name"]), application["app_port"]
        members = [{"name": name, "address": application["app_address"], **({"port": port} if port else {})}]
        if standby := application.get("standby_port"):
            members[0]["state"] = "drain"
            members.append({**members[0], "name": f"{name}-standby", "port": standby, "state": "up"})
        size = application.get("response_header_size")
        own = {"response_header_size": size} if size else {}
        upstreams.append({"name": name, **upstream, **own, "members": members})
    return upstreams


class FilterModule:
    """Offer the functions above to templates."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"endpoint_sites": endpoint_sites, "endpoint_upstreams": endpoint_upstreams}
