"""A command as the text of a systemd `ExecStart=`: an argument list of a runtime's, or a line of the inventory's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.commands import PLAIN, exec_start, quote


def systemd_command(words: Any, folder: str) -> str:
    """Turn ['bin/start', 'a b'] with folder '/srv/x' into `/srv/x/bin/start "a b"`, see systemd.service(5).

    A first word that is no absolute path is taken to be below `folder`. Nothing is expanded: `%` and `$` arrive as is.
    """
    if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
        raise ValueError(
            "app_start_command must be a list of words, for example [bin/start] or [/usr/bin/node, server/main.js]"
        )
    if strange := [word for word in words if any(ord(char) < 32 or ord(char) == 127 for char in word)]:
        raise ValueError(f"app_start_command has a control character in {strange[0]!r}")
    program = str(words[0])
    if not PLAIN.fullmatch(program) or program[0] in "@-:+!":
        raise ValueError(f"app_start_command[0] is {program!r}: it must be a path of letters, digits and . _ / -")
    first = program if program.startswith("/") else f"{folder}/{program}"
    return " ".join([first, *(quote(str(word)) for word in words[1:])])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"systemd_command": systemd_command, "systemd_line": exec_start}
