"""What a run shows on a terminal, line by line, and that it shows elsewhere what Ansible's own callback shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, load

PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
# An action that returns what it is given, and first warns, speaks or sleeps.
ACTION = """
import time
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = dict(self._task.args)
        if "warn" in result:
            Display().warning(result.pop("warn"))
        if "say" in result:
            Display().display(result.pop("say"))
        time.sleep(result.pop("sleep", 0))
        return result
"""
# How Ansible clears the line after a prompt.
PROMPT_CLEARED = "\x1b[\r\x1b[\x1b[K"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\r"
SPELLED = r"\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\x0d"


def banner(task: str) -> str:
    """Return the line that Ansible puts before a failure, on a terminal of 100 columns."""
    return f"TASK [{task}] {'*' * (92 - len(task))}"


@dataclass
class Screen:
    """What a terminal shows when all is printed, and the status lines that it showed meanwhile."""

    status: int = 0
    raw: str = ""
    lines: list[str] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)

    def read(self, raw: bytes, columns: int) -> Screen:
        """Print on an empty terminal of so many columns, which refuses control characters that nobody needs."""
        self.raw = raw.decode()
        rows, column = [""], 0
        for part in re.findall(rf"{re.escape(PROMPT_CLEARED)}|\x1b\[K|.", self.raw, re.DOTALL):
            if part == PROMPT_CLEARED:
                rows[-1], column = "", 0
            elif part == "\x1b[K":
                rows[-1] = rows[-1][:column]
            elif part == "\r":
                column = 0
            elif part == "\n":
                rows, column = [*rows, ""], 0
            else:
                assert part.isprintable() or part == "\t", f"{part!r} reached the terminal in {self.raw!r}"
                if column == columns:
                    rows, column = [*rows, ""], 0
                rows[-1] = rows[-1][:column] + part + rows[-1][column + 1 :]
                column += 1
        self.lines = [row.rstrip() for row in rows if row.strip()]
        self.statuses = re.findall(r"\x1b\[K([^\r\n]+)(?=\r\x1b\[K)", self.raw)
        return self

    def section(self, name: str) -> list[str]:
        """Return the lines of a play."""
        found: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in self.lines[:-1]:
            if start := re.fullmatch(r"\[\d+/\d+\] (.*)", line):
                lines = found.setdefault(start[1], [])
            else:
                lines.append(line)
        return found[name]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return what a terminal's environment has, with the project's own settings."""
    folder.joinpath("actions").mkdir(exist_ok=True)
    folder.joinpath("actions", "result.py").write_text(ACTION)
    usual = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("ANSIBLE_")}
    return usual | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_ACTION_PLUGINS": str(folder / "actions"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORKS": "1",   # so that hosts come back in order
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
    } | more  # fmt: skip


def command(folder: Path, text: str, *arguments: str) -> list[str]:
    """Write a playbook, and return how it is run on the hosts a and b, which are this machine."""
    folder.joinpath("play.yml").write_text(text)
    hosts = ["-i", "a,b", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    return [PLAYBOOK, *hosts, *arguments, str(folder / "play.yml")]


def on_terminal(
    folder: Path, text: str, *arguments: str, columns: int = 100, keys: Mapping[bytes, bytes] | None = None, **more: str
) -> Screen:
    """Run a playbook on a terminal of its own, press keys where their prompt appears, and return what it shows."""
    words, variables = command(folder, text, *arguments), environment(folder, **more)
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        os.execve(words[0], words, variables)  # noqa: S606
    raw, waiting, ends = b"", dict(keys or {}), time.monotonic() + 120
    while time.monotonic() < ends:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        raw += part
        for prompt in [prompt for prompt in waiting if prompt in raw]:
            time.sleep(0.5)
            os.write(terminal, waiting.pop(prompt))
    else:
        os.kill(process, signal.SIGKILL)
        pytest.fail(f"it did not end: {raw.decode()}")
    os.close(terminal)
    return Screen(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])).read(raw, columns)


