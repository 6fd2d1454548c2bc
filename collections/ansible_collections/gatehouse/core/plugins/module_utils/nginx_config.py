"""nginx's configuration as a tree, from what `nginx -T` prints: what is really on a host, whoever wrote it.

Source: https://nginx.org/en/docs/beginners_guide.html#conf_structure
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

# `nginx -T` puts this line before each file.
_FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
# A comment, a quoted word, a bare word (which may hold ${name}), or punctuation, at which nginx ends a bare word.
_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)
    |(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<punctuation>[;{}])
    |(?P<word>(?:\$\{|\\.|[^\s;{}\\])(?:\$\{[^}]*\}|\\.|[^\s;{\\])*)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\([\"'\\])")


class ConfigError(ValueError):
    """The text is no configuration of nginx's; the message says where."""


@dataclass(frozen=True)
class Directive:
    """One directive, its place (`file:line`), and what is in its braces."""

    name: str
    args: tuple[str, ...]
    place: str
    block: tuple[Directive, ...] = field(default=())

    def all(self, *names: str) -> Iterator[Directive]:
        """Yield the directives of these names that stand right here."""
        return (child for child in self.block if child.name in names)

    def walk(self) -> Iterator[Directive]:
        """Yield all that is below, at any depth."""
        for child in self.block:
            yield child
            yield from child.walk()


def split_dump(text: str) -> dict[str, str]:
    """Return {path: text} of the files that `nginx -T` printed, the first being the one that nginx begins with."""
    parts = _FILE.split(text)
    return {path: body.removeprefix("\n") for path, body in zip(parts[1::2], parts[2::2], strict=True)}


def _tokens(text: str, path: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, text, line) of what is no blank and no comment."""
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            raise ConfigError(f"{path}:{line}: cannot be read")
        kind, word = str(found.lastgroup), found[0]
        if kind != "skip":
            yield kind, _ESCAPED.sub(r"\1", word[1:-1]) if kind == "quoted" else word, line
        line += word.count("\n")
        position = found.end()


def _included(pattern: str, files: Mapping[str, str], start: str) -> list[str]:
    """Return the files that an `include` names: relative to the first file's folder, `*` within one folder."""
    whole = posixpath.join(posixpath.dirname(start), pattern)
    expression = re.compile("".join("[^/]*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", whole)))
    return sorted(path for path in files if expression.fullmatch(path))


class _Reader:
    """Reads files into directives, with each `include` replaced by what it names."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = files
        self.start = next(iter(files), "")

    def read(self, path: str) -> list[Directive]:
        return self._block(_tokens(self.files[path], path), path, top=True)

    def _block(self, tokens: Iterator[tuple[str, str, int]], path: str, top: bool = False) -> list[Directive]:
        found: list[Directive] = []
        words: list[str] = []
        line = 0
        for kind, word, at in tokens:
            if kind != "punctuation":
                line = line if words else at
                words.append(word)
            elif word == "}":
                if top or words:
                    raise ConfigError(f"{path}:{at}: unexpected brace")
                return found
            elif not words:
                raise ConfigError(f"{path}:{at}: unexpected {word!r}")
            else:
                name, args, words = words[0], tuple(words[1:]), []
                if word == "{":
                    found.append(Directive(name, args, f"{path}:{line}", tuple(self._block(tokens, path))))
                elif name == "include":
                    for one in _included(args[0], self.files, self.start):
                        found += self.read(one)
                else:
                    found.append(Directive(name, args, f"{path}:{line}"))
        if words or not top:
            raise ConfigError(f"{path}: ends within a directive")
        return found


def parse_dump(text: str) -> Directive:
    """Return what `nginx -T` printed as one directive `main`; what cannot be read is a `ConfigError`."""
    files = split_dump(text)
    if not files:
        raise ConfigError("nginx -T printed no file")
    reader = _Reader(files)
    return Directive("main", (), reader.start, tuple(reader.read(reader.start)))
