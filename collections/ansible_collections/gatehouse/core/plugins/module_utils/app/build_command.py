"""One command of a build: in its sandbox, with its log, and with the lines that say why where it fails."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils import sandbox
from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import EPOCH, ArchiveError
from ansible_collections.gatehouse.core.plugins.module_utils.app.build_log import Findings
from ansible_collections.gatehouse.core.plugins.module_utils.app.sources import without_credentials


def variable(name: str, value: Any) -> str:
    """Give the text of a variable of the environment; a boolean as in YAML."""
    if not isinstance(value, (str, int, float)):
        raise ArchiveError(f"app_build_environment.{name} must be text, a number or a boolean: write it as text")
    return str(value).lower() if isinstance(value, bool) else str(value)


def execute(options: Mapping[str, Any], box: sandbox.Sandbox, command: list[str], fetch: bool, log: Path) -> None:
    """Run one build command; its output goes to the log, without the credentials of an address.

    Where it fails, the lines that say why are shown, with what is missing and with the name of the log.
    """
    name, shown = options["name"], " ".join(command)
    environment = sandbox.environment(Path(command[0]).name if fetch else "", tuple(options["path"]))
    environment["SOURCE_DATE_EPOCH"] = str(EPOCH)
    if not fetch:
        environment |= {key: variable(key, value) for key, value in options["environment"].items()}
    where = environment["PATH"]
    # What is in the sandbox's own folders is not there yet.
    if "/" not in command[0] and not options["path"] and shutil.which(command[0], path=where) is None:
        raise ArchiveError(
            f"the build of {name} needs {command[0]}, which is not in {where}: install it there; uv, "
            "node and npm come with the toolchain's locked requirements"
        )
    # Into a file: whatever a command writes, it takes no memory here.
    with tempfile.TemporaryFile() as output:
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = subprocess.run(  # noqa: S603 (an argument list from the role, never a shell)
                box.words(command, fetch), env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, timeout=options["timeout"], check=False, umask=0o022,
            ).returncode  # fmt: skip
        output.seek(0)
        findings = Findings()
        with log.open("a") as stream:
            stream.write(without_credentials(f"$ {shown}\n"))
            for raw in output:
                line = without_credentials(raw.decode(errors="replace"))
                stream.write(line)
                findings.read([line])
    if code == 0:
        return
    took = f"took more than {options['timeout']} s"
    ran = ("failed" if code else took) + f" in the build of {name}" + ("" if fetch else " (which has no network)")
    reported = [*findings.reported(), f"The whole log: {log}"]
    raise ArchiveError(without_credentials(f"`{shown}` {ran}:\n") + "\n".join(reported))
