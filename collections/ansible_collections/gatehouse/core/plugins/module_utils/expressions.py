"""Whether a regular expression can be made to try the same text in exponentially many ways.

A visitor chooses the text, so such an expression costs a processor for one request. The check is exact for what it
models, and needs no trial against a clock: an expression backtracks exponentially only if its automaton gets from a
state back to it in two ways by the same text (Weideman et al., "Analyzing Matching Time Behavior of Backtracking
Regular Expression Matchers", 2016). Python's own parser reads the expression; no library of the lock file does more.

Left out on the safe side: what atomic groups and possessive quantifiers forgive, letters' case, and how far large
counted repetitions reach. Left out altogether: polynomial backtracking, which nginx's limits on a request's length keep
in bounds.
"""

from __future__ import annotations

import re
import re._constants as sre
import re._parser as parser
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

# One bit for each byte, and one for every other character.
_OTHER = 1 << 256
_ALL = (1 << 257) - 1
_CATEGORIES = {
    sre.CATEGORY_DIGIT: b"0123456789",
    sre.CATEGORY_SPACE: b" \t\n\r\f\v",
    sre.CATEGORY_WORD: b"0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
}
_INVERSE = {
    sre.CATEGORY_NOT_DIGIT: sre.CATEGORY_DIGIT,
    sre.CATEGORY_NOT_SPACE: sre.CATEGORY_SPACE,
    sre.CATEGORY_NOT_WORD: sre.CATEGORY_WORD,
}
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
# Where nothing can follow.
_ENDS = (sre.AT_END, sre.AT_END_STRING)
_LOOKAROUNDS = (sre.ASSERT, sre.ASSERT_NOT)
# A repetition that counts further is taken for one without end.
_COUNTED = 8
_MOST_POSITIONS = 400


def _character(code: int) -> int:
    """Return the bits of a character in both cases of its letter."""
    text = chr(code)
    return sum(1 << one for one in {ord(text.lower()[0]), ord(text.upper()[0])} if one < 256) or _OTHER


def _characters(items: Sequence[tuple[Any, Any]]) -> int:
    """Return the bits of what a class in brackets matches."""
    found, inverted = 0, False
    for kind, value in items:
        if kind is sre.NEGATE:
            inverted = True
        elif kind is sre.LITERAL:
            found |= _character(value)
        elif kind is sre.RANGE:
            for code in range(value[0], min(value[1], 255) + 1):
                found |= _character(code)
            found |= _OTHER if value[1] > 255 else 0
        elif kind is sre.CATEGORY:
            of = _INVERSE.get(value, value)
            bits = sum(1 << byte for byte in _CATEGORIES[of])
            found |= _ALL & ~bits if value in _INVERSE else bits
    return _ALL & ~found if inverted else found


class _Automaton:
    """Positions of an expression that take a character, and how often each leads to each (Glushkov's construction)."""

    def __init__(self) -> None:
        self.takes: list[int] = []
        self.follows: list[dict[int, int]] = []

    def position(self, characters: int) -> tuple[bool, list[int], list[int]]:
        """Return a part that takes one of these: (may it be empty, its first positions, its last ones)."""
        if len(self.takes) >= _MOST_POSITIONS:
            raise InputError(f"the expression has more than {_MOST_POSITIONS} parts", "several shorter ones")
        self.takes.append(characters)
        self.follows.append({})
        place = len(self.takes) - 1
        return False, [place], [place]

    def join(self, last: Sequence[int], first: Sequence[int]) -> None:
        for before in last:
            for after in first:
                self.follows[before][after] = self.follows[before].get(after, 0) + 1

    def sequence(self, parts: Iterator[tuple[bool, list[int], list[int]]]) -> tuple[bool, list[int], list[int]]:
        empty, first, last = True, list[int](), list[int]()
        for nullable, begin, end in parts:
            self.join(last, begin)
            first = first + begin if empty else first
            last = last + end if nullable else end
            empty = empty and nullable
        return empty, first, last

    def tree(self, items: Any) -> tuple[bool, list[int], list[int]]:
        return self.sequence(self.part(kind, value) for kind, value in items)

    def part(self, kind: Any, value: Any) -> tuple[bool, list[int], list[int]]:
        """Return one part of a parsed expression, its positions added."""
        if kind is sre.LITERAL:
            return self.position(_character(value))
        if kind is sre.NOT_LITERAL:
            return self.position(_ALL & ~_character(value))
        if kind is sre.ANY:
            return self.position(_ALL)
        if kind is sre.IN:
            return self.position(_characters(value))
        if kind is sre.BRANCH:
            parts = [self.tree(branch) for branch in value[1]]
            first = [one for _, begin, _ in parts for one in begin]
            last = [one for _, _, end in parts for one in end]
            return any(empty for empty, _, _ in parts), first, last
        if kind is sre.SUBPATTERN:
            return self.tree(value[3])
        if kind is sre.ATOMIC_GROUP:
            return self.tree(value)
        if kind in _REPEATS:
            return self.repeat(*value)
        if kind is sre.AT and value in _ENDS:
            return False, self.position(0)[1], []
        if kind is sre.GROUPREF:
            # Whatever the group matched.
            return self.repeat(0, sre.MAXREPEAT, [(sre.ANY, None)])
        if kind is sre.GROUPREF_EXISTS:
            return self.part(sre.BRANCH, (None, [value[1], value[2] or []]))
        if kind in _LOOKAROUNDS:
            # It takes nothing, but what is in it is tried too.
            self.tree(value[1])
        return True, [], []

    def repeat(self, least: int, most: Any, items: Any) -> tuple[bool, list[int], list[int]]:
        """Return a repetition: the copies that are counted, and a loop where it has no end near."""
        endless = most is sre.MAXREPEAT or most > _COUNTED
        copies = min(int(least), _COUNTED) or 1 if endless else int(most)
        parts = []
        for number in range(copies):
            empty, first, last = self.tree(items)
            if endless and number == copies - 1:
                self.join(last, first)
            parts.append((empty or number >= least, first, last))
        return self.sequence(iter(parts))


