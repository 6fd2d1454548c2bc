"""What can be wrong with where an application's release comes from, and where it may connect to.

Although each input is right by itself.

Pure: paths lead into the host's variables. What has the wrong shape is left to spec_problems, which says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .problem import wrong

# What each source needs, with what would be the matter without it and what to write.
_NEEDS = {
    "app_source_archive": {
        "location": ("there is no source", "a path or an address"),
        "sha256": ("another archive would be taken for it", "what `sha256sum` prints"),
    },
    "app_source_git": {
        "repository": ("there is no source", "a path or an address"),
        "ref": ("any commit could be meant", "a tag or a commit's full id"),
    },
}


def source_problems(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is wrong with the source of a host's application: [{path, problem, remedy, level}].

    `values`: the host's variables, of which app_archive, app_source_archive and app_source_git are looked at.
    """
    return list(_problems(values))


def _problems(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    written = [name for name in _NEEDS if isinstance(values.get(name), Mapping) and any(values[name].values())]
    for name in written:
        if values.get("app_archive"):
            yield wrong([name], "has no meaning beside app_archive: nothing is built", "take it away")
        for field, (else_, remedy) in _NEEDS[name].items():
            if not values[name].get(field):
                yield wrong([name, field], f"is missing, so {else_}", f"write {remedy}")
    for name in written[1:]:
        text = f"is beside {written[0]}, and a release has one source"
        yield wrong([name], text, "keep one of them")


def source_folder_problems(values: Mapping[str, Any], given: Any, usual: str) -> list[dict[str, Any]]:
    """Return what is wrong with the folder of a host's application: [{path, problem, remedy, level}].

    `values`: as for source_problems; `given`: app_source as the inventory says it, or None; `usual`: the role's
    default. The default's absence is a warning, since a run of the proxies alone needs no source.
    """
    if any(isinstance(values.get(name), Mapping) and any(values[name].values()) for name in _NEEDS):
        return []
    folder = Path(usual if given is None else str(given)).expanduser()
    if not folder.is_absolute():
        text = f"{given} is relative, and each playbook would begin elsewhere"
        return [wrong(["app_source"], text, f'write "{{{{ inventory_dir }}}}/{given}", or an absolute path')]
    if folder.is_dir():
        return []
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    if given is None:
        text = f"has no source: {shown} is no folder of this machine, so nothing can be built from it"
        remedy = "put the application's source there, or write source: and where it is"
        return [{**wrong(["app_source"], text, remedy), "level": "warning"}]
    text = f"{given} is no folder of this machine"
    return [wrong(["app_source"], text, "write where the application's source is")]


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
            found.append(wrong(where, "names nothing to connect to", remedy))
        if application and any(entry.get(field) for field in ("to", "ports", "protocol")):
            text = "has an application beside to, ports or protocol; it is asked through the proxies, on port 443"
            found.append(wrong([*where, "application"], text, "keep one of them"))
        if application and application not in known:
            near = ", ".join(known)
            found.append(
                wrong([*where, "application"], f"is {application}, which no host runs", f"write one of {near}")
            )
        if entry.get("protocol") and not entry.get("ports"):
            found.append(wrong([*where, "protocol"], "has no meaning without ports", "write ports too"))
        if entry.get("name") in names:
            found.append(wrong([*where, "name"], f"is {entry['name']}, as another entry's", "write another"))
        names.add(str(entry.get("name")))
    return found
