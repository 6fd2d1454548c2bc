"""Who is drained, by the notes that the playbooks keep on the controller. Reads files, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError


def drain_notes(folder: Any) -> dict[str, dict[str, Any]]:
    """Return what `<folder>/drained/<host>.json` notes of each drained host.

    {host: {kind, reason, by, since, outdated}}, the last one only where it is true. `kind` is V(maintenance) for what
    an operator drained, V(rollout) or V(rotation) for what a run did and will undo, V(unreachable) for a host without
    which a run has gone on; see the action plugin rollout_drained.
    """
    notes = {}
    for file in sorted(Path(str(folder)).glob("drained/*.json")):
        try:
            notes[file.stem] = dict(json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise AnsibleFilterError(
                f"{file} is no note that Gatehouse wrote ({error}); look at it and remove it"
            ) from None
    return notes


def outdated_hosts(notes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the hosts without which a run has gone on, and which no deployment has found well since."""
    return [host for host, note in notes.items() if note.get("kind") == "unreachable" or note.get("outdated")]


class FilterModule:
    """Offer the function above to templates under its own name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"drain_notes": drain_notes, "outdated_hosts": outdated_hosts}
