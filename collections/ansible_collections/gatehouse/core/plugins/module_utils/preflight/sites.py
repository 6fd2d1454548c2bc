"""What can be wrong with a site, beyond the form of each value: names, HTTPS, certificates, who may come.

Pure: paths lead into proxy_sites, whose entries have their defaults (spec_values). What has the wrong shape is left to
spec_problems, which says so; the locations have `location_problems`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..input_error import InputError
from ..nginx_values import host_path
from .problem import Problem, mapping, numbered, wrong


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def site_problems(sites: Any) -> list[Problem]:
    """Return what is wrong with the sites of one proxy, paths beginning with proxy_sites."""
    problems, owners, catcher = [], dict[str, tuple[int, str]](), ""
    asking = [
        str(site.get("name"))
        for _, site in numbered(sites)
        if mapping(site.get("client_certificates")).get("mode") in ("optional", "required")
    ]
    for index, site in numbered(sites):
        title = f"site {site.get('name')}"
        found = [*_names(site, index, title, owners), *_scheme(site), *_certificate(site), *_visitors(site)]
        if site.get("locations") == []:
            found.append(wrong(["locations"], f"of {title} is empty: it answers nothing", "write at least path: /"))
        found += [*_in_clear(site), *_resumed(site, asking), *_own_paths(site)]
        if site.get("catch_all") is True and catcher:
            text = f"of {title} is that of {catcher} too, and one site can answer the names that no site has"
            found.append(wrong(["catch_all"], text, "write catch_all: false at one of them"))
        catcher = catcher or (title if site.get("catch_all") is True else "")
        problems += [{**one, "path": ["proxy_sites", index, *one["path"]]} for one in found]
    return problems


def _names(site: Mapping[str, Any], index: int, title: str, owners: dict[str, tuple[int, str]]) -> Iterator[Problem]:
    """Yield names that the site or another one has already; `owners` keeps them from site to site."""
    names = site.get("server_names")
    if isinstance(names, (list, tuple)) and not names:
        yield wrong(["server_names"], f"of {title} is empty", "write at least one name")
    own = set[str]()
    for place, name in enumerate(_list(names)):
        key = str(name).lower()
        owner = owners.setdefault(key, (index, title))
        if owner[0] != index:
            text = f"{name} of {title} is a server name of {owner[1]} too"
            yield wrong(["server_names", place], text, "keep it in one site")
        elif key in own:
            yield wrong(["server_names", place], f"{name} of {title} is there twice", "keep it once")
        own.add(key)


def _scheme(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what contradicts a site without HTTPS."""
    if site.get("https") is not False:
        return
    if site.get("http") == "redirect":
        yield wrong(["http"], "redirect leads to HTTPS, and https is false", "write http: serve, or https: true")
    if site.get("http") == "refuse":
        yield wrong(["http"], "refuse with https: false leaves nobody to serve", "write http: serve, or https: true")
    certificate = mapping(site.get("certificate"))
    if certificate.get("source", "internal_ca") != "internal_ca":
        yield wrong(["certificate"], "has no meaning with https: false", "take it away, or write https: true")
    if mapping(site.get("client_certificates")).get("mode", "none") != "none":
        yield wrong(["client_certificates"], "cannot be asked for with https: false", "write https: true")


