"""The text that preflight ends with: every problem once, with its place and its remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIRING = "wiring.yml"
# How a problem of an application's entry begins.
_ENTRY = "applications["
# The value that a problem shows: `port 70000 is ...`, `... must be an integer, got "x"`.
_SHOWN = re.compile(r'(?:^\S+ (?=\S+ is )|, got )("(?:[^"\\]|\\.)*"|-?[0-9.]+)(?: is |$)')


def _hosts(names: Sequence[str]) -> str:
    """Name at most three hosts, and count the others."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _block(number: int, problem: Mapping[str, Any]) -> str:
    lines = [f"{number:>3}. {problem['text']}", f"     {problem['where']}"]
    if problem["hosts"]:
        lines[-1] += f" ({_hosts(problem['hosts'])})"
    if problem["remedy"]:
        lines.append(f"     -> {problem['remedy']}")
    return "\n".join(lines)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _count(values: Sequence[Mapping[str, Any]], variable: str) -> int:
    """Count the differently named entries of a list variable over all hosts."""
    lists = [own.get(variable) or () for own in values]
    return len({str(entry["name"]) for one in lists for entry in one if isinstance(entry, Mapping) and "name" in entry})


def place_text(path: str, line: int, column: int, folder: str) -> str:
    """Write a place as file:line:column, the file relative to `folder` when it is below it."""
    below = Path(path).is_relative_to(folder)
    text = str(Path(path).relative_to(folder)) if below else path
    return ":".join([text, *(str(number) for number in (line, column) if number)])


def problem_report(problems: Sequence[Mapping[str, Any]], values: Sequence[Mapping[str, Any]]) -> str:
    """Return the report: numbered errors, then numbered warnings, or one line when there is neither.

    `problems`: [{text, where, hosts: [names], remedy, level: error|warning}]; `values`: each host's
    variables.
    """
    sites, upstreams = _count(values, "proxy_sites"), _count(values, "proxy_upstreams")
    # Applications that share a host are hosts of the inventory, and none that an operator has.
    machines = {str(own.get("machine", number)) for number, own in enumerate(values)}
    size = f"{_plural(len(machines), 'host')}, {_plural(sites, 'site')}, {_plural(upstreams, 'upstream')}"
    if not problems:
        return f"environment of {size}: no problem found"
    parts = []
    for level in ("error", "warning"):
        if found := [problem for problem in problems if problem["level"] == level]:
            parts += [_plural(len(found), level), *(_block(*one) for one in enumerate(found, 1))]
    return f"environment of {size}: " + "\n".join(parts)


def without_wiring(problems: Sequence[Mapping[str, Any]], rootless: bool) -> list[dict[str, Any]]:
    """Return the problems with those of the wiring named by their cause, since nobody edits that file.

    `problems`: as for problem_report, with order: (path, line, column), and `missing`: the undefined name that a
    template uses; `rootless`: whether groups are missing that all of the wiring reads. A name that is missing is to be
    written in group_vars/all, once. A value that was reported where it was written is not reported again, nor what is
    made of one that was reported in an application's entry.
    """
    wired = [problem for problem in problems if Path(problem["order"][0]).name == WIRING]
    kept = [dict(problem) for problem in problems if problem not in wired]
    # What the wiring makes of a value keeps the value's place, and what is wrong with it was said there.
    said_of_entry = {tuple(problem["order"]) for problem in kept if problem["text"].startswith(_ENTRY)}
    kept = [one for one in kept if tuple(one["order"]) not in said_of_entry or one["text"].startswith(_ENTRY)]
    said = " ".join(problem["text"] for problem in kept)
    undefined = dict[str, dict[str, Any]]()
    for problem in () if rootless else wired:
        name, shown = problem["missing"], _SHOWN.search(problem["text"])
        words = name or (shown[1] if shown else "")
        if problem["text"].endswith("is not shown") and kept:
            continue  # what a secret that was reported makes, which is not shown
        if words and re.search(rf"(?<![\w.]){re.escape(words)}(?![\w.])", said):
            continue
        if not name:
            kept.append(dict(problem))
        elif name not in undefined:
            file = f"group_vars/all/{'vault' if name.startswith('vault_') else 'environment'}.yml"
            where = f"{problem['where'].rpartition('/')[0]}/{file}"
            about = {"text": f"{name} is not defined", "where": where, "remedy": f"write {name}: there"}
            undefined[name] = {**problem, **about}
        else:
            hosts = undefined[name]["hosts"]
            undefined[name]["hosts"] = [*hosts, *(host for host in problem["hosts"] if host not in hosts)]
    return kept + list(undefined.values())
