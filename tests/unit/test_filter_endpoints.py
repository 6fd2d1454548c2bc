"""The sites and upstreams of a TLS endpoint, from the applications of its machine."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.plugins.loader import filter_loader

from .conftest import ROOT

filter_loader.add_directory(str(ROOT / "roles" / "tls_endpoint" / "filter_plugins"))

USUAL = {"path": "/", "upstream": "app", "streaming": True}
CERTIFICATE, VISITORS = {"source": "host"}, {"mode": "required"}


def application(**given: Any) -> dict[str, Any]:
    return {
        "name": "shop",
        "mode": "mtls",
        "port": 443,
        "app_address": "127.0.0.1",
        "app_port": 3000,
        "locations": [],
    } | given


def sites(*applications: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = filter_loader.get("endpoint_sites").j2_function(
        applications, {"catch_all": True}, USUAL, CERTIFICATE, VISITORS
    )
    return found


def upstreams(*applications: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = filter_loader.get("endpoint_upstreams").j2_function(applications, {"retries": 0})
    return found


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("mtls", (True, "refuse", CERTIFICATE, VISITORS)),
        ("https", (True, "refuse", CERTIFICATE, {})),
        ("http", (False, "serve", {}, {})),
    ],
)
def test_a_site_takes_its_mode_from_the_application(mode: str, said: tuple[Any, ...]) -> None:
    site = sites(application(mode=mode))[0]
    assert (site["https"], site["http"], site["certificate"], site["client_certificates"]) == said
    assert (site["name"], site["port"], site["catch_all"]) == ("shop", 443, True)


def test_an_application_without_an_endpoint_has_neither_site_nor_upstream() -> None:
    assert (sites(application(mode="none")), upstreams(application(mode="none"))) == ([], [])


def test_locations_lead_to_the_applications_own_upstream() -> None:
    own = [{"path": "/files/", "static": {"dir": "/srv/files"}}, {"path": "/live", "upstream": "app"}]
    one, other = sites(application(locations=own), application(name="endpoint", upstream="desk"))
    assert [(place["path"], place.get("upstream")) for place in one["locations"]] == [
        ("/files/", None),
        ("/live", "shop"),
        ("/", "shop"),
    ]
    assert other["locations"] == [{**USUAL, "upstream": "desk"}]
    # An application that answers / in another way says so.
    assert len(sites(application(locations=[{"path": "/", "protocol": "fastcgi"}]))[0]["locations"]) == 1


def test_a_standby_serves_in_place_of_the_application() -> None:
    assert upstreams(application(standby_port=23000))[0]["members"] == [
        {"name": "shop", "address": "127.0.0.1", "port": 3000, "state": "drain"},
        {"name": "shop-standby", "address": "127.0.0.1", "port": 23000, "state": "up"},
    ]


def test_an_upstream_has_the_application_as_its_only_member() -> None:
    found = upstreams(application(), application(name="desk", app_address="unix:/run/desk/socket", app_port=0))
    assert [(one["name"], one["members"]) for one in found] == [
        ("shop", [{"name": "shop", "address": "127.0.0.1", "port": 3000}]),
        ("desk", [{"name": "desk", "address": "unix:/run/desk/socket"}]),
    ]
