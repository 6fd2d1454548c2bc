"""What an operator reads where a deployment fails on a host: what failed, what runs now, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.gatehouse.core.plugins.module_utils.app.service import Gate
from ansible_collections.gatehouse.core.plugins.module_utils.unit_failures import explain


def server_failed(what: str, unit: str, gate: Gate, problem: str, outcome: str, log: str) -> str:
    """Report a release that did not answer. `what`: application and release; `outcome`: what runs now."""
    hints = "".join(f"Hint: {one}\n" for one in (gate.hint(problem, log), *explain(log)) if one)
    asked = f" for {gate.host}" if gate.host else ""
    return (
        f"{what} did not answer {gate.status} at {gate.url}{asked} within {gate.timeout} s ({problem}). {outcome}\n"
        f"What the unit wrote:\n{log or '(nothing)'}\n"
        f"{hints}"
        "Correct the application or its settings (app_environment, app_secrets, app_health_path, app_health_host, "
        f"app_health_timeout) and deploy again; `journalctl -u {unit}` on the host has the rest."
    )


def process_failed(what: str, units: Sequence[str], problem: str, outcome: str, log: str) -> str:
    """Report a release that answers, while some of its processes did not stay: `units`."""
    hints = "".join(f"Hint: {one}\n" for one in explain(log))
    return (
        f"{what} answers, and a process of it did not stay: {problem}. {outcome}\n"
        f"What it wrote:\n{log or '(nothing)'}\n"
        f"{hints}"
        "Correct it or its command (app_processes) and deploy again; "
        f"`journalctl -u {units[0]}` on the host has the rest."
    )