def playbook(plays: Mapping[str, str]) -> str:
    """Return a playbook of one play for each list of tasks."""
    return yaml.safe_dump(
        [
            {"name": name, "hosts": "all", "gather_facts": False, "tasks": yaml.safe_load(tasks)}
            for name, tasks in plays.items()
        ],
        allow_unicode=True,
    )


def timeless(line: str) -> str:
    return re.sub(r"\((\d+ min )?\d+ s\)$", "(N s)", line)


# A play's name, its tasks, and its lines.
PLAYS: list[tuple[str, str, list[str]]] = [
    (
        "unchanged and skipped are no line",
        """
        - result: {changed: false, path: /etc/a}
        - result: {changed: true}
          when: false
        - result: {changed: false}
          loop: [1, 2]
        - include_tasks: included.yml
        - assert: {that: true}
        """,
        [],
    ),
    (
        "changes",
        """
        - name: "configure | Render the sites"
          result: {changed: "{{ inventory_hostname == 'b' }}", changes: "{{ changes }}"}
          vars: {changes: ["sites/shop.conf: written", "unit nginx: started"]}
        """,
        ["  b changed: Render the sites", "      sites/shop.conf: written", "      unit nginx: started"],
    ),
    (
        "what builtin modules return",
        """
        - {name: A path, result: {changed: true, path: /etc/a, state: absent}, run_once: true}
        - {name: A file, result: {changed: true, dest: /etc/b, state: file}, run_once: true}
        - {name: Names, result: {changed: true, name: [nginx, curl], state: present}, run_once: true}
        - {name: Nothing, result: {changed: true}, run_once: true}
        - {name: A module, copy: {content: x, dest: "{{ playbook_dir }}/copied"}, run_once: true}
        """,
        [
            "  a changed: A path", "      /etc/a: absent",
            "  a changed: A file", "      /etc/b",
            "  a changed: Names", "      nginx, curl: present",
            "  a changed: Nothing",
            "  a changed: A module", "      FOLDER/copied",
        ],
    ),
    (
        "loop items",
        """
        - name: Labels
          result: {changed: "{{ item.due }}", path: "/etc/{{ item.key }}"}
          loop: [{key: one, due: true}, {key: two, due: false}, {key: three, due: true}]
          loop_control: {label: "the {{ item.key }}"}
          run_once: true
        - name: Names of mappings
          result: {changed: true, changes: ["{{ item.name }}.conf: written", "reloaded"]}
          loop: [{name: shop}]
          run_once: true
        - name: The item alone
          result: {changed: true}
          loop: [x]
          run_once: true
        """,
        [
            "  a changed: Labels", "      the one: /etc/one", "      the three: /etc/three",
            "  a changed: Names of mappings", "      shop.conf: written", "      shop: reloaded",
            "  a changed: The item alone", "      x",
        ],
    ),
    (
        "delegated",
        """
        - {name: For itself, result: {changed: true}, delegate_to: "{{ 'localhost' }}", when: inventory_hostname == 'b'}
        - {name: For all, result: {changed: true}, delegate_to: localhost, run_once: true}
        """,
        ["  b -> localhost changed: For itself", "  localhost changed: For all"],
    ),
    (
        "messages",
        r"""
        - debug: {msg: "hello {{ inventory_hostname }}"}
        - debug: {msg: "site  days\nshop  89"}
          run_once: true
        - debug: {msg: [one, two]}
          when: inventory_hostname == 'b'
        - debug: {var: which}
          vars: {which: [1, 2]}
          run_once: true
        - debug: {msg: "item {{ item }}"}
          loop: [1, 2]
          run_once: true
        """,
        [
            "  a: hello a", "  b: hello b",
            "  site  days", "  shop  89",
            "  b:", "      one", "      two",
            "  which:", "  - 1", "  - 2",
            "  item 1", "  item 2",
        ],
    ),
    (
        "a message that says what would change",
        "[{name: Say it, debug: {msg: [a.pem is due, b.pem is due]}, changed_when: true, run_once: true}]",
        ["  a changed: Say it", "      a.pem is due", "      b.pem is due"],
    ),
    (
        "warnings, and what a worker says",
        "[{result: {changed: false, warn: Beware., say: from a worker}, run_once: true}]",
        ["from a worker", "[WARNING]: Beware."],
    ),
    (
        "no_log",
        """
        - {name: Secret, result: {changed: true, path: /etc/hush, changes: [hush]}, no_log: true, run_once: true}
        - {name: Secrets, result: {changed: true, path: hush}, no_log: true, loop: [hush], run_once: true}
        """,
        ["  a changed: Secret", "  a changed: Secrets", "      (censored due to no_log)"],
    ),
    (
        "what is no failure",
        """
        - {result: {failed: true, msg: Nothing there.}, ignore_errors: true, run_once: true}
        - block:
            - include_tasks: fails.yml
          rescue:
            - debug: {msg: helped}
        """,
        [
            banner("result"),
            "[ERROR]: Task failed: Action failed: Nothing there.", "ORIGIN",
            "fatal: [a]: FAILED! =>", "    changed: false", "    msg: Nothing there.", "...ignoring",
            banner("Fail there"),
            "[ERROR]: Task failed: Action failed: Broken.", "ORIGIN",
            "fatal: [a]: FAILED! =>", "    changed: false", "    msg: Broken.", "...rescuing",
            "fatal: [b]: FAILED! =>", "    changed: false", "    msg: Broken.", "...rescuing",
            "  a: helped", "  b: helped",
        ],
    ),
]  # fmt: skip
INCLUDED = {
    "included.yml": "[{result: {changed: false}}]",
    "fails.yml": "[{name: Fail there, result: {failed: true, msg: Broken.}}]",
}


