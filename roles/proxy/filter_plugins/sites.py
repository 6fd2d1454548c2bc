"""The directives of a site and of its locations that a template cannot say in a line.

Sites and locations arrive with their defaults applied (`spec_defaults`), so every field is there and of its type.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_values import variable_part

# Headers of which an answer may have several: one more does not replace the upstream's.
_REPEATED = ("link", "server-timing", "set-cookie", "vary")
_VARIABLE_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~!&()*+,=:@/-]*")


def location_match(location: Mapping[str, Any]) -> str:
    """Return the arguments of `location`: `/api/`, `= /`, `~ "[.]php$"`.

    A regular expression is in quotes, so that its braces and semicolons end nothing.
    Source: https://nginx.org/en/docs/http/ngx_http_core_module.html#location
    """
    path, match = str(location["path"]), location["match"]
    if match in ("regex", "regex_nocase"):
        quoted = path.replace("\\", "\\\\").replace('"', '\\"')
        return f'{"~" if match == "regex" else "~*"} "{quoted}"'
    if not path.startswith("/"):
        raise AnsibleFilterError(f'location "{path}": with match: {match} a path begins with /; write match: regex')
    # What has to be in quotes is no path: without this check a path could end its location and open another.
    if not _PLAIN_PATH.fullmatch(path):
        raise AnsibleFilterError(
            f"location {json.dumps(path)} is no path with match: {match}; write letters, digits and ._~!&()*+,=:@/-"
        )
    return f"= {path}" if match == "exact" else path


def rate_limit(limit: Mapping[str, Any]) -> str:
    """Return the arguments of `limit_req`: `zone=rate_login burst=5 nodelay`.

    Source: https://nginx.org/en/docs/http/ngx_http_limit_req_module.html#limit_req
    """
    words = [f"zone=rate_{limit['name']}"]
    if limit["burst"]:
        words += [f"burst={limit['burst']}", "nodelay" if limit["delay"] < 0 else f"delay={limit['delay']}"]
    return " ".join(words)


def access_rules(place: Mapping[str, Any], site: Mapping[str, Any]) -> list[list[str]]:
    """Return [[deny or allow, range]] of a site or of one of its locations, in the order in which nginx asks them.

    A location without any says nothing, and nginx takes the site's. One with some has to say them all: what the site
    denies stays denied, and the location's `allow` replaces the site's.
    Source: https://nginx.org/en/docs/http/ngx_http_access_module.html
    """
    if not place["allow"] and not place["deny"]:
        return []
    allowed = sorted(place["allow"] or site["allow"])
    denied = sorted({*place["deny"], *site["deny"]})
    return [
        *(["deny", network] for network in denied),
        *(["allow", network] for network in allowed),
        *([["deny", "all"]] if allowed else []),
    ]


def _asks_for_password(location: Mapping[str, Any], site: Mapping[str, Any]) -> bool:
    """Return whether nginx itself asks for a user and a password here."""
    own, common = location["basic_auth"], site["basic_auth"]
    return bool(own["users"]) or (bool(common["users"]) and not own["open"])


def users_file(site: Mapping[str, Any], location: Mapping[str, Any] | None = None) -> str:
    """Return the path in the tree of the users of a site, or of one of its locations, wherever that is."""
    if location is None:
        return f"secrets/{site['name']}/site.users"
    place = f"{location['match']} {location['path']}".encode()
    return f"secrets/{site['name']}/{hashlib.sha256(place).hexdigest()[:12]}.users"


def users_templates(sites: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the templates of `nginx_tree` that render the users' files: [{src, dest, vars: {users}}]."""
    return [
        {"src": "secrets/users.j2", "dest": users_file(site, location), "vars": {"users": place["basic_auth"]["users"]}}
        for site in sites
        for place, location in [(site, None), *((location, location) for location in site["locations"])]
        if place["basic_auth"]["users"]
    ]


