"""A role's meta/argument_specs.yml as the one schema of its variables: types, defaults, choices, formats.

Ansible checks argument_specs when a role starts, one role and one host at a time, and throws the nested
defaults away. One walk here does both things better: `spec_defaults` returns the value with its nested
defaults, `spec_problems` everything that is wrong with it, and `spec_values` the former in spite of the latter.

The last sentence of an option's description may be a format, `Format: nginx_size.`: the name of a filter that
returns the value or raises; or an integer's range, `Range: 1 to 65535.`. (ansible-lint's schema of argument_specs
allows no key of our own there, and ansible-doc shows the description.)
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.plugins.loader import filter_loader
from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

_FORMAT = re.compile(r"Format: ([a-z0-9_]+)\.\s*$")
_RANGE = re.compile(r"Range: (-?[0-9]+) to (-?[0-9]+)\.\s*$")
_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("text", lambda v: isinstance(v, str)),
    "path": ("a path (text)", lambda v: isinstance(v, str)),
    "int": ("an integer", lambda v: isinstance(v, int) and not isinstance(v, bool)),
    "float": ("a number", lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)),
    "bool": ("true or false", lambda v: isinstance(v, bool)),
    "list": ("a list", lambda v: isinstance(v, (list, tuple))),
    "dict": ("a mapping", lambda v: isinstance(v, Mapping)),
    "raw": ("anything", lambda v: True),
}
Path = tuple[str | int, ...]


def _at(path: Path) -> str:
    """Write ('proxy_sites', 0, 'name') as people do: proxy_sites[0].name."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _got(value: Any, secret: bool) -> str:
    """Show a wrong value by its JSON; a long one, a container or a secret by its kind only."""
    kind = next(words for name, (words, fits) in _TYPES.items() if name != "path" and fits(value))
    if secret or isinstance(value, (Mapping, list, tuple)):
        return kind
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else kind


# What people write for true and false.
_BOOLEANS = {
    **dict.fromkeys(("yes", "on", "true", "1"), "true"),
    **dict.fromkeys(("no", "off", "false", "0"), "false"),
}


def _type_remedy(value: Any, wanted: str) -> str:
    """Return what to write instead of a value of the wrong type, where that is easy to say."""
    if wanted in ("str", "path") and isinstance(value, (int, float)):
        return "write it in quotes"
    if wanted == "bool" and str(value).lower() in _BOOLEANS:
        word = f"write {_BOOLEANS[str(value).lower()]}"
        return f"{word}, without quotes" if isinstance(value, str) else word
    if wanted in ("int", "float", "bool") and isinstance(value, str):
        return "write it without quotes" if re.fullmatch(r"-?[0-9.]+", value) else ""
    if wanted == "list":
        return "write each item on a line of its own that begins with -"
    return ""


def _last_sentence(option: Mapping[str, Any]) -> str:
    """Return the last line of an option's description, in which a format or a range is written."""
    description = option.get("description") or ""
    lines = [description] if isinstance(description, str) else list(description)
    return str(lines[-1]) if lines else ""


def _plain(value: Any) -> Any:
    """Return a copy in plain containers.

    A spec's default must not be shared by the values that it fills in, and Ansible's lazy containers cost twenty
    times as much at each look.
    """
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


