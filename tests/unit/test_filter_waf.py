"""The inputs of the application firewall: what they become, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.waf import waf_problems

ROOT = Path(__file__).resolve().parents[2]
for folder in ("filter_plugins", "roles/proxy/filter_plugins"):
    filter_loader.add_directory(str(ROOT / folder))
init_plugin_loader([])

RULES = yaml.safe_load((ROOT / "roles/proxy/files/waf/rules.yml").read_text())
SPEC = yaml.safe_load((ROOT / "roles/proxy/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


def call(name: str, *arguments: Any) -> Any:
    return filter_loader.get(name).j2_function(*arguments)


def sites(site: dict[str, Any] | None = None, **location: Any) -> list[dict[str, Any]]:
    """Return proxy_sites of one site with one location, with their defaults."""
    given = {"name": "shop", "server_names": ["shop.test"], "locations": [{"path": "/", "upstream": "a", **location}]}
    return list(call("spec_values", [{**given, **(site or {})}], SPEC["proxy_sites"], "proxy_sites"))


def problems(site: dict[str, Any] | None = None, **location: Any) -> list[tuple[str, str, str]]:
    estate = {"proxy_sites": sites(site, **location), "proxy_client_max_body_size": "10m"}
    return [
        (".".join(str(part) for part in one["path"][2:]), one["problem"], one["remedy"])
        for one in waf_problems(estate, RULES)
    ]


def rules(waf: dict[str, Any], **location: Any) -> list[str]:
    """Return the rules of the settings that one location has."""
    (found,) = call("waf_templates", sites(**{"waf": waf, **location}), "10m", 14)
    return list(found["vars"]["waf"]["rules"])


WATCHED = {"mode": "detect", "paranoia": 2}


@pytest.mark.parametrize(
    ("waf", "location", "expected"),
    [
        ({"exclude": [{"rule": 942105, "why": "x"}]}, {},
         ("waf.exclude.0.rule", "942105 is no rule of the application firewall", "write 942100, 942101 or 942110")),
        ({"exclude": [{"why": "x"}]}, {},
         ("waf.exclude.0.rule", "is missing, and so is tag", "write the number that waf_report.yml shows")),
        ({"exclude": [{"rule": 942100, "tag": "attack-sqli", "why": "x"}]}, {},
         ("waf.exclude.0.tag", "is written beside rule: 942100", "keep one of them")),
        ({"exclude": [{"rule": 942100, "why": " "}]}, {},
         ("waf.exclude.0.why", "is empty", "write why this is no attack")),
        ({"exclude": [{"rule": 942421, "why": "x"}]}, {},
         ("waf.exclude.0.rule", "942421 looks at nothing here: it is a rule of paranoia 4, and this is 2",
          "take it away, or raise paranoia")),
        ({"exclude": [{"rule": 942100, "path": "/shop/", "why": "x"}]}, {"path": "/api/"},
         ("waf.exclude.0.path", "/shop/ is outside of the location /api/, so no request meets it",
          "write a path from /api/ on, or move the exclusion to the site")),
        ({}, {"max_body_size": "2g"},
         ("waf", "would inspect bodies of up to 2g, each in about three times as much memory",
          'write max_body_size: 64m at most, or waf: {mode: "off"} at this location')),
        ({}, {"max_body_size": "0"},
         ("waf", "would inspect bodies of any size, each in about three times as much memory",
          'write max_body_size: 64m at most, or waf: {mode: "off"} at this location')),
        ({}, {"protocol": "grpc"},
         ("waf", "cannot be with protocol: grpc: a request is inspected whole before the upstream is asked",
          'write waf: {mode: "off"} at this location')),
        ({}, {"request_buffering": False},
         ("waf", "cannot be with request_buffering: false: a request is inspected whole before the upstream is asked",
          'write waf: {mode: "off"} at this location')),
    ],
)  # fmt: skip
def test_a_mistake_is_named(waf: dict[str, Any], location: dict[str, Any], expected: tuple[str, str, str]) -> None:
    place, *words = expected
    assert problems(waf={**WATCHED, **waf}, **location) == [(f"locations.0.{place}", *words)]


def test_settings_of_what_is_off_are_named() -> None:
    expected = ("has no meaning with mode: off", "write mode: detect, or take it away")
    assert problems({"waf": {"paranoia": 2}}) == [("waf.paranoia", *expected)]
    assert problems(waf={"mode": "off", "threshold": 9}) == [("locations.0.waf.threshold", *expected)]


@pytest.mark.parametrize(
    ("waf", "location"),
    [
        ({}, {"max_body_size": "64m"}),
        ({"mode": "off"}, {"max_body_size": "2g"}),
        ({"exclude": [{"rule": 1010, "path": "/api/x", "why": "x"}]}, {"path": "/api/"}),
    ],
)
def test_what_fits_is_let_through(waf: dict[str, Any], location: dict[str, Any]) -> None:
    assert problems(waf={"mode": "detect", **waf}, **location) == []


def test_off_may_be_written_without_quotes() -> None:
    (site,) = sites({"waf": yaml.safe_load("{mode: off}")})
    assert site["waf"]["mode"] == "off"
    assert not call("uses_waf", yaml.safe_load("[{waf: {mode: off}, locations: [{waf: {mode: off}}]}]"))


def test_a_location_has_its_site_s_settings_and_its_own() -> None:
    common = {"mode": "block", "paranoia": 3, "methods": ["GET"], "exclude": [{"rule": 942100, "why": "x"}]}
    (site,) = sites({"waf": common}, waf={"paranoia": 1, "exclude": [{"tag": "attack-xss", "why": "x"}]})
    found = call("waf_settings", site["locations"][0], site, "10m")
    assert (found["mode"], found["paranoia"], found["methods"], found["threshold"]) == ("block", 1, ["GET"], 5)
    assert [one["rule"] or one["tag"] for one in found["exclude"]] == [942100, "attack-xss"]


def test_the_same_settings_share_a_file_whatever_their_reasons() -> None:
    one, other = (sites(waf={"mode": "detect", "exclude": [{"rule": 942100, "why": why}]})[0] for why in ("x", "y"))
    assert len(call("waf_templates", [one, other], "10m", 14)) == 1
    assert len(call("waf_templates", [one, *sites(waf={"mode": "detect"})], "10m", 14)) == 2


def test_what_nginx_takes_is_inspected_whole() -> None:
    assert "SecRequestBodyLimit 10485761" in rules({"mode": "block"})
    assert "SecRequestBodyLimit 1025" in rules({"mode": "block"}, max_body_size="1k")


def test_an_exclusion_holds_for_its_path_and_networks() -> None:
    exclusion = {"rule": 942100, "parameter": "q", "path": "/find/", "networks": ["10.0.0.0/8"], "why": "x"}
    skip, leave = rules({"mode": "block", "exclude": [exclusion]})[-2:]
    assert skip == 'SecRule REMOTE_ADDR "!@ipMatch 10.0.0.0/8" "id:2000,phase:1,pass,nolog,t:none,skip:1"'
    assert leave.startswith('SecRule REQUEST_FILENAME "@beginsWith /find/" "id:2001,')
    assert "ctl:ruleRemoveTargetById=942100;ARGS:q" in leave


def test_a_rule_of_ones_own_looks_where_it_is_meant_to() -> None:
    own: dict[str, Any] = {"name": "numbers", "parameter": "id", "matches": '[^0-9"]', "why": "x"}
    number = call("waf_own_rules", sites({"waf": {"refuse": [own]}})).popitem()[0]
    assert rules({"mode": "block", "refuse": [own]})[-1] == (
        f'SecRule ARGS:id|FILES:id "@rx [^0-9\\"]" "id:{number},phase:2,pass,nolog,t:none,'
        "setvar:'tx.anomaly_score_pl1=+%{tx.inbound_anomaly_score_threshold}'\""
    )
    own = {"name": "there", "contains": "Debug", "path": "/api/", "networks": ["192.0.2.0/24"], "why": "x"}
    network, path, rule = rules({"mode": "block", "refuse": [own]})[-3:]
    assert '"!@ipMatch 192.0.2.0/24"' in network
    assert network.endswith('skip:2"')
    assert '"!@beginsWith /api/"' in path
    assert path.endswith('skip:1"')
    assert rule.startswith('SecRule REQUEST_FILENAME|ARGS|ARGS_NAMES|FILES "@contains debug"')


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"parameter": "id"}, ("0.parameter", "is to be looked at, and not for what", "write contains or matches")),
        ({}, ("0", "would refuse every request", "write contains or matches, or a path")),
        ({"contains": "a", "matches": "b"}, ("0.matches", "is written beside contains", "keep one of them")),
        ({"contains": "a", "why": " "}, ("0.why", "is empty", "write what it keeps out")),
    ],
)
def test_a_mistake_in_a_rule_of_ones_own_is_named(rule: dict[str, Any], expected: tuple[str, str, str]) -> None:
    found = problems({"waf": {"mode": "block", "refuse": [{"name": "own", "why": "x", **rule}]}})
    assert found == [(f"waf.refuse.{expected[0]}", *expected[1:])]


def test_the_same_rule_may_be_at_two_places_and_another_needs_its_own_name() -> None:
    own = {"name": "own", "contains": "a", "why": "x"}
    assert problems({"waf": {"mode": "block", "refuse": [own]}}, waf={"refuse": [own]}) == []
    found = problems({"waf": {"mode": "block", "refuse": [own]}}, waf={"refuse": [{**own, "contains": "b"}]})
    assert [problem for _, problem, _ in found] == ["own has the number of another rule of this proxy, own"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("waf_text", "%{tx.x}"),
        ("waf_text", "a\nb"),
        ("waf_regex", "("),
        ("waf_regex", "^(a+)+$"),
        ("waf_text", "a\\"),
        ("waf_text", r'a\" "id:1,pass'),
        ("waf_regex", r"a\\"),
        ("waf_regex", r"\""),
    ],
)
def test_what_no_rule_can_look_for_is_refused(form: str, text: str) -> None:
    with pytest.raises(AnsibleFilterError):
        call(form, text)


def test_an_exclusion_without_a_target_takes_the_rule_away() -> None:
    found = rules({"mode": "block", "exclude": [{"tag": "attack-sqli", "why": "x"}]})[-1]
    assert found == 'SecAction "id:2001,phase:1,pass,nolog,t:none,ctl:ruleRemoveByTag=attack-sqli"'


@pytest.mark.parametrize("name", ['q"', "a,b", "a b", "%{tx.x}", "a;b", "", "x" * 129])
def test_a_name_ends_no_rule(name: str) -> None:
    with pytest.raises(Exception, match="is no name that a rule can leave alone"):
        call("waf_parameter", name)


@pytest.mark.parametrize("text", ["application/JSON", "json", "a/b; c=d", "a/b'"])
def test_a_media_type_has_its_form(text: str) -> None:
    with pytest.raises(Exception, match="is no media type"):
        call("media_type", text)
