"""A command as an operator writes it, one line as in a Procfile, and as systemd starts it. No shell reads it."""

from __future__ import annotations

import re
import shlex

PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+-]+")
_PROGRAM = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@,+-]*")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_OF_A_SHELL = re.compile(r"&&?|\|\|?|;|[0-9]*[<>].*|.*;")


class CommandError(ValueError):
    """A line that is no command: what is wrong with it, and what to write."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(f"{problem}; write {remedy}")


def words(line: str) -> list[str]:
    """Return a line's words, split and unquoted as a shell would; what is none is a CommandError."""
    if any(ord(char) < 32 or ord(char) == 127 for char in line):
        raise CommandError("has a line break or another control character", "one line")
    try:
        found = shlex.split(line)
    except ValueError:
        raise CommandError("has a quote without its other one", "both") from None
    if not found:
        raise CommandError("is no command", "a program and its arguments, such as python worker.py")
    if strange := next((word for word in found if _OF_A_SHELL.fullmatch(word)), ""):
        raise CommandError(f"has {strange}, and no shell reads it", "one command, or a script that is in the release")
    if "=" in found[0]:
        raise CommandError("begins with a variable", f"env {found[0]} and the program after it")
    if not _PROGRAM.fullmatch(found[0]):
        raise CommandError(f"begins with {found[0]}", "a program by its name or path: letters, digits and . _ / -")
    return found


def quote(word: str) -> str:
    """Return one argument as systemd.service(5) reads it, quoted if it needs it; nothing in it is expanded."""
    return word if PLAIN.fullmatch(word) else f'"{_escaped(word)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")


def exec_start(line: str, folder: str) -> str:
    """Return a line as the value of `ExecStart=`, run in a release's folder.

    `bin/work` is the release's, a bare `python` is looked for by systemd (ExecSearchPath=). Variables of the
    environment are put in place of `$NAME` and `${NAME}`, each as one argument or a part of one.
    """
    program, *arguments = words(line)
    relative = "/" in program and not program.startswith("/")
    first = f"{folder}/{program.removeprefix('./')}" if relative else program
    return " ".join([first, *(_argument(one) for one in arguments)])


def _argument(word: str) -> str:
    """Return one argument, quoted where it has to be, with its variables as systemd writes them."""
    parts, end = [], 0
    for found in _VARIABLE.finditer(word):
        parts += [_escaped(word[end : found.start()]), f"${{{found[1] or found[2]}}}"]
        end = found.end()
    return f'"{"".join(parts)}{_escaped(word[end:])}"' if parts else quote(word)
