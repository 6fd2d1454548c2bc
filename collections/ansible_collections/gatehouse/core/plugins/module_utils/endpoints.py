"""How a health check from a proxy asks a member: where it is reached, as whom it is asked, what it is verified by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.drains import member_names
from ansible_collections.gatehouse.core.plugins.module_utils.health import visitor_headers
from ansible_collections.gatehouse.core.plugins.module_utils.members import verified_name


def _site_of(upstream: str, sites: Any) -> Mapping[str, Any]:
    """Return the first site that sends requests to the upstream, {} if none does."""
    for site in sites:
        if any(location.get("upstream") == upstream for location in site.get("locations") or ()):
            return dict(site)
    return {}


def _host_of(site: Mapping[str, Any]) -> str:
    """Return the first server name of a site that is no pattern, '' if there is none."""
    names = [str(name) for name in site.get("server_names") or ()]
    return next((name for name in names if "*" not in name and not name.startswith(("~", "."))), "")


def site_host(sites: Any, upstream: str) -> str:
    """Return the name by which visitors ask an upstream: the first one of the first site that uses it, '' if none."""
    return _host_of(_site_of(str(upstream), sites))


def _asked_as(upstream: str, sites: Any) -> dict[str, str]:
    """Return the request headers by which an application knows the site and a visitor."""
    site = _site_of(upstream, sites)
    scheme = "https" if site.get("https", True) else "http"
    return visitor_headers(_host_of(site), scheme) or ({"X-Forwarded-Proto": scheme} if site else {})


def member_endpoints(upstreams: Any, names: Any, sites: Any = ()) -> list[dict[str, Any]]:
    """Return how a proxy asks the members of these names, one entry for each upstream that has the member.

    [{member, upstream, transport, address, port, tls_name, ca, headers}]; `headers` are those that the first of `sites`
    which uses the upstream gives its requests. `tls_name` is '' where the transport checks none; `ca` is the file on
    the proxy with an upstream's own authorities, '' where it has those of all.
    """
    wanted = set(member_names(names, "names"))
    return [
        {
            "member": str(member["name"]),
            "upstream": str(upstream["name"]),
            "transport": str(upstream.get("transport", "mtls")),
            "address": str(member["address"]),
            "port": member.get("port"),
            **_verified(upstream, member),
            "headers": _asked_as(str(upstream["name"]), sites),
        }
        for upstream in upstreams
        for member in upstream["members"]
        if member["name"] in wanted
    ]


def _verified(upstream: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, str]:
    """Return {tls_name, ca}: what a member is verified by, as nginx does (the filter upstream_tls)."""
    if upstream.get("transport") == "http":
        return {"tls_name": "", "ca": ""}
    own = upstream.get("tls") or {}
    ca = f"/etc/nginx/active/upstreams/{upstream['name']}.ca.pem" if own.get("ca") else ""
    return {"tls_name": verified_name(own, member), "ca": ca}
