"""The sites and upstreams of a TLS endpoint, from the applications of its machine."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.plugins.loader import filter_loader
from ansible_collections.gatehouse.core.plugins.module_utils.specs import spec_defaults

from .conftest import ROOT

filter_loader.add_directory(str(ROOT / "roles" / "proxy" / "filter_plugins"))

PROXY = yaml.safe_load((ROOT / "roles" / "proxy" / "meta" / "argument_specs.yml").read_text())
OPTIONS = PROXY["argument_specs"]["main"]["options"]


def endpoints(*given: dict[str, Any]) -> Any:
    usual = {"name": "shop", "address": "10.0.0.1", "port": 443, "names": ["shop.in.test"], "app_port": 3000}
    return spec_defaults([usual | one for one in given], OPTIONS["proxy_endpoints"], "proxy_endpoints")


def sites(*given: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = filter_loader.get("endpoint_sites").j2_function(
        endpoints(*given), OPTIONS["proxy_sites"]
    )
    return found


def upstreams(*given: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = filter_loader.get("endpoint_upstreams").j2_function(endpoints(*given))
    return found


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("mtls", (True, "refuse", "host", "required")),
        ("https", (True, "refuse", "host", "none")),
        ("http", (False, "serve", "internal_ca", "none")),
    ],
)
def test_a_site_takes_its_mode_from_the_endpoint(mode: str, said: tuple[Any, ...]) -> None:
    site = sites({"mode": mode, "ca": "/srv/ca.pem", "clients": ["proxy1.in.test"]})[0]
    visitors = site["client_certificates"]
    assert (site["https"], site["http"], site["certificate"]["source"], visitors["mode"]) == said
    assert (site["name"], site["port"], site["catch_all"]) == ("shop", 443, True)
    # However many authorities there are above the proxies' certificates.
    assert visitors["depth"] == 10 or mode != "mtls"


def test_locations_lead_to_the_applications_own_upstream() -> None:
    own = [{"path": "/files/", "static": {"dir": "/srv/files"}}, {"path": "/live", "upstream": "app"}]
    one, other = sites({"locations": own}, {"name": "endpoint", "upstream": "desk"})
    assert [(place["path"], place.get("upstream")) for place in one["locations"]] == [
        ("/files/", ""),
        ("/live", "shop"),
        ("/", "shop"),
    ]
    assert [(place["path"], place["upstream"], place["streaming"]) for place in other["locations"]] == [
        ("/", "desk", True)
    ]
    # An application that answers / in another way says so.
    fastcgi = {"path": "/", "upstream": "app", "protocol": "fastcgi", "fastcgi": {"root": "/srv/shop/current/public"}}
    assert [place["protocol"] for place in sites({"locations": [fastcgi]})[0]["locations"]] == ["fastcgi"]


def test_a_standby_serves_in_place_of_the_application() -> None:
    assert upstreams({"standby_port": 23000})[0]["members"] == [
        {"name": "shop", "address": "127.0.0.1", "port": 3000, "state": "drain"},
        {"name": "shop-standby", "address": "127.0.0.1", "port": 23000, "state": "up"},
    ]


def test_an_upstream_has_the_application_as_its_only_member() -> None:
    found = upstreams({}, {"name": "desk", "app_address": "unix:/run/desk/socket", "app_port": 0})
    assert [(one["name"], one["members"]) for one in found] == [
        ("shop", [{"name": "shop", "address": "127.0.0.1", "port": 3000}]),
        ("desk", [{"name": "desk", "address": "unix:/run/desk/socket"}]),
    ]
