"""What of an application's releases is on a host and on the controller, in lines for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def release_report(here: Sequence[Mapping[str, Any]], archives: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each release: its id, what it is on the host, and whether the controller keeps its archive.

    `here`: [{release, current, deployed, failed}], as app_release lists them; `archives`: [{release, bytes, origin}],
    as release_archive_info does. Those of the host come first, then those that only the controller has.
    """
    kept = {str(archive["release"]): archive for archive in archives}
    known = {str(one["release"]): _state(one) for one in here}
    lines = []
    for release in [*known, *(name for name in kept if name not in known)]:
        words = [known.get(release, "not on this host")]
        words += [_archive(kept[release])] if release in kept else ["its archive is not on the controller"]
        lines.append(f"{release}: {', '.join(words)}")
    return lines or ["no release, neither on this host nor on the controller"]


def _state(release: Mapping[str, Any]) -> str:
    if release["current"]:
        return "runs"
    if release["failed"]:
        return f"failed ({str(release['failed']).splitlines()[0]})"
    if not release["deployed"]:
        return "never served"
    return f"good on {datetime.fromtimestamp(release['deployed'], UTC):%Y-%m-%d %H:%M} UTC"


def _archive(archive: Mapping[str, Any]) -> str:
    """Return the size of an archive, and what it was built from if that was no folder."""
    size, origin = f"archive of {archive['bytes'] / 1e6:.1f} MB", archive["origin"]
    if origin.get("commit"):
        return f"{size} from commit {origin['commit'][:12]} ({origin['ref']}) of {origin['repository']}"
    return f"{size} from {origin['archive']}" if origin.get("archive") else size


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"release_report": release_report}
