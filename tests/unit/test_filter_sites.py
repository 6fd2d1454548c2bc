"""The directives of sites and locations: who may come, which headers, which files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

Filters = Callable[[str], Callable[..., Any]]
NO_AUTH: dict[str, Any] = {"realm": "Restricted", "open": False, "users": []}
ANN = {"name": "ann", "password_hash": "hash"}


def location(**more: Any) -> dict[str, Any]:
    """Return the fields of a location that these filters look at, with their defaults."""
    return {
        "path": "/",
        "match": "prefix",
        "protocol": "http",
        "websocket": False,
        "request_headers": [],
        "response_headers": [],
        "hide_headers": [],
        "allow": [],
        "deny": [],
        "basic_auth": NO_AUTH,
        "cache": {"zone": ""},
        "static": {"dir": "", "strip_path": True},
        "fastcgi": {"root": "", "script": "index.php"},
        **more,
    }


def site(**more: Any) -> dict[str, Any]:
    policies = {"content_security_policy": "", "content_security_policy_report_only": ""}
    return {"name": "shop", "allow": [], "deny": [], "basic_auth": NO_AUTH, **policies, **more}


@pytest.mark.parametrize(
    ("path", "match", "words"),
    [
        ("/", "prefix", "/"),
        ("/api/", "prefix", "/api/"),
        ("/", "exact", "= /"),
        (r"\.php$", "regex", r'~ "\\.php$"'),
        ('^/a{2};"b', "regex_nocase", r'~* "^/a{2};\"b"'),
    ],
)
def test_the_words_of_a_location(filters: Filters, path: str, match: str, words: str) -> None:
    assert filters("location_match")(location(path=path, match=match)) == words


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1))
def test_no_regular_expression_ends_its_quotes(filters: Filters, path: str) -> None:
    words = filters("location_match")(location(path=path, match="regex"))
    inside = re.fullmatch(r'~ "((?:[^"\\]|\\.)*)"', words)
    assert inside
    assert re.sub(r"\\(.)", r"\1", inside[1]) == path


@pytest.mark.parametrize("match", ["prefix", "exact"])
def test_a_path_that_is_a_regular_expression_says_so(filters: Filters, match: str) -> None:
    with pytest.raises(AnsibleFilterError, match="a path begins with /; write match: regex"):
        filters("location_match")(location(path="^/a", match=match))


@pytest.mark.parametrize(
    ("own", "common", "rules"),
    [
        ({}, {}, []),
        ({}, {"allow": ["10.0.0.0/8"], "deny": ["10.6.6.6"]}, []),
        ({"allow": ["b", "a"]}, {}, [["allow", "a"], ["allow", "b"], ["deny", "all"]]),
        ({"deny": ["b", "a"]}, {}, [["deny", "a"], ["deny", "b"]]),
        ({"deny": ["x"]}, {"allow": ["a"]}, [["deny", "x"], ["allow", "a"], ["deny", "all"]]),
        ({"allow": ["b"]}, {"allow": ["a"], "deny": ["x"]}, [["deny", "x"], ["allow", "b"], ["deny", "all"]]),
        ({"deny": ["x"]}, {"deny": ["x", "y"]}, [["deny", "x"], ["deny", "y"]]),
    ],
)
def test_a_location_does_not_lose_what_its_site_refuses(
    filters: Filters, own: dict[str, Any], common: dict[str, Any], rules: list[list[str]]
) -> None:
    assert filters("access_rules")(location(**own), site(**common)) == rules


def test_a_sites_own_rules(filters: Filters) -> None:
    place = site(allow=["10.0.0.0/8"], deny=["10.6.6.6"])
    expected = [["deny", "10.6.6.6"], ["allow", "10.0.0.0/8"], ["deny", "all"]]
    assert filters("access_rules")(place, place) == expected


def test_the_users_of_a_location_stay_in_their_file_wherever_it_stands(filters: Filters) -> None:
    first, second = location(path="/a/"), location(path="/a/", match="exact")
    names = {filters("users_file")(site(), place) for place in (first, second, None)}
    assert len(names) == 3
    assert all(re.fullmatch(r"secrets/shop/[a-z0-9]+\.users", name) for name in names)


def test_each_place_with_users_has_a_file_of_them(filters: Filters) -> None:
    auth = {**NO_AUTH, "users": [ANN]}
    sites = [site(basic_auth=auth, locations=[location(), location(path="/a/", basic_auth=auth)])]
    found = filters("users_templates")(sites)
    assert [item["dest"] for item in found] == [
        filters("users_file")(sites[0]),
        filters("users_file")(sites[0], location(path="/a/")),
    ]
    assert all(item["vars"] == {"users": [ANN]} for item in found)


BASE = {"Host": "$host", "Connection": ""}


@pytest.mark.parametrize(
    ("own", "common", "headers"),
    [
        ({}, {}, []),
        ({"protocol": "grpc"}, {}, [["Connection", ""], ["Host", "$host"]]),
        (
            {"websocket": True},
            {},
            [["Connection", "$gatehouse_connection"], ["Host", "$host"], ["Upgrade", "$gatehouse_upgrade"]],
        ),
        ({"request_headers": [{"name": "host", "value": "a"}]}, {}, [["Connection", ""], ["host", "a"]]),
        (
            {"basic_auth": {**NO_AUTH, "users": [ANN]}},
            {},
            [["Authorization", ""], ["Connection", ""], ["Host", "$host"]],
        ),
        (
            {},
            {"basic_auth": {**NO_AUTH, "users": [ANN]}},
            [["Authorization", ""], ["Connection", ""], ["Host", "$host"]],
        ),
        ({"basic_auth": {**NO_AUTH, "open": True}}, {"basic_auth": {**NO_AUTH, "users": [ANN]}}, []),
    ],
)
def test_request_headers(
    filters: Filters, own: dict[str, Any], common: dict[str, Any], headers: list[list[str]]
) -> None:
    assert filters("request_headers")(location(**own), BASE, site(**common)) == headers


def test_fastcgi_gets_the_headers_as_cgi_names_them(filters: Filters) -> None:
    headers = filters("request_headers")(location(protocol="fastcgi"), {**BASE, "X-Real-IP": "$remote_addr"}, site())
    found = {name: (value, condition) for name, value, condition in filters("fastcgi_parameters")(headers, "app.php")}
    assert found["HTTP_HOST"] == ("$host", "")
    assert found["HTTP_X_REAL_IP"] == ("$remote_addr", "")
    assert found["SCRIPT_FILENAME"] == ("$realpath_root/app.php", "")
    assert found["SCRIPT_NAME"] == ("/app.php", "")
    assert found["HTTPS"] == ("$gatehouse_https", " if_not_empty")
    assert "HTTP_CONNECTION" not in found


def test_response_headers_replace_each_other(filters: Filters) -> None:
    function = filters("response_headers")
    base = {"X-Frame-Options": "$a", "X-Request-Id": "$b"}
    assert function(site(), base) == [["X-Frame-Options", "$a"], ["X-Request-Id", "$b"]]
    own = [{"name": "x-frame-options", "value": "DENY"}, {"name": "Content-Security-Policy", "value": "x"}]
    assert function(site(content_security_policy="y", name="a-b"), base)[0][1] == "$gatehouse_csp_a_2d_b"
    assert function(site(content_security_policy="y"), base, own) == [
        ["Content-Security-Policy", "x"],
        ["X-Request-Id", "$b"],
        ["x-frame-options", "DENY"],
    ]


@pytest.mark.parametrize(
    ("own", "hidden"),
    [
        ({}, []),
        ({"hide_headers": ["x-powered-by"]}, []),
        ({"hide_headers": ["X-Secret"]}, ["X-Powered-By", "X-Secret"]),
        ({"response_headers": [{"name": "Cache-Control", "value": "no-store"}]}, ["Cache-Control", "X-Powered-By"]),
        ({"response_headers": [{"name": "Set-Cookie", "value": "a=b"}, {"name": "Vary", "value": "x"}]}, []),
        ({"protocol": "grpc"}, ["X-Powered-By"]),
        ({"cache": {"zone": "assets"}}, ["Age", "X-Powered-By"]),
    ],
)
def test_hidden_headers(filters: Filters, own: dict[str, Any], hidden: list[str]) -> None:
    assert filters("hidden_headers")(location(**own), ["X-Powered-By"], ["Age"]) == hidden


def test_a_header_that_nginx_has_no_variable_for_is_refused(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError, match=r"header X\.Y: nginx has no variable for it; write letters"):
        filters("header_variable")("X.Y")


@pytest.mark.parametrize(
    ("place", "static", "directive"),
    [
        ({"path": "/"}, {"dir": "/srv/www"}, "root /srv/www"),
        ({"path": "/"}, {"dir": "/srv/www/"}, "root /srv/www"),
        ({"path": "/docs/"}, {"dir": "/srv/docs/"}, "alias /srv/docs/"),
        ({"path": "/docs/"}, {"dir": "/srv", "strip_path": False}, "root /srv"),
        ({"path": "/docs"}, {"dir": "/srv", "strip_path": False}, "root /srv"),
        ({"path": "/favicon.ico", "match": "exact"}, {"dir": "/srv"}, "root /srv"),
        ({"path": "[.]png$", "match": "regex"}, {"dir": "/srv"}, "root /srv"),
    ],
)
def test_a_folder_of_files(filters: Filters, place: dict[str, Any], static: dict[str, Any], directive: str) -> None:
    assert filters("static_folder")(location(**place, static={"strip_path": True, **static})) == directive


def test_a_path_without_its_slash_would_serve_the_folders_neighbours(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError, match="location /docs: static serves a folder, so the path ends in /"):
        filters("static_folder")(location(path="/docs", static={"dir": "/srv/docs", "strip_path": True}))


def test_static_folders_are_reported_once(filters: Filters) -> None:
    places = [location(static={"dir": folder}) for folder in ("/srv/b", "", "/srv/a", "/srv/b")]
    places += [location(protocol="fastcgi", fastcgi={"root": "/srv/c/public", "script": "index.php"})]
    assert filters("static_folders")([site(locations=places)]) == ["/srv/a", "/srv/b", "/srv/c/public"]


def test_a_site_has_a_page_for_people_and_one_for_programs(filters: Filters) -> None:
    pages = {kind: {"title": "Sorry"} for kind in ("unavailable", "missing", "error", "maintenance")}
    quiet = site(unavailable="page", error_page="/own.html", maintenance={"enabled": False, "page": "/soon.html"})
    busy = site(unavailable="page", error_page="", maintenance={"enabled": True, "page": "/soon.html"})

    def found(place: dict[str, Any]) -> list[tuple[str, str, Any]]:
        made = [(item["dest"], item["src"], item["vars"]) for item in filters("page_templates")([place], pages)]
        assert sum("/missing." in dest or "/error." in dest for dest, _, _ in made) == 4
        return [one for one in made if "/missing." not in one[0] and "/error." not in one[0]]

    assert found(quiet) == [
        ("pages/shop/unavailable.html", "pages/own.html.j2", {"file": "/own.html"}),
        ("pages/shop/unavailable.json", "pages/page.json.j2", {"page": {"title": "Sorry"}}),
    ]
    assert [item[:2] for item in found(busy)] == [
        ("pages/shop/unavailable.html", "pages/page.html.j2"),
        ("pages/shop/unavailable.json", "pages/page.json.j2"),
        ("pages/shop/maintenance.html", "pages/own.html.j2"),
        ("pages/shop/maintenance.json", "pages/page.json.j2"),
    ]


@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,10}", fullmatch=True), unique=True))
def test_each_name_has_its_own_variable(filters: Filters, names: list[str]) -> None:
    found = {filters("variable_part")(name) for name in names}
    assert len(found) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9_]+", part) for part in found)