def without_origin(lines: list[str]) -> list[str]:
    """Return lines with one word in the place of the excerpt from the playbook that Ansible shows with an error."""
    return re.sub(
        r"\nOrigin: .*?(?=\n(fatal|failed|\[ERROR|\[WARN|ok))", "\nORIGIN", "\n".join(lines), flags=re.DOTALL
    ).split("\n")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Screen]:
    """Return all of PLAYS on a terminal, run once for each set of arguments."""

    @cache
    def run(*arguments: str) -> Screen:
        folder = tmp_path_factory.mktemp("progress")
        for name, text in INCLUDED.items():
            folder.joinpath(name).write_text(text)
        screen = on_terminal(folder, playbook({name: tasks for name, tasks, _ in PLAYS}), *arguments)
        screen.lines = without_origin([line.replace(str(folder), "FOLDER") for line in screen.lines])
        return screen

    return run


@pytest.mark.parametrize(
    ("name", "expected"), [(name, lines) for name, _, lines in PLAYS], ids=[one[0] for one in PLAYS]
)
def test_lines_of_a_play(once: Callable[..., Screen], name: str, expected: list[str]) -> None:
    assert once().section(name) == expected


def test_plays_are_counted(once: Callable[..., Screen]) -> None:
    screen = once()
    plays = [line for line in screen.lines if line.startswith("[") and "/" in line[:6]]
    assert plays == [f"[{number}/{len(PLAYS)}] {name}" for number, (name, _, _) in enumerate(PLAYS, 1)]
    assert screen.status == 0


def test_a_play_without_hosts_is_its_name_alone(tmp_path: Path) -> None:
    text = playbook({"Here": "[{debug: {msg: hello}, run_once: true}]"}) + "- {name: There, hosts: 'all:!all'}\n"
    assert on_terminal(tmp_path, text).lines[:-1] == ["[1/2] Here", "  hello", "[2/2] There"]


def test_recap_is_one_line(once: Callable[..., Screen]) -> None:
    line = timeless(once().lines[-1])
    assert line == "2 of 2 hosts changed: a, b; failures rescued: a, b; failures ignored: a (N s)"


def test_check_says_would_change(once: Callable[..., Screen]) -> None:
    screen = once("--check", "--diff")
    assert "  b would change: Render the sites" in screen.section("changes")
    assert not [line for line in screen.lines if re.search(r"\S changed: ", line)]
    assert timeless(screen.lines[-1]).startswith("2 of 2 hosts would change: a, b; ")


