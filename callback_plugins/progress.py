"""What a run shows: on a terminal, which part it is in, and hosts only where something changed or failed.

Everywhere else (a pipe, CI, `-v`) this is `ansible.builtin.default` and the lines of what changed. Its settings cannot
do the same: ansible.cfg does not know whether a person reads, and `display_ok_hosts = false` hides what `debug` says.

A module says what it changed in `changes`, a list of short lines (`sites/shop.conf: written`). Without it, the line is
made of the path or the name that the result carries; with `--diff`, the diff follows.

Where a play says `prints_document: true`, stdout has what the action `document` is given and nothing else, for a pipe
as for a terminal; what Ansible says of the run goes to stderr.

Whatever the output is, a terminal, a pipe or `log_path`, no control character of a host's gets there, wherever in a
result or a warning of whichever module it is: `guard` is in Ansible's display, through which everything goes.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.playbook.block import Block
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.display import Display, get_text_width
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible

DOCUMENTATION = """
name: progress
type: stdout
short_description: on a terminal shows what changed and what failed, elsewhere what ansible.builtin.default shows
description:
  - On a terminal, one line for each play, and hosts only where something changed or failed.
  - Where the output is no terminal, where the environment has C(CI), and with C(-v), it is V(ansible.builtin.default).
  - On a terminal O(display_ok_hosts) and O(display_skipped_hosts) are false, whatever they are set to.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

# A colour (ECMA-48, SGR). Ansible puts its own into a text in two places only: diffs, and the recap (`screen_only`).
COLOUR = re.compile(r"(\x1b\[[\d;]*m)")
# `proxy : configure | Render the upstreams`: the role and the file are for whoever reads a failure.
TASK_PLACE = re.compile(r"^(\S+ : )?([\w./-]+ \| )?")
CLEAR_LINE = "\r\x1b[K"
# What sudo and Ansible say of it, and what to do.
HINTS = {
    "you must have a tty to run sudo": "write ansible_pipelining: false for it; its sudo wants a terminal (requiretty)",
    "Missing sudo password": "run it with -K, or write ansible_become_password for it",
}
PRINTS_DOCUMENT = re.compile(r"^ +(vars: \{)?prints_document: true\b", re.MULTILINE)


def prints_document() -> bool:
    """Return whether a playbook of the command line prints a document: by its text, since nothing is parsed yet."""
    paths = [Path(name) for name in context.CLIARGS.get("args") or ()]
    return any(path.is_file() and PRINTS_DOCUMENT.search(path.read_text(errors="replace")) for path in paths)


def is_terminal(stream: Any) -> bool:
    """Return whether a person follows the run there: on a terminal that can overwrite a line, without CI."""
    return bool(stream.isatty()) and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")


def is_followed() -> bool:
    """Return whether a run is shown as `Progress` does; -v asks for all that Ansible has to say."""
    return Display().verbosity == 0 and (DOCUMENT or is_terminal(sys.stdout))


DOCUMENT = prints_document()


class Coloured(str):
    """A text whose control characters are spelled out, but for the colours that were then put into it."""

    __slots__ = ()


def printable(text: str, *, coloured: bool = False) -> str:
    """Return a text whose control characters are spelled out, newline, tab and perhaps colours excepted."""
    text = text.replace("\r\n", "\n")
    if not coloured:
        return visible(text)
    return "".join(part if COLOUR.fullmatch(part) else visible(part) for part in COLOUR.split(text))


def guard(display: Any) -> Callable[..., None]:
    """Have Ansible's display spell out the control characters of everything that it prints or writes to its log.

    What workers print comes here too, from their queue, and all that is verbose, a warning or an error in the end. Only
    verbose lines that are for the log alone go to it directly. Return what prints a text as it is.
    """
    write, log = display.display, display._log

    def show(msg: str, *arguments: Any, **options: Any) -> None:
        if not isinstance(msg, Coloured):
            msg = printable(msg, coloured=bool(options.get("screen_only")))
        if DOCUMENT and len(arguments) < 2:  # else it is said already where it goes
            options["stderr"] = True
        write(msg, *arguments, **options)

    def keep(msg: str, *arguments: Any, **options: Any) -> None:
        log(printable(COLOUR.sub("", msg)), *arguments, **options)

    display.display, display._log = show, keep
    return write  # type: ignore[no-any-return]


