"""What can be wrong with a site, beyond the form of each value: names, HTTPS, certificates, who may come.

Pure: paths lead into proxy_sites, whose entries have their defaults (spec_values). What has the wrong shape is left to
spec_problems, which says so; the locations have `location_problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader

Problem = dict[str, Any]


def _problem(path: Sequence[Any], problem: str, remedy: str, level: str = "error") -> Problem:
    return {"path": list(path), "problem": problem, "remedy": remedy, "level": level}


def _entries(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (index, entry) of the mappings in a list; of anything else, nothing."""
    for index, entry in enumerate(value if isinstance(value, (list, tuple)) else ()):
        if isinstance(entry, Mapping):
            yield index, entry


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def site_problems(sites: Any) -> list[Problem]:
    """Return what is wrong with the sites of one proxy, paths beginning with proxy_sites."""
    problems, owners, catcher = [], dict[str, tuple[int, str]](), ""
    asking = [
        str(site.get("name"))
        for _, site in _entries(sites)
        if _mapping(site.get("client_certificates")).get("mode") in ("optional", "required")
    ]
    for index, site in _entries(sites):
        title = f"site {site.get('name')}"
        found = [*_names(site, index, title, owners), *_scheme(site), *_certificate(site), *_visitors(site)]
        if site.get("locations") == []:
            found.append(_problem(["locations"], f"of {title} is empty: it answers nothing", "write at least path: /"))
        found += [*_in_clear(site), *_resumed(site, asking), *_own_paths(site)]
        if site.get("catch_all") is True and catcher:
            text = f"of {title} is that of {catcher} too, and one site can answer the names that no site has"
            found.append(_problem(["catch_all"], text, "write catch_all: false at one of them"))
        catcher = catcher or (title if site.get("catch_all") is True else "")
        problems += [{**one, "path": ["proxy_sites", index, *one["path"]]} for one in found]
    return problems


def _names(site: Mapping[str, Any], index: int, title: str, owners: dict[str, tuple[int, str]]) -> Iterator[Problem]:
    """Yield names that the site or another one has already; `owners` keeps them from site to site."""
    names = site.get("server_names")
    if isinstance(names, (list, tuple)) and not names:
        yield _problem(["server_names"], f"of {title} is empty", "write at least one name")
    own = set[str]()
    for place, name in enumerate(_list(names)):
        key = str(name).lower()
        owner = owners.setdefault(key, (index, title))
        if owner[0] != index:
            text = f"{name} of {title} is a server name of {owner[1]} too"
            yield _problem(["server_names", place], text, "keep it in one site")
        elif key in own:
            yield _problem(["server_names", place], f"{name} of {title} is there twice", "keep it once")
        own.add(key)