def test_diff_follows_its_host(once: Callable[..., Screen]) -> None:
    diff = ["--- before", "+++ after: FOLDER/copied", "@@ -0,0 +1 @@", "+x", "\\ No newline at end of file"]
    lines = once("--check", "--diff").section("what builtin modules return")
    assert lines[-7:] == ["  a would change: A module", "      FOLDER/copied", *diff]


ENDS = """
- name: Handlers and batches
  hosts: all
  gather_facts: false
  serial: 1
  tasks:
    - {name: Write, result: {changed: true, changes: [a.conf]}, notify: Reload nginx, when: inventory_hostname == 'a'}
  handlers:
    - {name: Reload nginx, result: {changed: true}}
- name: Failures
  hosts: all
  gather_facts: false
  tasks:
    - when: inventory_hostname == 'b'
      block:
        - {name: Try, result: {failed: true, msg: Broken.}}
      rescue:
        - name: Loop
          result: {changed: true, failed: "{{ item == 'bad' }}", msg: Broken., path: "/etc/{{ item }}"}
          loop: [good, bad]
    - name: Ask
      result: {changed: false}
      register: asked
      until: asked.attempts == 2
      retries: 2
      delay: 0
    - {name: Reach, result: {unreachable: true, msg: No route.}}
"""


def test_failures_are_whole(tmp_path: Path) -> None:
    screen = on_terminal(tmp_path, ENDS)
    item = [
        "    ansible_loop_var: item",
        "    changed: true",
        "    item: bad",
        "    msg: Broken.",
        "    path: /etc/bad",
    ]
    assert [timeless(line) for line in without_origin(screen.lines)] == [
        "[1/2] Handlers and batches",
        "  a changed: Write", "      a.conf", "  a changed: Reload nginx",
        "[1/2] Handlers and batches, batch 2",
        "[2/2] Failures",
        banner("Try"), "[ERROR]: Task failed: Action failed: Broken.", "ORIGIN",
        "fatal: [b]: FAILED! =>", "    changed: false", "    msg: Broken.", "...rescuing",
        banner("Loop"), "[ERROR]: Task failed: Action failed: Broken.", "ORIGIN",
        "failed: [b] (item=bad) =>", *item,
        "  b changed: Loop", "      /etc/good",
        banner("Reach"), "fatal: [a]: UNREACHABLE! =>", "    changed: false", "    msg: No route.",
        "    unreachable: true",
        "1 of 2 hosts failed: b; 1 unreachable: a; 1 changed: a; failures rescued: b (N s)",
    ]  # fmt: skip
    assert "  Ask: a (2 retries left)" in screen.statuses
    assert screen.status == 4


SUDO = """
- name: Failures
  hosts: a
  gather_facts: false
  tasks:
    - {name: Try, result: {failed: true, msg: No JSON., module_stderr: "sudo: sorry, you must have a tty to run sudo"}}
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_what_sudo_wants_is_said(tmp_path: Path, terminal: bool) -> None:
    remedy = "a: write ansible_pipelining: false for it; its sudo wants a terminal (requiretty)"
    if terminal:
        assert remedy in on_terminal(tmp_path, SUDO).lines
        return
    run = subprocess.run(
        command(tmp_path, SUDO), env=environment(tmp_path),
        capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert remedy in run.stderr.splitlines()


QUIET = """
- name: Sleep
  hosts: all
  gather_facts: false
  tasks:
    - {name: Sleep, result: {changed: false, sleep: 0.2}}
    - {name: 寝る寝る寝る寝る寝る寝る寝る寝る, result: {changed: false}, run_once: true}
    - {name: Stop, pause: {prompt: Go on?}}
- name: Ask
  hosts: all
  gather_facts: false
  vars_prompt: [{name: which, prompt: Which, private: false}]
  tasks:
    - {debug: {msg: "{{ which }}"}, run_once: true}