def _components(edges: Mapping[Any, Sequence[Any]]) -> dict[Any, int]:
    """Return {node: number of its strongly connected component}. Tarjan's algorithm, without recursion."""
    order, low, component = dict[Any, int](), dict[Any, int](), dict[Any, int]()
    stack: list[Any] = []
    for start in edges:
        if start in order:
            continue
        order[start] = low[start] = len(order)
        stack.append(start)
        work = [(start, iter(edges[start]))]
        while work:
            node, rest = work[-1]
            after = next(rest, None)
            if after is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    while (member := stack.pop()) != node:
                        component[member] = order[node]
                    component[node] = order[node]
            elif after not in order:
                order[after] = low[after] = len(order)
                stack.append(after)
                work.append((after, iter(edges[after])))
            elif after not in component:
                low[node] = min(low[node], order[after])
    return component


def _is_ambiguous(takes: Sequence[int], follows: Sequence[Mapping[int, int]]) -> bool:
    """Return whether some position comes back to itself in two ways by one text."""
    loops = _components({place: list(after) for place, after in enumerate(follows)})
    inner = [[after for after in follows[place] if loops[after] == loops[place]] for place in range(len(takes))]
    if any(follows[place][after] > 1 for place, found in enumerate(inner) for after in found):
        return True
    # Two walks by the same text that begin together: do they part, and meet again where they began?
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    waiting = [(place, place) for place, found in enumerate(inner) if found]
    while waiting:
        pair = waiting.pop()
        if pair in pairs:
            continue
        left, right = (inner[place] for place in pair)
        pairs[pair] = [(one, other) for one in left for other in right if takes[one] & takes[other]]
        waiting += pairs[pair]
    met = _components(pairs)
    together = {met[pair] for pair in pairs if pair[0] == pair[1]}
    return any(pair[0] != pair[1] and met[pair] in together for pair in pairs)


def _with_branches(pattern: str) -> str:
    """Return the expression with each branch kept: Python's parser makes one of `a|a`, and PCRE tries both."""
    kept, bracket = list[str](), 0
    pieces = re.findall(r"\\.|\[\^?\]?|.", pattern, re.DOTALL)
    for piece in pieces:
        if piece[0] == "[" and not bracket:
            bracket = 1
        elif piece == "]":
            bracket = 0
        kept.append("|(?=)" if piece == "|" and not bracket else piece)
    return "".join(kept)


def backtracking_regex(pattern: Any) -> bool:
    """Return whether a regular expression backtracks exponentially on some text. It has to be one (`re.compile`)."""
    automaton = _Automaton()
    automaton.tree(parser.parse(_with_branches(str(pattern))))
    return _is_ambiguous(automaton.takes, automaton.follows)


def regular_expression(text: str, shown: str, kind: str, instead: str) -> str:
    """Return a text that is a regular expression and that no visitor can make slow.

    `shown`: the text in an error; `kind`: what is asked for, such as `regular expression`; `instead`: what to write
    where it is none.
    """
    try:
        with warnings.catch_warnings():
            # Python may read `[[` otherwise one day; nginx's expressions are its own, and nginx has the last word.
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(text)
    except re.error as error:
        raise InputError(f"{shown} is no {kind} ({error})", instead) from None
    # A visitor chooses what it is compared with.
    if backtracking_regex(text):
        raise InputError(
            f"{shown} fits some texts in exponentially many ways, and a visitor can have nginx try them all",
            "it without a repetition of what repeats the same characters itself, such as ^/[a-z/]*$ for ^/([a-z/]+)*$",
        )
    return text
