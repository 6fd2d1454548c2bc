"""What can be wrong with where an application's release comes from, and where it may connect to.

Although each input is right by itself.

Pure: paths lead into the host's variables. What has the wrong shape is left to spec_problems, which says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

# What each source needs, with what would be the matter without it and what to write.
_NEEDS = {
    "app_source_archive": {
        "location": ("there is no source", "a path or an address"),
        "sha256": ("nobody could distinguish another archive from this one", "what `sha256sum` prints"),
    },
    "app_source_git": {
        "repository": ("there is no source", "a path or an address"),
        "ref": ("any commit could be meant", "a tag or a commit's full id"),
    },
}


def _problem(path: list[Any], problem: str, remedy: str) -> dict[str, Any]:
    return {"path": path, "problem": problem, "remedy": remedy, "level": "error"}


def source_problems(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is wrong with the source of a host's application: [{path, problem, remedy, level}].

    `values`: the host's variables, of which app_archive, app_source_archive and app_source_git are looked at.
    """
    return list(_problems(values))


def _problems(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    written = [name for name in _NEEDS if isinstance(values.get(name), Mapping) and any(values[name].values())]
    for name in written:
        if values.get("app_archive"):
            yield _problem([name], "has no meaning beside app_archive: nothing is built", "take it away")
        for field, (else_, remedy) in _NEEDS[name].items():
            if not values[name].get(field):
                yield _problem([name, field], f"is missing, so {else_}", f"write {remedy}")
    for name in written[1:]:
        text = f"is beside {written[0]}, and a release has one source"
        yield _problem([name], text, "keep one of them")


def egress_problems(values: Mapping[str, Any], applications: Iterable[str]) -> list[dict[str, Any]]:
    """Return what is wrong with what a host's application may connect to: [{path, problem, remedy, level}].

    `values`: the host's variables, of which app_egress is looked at; `applications`: the names of all in the inventory.
    """
    known, found, names = sorted(applications), [], set[str]()
    entries = values.get("app_egress")
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, Mapping):
            continue
        where: list[Any] = ["app_egress", index]
        to, application = entry.get("to"), entry.get("application")
        if not to and not application:
            remedy = "write to: [an address or a network], or application: the name of one"
            found.append(_problem(where, "names nothing to connect to", remedy))
        if application and any(entry.get(field) for field in ("to", "ports", "protocol")):
            text = "has an application beside to, ports or protocol; it is asked through the proxies, on port 443"
            found.append(_problem([*where, "application"], text, "keep one of them"))
        if application and application not in known:
            near = ", ".join(known)
            found.append(
                _problem([*where, "application"], f"is {application}, which no host runs", f"write one of {near}")
            )
        if entry.get("protocol") and not entry.get("ports"):
            found.append(_problem([*where, "protocol"], "has no meaning without ports", "write ports too"))
        if entry.get("name") in names:
            found.append(_problem([*where, "name"], f"is {entry['name']}, as another entry's", "write another"))
        names.add(str(entry.get("name")))
    return found


class FilterModule:
    """Offer the functions above to the action plugin `estate_check`, and to tests."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"source_problems": source_problems, "egress_problems": egress_problems}