"""


def test_status_line_gives_way(tmp_path: Path) -> None:
    """On a narrow terminal, before real lines, and before what Ansible and its prompts print past the callback."""
    screen = on_terminal(tmp_path, QUIET, columns=20, keys={b"Go on?": b"\r", b"Which: ": b"this\n"})
    assert [timeless(line) for line in screen.lines] == [
        "[1/2] Sleep", "[Stop]", "Go on?:", "Which: this", "[2/2] Ask", "  this", "2 hosts, nothing cha", "nged (N s)",
    ]  # fmt: skip
    assert {"  Sleep: a", "  Sleep: a, b", "  Sleep: b", "  寝る寝る寝る寝る…"} <= set(screen.statuses)


def test_no_control_character_arrives(tmp_path: Path) -> None:
    """Screen refuses any; the text around them has to be there all the same."""
    tasks = """
    - {debug: {msg: "{{ hostile }}"}, run_once: true}
    - {debug: {var: hostile}, run_once: true}
    - {result: {changed: true, changes: ["{{ hostile }}"], warn: "{{ hostile }}", say: "{{ hostile }}"}, run_once: true}
    - {result: {changed: true, path: "{{ hostile }}"}, run_once: true}
    - {result: {changed: true}, loop: ["{{ hostile }}"], run_once: true}
    - {name: "Task {{ hostile }}", result: {changed: true}, run_once: true}
    - {result: {changed: true, diff: {before: "", after: "{{ hostile }}", after_header: "{{ hostile }}"}},
       run_once: true}
    - {result: {failed: true, msg: "{{ hostile }}"}, ignore_errors: true, run_once: true}
    - {result: {failed: true}, loop: ["{{ hostile }}"], ignore_errors: true, run_once: true}
    """
    play = [{"hosts": "all", "gather_facts": False, "vars": {"hostile": HOSTILE}, "tasks": yaml.safe_load(tasks)}]
    screen = on_terminal(tmp_path, yaml.safe_dump(play), "--diff", columns=500)
    spelled = [line for line in screen.lines if SPELLED.removesuffix(r"\x0d") in line]
    assert [re.sub(r"\\x1b.*?\\x7f(\\x0d)?", "X", line) for line in spelled] == [
        "  X", "X", "[WARNING]: X", "      X", "      X", "      X", "  a changed: Task X", "+++ after: X", "+X",
        "[ERROR]: Task failed: Action failed: X", "failed: [a] (item=X) =>",
    ]  # fmt: skip
    assert any("Task \\x1b" in status for status in screen.statuses)


# A module that says everywhere what a host would have a terminal do.
TEXT = "\x1b]0;owned\x07\x1b[2J\x1b]52;c;QUFB\x07\x9b31m\x7f\u202egnp\r"
LYING = f"""
from ansible.module_utils.basic import AnsibleModule
TEXT = {TEXT!a}
module = AnsibleModule({{"fails": {{"type": "bool", "default": True}}}})
module.warn(TEXT)
module.deprecate(TEXT, version="9.9", collection_name="a.b")
said = {{"changed": True, "stdout": TEXT, "changes": [TEXT], TEXT: TEXT,
        "diff": {{"before": "", "after": TEXT, "after_header": TEXT}}}}
module.fail_json(msg=TEXT, **said) if module.params["fails"] else module.exit_json(**said)
"""
LIES = r"""
- hosts: a
  gather_facts: false
  tasks:
    - {lying: {}, ignore_errors: true}
    - {lying: {fails: false}}
    - {command: {argv: [printf, '\033]0;owned\007\233\302\233']}, register: said}
    - {fail: {msg: "{{ said.stdout }}"}, ignore_errors: true}
    - {debug: {msg: "{{ said.stdout }}"}}
    - {command: {argv: [sh, -c, 'printf "\033[2J" >&2; exit 1']}}
