"""What of a built tree goes into the release, and what may not."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils import sandbox
from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import (
    ArchiveError,
    inner_target,
    matches,
    matching,
    tree_files,
)
from ansible_collections.gatehouse.core.plugins.module_utils.app.secrets import BUILD_ONLY

# Why something of the source is not packed, where no pattern says it.
NOT_INCLUDED, FOR_THE_BUILD = "not what is packed of this runtime's releases", "read by the build only"


def chosen(
    options: Mapping[str, Any], work: Path, own: set[str], fetched: set[str]
) -> tuple[list[tuple[str, Path]], dict[str, set[str]]]:
    """Return (what is packed, {why: paths of the source (`own`) that are not})."""
    include, keep, unwanted = (options[key] for key in ("include", "own_include", "own_exclude"))
    rooted = [pattern for pattern in unwanted if "/" in pattern]
    files, top, stripped = [], dict[str, set[str]](), dict[str, list[str]]()
    strip = [*options["strip"], *rooted]
    for relative, file in tree_files(work, strip, keep, stripped, (sandbox.SOURCE,)):
        why = ""
        if not matches(relative, keep):
            if include and not matches(relative.split("/")[0], include):
                why = NOT_INCLUDED
            elif relative not in fetched:
                why = matching(relative, unwanted)
        # Never, whatever is written: it is a setting of the build.
        if matches(relative, BUILD_ONLY) and relative not in fetched:
            why = FOR_THE_BUILD
        if not why:
            files.append((relative, file))
        elif relative in own:
            top.setdefault(why, set()).add(relative.split("/")[0] if why == NOT_INCLUDED else relative)
    folders = own | {parent.as_posix() for relative in own for parent in Path(relative).parents}
    for why, paths in stripped.items():
        top.setdefault(why, set()).update(folders.intersection(paths))
    return files, top


def refuse_broken(name: str, work: Path, files: list[tuple[str, Path]]) -> None:
    """Refuse a link whose target was built and is not packed: the release would miss it."""
    packed = {relative for relative, _ in files}
    packed |= {parent.as_posix() for relative in packed for parent in Path(relative).parents}
    lost = []
    for relative, file in files:
        if file.is_symlink() and file.exists():
            inner = inner_target(relative, str(file.readlink()), (sandbox.SOURCE,))
            target = posixpath.normpath(posixpath.join(posixpath.dirname(relative), inner))
            # One that leads through another link is as good as that one.
            if target not in packed and not any(Path(work, parent).is_symlink() for parent in Path(target).parents):
                lost.append(f"  {relative} -> {target}")
    if lost:
        raise ArchiveError(
            f"the release of {name} has links to what is not packed:\n" + "\n".join(lost[:20])
            + "\nName what they lead to in app_include, or the links in app_exclude"
        )  # fmt: skip


def refuse_machine(name: str, files: list[tuple[str, Path]]) -> None:
    """Refuse a file that names this machine. Only tools are at a path of its own; the source is at the same on all."""
    machine = str(sandbox.TOOLS).encode()
    named = [relative for relative, file in files if not file.is_symlink() and machine in file.read_bytes()]
    if named:
        raise ArchiveError(
            f"{', '.join(named[:5])} of the release of {name} names a folder of this controller "
            f"({sandbox.TOOLS}), so the release would differ elsewhere: if the application does not need it, name "
            "it in app_exclude, with a slash before it"
        )