def page_templates(
    sites: Iterable[Mapping[str, Any]], pages: Mapping[str, Mapping[str, str]], guarded: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the templates of `nginx_tree` that render the error pages of all sites: [{src, dest, vars}].

    `pages`: {unavailable, missing, error, maintenance, refused: what is on the pages that the role brings}; `guarded`:
    the sites with an application firewall, which refuses with a page.
    """
    templates = []
    for site in sites:
        folder = f"pages/{site['name']}"
        own = {"unavailable": site["error_page"], "missing": "", "error": ""}
        if site["unavailable"] == "close":
            continue
        if site["maintenance"]["enabled"]:
            own["maintenance"] = site["maintenance"]["page"]
        if site["name"] in guarded:
            own["refused"] = ""
        for kind, file in own.items():
            default = {"src": "pages/page.html.j2", "vars": {"page": pages[kind]}}
            html = {"src": "pages/own.html.j2", "vars": {"file": file}} if file else default
            templates.append({**html, "dest": f"{folder}/{kind}.html"})
            templates.append({**default, "src": "pages/page.json.j2", "dest": f"{folder}/{kind}.json"})
    return templates


def request_headers(location: Mapping[str, Any], base: Mapping[str, str], site: Mapping[str, Any]) -> list[list[str]]:
    """Return [[name, value]] of the headers that a location sends to its upstream, sorted; [] where they are `base`.

    `base`: the headers that every upstream gets over HTTP. nginx takes a level's headers all or none, so a location
    with one of its own names the others too. The location's replace those of the same name, in any case of letters.
    A password that nginx has checked is not the application's to know.
    """
    headers = {name.lower(): [name, value] for name, value in base.items()}
    usual = sorted(headers.values())
    if location["websocket"]:
        headers |= {
            "upgrade": ["Upgrade", "$gatehouse_upgrade"],
            "connection": ["Connection", "$gatehouse_connection"],
        }
    if _asks_for_password(location, site):
        headers["authorization"] = ["Authorization", ""]
    if location.get("cache", {}).get("slice"):
        headers["range"] = ["Range", "$slice_range"]
    spelt = any("_" in name for name in base)
    for header in location["request_headers"]:
        headers |= {one.lower(): [one, ""] for one in (_underscored(header["name"]) if spelt else ())}
        headers[header["name"].lower()] = [header["name"], header["value"]]
    found = sorted(headers.values())
    # What somebody wrote for this location is in it, although it may be what every location has.
    # An endpoint's are not those of the sites.
    inherited = "endpoint" not in site and location["protocol"] == "http" and not location["request_headers"]
    return [] if found == usual and inherited else found


def _underscored(name: str) -> list[str]:
    """Return the spellings of a header's name with underscores that CGI and WSGI take for the same: `X_Real-IP`..."""
    first, *rest = name.split("-")
    spellings = [first]
    for part in rest:
        spellings = [f"{begun}{mark}{part}" for begun in spellings for mark in "-_"]
    return [spelling for spelling in spellings if "_" in spelling]


def underscored_headers(headers: Mapping[str, str], pass_others: bool) -> dict[str, str]:
    """Return headers for an upstream and, where others with underscores pass, an empty one for each such spelling.

    CGI, WSGI and Rack make the same variable of `X-Real-IP` and `X_Real_IP`, so a visitor could write the proxy's word.
    """
    if not pass_others:
        return dict(headers)
    return {spelling: "" for name in headers for spelling in _underscored(name)} | dict(headers)


def caught_schemes(sites: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the schemes (http, https) for which a site with `catch_all` answers the names that no site has."""
    caught = set[str]()
    for site in sites:
        if site["catch_all"] and site["https"]:
            caught.add("https")
        in_clear = not site["https"] or site["http"] != "refuse" or site["certificate"]["source"] == "acme"
        if site["catch_all"] and in_clear:
            caught.add("http")
    return sorted(caught)


def folders_without_slash(site: Mapping[str, Any]) -> list[str]:
    """Return the paths of a site's static folders without their slash, where no location is for that path, sorted.

    nginx redirects a folder below another by itself, but `/docs` is not in the location `/docs/`.
    """
    taken = {str(place["path"]) for place in site["locations"] if place["match"] in ("prefix", "exact")}
    folders = {
        str(place["path"]).removesuffix("/")
        for place in site["locations"]
        if place["match"] == "prefix" and place["static"]["dir"] and str(place["path"]).endswith("/")
    }
    return sorted(folders - taken - {""})


def fastcgi_parameters(
    headers: Sequence[Sequence[str]], script: str, port: str = "$server_port", https: str = "$gatehouse_https"
) -> list[list[str]]:
    """Return [[name, value, condition]] of a FastCGI request's parameters: those of CGI, then the headers as HTTP_*.

    `headers`: of request_headers; `script`: the front controller, in the location's root. It is named by its real path,
    so that PHP's cache of compiled scripts (opcache) distinguishes the releases behind the link `current`. `port` and
    `https`: the variables with the port that the visitor came to, and with `on` if that was over TLS. Connection is
    left out: FastCGI has no connection of HTTP. Programs ask of HTTPS and REMOTE_USER only whether they are there.
    Sources: RFC 3875 4.1, https://nginx.org/en/docs/http/ngx_http_fastcgi_module.html#fastcgi_param
    """
    parameters = [
        ["CONTENT_LENGTH", "$content_length"],
        ["CONTENT_TYPE", "$content_type"],
        ["DOCUMENT_ROOT", "$realpath_root"],
        ["GATEWAY_INTERFACE", "CGI/1.1"],
        ["HTTPS", https],
        ["QUERY_STRING", "$query_string"],
        # PHP that was built to be started by a redirect only answers nothing without it.
        ["REDIRECT_STATUS", "200"],
        ["REMOTE_ADDR", "$remote_addr"],
        ["REMOTE_PORT", "$remote_port"],
        ["REMOTE_USER", "$remote_user"],
        ["REQUEST_METHOD", "$request_method"],
        ["REQUEST_URI", "$request_uri"],
        ["SCRIPT_FILENAME", f"$realpath_root/{script}"],
        ["SCRIPT_NAME", f"/{script}"],
        ["SERVER_ADDR", "$server_addr"],
        ["SERVER_NAME", "$host"],
        ["SERVER_PORT", port],
        ["SERVER_PROTOCOL", "$server_protocol"],
        ["SERVER_SOFTWARE", "nginx"],
    ]
    # nginx compares the names of a visitor's headers as they are here, so the other spellings of one need no line.
    spelt = {one.lower() for name, _ in headers for one in _underscored(name) if "-" in name}
    named = [(name.upper().replace("-", "_"), value) for name, value in headers if name.lower() not in spelt]
    parameters += [[f"HTTP_{name}", value] for name, value in named if name != "CONNECTION"]
    return [[name, value, " if_not_empty" if name in ("HTTPS", "REMOTE_USER") else ""] for name, value in parameters]


def response_headers(
    site: Mapping[str, Any], base: Mapping[str, str], own: Sequence[Mapping[str, Any]] = ()
) -> list[list[str]]:
    """Return [[name, value]] of the headers that visitors of a site are sent, sorted by name.

    `base`: those of every site; `own`: a location's, which replace others of the same name, in any case of letters.
    """
    headers = {name.lower(): [name, value] for name, value in base.items()}
    if site["content_security_policy"]:
        headers["content-security-policy"] = [
            "Content-Security-Policy",
            f"$gatehouse_csp_{variable_part(site['name'])}",
        ]
    if site["content_security_policy_report_only"]:
        headers["content-security-policy-report-only"] = [
            "Content-Security-Policy-Report-Only",
            f"$gatehouse_csp_trial_{variable_part(site['name'])}",
        ]
    for header in own:
        headers[header["name"].lower()] = [header["name"], header["value"]]
    return sorted(headers.values())


def hidden_headers(location: Mapping[str, Any], base: Sequence[str], cached: Sequence[str] = ()) -> list[str]:
    """Return the upstream's headers that no visitor of a location sees, sorted; [] where they are `base`.

    `base`: those that every location hides; `cached`: those that one with a cache hides beside. A header that the
    location sets itself replaces the upstream's, but for those of which an answer may have several.
    """
    replaced = [header["name"] for header in location["response_headers"] if header["name"].lower() not in _REPEATED]
    beside = cached if location.get("cache", {}).get("zone") else []
    headers = {name.lower(): name for name in [*base, *beside, *location["hide_headers"], *replaced]}
    same = set(headers) == {name.lower() for name in base} and location["protocol"] == "http"
    return [] if same else sorted(headers.values())


def header_variable(name: str) -> str:
    """Return the part of nginx's variables that names a header: `X-Frame-Options` gives `x_frame_options`.

    Source: https://nginx.org/en/docs/http/ngx_http_core_module.html#var_http_
    """
    if not _VARIABLE_NAME.fullmatch(name):
        raise AnsibleFilterError(f"header {name}: nginx has no variable for it; write letters, digits, _ and - only")
    return name.lower().replace("-", "_")


def static_folder(location: Mapping[str, Any]) -> str:
    """Return `alias /srv/docs/` or `root /srv/www`: where nginx looks for the files of a location.

    `alias` without the slash at both ends would also serve what is beside the folder (`/docs../x`), so a path that
    is taken off has to end in one.
    Source: https://nginx.org/en/docs/http/ngx_http_core_module.html#alias
    """
    folder, path = str(location["static"]["dir"]).rstrip("/"), str(location["path"])
    if location["match"] != "prefix" or not location["static"]["strip_path"] or path == "/":
        return f"root {folder or '/'}"
    if not path.endswith("/"):
        raise AnsibleFilterError(
            f"location {path}: static serves a folder, so the path ends in /; write {path}/, or strip_path: false"
        )
    return f"alias {folder}/"


def static_folders(sites: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the folders with files that nginx serves for all sites, each once, sorted."""
    places = [location for site in sites for location in site["locations"]]
    folders = [place["static"]["dir"] for place in places]
    folders += [place["fastcgi"]["root"] for place in places if place["protocol"] == "fastcgi"]
    return sorted({str(folder) for folder in folders if folder})


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Any]:
        functions = (
            location_match,
            rate_limit,
            access_rules,
            users_file,
            users_templates,
            page_templates,
            underscored_headers,
            caught_schemes,
            folders_without_slash,
            request_headers,
            fastcgi_parameters,
            response_headers,
            hidden_headers,
            header_variable,
            static_folder,
            static_folders,
            variable_part,
        )
        return {function.__name__: function for function in functions}