def _in_clear(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield passwords that visitors send in plaintext, the site's own and its locations'."""
    why = {"https": "the site has no HTTPS", "http": "http: serve answers on port 80 too"}
    remedies = {
        "https": "write https: true",
        "http": "write http: redirect, unless only a balancer with TLS comes by port 80",
    }
    kind = "https" if site.get("https") is False else "http" if site.get("http") == "serve" else ""
    places: list[tuple[list[Any], Mapping[str, Any]]] = [([], site)]
    places += [(["locations", place], location) for place, location in numbered(site.get("locations"))]
    for path, place in places if kind else []:
        if _list(mapping(place.get("basic_auth")).get("users")):
            text = f"sends passwords in plaintext, because {why[kind]}"
            yield wrong([*path, "basic_auth"], text, remedies[kind], "warning")


def _own_paths(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield locations in the place of those that the proxy has itself: error pages, and challenges of an authority."""
    own = {} if site.get("unavailable") == "close" else {"/.gatehouse/": "the proxy's error pages"}
    if mapping(site.get("certificate")).get("source") == "acme" and site.get("https") is not False:
        own["/.well-known/acme-challenge/"] = "the challenges of the certificate's authority"
    for place, location in numbered(site.get("locations")):
        path = str(location.get("path"))
        for folder, what in own.items():
            if location.get("match") in ("prefix", "exact") and path.startswith(folder):
                text = f"{path} is the place of {what}"
                yield wrong(["locations", place, "path"], text, "write another path, or take it away")


def _certificate(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between a certificate's source and its files; files themselves have their own checks."""
    certificate = mapping(site.get("certificate"))
    source = certificate.get("source")
    for part in ("chain", "key"):
        value, here = certificate.get(part), ["certificate", part]
        if not isinstance(value, str):
            continue
        if source in ("internal_ca", "acme") and value:
            text = f"has no meaning with source: {source}, which brings its own"
            yield wrong(here, text, "take it away, or write source: files (controller) or source: host")
        if source == "host" and not value:
            yield wrong(here, "is required with source: host", "write the absolute path of the file on the host")
        elif source == "host":
            try:
                host_path(value)
            except InputError as error:
                yield wrong(here, error.problem, f"write {error.remedy}")
    for place, name in enumerate(_list(site.get("server_names")) if source == "acme" else ()):
        if str(name).startswith("*."):
            text = f"{name} cannot be had with source: acme: the challenge on port 80 proves no wildcard"
            remedy = "write the names one by one, or another source"
            yield wrong(["server_names", place], text, remedy)


def _visitors(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the certificates that visitors are asked for."""
    own = mapping(site.get("client_certificates"))
    mode = own.get("mode")
    if mode in ("optional", "required") and own.get("ca") == "":
        text = f"is required with mode: {mode}"
        yield wrong(["client_certificates", "ca"], text, "write the path of a file on the controller")
    if site.get("https") is not False and site.get("http") == "serve":
        # Nobody shows a certificate on port 80, so there `required` would be nobody's and a name's visitor everybody.
        if mode == "required":
            text = "required lets nobody in who comes in plaintext, and http: serve answers on port 80"
            yield wrong(["client_certificates", "mode"], text, "write http: redirect or refuse, or mode: optional")
        elif mode == "optional" and _list(own.get("names")):
            text = "lets nobody in who comes in plaintext, and http: serve answers on port 80"
            yield wrong(
                ["client_certificates", "names"], text, "write http: redirect or refuse, or take the names away"
            )
    for part in ("ca", "crl"):
        if mode == "none" and own.get(part):
            text = "has no meaning with mode: none: nobody is asked"
            yield wrong(["client_certificates", part], text, "write mode: required, or take it away")
    if mode == "none" and _list(own.get("names")):
        text = "has no meaning with mode: none: everybody would get 403"
        yield wrong(["client_certificates", "names"], text, "write mode: required, or take it away")


def _resumed(site: Mapping[str, Any], asking: Sequence[str]) -> Iterator[Problem]:
    """Yield a default server whose sessions would be resumed on other sites, held against its authority alone."""
    others = sorted(name for name in asking if name != str(site.get("name")))
    if site.get("catch_all") is True and others and mapping(site.get("client_certificates")).get("resume") is True:
        text = f"of a catch_all would let its visitors resume on {', '.join(others)}, whose authority has not seen them"
        yield wrong(["client_certificates", "resume"], text, "write resume: false")


def site_files(sites: Any) -> list[dict[str, Any]]:
    """Return the files on the controller that sites name: [{path, file}]; certificates have certificate_files."""
    wanted = (("client_certificates", "ca"), ("client_certificates", "crl"), ("maintenance", "page"), ("error_page",))
    found = []
    for index, site in numbered(sites):
        for keys in wanted:
            value: Any = site
            for key in keys:
                value = mapping(value).get(key)
            if isinstance(value, str) and value:
                found.append({"path": ["proxy_sites", index, *keys], "file": str(value)})
    return found