"""


@pytest.mark.parametrize("arguments", [(), ("-vvvv",)], ids=["plain", "verbose"])
def test_no_control_character_arrives_in_a_pipe_nor_in_the_log(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Bytes of the real program, with colours as CI sets them: those are the only escape sequences."""
    modules = tmp_path / "library"
    modules.mkdir()
    modules.joinpath("lying.py").write_text(LYING)
    log = tmp_path / "log"
    variables = {"ANSIBLE_LIBRARY": str(modules), "ANSIBLE_LOG_PATH": str(log), "ANSIBLE_LOG_VERBOSITY": "4"}
    shown = subprocess.run(
        command(tmp_path, LIES, "--diff", *arguments),
        env={**environment(tmp_path, **variables, ANSIBLE_FORCE_COLOR="1"), "ANSIBLE_NOCOLOR": ""},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120, check=False,
    ).stdout  # fmt: skip
    for text in (shown, log.read_bytes()):
        uncoloured = re.sub(rb"\x1b\[[\d;]*m", b"", text).decode()  # and it is UTF-8
        assert not [one for one in uncoloured if one not in "\n\t" and unicodedata.category(one) in ("Cc", "Cf", "Cs")]
    assert shown.count(rb"\x1b]0;owned\x07\x1b[2J\x1b]52;c;QUFB\x07\x9b31m\x7f\u202egnp") >= 4
    assert b"\x1b[0;32m+" in shown, "Ansible's own colours are gone"


DOCUMENT = r"""
- name: Read
  hosts: all
  gather_facts: false
  ignore_unreachable: true
  vars:
    prints_document: true
  tasks:
    - {name: Read, result: {changed: false, warn: Beware.}}
    - ping:
      vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
      when: inventory_hostname == 'b'
- name: Show
  hosts: all
  gather_facts: false
  vars:
    prints_document: true
  tasks:
    - gatehouse.core.document: {lines: "{{ lines }}", remarks: ["3 lines were cut\e[2J"]}
      run_once: true
      vars:
        lines: [one, {text: "two\e[2J", color: red}, "", "{{ {'a': [1]} | to_json }}"]
    - {fail: {msg: Broken.}, run_once: true, when: fails | default(false)}
"""


@pytest.mark.parametrize("arguments", [(), ("-v",), ("-e", "fails=true")], ids=["plain", "verbose", "failing"])
def test_stdout_has_the_document_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """What Ansible says of the run is on stderr, an unreachable host that is a row of the document on neither."""
    shown = subprocess.run(
        command(tmp_path, DOCUMENT, *arguments), env=environment(tmp_path, CI="1"),
        capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=120, check=False,
    )  # fmt: skip
    document = [
        line for line in shown.stdout.splitlines() if not line.startswith("Using ")
    ]  # by -v, before any callback
    assert document == ["one", r"two\x1b[2J", "", '{"a": [1]}']
    assert "Beware." in shown.stderr
    assert r"3 lines were cut\x1b[2J" in shown.stderr
    assert ("Broken." in shown.stderr, shown.returncode) == ("fails=true" in arguments, 2 * ("fails=true" in arguments))
    if arguments != ("-v",):
        assert "UNREACHABLE" not in shown.stderr
        assert "PLAY" not in shown.stderr
        assert "changed" not in shown.stderr.partition("TASK")[0]


def test_a_document_on_a_terminal_has_colours_and_a_status_line_before(tmp_path: Path) -> None:
    screen = on_terminal(tmp_path, DOCUMENT)
    assert [line for line in screen.lines if "WARNING" not in line] == [
        "one", r"two\x1b[2J", '{"a": [1]}', r"3 lines were cut\x1b[2J"
    ]  # fmt: skip
    assert any(status.startswith("  Read: ") for status in screen.statuses)
    variables = environment(tmp_path) | {"ANSIBLE_NOCOLOR": "", "ANSIBLE_FORCE_COLOR": "1"}
    coloured = subprocess.run(command(tmp_path, DOCUMENT), env=variables, capture_output=True, timeout=120, check=True)
    assert coloured.stdout.startswith(b"one\n\x1b[0;31mtwo\\x1b[2J")


def test_a_reader_may_leave_before_the_document_ends(tmp_path: Path) -> None:
    """As `head -n 1` and a pager do: the pipe is closed while 2 MB are written."""
    many = DOCUMENT.replace("lines: [one,", "lines: [one, \"{{ 'x' * 2000000 }}\",")
    line = f"{shlex.join(command(tmp_path, many))} | head -n 1; echo ${{PIPESTATUS[0]}}"
    shown = subprocess.run(
        ["bash", "-c", line], env=environment(tmp_path), capture_output=True, text=True, timeout=120, check=True
    )
    assert shown.stdout == "one\n0\n"
    assert "Broken pipe" not in shown.stderr
    assert "Exception" not in shown.stderr