def escaped(value: Any) -> Any:
    """Return a diff whose control characters are spelled out; a line's CR too, since it may be all that changed."""
    if isinstance(value, Mapping):
        return {key: escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [escaped(one) for one in value]
    return visible(value) if isinstance(value, str) else value


def fitted(text: str, columns: int) -> str:
    """Return as much of a line as fits into so many columns, wide characters counted as two."""
    text = printable(" ".join(text.split()))
    if get_text_width(text) <= columns:
        return text
    text = text[:columns]
    while text and get_text_width(text + "…") > columns:
        text = text[:-1]
    return text + "…"


def spoken_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what `debug` and its like say, without their host; [] where that is no text."""
    said = result.get("msg")
    parts = said if isinstance(said, list) else [said]
    texts = [one for one in parts if isinstance(one, str)]
    return [line for text in texts for line in text.splitlines()] if len(texts) == len(parts) else []


def place_line(result: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """Return which path or name a task changed, and into which state; "" where nothing says so."""
    if "censored" in result:
        return ""
    module = (result.get("invocation") or {}).get("module_args") or {}
    known = {**arguments, **module, **result}
    place = next((known[key] for key in ("path", "dest", "name") if known.get(key)), "")
    line = ", ".join(map(str, place)) if isinstance(place, list) else str(place)
    state = known.get("state")
    return f"{line}: {state}" if line and isinstance(state, str) and state != "file" else line


def change_lines(result: Mapping[str, Any], arguments: Mapping[str, Any], label: Any) -> list[str]:
    """Return one line for each thing that a result changed, with its loop item's label (None: no loop)."""
    changes = result.get("changes")
    if result.get("_ansible_verbose_always"):
        changes = spoken_lines(result)
    lines = [str(line) for line in changes] if isinstance(changes, list) else []
    lines = lines or [line for line in [place_line(result, arguments)] if line]
    if label is None:
        return lines
    name = str(label["name"] if isinstance(label, Mapping) and "name" in label else label)
    return [line if name in line else f"{name}: {line}" for line in lines] or [name]


def is_rescued(task: Any) -> bool:
    """Return whether a block around a task rescues its failure."""
    part, parent = task, task._parent
    while parent:
        if isinstance(parent, Block) and parent.rescue and any(part._uuid == one._uuid for one in parent.block):
            return True
        part, parent = parent, parent._parent
    return False


def recap_line(hosts: Mapping[str, Mapping[str, int]], check: bool, seconds: float) -> str:
    """Return a run's end in one line, from each host's counts."""

    def names(what: str) -> list[str]:
        return [host for host, counts in hosts.items() if counts[what]]

    total = f"{len(hosts)} host{'' if len(hosts) == 1 else 's'}"
    parts = [
        f"{len(found)} {{}}{word}: {', '.join(found)}"
        for what, word in (
            ("failures", "failed"),
            ("unreachable", "unreachable"),
            ("changed", "would change" if check else "changed"),
        )
        if (found := names(what))
    ]
    if not names("changed"):
        parts.append("nothing would change" if check else "nothing changed")
    if len(parts) == 1 and not names("changed"):
        parts[0] = f"{total}, {parts[0]}"
    parts[0] = parts[0].format(f"of {total} ")
    parts[1:] = [part.format("") for part in parts[1:]]
    parts += [f"failures {what}: {', '.join(found)}" for what in ("rescued", "ignored") if (found := names(what))]
    minutes, rest = divmod(round(seconds), 60)
    return f"{'; '.join(parts)} ({f'{minutes} min ' if minutes else ''}{rest} s)"


class Guarded(Default):  # type: ignore[misc]
    """Ansible's own callback, and nothing that a host wrote commands the terminal."""

    def __init__(self) -> None:
        """Guard the display, of which there is one in a process."""
        super().__init__()
        self._write = guard(self._display)
        self._exit_code = 0

    def _print_document(self, result: Any) -> bool:
        """Print a document, if the result has one; the pipe may have been closed by `head` or a pager."""
        document = result.result.get("document")
        if not isinstance(document, list) or not result.task.action.endswith("document"):
            return False
        self._exit_code = result.result.get("exit_code") or 0
        self._display.display("", screen_only=True, newline=False)  # takes a status line away
        try:
            for color, lines in groupby(document, key=lambda line: line[1]):
                self._write("".join(f"{visible(line[0])}\n" for line in lines), color=color or None)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        for remark in result.result.get("remarks") or ():
            self._display.display(remark, color=constants.COLOR_WARN, stderr=True)
        return True

    def _end_document(self) -> None:
        """End the run with the status that its document asks for; Ansible itself has one for all that fails."""
        if self._exit_code:
            raise SystemExit(self._exit_code)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Show a failure as the default callback does, and what to do about sudo."""
        super().v2_runner_on_failed(result, ignore_errors)
        said = f"{result.result.get('msg')} {result.result.get('module_stderr')}"
        for words, remedy in HINTS.items():
            if words in said:
                self._display.display(f"{result.host.name}: {remedy}", color=constants.COLOR_ERROR, stderr=True)

    def _get_diff(self, difference: Any) -> str:
        """Return a diff as Ansible colours it, escaped before that."""
        return Coloured(super()._get_diff(escaped(difference)))


class Progress(Guarded):
    """What a person follows. Failures, warnings and diffs are shown by what this is a subclass of."""

    def __init__(self) -> None:
        """Put the status line before everything that Ansible prints: all of it goes through one method."""
        super().__init__()
        self._started = time.monotonic()
        self._play_numbers: dict[str, int] = {}
        self._batch = ("", 0)
        # Each host that is out: the task, and how many retries it has left.
        self._running: dict[str, tuple[str, str]] = {}
        self._diffed: set[tuple[str, str]] = set()
        self._status = ""
        self._process = os.getpid()
        self._show = self._display.display
        self._display.display = self._print

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        """Read all settings of the default callback, and let it be silent about what neither changed nor failed."""
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        for option in ("display_ok_hosts", "display_skipped_hosts"):
            self.set_option(option, False)

    def _print(self, msg: str, *arguments: Any, **options: Any) -> None:
        """Print a text in the place of the status line. A worker's comes by its parent's hand, who does that."""
        if os.getpid() != self._process:
            self._show(msg, *arguments, **options)
            return
        with self._display._lock:
            self._draw("")
            self._show(msg, *arguments, **options)

    def _draw(self, status: str) -> None:
        """Put one line in the place of the previous one; the cursor stays behind it.

        Where no host is out there is none, so a prompt that does not come by the display (`vars_prompt`) has its line.
        """
        if status != self._status:
            stream = sys.stderr if DOCUMENT else sys.stdout
            if is_terminal(stream):
                self._write(CLEAR_LINE + status, screen_only=True, newline=False, stderr=DOCUMENT)
                stream.flush()
            self._status = status

    def _show_status(self) -> None:
        """Show the tasks under way and the hosts that are out, or how many where their names do not fit."""
        with self._display._lock:
            columns = shutil.get_terminal_size().columns - 3
            tasks: dict[str, list[str]] = {}
            for host, (task, left) in self._running.items():
                tasks.setdefault(task, []).append(host + left)
            line = "; ".join(f"{task}: {', '.join(hosts)}" for task, hosts in tasks.items())
            if len(line) > columns:
                line = "; ".join(
                    f"{task}: {hosts[0] if len(hosts) == 1 else f'{len(hosts)} hosts'}" for task, hosts in tasks.items()
                )
            self._draw("  " + fitted(line, columns) if line else "")

    def _host(self, result: Any) -> str:
        """Return who did a task: the host, the one it was delegated to, or the latter alone if it did so for all."""
        if result.task.run_once and result.task.delegate_to:
            return str(result.task.delegate_to)
        return str(self.host_label(result))

    def _show_changes(self, result: Any) -> None:
        """Name host and task, and below them what changed."""
        looped = result.task.loop and "results" in result.result
        parts = result.result["results"] if looped else [result.result]
        changed = [one for one in parts if isinstance(one, Mapping) and one.get("changed") and not one.get("failed")]
        if not changed:
            return
        what = "would change" if result.task.check_mode else "changed"
        task = TASK_PLACE.sub("", result.task.get_name().strip())
        self._display.display(f"  {self._host(result)} {what}: {task}", color=constants.COLOR_CHANGED)
        for part in changed:
            label = self._get_item_label(part) if looped else None
            for line in change_lines(part, {} if looped else result.task.args, label):
                self._display.display(textwrap.indent(line, "      "))
        if (result.host.name, result.task._uuid) in self._diffed:
            for part in changed:
                self._show_diff(part.get("diff"))

    def _show_diff(self, diff: Any) -> None:
        """Show a diff as the default callback does."""
        if diff and (text := self._get_diff(diff)):
            self._display.display(text)

    def _show_message(self, result: Any) -> None:
        """Show the text of `debug` and its like; what is said once for all hosts, without the host."""
        asserted = result.task.action.rpartition(".")[2] == "assert"
        if asserted or result.result.get("changed") or not self._run_is_verbose(result):
            return
        lines = spoken_lines(result.result)
        if not lines:
            self._clean_results(result.result, result.task.action)
            lines = textwrap.dedent(self._dump_results(result.result).strip("\n")).splitlines()
        text = textwrap.indent("\n".join(lines), "  ")
        if not result.task.run_once:
            host = f"  {self._host(result)}:"
            text = f"{host} {text.lstrip()}" if len(lines) == 1 else f"{host}\n{textwrap.indent(text, '    ')}"
        self._display.display(text)

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Count the plays, those of imported playbooks included: Ansible comes to each, whether or not it has hosts."""
        super().v2_playbook_on_start(playbook)
        self._started = time.monotonic()
        self._play_numbers = {play._uuid: number for number, play in enumerate(playbook.get_plays(), 1)}

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Say which part the run is in."""
        self._play = play
        self._batch = (play._uuid, self._batch[1] + 1 if self._batch[0] == play._uuid else 1)
        if DOCUMENT:
            return
        name = play.get_name().strip()
        if self._batch[1] > 1:
            name += f", batch {self._batch[1]}"
        if len(self._play_numbers) > 1 and play._uuid in self._play_numbers:
            name = f"[{self._play_numbers[play._uuid]}/{len(self._play_numbers)}] {name}"
        if play.check_mode and self.get_option("check_mode_markers"):
            name += " [CHECK MODE]"
        self._display.display(name)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Say nothing: one machine has no host for the plays of others, and Ansible's words look like a mistake."""

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Say nothing: the tasks that are included say what they change."""

    def v2_runner_on_async_poll(self, result: Any) -> None:
        """Say nothing: the status line shows the task."""

    def v2_runner_on_async_ok(self, result: Any) -> None:
        """Say nothing: the task's own result follows."""

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note that a host is out."""
        super().v2_runner_on_start(host, task)
        name = self._last_task_name or task.get_name().strip()
        self._running[host.name] = (TASK_PLACE.sub("", name), "")
        self._show_status()

    def v2_runner_retry(self, result: Any) -> None:
        """Show how many retries are left, beside the host."""
        task, _ = self._running.get(result.host.name, (result.task.get_name(), ""))
        left = result.result["retries"] - result.result["attempts"]
        self._running[result.host.name] = (task, f" ({left} {'retry' if left == 1 else 'retries'} left)")
        self._show_status()

    def v2_on_file_diff(self, result: Any) -> None:
        """Note that a diff is asked for: it is shown below its host and task, which come next."""
        self._diffed.add((result.host.name, result.task._uuid))

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Show warnings and messages; what changed is shown when the whole loop has come back."""
        self._handle_warnings_and_exception(result)
        self._show_message(result)
        self._show_status()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Show what changed, and nothing where nothing did."""
        self._running.pop(result.host.name, None)
        self._handle_warnings_and_exception(result)
        if not isinstance(result.task, TaskInclude) and not self._print_document(result):
            self._show_changes(result)
            self._show_message(result)
        self._show_status()

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Show warnings only."""
        self._running.pop(result.host.name, None)
        self._handle_warnings_and_exception(result)
        self._show_status()

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Show a failure as the default callback does, and whether the run goes on in a rescue."""
        self._running.pop(result.host.name, None)
        if result.task.loop:
            self._show_changes(result)
        super().v2_runner_on_failed(result, ignore_errors)
        if not ignore_errors and is_rescued(result.task):
            self._display.display("...rescuing", color=constants.COLOR_SKIP)
        self._show_status()

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Show that a host cannot be reached as the default callback does, unless the document says so."""
        self._running.pop(result.host.name, None)
        if not (DOCUMENT and result.task.ignore_unreachable):
            super().v2_runner_on_unreachable(result)
        self._show_status()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Say in one line how the run ended."""
        if DOCUMENT:
            self._end_document()
            return
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        line = recap_line(hosts, context.CLIARGS["check"], time.monotonic() - self._started)
        self._display.display(line, color=self._recap_color(hosts.values()))
        if self.get_option("show_custom_stats"):
            for host, values in sorted(stats.custom.items()):
                self._display.display(f"{'run' if host == '_run' else host}: {self._dump_results(values)}")
        if context.CLIARGS["check"] and self.get_option("check_mode_markers"):
            self._display.banner("DRY RUN")

    @staticmethod
    def _recap_color(counts: Iterable[Mapping[str, int]]) -> str:
        counts = list(counts)
        if any(one["failures"] or one["unreachable"] for one in counts):
            return str(constants.COLOR_ERROR)
        return str(constants.COLOR_CHANGED if any(one["changed"] for one in counts) else constants.COLOR_OK)


class Plain(Guarded):
    """Ansible's own callback, and below each `changed` the lines of a module that says what it changed."""

    def v2_runner_on_ok(self, result: Any) -> None:
        """Show a result as the default callback does, and what changed."""
        if self._print_document(result):
            return
        super().v2_runner_on_ok(result)
        said = result.result.get("changed") and not self._display.verbosity  # -v shows the whole result
        changes = result.result.get("changes") if said else None
        for line in changes if isinstance(changes, list) else ():
            self._display.display(f"    {line}", color=constants.COLOR_CHANGED)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """End a document's run with its status."""
        super().v2_playbook_on_stats(stats)
        self._end_document()


class CallbackModule(Progress if is_followed() else Plain):  # type: ignore[misc]
    """Progress on a terminal, and in a pipe or with -v what Ansible itself shows."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "progress"
