"""What is wrong with a text that should be a YAML mapping, with the line and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEMPLATE = re.compile(r"(?:^\s*-|:)\s+\{\{")
_MERGE = "<<"
_ENDINGS = ("", ".yml", ".yaml", ".json")


@dataclass(frozen=True)
class Mistake:
    """A mistake at `line` and `column`, both from 1, of a text."""

    line: int
    column: int
    problem: str
    remedy: str


def variable_files(folder: Path) -> Iterator[Path]:
    """Yield the files below an inventory's folder that Ansible would read for some group or host."""
    for name in ("group_vars", "host_vars"):
        for path in sorted((folder / name).rglob("*")):
            hidden = path.name.startswith(".") or path.name.endswith("~")
            if path.is_file() and path.suffix in _ENDINGS and not hidden:
                yield path


def mistakes(text: str) -> list[Mistake]:
    """Return the mistakes of a text, in order: what breaks it, or else each key that is twice.

    Tags are not resolved, so vaulted values are as right as others; an empty text is right.
    """
    try:
        root = yaml.compose(text, Loader=_FAST)
    except yaml.YAMLError as error:
        return [_broken(text, error)]
    if root is None or root.tag == "tag:yaml.org,2002:null":
        return []
    if not isinstance(root, yaml.MappingNode):
        mark = root.start_mark
        return [Mistake(mark.line + 1, mark.column + 1, "is no mapping", "write lines of the form `name: value`")]
    return sorted(_doubtful(root), key=lambda mistake: (mistake.line, mistake.column))


def host_mistakes(text: str) -> list[Mistake]:
    """Return what a right YAML text has where an inventory has groups, hosts and their variables, in order.

    Source: https://docs.ansible.com/projects/ansible/latest/collections/ansible/builtin/yaml_inventory.html
    """
    root = yaml.compose(text, Loader=_FAST)
    return list(_groups(root)) if isinstance(root, yaml.MappingNode) else []


def _groups(node: Any) -> Iterator[Mistake]:
    for group, entry in node.value:
        yield from _shaped(entry, f"group {group.value}", "write hosts: below it")
        for key, value in entry.value if isinstance(entry, yaml.MappingNode) else ():
            if key.value not in ("hosts", "children", "vars"):
                problem = f"has {key.value} in the group {group.value}, which has hosts, children and vars"
                remedy = f"write it below hosts: or vars: of {group.value}"
                yield Mistake(key.start_mark.line + 1, key.start_mark.column + 1, problem, remedy)
                continue
            yield from _shaped(value, f"{key.value} of the group {group.value}", "write a line `name:` for each")
            if not isinstance(value, yaml.MappingNode):
                continue
            if key.value == "children":
                yield from _groups(value)
            for host, variables in value.value if key.value == "hosts" else ():
                yield from _shaped(variables, f"host {host.value}", f"write {host.value}: {{name: value}}")


def _shaped(node: Any, what: str, remedy: str) -> Iterator[Mistake]:
    """Yield a mistake unless the node is a mapping, or nothing."""
    if not isinstance(node, yaml.MappingNode) and node.tag != "tag:yaml.org,2002:null":
        mark = node.start_mark
        yield Mistake(mark.line + 1, mark.column + 1, f"is no mapping: {what}", remedy)


def _doubtful(node: Any, name: str = "name") -> Iterator[Mistake]:
    """Yield the keys of all mappings that stand twice, and those that are mappings themselves: unquoted templates.

    `name`: the key whose value the node is.
    """
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _doubtful(child, "- name")
    if not isinstance(node, yaml.MappingNode):
        return
    # What an anchor brings by << is there too, and Ansible lets no key override it.
    merged = [value for key, value in node.value if key.value == _MERGE and isinstance(value, yaml.MappingNode)]
    lines = {str(key.value): key.start_mark.line + 1 for anchor in merged for key, _ in anchor.value}
    for key, value in node.value:
        line, column = key.start_mark.line + 1, key.start_mark.column + 1
        if not isinstance(key, yaml.ScalarNode):
            yield Mistake(line, column, "has a template without quotes", _quoted(name))
        elif key.value in lines and key.value != _MERGE:
            problem = f"has the key {key.value} twice, first in line {lines[key.value]}"
            yield Mistake(line, column, problem, "write it once: remove or rename one of the two")
        else:
            lines[key.value] = line
        yield from _doubtful(value, str(key.value) if isinstance(key, yaml.ScalarNode) else name)


def _quoted(name: str) -> str:
    return f'write it in quotes: {name}: "{{{{ ... }}}}"'


def _broken(text: str, error: yaml.YAMLError) -> Mistake:
    """Return what broke the text: by the line itself where that says more than the parser does."""
    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as reported:  # in Python's words, which say more than libyaml's
        error = reported
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    start: Any = getattr(error, "context_mark", None) or mark
    said = str(getattr(error, "problem", None) or error)
    if mark is None:
        return Mistake(1, 1, f"is no YAML: {said}", "write it again as text in UTF-8")
    lines = text.splitlines() or [""]
    number = min(mark.line, len(lines) - 1)
    line, first = lines[number], lines[min(start.line, len(lines) - 1)]
    for at in range(number, max(-1, start.line - 1, number - 3), -1):
        if re.match(r" *\t", lines[at]):
            return Mistake(at + 1, lines[at].index("\t") + 1, "is indented by a tab", "write spaces instead")
        if _TEMPLATE.search(lines[at]):
            name = re.match(r"[\s-]*(\w+):", lines[at])
            column = lines[at].index("{{") + 1
            return Mistake(at + 1, column, "has a template without quotes", _quoted(name[1] if name else "- name"))
    at, column = number + 1, mark.column + 1
    context = str(getattr(error, "context", None) or "")
    if "flow" in context:
        opening = first[start.column : start.column + 1]
        closing = {"{": "}", "[": "]"}.get(opening, "")
        problem = f"opens {opening} and does not close it before line {number + 1}"
        return Mistake(start.line + 1, start.column + 1, problem, f"write {closing}, or a comma between two entries")
    if "quoted scalar" in context:
        quote = first[start.column : start.column + 1]
        problem = f"opens a quote {quote} and does not close it"
        return Mistake(start.line + 1, start.column + 1, problem, f"write {quote} where the text ends")
    if "mapping values" in said:
        remedy = "indent the line as those around it, or write a text with a colon in quotes"
        return Mistake(at, column, "has a colon where none can be", remedy)
    if "cannot start any token" in said:
        problem = f"has a text that begins with {line[mark.column : mark.column + 1]}"
        return Mistake(at, column, problem, "write it in quotes")
    if "could not find expected ':'" in said:
        return Mistake(start.line + 1, start.column + 1, "lacks a colon", "write `name: value`, with a space after it")
    if "expected <block end>" in said:
        return Mistake(at, column, "is indented in another way than the lines before", "indent it as those around it")
    return Mistake(at, column, f"is no YAML: {said}", "correct the line")
