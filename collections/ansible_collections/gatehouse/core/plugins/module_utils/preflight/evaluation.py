"""The variables of a host, evaluated leaf by leaf, so that one undefined name hides nothing else.

Where a value was written comes from ansible-core's Origin tag, which 2.19 keeps on each value read from YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError

from .. import applications
from ..input_error import InputError, ReportedError
from .report import WIRING, place_text
from .variables import evaluation_problems

# Internal to ansible-core: without it the report names variables and hosts instead of lines.
try:
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

ValuePath = tuple[str | int, ...]
SECRET = re.compile(r"^vault_|_(passphrase|password|secret|secrets|token)$")
# Lookups that do something (make a password, run a command, ask the network) wait for the play that needs
# them.
_ACTS = re.compile(r"(lookup|query|q)\(\s*['\"][a-z_.]*(password|pipe|lines|url|uri|dig)\b")
_ALIAS = re.compile(r"\{\{ (\w+) \}\}")
_WAITS = "(known when its play runs)"
# As + says that it was given a variable that has no value itself, which then is what is reported.
_FAILED_BEFORE = 'Marker") to '
_OWNER = re.compile(r"[a-z_]+(?=\[[0-9]+\])")


def shown_path(path: Path | str) -> str:
    """Return a path of the controller as the report has it, below the folder that the play was started in."""
    return place_text(str(path), 0, 0, str(Path.cwd()))


def place_of(value: Any) -> Any:
    """Return where `value` was written (path, line_num, col_num, description), or None."""
    return Origin.get_tag(value) if Origin else None


def _place_of_entry(key: Any, value: Any) -> Any:
    """Return the place of one entry of a mapping: its value's, but a container's is where its key is written."""
    at_value, at_key = place_of(value), place_of(key)
    if at_value and at_key and isinstance(value, (Mapping, list)) and at_key.path == at_value.path:
        return at_key if 0 <= (at_value.line_num or 0) - (at_key.line_num or 0) <= 3 else at_value
    return at_value or at_key


def _children(value: Any) -> list[tuple[Any, Any, Any]]:
    """Return (key or index, child, place) of a container; of anything else, nothing."""
    if isinstance(value, Mapping):
        return [(str(key), child, _place_of_entry(key, child)) for key, child in value.items()]
    if isinstance(value, (list, tuple)):
        return [(index, child, place_of(child)) for index, child in enumerate(value)]
    return []


def is_plain(value: Any) -> bool:
    """Say whether a raw value needs no evaluation, so that its check holds for every host that shares it."""
    if isinstance(value, (Mapping, list)):
        return all(is_plain(child) for _, child, _ in _children(value))
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    return value is None or isinstance(value, (bool, int, float))


def _dotted(path: ValuePath) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class Problems:
    """The problems found, each once however many hosts show it."""

    def __init__(self, hosts: Iterable[Any] = ()) -> None:
        self.found: dict[tuple[str, str], dict[str, Any]] = {}
        self.hosts: dict[str, Host] = {}
        # Where hosts.yml names each host.
        self.places = {str(name): place_of(name) for name in hosts}

    def add(self, host: str, text: str, found: Mapping[str, Any], place: Any, where: str = "") -> None:
        """Keep a problem: its whole `text`, remedy and level in `found`, its place, or where it is in words."""
        path = str(place.path or "") if place else ""
        line, column = (place.line_num or 0, place.col_num or 0) if place else (0, 0)
        where = place_text(path, line, column, str(Path.cwd())) if path else str(place or where)
        about = {
            "remedy": found["remedy"],
            "level": found.get("level", "error"),
            "missing": found.get("missing", ""),
            "order": (path, line, column),
        }
        # What is made of a text that is still to be filled in is wrong for no other reason.
        if applications.UNFILLED in text:
            return
        entry = self.found.setdefault((text, where), {"text": text, "where": where, "hosts": [], **about})
        if host and host not in entry["hosts"]:
            entry["hosts"].append(host)


class Host:
    """The variables of one host, evaluated leaf by leaf, with the place of each part."""

    def __init__(self, name: str, raw: Mapping[str, Any], secrets: set[str], problems: Problems) -> None:
        self.name, self.secrets, self.problems = name, secrets, problems
        self.raw = {
            key: _WAITS if isinstance(value, str) and _ACTS.search(value) else value for key, value in raw.items()
        }
        self.templar: Any = None
        self.places: dict[ValuePath, Any] = {(str(key),): _place_of_entry(key, value) for key, value in raw.items()}
        self.broken: set[ValuePath] = set()
        self.reported: set[ValuePath] = set()
        self.said: set[tuple[str, str]] = set()
        self.values: dict[str, Any] = {}
        # What its applications' entries say: {input of a role: its path in the list}, as the operator wrote it.
        self.written: dict[str, ValuePath] = {}
        self.application: ValuePath = ()
        for index, app, entry in applications.named(raw.get("applications")):
            if app in (raw.get("group_names") or ()):
                self.application = ("applications", index)
                self.places[self.application] = place_of(entry)
                for variable, path in applications.inputs(entry):
                    value: Any = entry
                    for part in path:
                        value = value[part]
                    if variable in raw and place_of(raw[variable]) == place_of(value):
                        self.written[variable] = (*self.application, *path)
        # By one of these an inventory is an environment, which the wiring belongs to.
        self.in_environment = any(name in raw for name in ("environment_name", "lab_name", "applications", "machine"))
        # Whether an application without an entry runs here, as loose variables: so they were written before.
        self.is_loose = self.in_environment and not self.application and "app_name" in raw

    def place(self, path: ValuePath) -> Any:
        """Return the place of a part, or of the nearest part around it."""
        places = (self.places.get(path[:end]) for end in range(len(path), 0, -1))
        return next((place for place in places if place), None)

    def evaluate(self, name: str) -> Any:
        """Return the value of a variable; a part that cannot be evaluated is null, reported, and `broken`."""
        if name not in self.values:
            self.values[name] = self._part(self.raw[name], (name,))
        return self.values[name]

    def _part(self, raw: Any, path: ValuePath) -> Any:
        for key, _, place in _children(raw):
            self.places[*path, key] = place or self.places.get(path)
        if isinstance(raw, Mapping):
            return {str(key): self._part(child, (*path, str(key))) for key, child in raw.items()}
        if isinstance(raw, list):
            return [self._part(child, (*path, index)) for index, child in enumerate(raw)]
        if is_plain(raw):
            return raw
        try:
            value = self.templar.template(raw)
        except AnsibleError as error:
            self._explain(error, raw, path)
            self.broken.add(path)
            return None
        self._note(value, path)
        return value

    def note(self, variable: str, value: Any) -> None:
        """Keep the places of a variable that is judged as it is written."""
        self._note(value, (variable,))

    def _note(self, value: Any, path: ValuePath) -> None:
        """Keep the places of the parts of an evaluated value: they may come from another variable's file."""
        for key, child, place in _children(value):
            self.places[*path, key] = place or self.places.get(path)
            self._note(child, (*path, key))

    def _explain(self, error: BaseException, raw: Any, path: ValuePath) -> None:
        """Report a part that has no value, by the innermost cause: the outer ones say where Ansible was."""
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if self._blames_another(cause):
            return
        message, remedy = str(getattr(cause, "message", cause)), ""
        if isinstance(cause, InputError):
            message, remedy = cause.sentence, cause.remedy
        at = self.place(path)
        if _FAILED_BEFORE in message and at and Path(str(at.path)).name == WIRING:
            return
        secret = self._is_secret(path)
        # A template may fail because of another that it uses: that one is reported, once for all its users. But
        # one that is read through hostvars[...] is right where it is written.
        if not message.startswith("'hostvars'"):
            path = self._find(place_of(getattr(cause, "obj", None))) or path
        groups: Any = self.raw["groups"]
        known = [*groups, *self.raw, *groups.get("all", ())]
        secret = secret or self._is_secret(path)
        raw = self.raw.get(str(path[0])) if len(path) == 1 else raw
        template = raw if isinstance(raw, str) else ""  # A vaulted value is no text yet.
        for found in evaluation_problems(message, template, known, secret, remedy):
            self._say(path, found)

    def _is_secret(self, path: ValuePath) -> bool:
        return path[0] in self.secrets or bool(SECRET.search(str(path[0])))

    def _blames_another(self, cause: BaseException) -> bool:
        """Report what upstream_members says of a host's own variable there, where it is written."""
        # What other checks find where it is written, in their own words.
        if isinstance(cause, ReportedError):
            return not cause.variable or cause.variable in self.raw
        if not isinstance(cause, InputError) or not cause.path:
            return False
        host, path = self.problems.hosts.get(cause.owner), cause.path.split(".")
        if not host or path[0] not in host.raw:
            return False
        host.evaluate(path[0])
        remedy = f"write {cause.remedy}" if cause.remedy else ""
        host.add({"path": path, "problem": f"of host {host.name} {cause.problem}", "remedy": remedy})
        return True

    def _find(self, place: Any) -> ValuePath:
        """Return the path of the raw value that was written at `place`, or ()."""
        waiting: list[tuple[ValuePath, Any, Any]] = [((str(key),), one, place_of(one)) for key, one in self.raw.items()]
        while place and waiting:
            path, value, at = waiting.pop()
            if at == place and not isinstance(value, (Mapping, list)):
                self.places[path] = place
                return path
            waiting += [((*path, key), child, child_at) for key, child, child_at in _children(value)]
        return ()

    def add(self, found: Mapping[str, Any]) -> None:
        """Report what is wrong with a part, unless that was reported before or lies in a part without a value."""
        path = tuple(found["path"])
        if path in self.reported or any(path[:end] in self.broken for end in range(1, len(path) + 1)):
            return
        # What a template makes of a wrong value is wrong in the same words; those that show no value prove nothing.
        words = (_OWNER.sub("", found["problem"]), found["remedy"])
        if self.is_made(str(path[0])) and '"' in words[0] and words in self.said:
            return
        self.said.add(words)
        self.reported.add(path)
        self._say(path, found)

    def add_all(self, problems: Iterable[Mapping[str, Any]]) -> None:
        """Report each of the problems."""
        for found in problems:
            self.add(found)

    def is_made(self, variable: str) -> bool:
        """Say whether a variable as a whole is what a template makes of others."""
        return isinstance(self.raw.get(variable), str) and not is_plain(self.raw[variable])

    def _say(self, path: ValuePath, found: Mapping[str, Any]) -> None:
        at = (*self.written.get(str(path[0]), path[:1]), *path[1:])
        # What the wiring hands on as it is, is named as the operator wrote it.
        raw = self.raw.get(str(path[0])) if len(path) == 1 else ""
        whole = _ALIAS.fullmatch(raw) if isinstance(raw, str) else None  # a vaulted value is no text yet
        source = (whole[1],) if whole else path
        if source != path and source in self.places:
            at = path = source
        text = f"{_dotted(at)} {found['problem']}"
        # The list is everybody's, so no host is named.
        host = "" if path[0] == "applications" else self.name
        self.problems.add(host, text, found, self.place(path), f"the variable {path[0]}")