PLAIN = """
- name: Plain
  hosts: all
  gather_facts: false
  tasks:
    - {name: Same, result: {changed: false, warn: Beware.}}
    - {name: Skip, result: {changed: false}, when: false}
    - {name: Say, debug: {msg: "a\\nb"}}
    - {name: Change, result: {changed: true, changes: [a.conf], diff: {before: "", after: "x\\n"}}, notify: Reload}
    - {name: Loop, result: {changed: true, path: "{{ item }}"}, loop: [x, y]}
    - {name: Fail, result: {failed: true, msg: Broken.}, ignore_errors: true}
  handlers:
    - {name: Reload, result: {changed: true}}
"""


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "verbose on a terminal"])
def test_plain_output_is_the_default_and_what_changed(tmp_path: Path, terminal: bool) -> None:
    def shown(callback: str) -> str:
        if terminal:
            return on_terminal(tmp_path, PLAIN, "--diff", "-v", ANSIBLE_STDOUT_CALLBACK=callback).raw
        run = subprocess.run(
            command(tmp_path, PLAIN, "--diff"),
            env=environment(tmp_path, ANSIBLE_STDOUT_CALLBACK=callback),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True, timeout=120, check=True,
        )  # fmt: skip
        return run.stdout

    output = shown("progress")
    assert re.search(r"^a +: ok=\d+ +changed=\d+", output, re.MULTILINE)
    plain = output if terminal else re.sub(r"(?m)^    a\.conf\n", "", output)
    assert plain == shown("ansible.builtin.default")
    assert terminal or re.search(r"^changed: \[a\]\n    a\.conf$", output, re.MULTILINE)


def test_project_uses_the_callback() -> None:
    assert "stdout_callback = progress" in (ROOT / "ansible.cfg").read_text().splitlines()


@pytest.mark.parametrize(
    ("hosts", "check", "seconds", "expected"),
    [
        ({}, False, 0, "0 hosts, nothing changed (0 s)"),
        ({"a": ""}, False, 59.7, "1 host, nothing changed (1 min 0 s)"),
        ({"a": "", "b": "changed"}, False, 125, "1 of 2 hosts changed: b (2 min 5 s)"),
        ({"a": "", "b": "changed"}, True, 1, "1 of 2 hosts would change: b (1 s)"),
        ({"a": "failures", "b": ""}, False, 1, "1 of 2 hosts failed: a; nothing changed (1 s)"),
        ({"a": "failures changed", "b": "unreachable"}, False, 1,
         "1 of 2 hosts failed: a; 1 unreachable: b; 1 changed: a (1 s)"),
        ({"a": "rescued", "b": "ignored"}, True, 1,
         "2 hosts, nothing would change; failures rescued: a; failures ignored: b (1 s)"),
    ],
)  # fmt: skip
def test_recap(hosts: dict[str, str], check: bool, seconds: float, expected: str) -> None:
    words = ("failures", "unreachable", "changed", "rescued", "ignored")
    counts = {host: {word: int(word in what.split()) for word in words} for host, what in hosts.items()}
    assert load("callback_plugins/progress.py").recap_line(counts, check, seconds) == expected


@pytest.mark.parametrize(
    ("terminal", "variables", "verbosity", "expected"),
    [
        (True, {"TERM": "xterm"}, 0, True),
        (True, {"TERM": "xterm", "CI": ""}, 0, True),
        (False, {"TERM": "xterm"}, 0, False),
        (True, {"TERM": "xterm", "CI": "true"}, 0, False),
        (True, {"TERM": "dumb"}, 0, False),
        (True, {}, 0, False),
        (True, {"TERM": "xterm"}, 1, False),
    ],
)
def test_terminal_is_followed(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, variables: dict[str, str], verbosity: int, expected: bool
) -> None:
    module = load("callback_plugins/progress.py")
    monkeypatch.setattr(module.sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(module.os, "environ", variables)
    monkeypatch.setattr(module.Display(), "verbosity", verbosity)
    assert module.is_followed() is expected
