"""What a host has to change so that a release runs with its files: compared before anything is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.app.service import ManagedFile


@dataclass(frozen=True)
class Change:
    """The differences, and what has to start, stop or be noted for them."""

    release: str  # '' in check mode if only a build would show it
    current: str  # the release that is linked now
    link: Path  # where
    files: Sequence[ManagedFile]  # all of them as they should be
    written: Sequence[ManagedFile]  # those that differ
    unproven: bool  # linked already, and nobody found it good
    unit: str  # of what serves
    reload: bool
    enable: bool
    restart: str  # why what serves starts anew; '' if it goes on
    due: Mapping[str, str]  # processes and timers that start anew, and why
    orphans: Sequence[str]  # those that the inventory does not name
    here: Mapping[str, Mapping[str, str]]  # the properties of those that are here

    @property
    def switches(self) -> bool:
        """Whether another release is to be linked."""
        return self.current != self.release or not self.release

    def actions(self) -> list[str]:
        """Say what is to be done, in the order in which it is reported."""
        unit, release = self.unit, self.release
        said = [f"{'remove' if file.text is None else 'write'} {file.path}" for file in self.written]
        said += [f"link {release or 'the release that would be built'} as current"] if self.switches else []
        said += [f"note that release {release} is good"] if self.unproven else []
        said += ["reload systemd"] if self.reload else []
        said += [f"enable {unit}"] if self.enable else []
        said += [f"restart {unit}: {self.restart}"] if self.restart else []
        said += [f"restart {name}: {why}" for name, why in self.due.items()]
        return said + [f"stop {name}: the inventory has no such one here" for name in self.orphans]

    def diffs(self) -> list[dict[str, str]]:
        """Return the differences as Ansible's `diff` shows them."""
        found = [file.diff() for file in self.written]
        if self.switches:
            texts = {
                "before": f"{self.current}\n" if self.current else "",
                "after": f"{self.release or '(built first)'}\n",
            }
            found.append({"before_header": str(self.link), "after_header": str(self.link), **texts})
        return found