class _Walk:
    """One pass over a value and its option: collects problems, and builds the value with its defaults."""

    def __init__(self) -> None:
        self.problems: list[dict[str, Any]] = []
        self.filters: dict[str, Callable[[Any], Any]] = {}
        self.defaults: dict[int, dict[str, Any]] = {}

    def add(self, path: Path, problem: str, remedy: str = "") -> None:
        self.problems.append({"path": list(path), "at": _at(path), "problem": problem, "remedy": remedy})

    def value(self, value: Any, option: Mapping[str, Any], path: Path, secret: bool = False) -> Any:
        """Return `value` (null means not given) with its defaults, as plain containers."""
        secret = secret or bool(option.get("no_log"))
        if value is None:
            if option.get("required"):
                self.add(path, "is required", "write it")
            value = _plain(option.get("default"))
            if value is None:
                return None
        wanted = str(option.get("type", "str"))
        if wanted not in _TYPES:
            raise InputError(f"{_at(path)}: its spec has the type {wanted}", f"one of {', '.join(_TYPES)}")
        words, fits = _TYPES[wanted]
        # YAML reads the word off as false; as in Ansible's own modules it is the choice of that name.
        if value is False and "off" in (option.get("choices") or ()):
            value = "off"
        if not fits(value):
            self.add(path, f"must be {words}, got {_got(value, secret)}", _type_remedy(value, wanted))
            return value
        if wanted == "dict":
            return self.mapping(value, option, path, secret)
        if wanted == "list":
            return self.items(value, option, path, secret)
        self.scalar(value, option, path, secret)
        return value

    def scalar(self, value: Any, option: Mapping[str, Any], path: Path, secret: bool) -> None:
        choices = option.get("choices")
        if choices and value not in choices:
            near = difflib.get_close_matches(str(value), [str(choice) for choice in choices], 1)
            self.add(
                path,
                f"must be one of {', '.join(str(choice) for choice in choices)}, got {_got(value, secret)}",
                f"write {near[0]}" if near and not secret else "",
            )
            return
        if limits := _RANGE.search(_last_sentence(option)):
            if not int(limits[1]) <= value <= int(limits[2]):
                words = f"an integer from {limits[1]} to {limits[2]}"
                self.add(path, f"{_got(value, secret)} is out of range", f"write {words}")
            return
        self.form(value, option, path, secret)

    def form(self, value: Any, option: Mapping[str, Any], path: Path, secret: bool) -> None:
        """Hold a value against the format of its option, if that has one."""
        # An empty text that the spec itself has as its default means "none".
        if not (found := _FORMAT.search(_last_sentence(option))) or (value == "" and option.get("default") == ""):
            return
        name = found[1]
        if name not in self.filters:
            plugin = filter_loader.get(name)
            if plugin is None:
                raise InputError(f"{_at(path)}: its spec has the format {name}, and there is no such filter")
            self.filters[name] = plugin.j2_function
        try:
            self.filters[name](value)
        except InputError as error:
            self.add(path, "is refused" if secret else error.problem, f"write {error.remedy}" if error.remedy else "")

    def mapping(self, value: Mapping[str, Any], option: Mapping[str, Any], path: Path, secret: bool) -> dict[str, Any]:
        options = option.get("options")
        if not options:
            # A format is that of each name with its value.
            for key, one in value.items():
                self.form({key: one}, option, (*path, str(key)), secret)
            return dict(_plain(value))
        for key in value:
            if key not in options:
                near = difflib.get_close_matches(str(key), list(options), 1)
                self.add(
                    (*path, str(key)),
                    "is unknown",
                    f"write {near[0]}" if near else f"write one of {', '.join(options)}",
                )
        # What is not given and has a scalar default needs no walk; ten thousand members have ten such keys each.
        full = dict(self.usual(options))
        for key, nested in options.items():
            if value.get(key) is not None or key not in full:
                full[key] = self.value(value.get(key), nested, (*path, key), secret)
        return {key: full[key] for key in options}

    def usual(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the scalar defaults among the options of a mapping, null included."""
        if id(options) not in self.defaults:
            self.defaults[id(options)] = {
                key: option.get("default")
                for key, option in options.items()
                if not option.get("required") and not isinstance(option.get("default"), (Mapping, list))
            }
        return self.defaults[id(options)]

    def items(self, value: Any, option: Mapping[str, Any], path: Path, secret: bool) -> list[Any]:
        # What the option says of its elements (options, choices, format) holds for each; its default and need
        # do not.
        element = {key: what for key, what in option.items() if key not in ("default", "required", "elements")}
        element["type"] = option.get("elements", "raw")
        named = (option.get("options") or {}).get("name", {}).get("required", False)
        seen: dict[str, int] = {}
        for index, item in enumerate(value):
            name = item.get("name") if named and isinstance(item, Mapping) else None
            if isinstance(name, str) and seen.setdefault(name, index) != index:
                self.add(
                    (*path, index, "name"),
                    f"repeats {json.dumps(name)}, the name of {_at((*path, seen[name]))}",
                    "give each its own name",
                )
            if item is None:
                self.add((*path, index), "is empty", "write it, or take the - away")
        return [self.value(item, element, (*path, index), secret) for index, item in enumerate(value)]


def spec_values(value: Any, option: Mapping[str, Any], name: str = "value") -> Any:
    """Return `value` with its nested defaults, and whatever is wrong in it as it is: for what looks further."""
    return _Walk().value(_plain(value), _plain(option), (name,))


def spec_problems(value: Any, option: Mapping[str, Any], name: str = "value") -> list[dict[str, Any]]:
    """Return all that is wrong with `value`: [{path: [name, 0, key...], at: 'name[0].key', problem, remedy}].

    `option`: the variable's entry in argument_specs; `name`: the variable's name. Remedies may be ''. Values
    of options with `no_log` are never shown.
    """
    walk = _Walk()
    walk.value(_plain(value), _plain(option), (name,))
    return walk.problems


def spec_defaults(value: Any, option: Mapping[str, Any], name: str = "value") -> Any:
    """Return `value` with the nested defaults of its option, all keys present; raises with every problem it has.

    An optional key without a default becomes null, as in Ansible's modules. A nested mapping that may be left
    out says `default: {}` in its spec, and its own options' defaults then apply.
    """
    walk = _Walk()
    full = walk.value(_plain(value), _plain(option), (name,))
    if walk.problems:
        raise InputError(
            "\n".join(
                f"{found['at']} {found['problem']}" + (f"; {found['remedy']}" if found["remedy"] else "")
                for found in walk.problems
            )
        )
    return full
