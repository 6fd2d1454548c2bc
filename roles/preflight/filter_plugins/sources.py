"""What can be wrong with where an application's release comes from, although each input is right by itself.

Pure: paths lead into the host's variables. What has the wrong shape is left to spec_problems, which says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

# What each source needs, with what would be the matter without it and what to write.
_NEEDS = {
    "app_source_archive": {
        "location": ("there is no source", "a path or an address"),
        "sha256": ("nobody could tell another archive from this one", "what `sha256sum` prints"),
    },
    "app_source_git": {
        "repository": ("there is no source", "a path or an address"),
        "ref": ("any commit could be meant", "a tag or a commit's full id"),
    },
}


def _problem(path: list[str], problem: str, remedy: str) -> dict[str, Any]:
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
        text = f"stands beside {written[0]}, and a release has one source"
        yield _problem([name], text, "keep one of them")


class FilterModule:
    """Offer the function above to the action plugin `estate_check`, and to tests."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"source_problems": source_problems}