def _scheme(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what contradicts a site without HTTPS."""
    if site.get("https") is not False:
        return
    if site.get("http") == "redirect":
        yield _problem(["http"], "redirect leads to HTTPS, and https is false", "write http: serve, or https: true")
    if site.get("http") == "refuse":
        yield _problem(["http"], "refuse with https: false leaves nobody to serve", "write http: serve, or https: true")
    certificate = _mapping(site.get("certificate"))
    if certificate.get("source", "internal_ca") != "internal_ca":
        yield _problem(["certificate"], "has no meaning with https: false", "take it away, or write https: true")
    if _mapping(site.get("client_certificates")).get("mode", "none") != "none":
        yield _problem(["client_certificates"], "cannot be asked for with https: false", "write https: true")


def _in_clear(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield passwords that visitors send in plaintext, the site's own and its locations'."""
    why = {"https": "the site has no HTTPS", "http": "http: serve answers on port 80 too"}
    remedies = {
        "https": "write https: true",
        "http": "write http: redirect, unless only a balancer with TLS comes by port 80",
    }
    kind = "https" if site.get("https") is False else "http" if site.get("http") == "serve" else ""
    places: list[tuple[list[Any], Mapping[str, Any]]] = [([], site)]
    places += [(["locations", place], location) for place, location in _entries(site.get("locations"))]
    for path, place in places if kind else []:
        if _list(_mapping(place.get("basic_auth")).get("users")):
            text = f"sends passwords in plaintext, because {why[kind]}"
            yield _problem([*path, "basic_auth"], text, remedies[kind], "warning")


def _own_paths(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield locations in the place of those that the proxy has itself: error pages, and challenges of an authority."""
    own = {} if site.get("unavailable") == "close" else {"/.gatehouse/": "the proxy's error pages"}
    if _mapping(site.get("certificate")).get("source") == "acme" and site.get("https") is not False:
        own["/.well-known/acme-challenge/"] = "the challenges of the certificate's authority"
    for place, location in _entries(site.get("locations")):
        path = str(location.get("path"))
        for folder, what in own.items():
            if location.get("match") in ("prefix", "exact") and path.startswith(folder):
                text = f"{path} is the place of {what}"
                yield _problem(["locations", place, "path"], text, "write another path, or take it away")


def _certificate(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between a certificate's source and its files; files themselves have their own checks."""
    certificate = _mapping(site.get("certificate"))
    source = certificate.get("source")
    for part in ("chain", "key"):
        value, here = certificate.get(part), ["certificate", part]
        if not isinstance(value, str):
            continue
        if source in ("internal_ca", "acme") and value:
            text = f"has no meaning with source: {source}, which brings its own"
            yield _problem(here, text, "take it away, or write source: files (controller) or source: host")
        if source == "host" and not value:
            yield _problem(here, "is required with source: host", "write the absolute path of the file on the host")
        elif source == "host":
            yield from _refused(here, "host_path", value)
    for place, name in enumerate(_list(site.get("server_names")) if source == "acme" else ()):
        if str(name).startswith("*."):
            text = f"{name} cannot be had with source: acme: the challenge on port 80 proves no wildcard"
            remedy = "write the names one by one, or another source"
            yield _problem(["server_names", place], text, remedy)


def _refused(path: Sequence[Any], form: str, value: Any) -> Iterator[Problem]:
    """Yield what a filter says of a value that only some neighbours bind to its form."""
    try:
        filter_loader.get(form).j2_function(value)
    except AnsibleFilterError as error:
        problem, _, remedy = str(error.message).rpartition("; write ")
        yield _problem(path, problem, f"write {remedy}")


def _visitors(site: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the certificates that visitors are asked for."""
    own = _mapping(site.get("client_certificates"))
    mode = own.get("mode")
    if mode in ("optional", "required") and own.get("ca") == "":
        text = f"is required with mode: {mode}"
        yield _problem(["client_certificates", "ca"], text, "write the path of a file on the controller")
    if site.get("https") is not False and site.get("http") == "serve":
        # Nobody shows a certificate on port 80, so there `required` would be nobody's and a name's visitor everybody.
        if mode == "required":
            text = "required lets nobody in who comes in plaintext, and http: serve answers on port 80"
            yield _problem(["client_certificates", "mode"], text, "write http: redirect or refuse, or mode: optional")
        elif mode == "optional" and _list(own.get("names")):
            text = "lets nobody in who comes in plaintext, and http: serve answers on port 80"
            yield _problem(
                ["client_certificates", "names"], text, "write http: redirect or refuse, or take the names away"
            )
    for part in ("ca", "crl"):
        if mode == "none" and own.get(part):
            text = "has no meaning with mode: none: nobody is asked"
            yield _problem(["client_certificates", part], text, "write mode: required, or take it away")
    if mode == "none" and _list(own.get("names")):
        text = "has no meaning with mode: none: everybody would get 403"
        yield _problem(["client_certificates", "names"], text, "write mode: required, or take it away")


def _resumed(site: Mapping[str, Any], asking: Sequence[str]) -> Iterator[Problem]:
    """Yield a default server whose sessions would be resumed on other sites, held against its authority alone."""
    others = sorted(name for name in asking if name != str(site.get("name")))
    if site.get("catch_all") is True and others and _mapping(site.get("client_certificates")).get("resume") is True:
        text = f"of a catch_all would let its visitors resume on {', '.join(others)}, whose authority has not seen them"
        yield _problem(["client_certificates", "resume"], text, "write resume: false")


def site_files(sites: Any) -> list[dict[str, Any]]:
    """Return the files on the controller that sites name: [{path, file}]; certificates have certificate_files."""
    wanted = (("client_certificates", "ca"), ("client_certificates", "crl"), ("maintenance", "page"), ("error_page",))
    found = []
    for index, site in _entries(sites):
        for keys in wanted:
            value: Any = site
            for key in keys:
                value = _mapping(value).get(key)
            if isinstance(value, str) and value:
                found.append({"path": ["proxy_sites", index, *keys], "file": str(value)})
    return found


class FilterModule:
    """Offer the functions above to the action plugin `estate_check`, and to tests."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in (site_problems, site_files)}
