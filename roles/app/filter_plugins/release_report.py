"""What of an application's releases is on a host and on the controller, in lines for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def release_report(here: Mapping[str, Any], archives: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each release: its id, what it is on the host, and whether the controller keeps its archive.

    `here`: {current, previous, releases}, as app_release_info returns; `archives`: [{release, bytes, origin}], as
    release_archive_info does. Those of the host come first, then those that only the controller has.
    """
    kept = {str(archive["release"]): archive for archive in archives}
    lines = []
    for release in [*here["releases"], *(name for name in kept if name not in here["releases"])]:
        words = [_state(release, here)]
        words += [_archive(kept[release])] if release in kept else ["its archive is not on the controller"]
        lines.append(f"{release}: {', '.join(words)}")
    return lines or ["no release, neither on this host nor on the controller"]


def _state(release: str, here: Mapping[str, Any]) -> str:
    if release == here["current"]:
        return "runs"
    if release == here["previous"]:
        return "ran before"
    return "on this host" if release in here["releases"] else "not on this host"


def _archive(archive: Mapping[str, Any]) -> str:
    """Return the size of an archive, and what it was built from if that was no folder."""
    size, origin = f"archive of {archive['bytes'] / 1e6:.1f} MB", archive["origin"]
    if origin.get("commit"):
        return f"{size} from commit {origin['commit'][:12]} ({origin['ref']}) of {origin['repository']}"
    return f"{size} from {origin['archive']}" if origin.get("archive") else size


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"release_report": release_report}
