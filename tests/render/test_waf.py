"""The application firewall in the tree: where it is asked for, and nowhere else."""

from __future__ import annotations

from typing import Any

from .conftest import Block, render_files

UPSTREAMS = [{"name": "a", "transport": "http", "members": [{"name": "m", "address": "192.0.2.10", "port": 80}]}]


def site(name: str = "shop", **more: Any) -> dict[str, Any]:
    return {"name": name, "server_names": [f"{name}.test"], "locations": [{"path": "/", "upstream": "a"}], **more}


def test_without_it_nothing_is_in_the_tree() -> None:
    files = render_files(proxy_sites=[site()], proxy_upstreams=UPSTREAMS)
    assert not [path for path in files if "waf" in path or "pages/shop/refused" in path]
    assert not [path for path, text in files.items() if "modsecurity" in text or "_waf_" in text or "refused." in text]


def test_what_the_firewall_knows_is_let_through_to_it(render: Any) -> None:
    dav = site(waf={"mode": "block", "methods": ["GET", "PROPFIND"]})
    server = render(proxy_sites=[dav], proxy_upstreams=UPSTREAMS).https_server("shop.test")
    beyond = "$gatehouse_beyond_get_head_post_put_patch_delete_options_propfind"
    assert server.one("location", "/").all("if", beyond)


def test_the_core_rules_are_there_once(render: Any) -> None:
    sites = [site("one", waf={"mode": "block"}), site("two", waf={"mode": "detect"})]
    http = render(proxy_sites=sites, proxy_upstreams=UPSTREAMS)
    files = [args[0] for args in http.arguments("modsecurity_rules_file")]
    assert len(files) == len(set(files)) == 22
    assert not [block for block in http.walk() if block.name == "modsecurity_rules_file"][22:]


def test_a_location_has_its_mode_and_number(render: Any) -> None:
    locations = [{"path": "/", "upstream": "a"}, {"path": "/off/", "upstream": "a", "waf": {"mode": "off"}}]
    http = render(proxy_sites=[site(waf={"mode": "block"}, locations=locations)], proxy_upstreams=UPSTREAMS)
    server = http.https_server("shop.test")
    watched, free = server.one("location", "/"), server.one("location", "/off/")
    assert watched.arguments("modsecurity") == [("on",)]
    assert watched.arguments("modsecurity_transaction_id") == [("$request_id",)]
    assert ("SecRuleEngine On",) in watched.arguments("modsecurity_rules")
    assert not [block for block in free.block if block.name.startswith("modsecurity")]


def test_a_script_is_inspected_once(render: Any) -> None:
    # nginx forgets the module's state on the way to the inner location, and all would be looked at twice.
    php = {"path": "/", "upstream": "a", "protocol": "fastcgi", "fastcgi": {"root": "/srv/x"}}
    pools = [{**UPSTREAMS[0], "next_upstream": ["error"]}]
    http = render(proxy_sites=[site(waf={"mode": "block"}, locations=[php])], proxy_upstreams=pools)
    places: list[Block] = [one for one in http.https_server("shop.test").all("location") if one.all("modsecurity")]
    assert [place.args[0][0] for place in places] == ["@"]


def test_who_is_refused_gets_the_page(render: Any) -> None:
    http = render(proxy_sites=[site(waf={"mode": "block"})], proxy_upstreams=UPSTREAMS)
    server = http.https_server("shop.test")
    assert [args for args in server.arguments("error_page") if args[0] == "403"]
    closed = site(waf={"mode": "block"}, unavailable="close")
    http = render(proxy_sites=[closed], proxy_upstreams=UPSTREAMS)
    assert not [args for args in http.https_server("shop.test").arguments("error_page") if args[0] == "403"]
