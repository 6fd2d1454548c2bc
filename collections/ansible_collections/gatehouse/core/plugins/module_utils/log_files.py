"""Reads the newest lines of log files between two moments, however large the files and however many were rotated."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

BLOCK = 1 << 18
LONGEST = 1 << 20  # bytes of one line
KEPT = 32 << 20  # bytes of a compressed file that are kept in memory, to be read from its end
ROTATED = re.compile(r"\.(\d+)(\.gz)?$")

Entry = TypeVar("Entry")
# Of a line: its moment, None where it has none of its own.
Stamp = Callable[[bytes], "float | None"]


class Budget:
    """How many bytes may still be looked at."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, count: int) -> bool:
        """Take so many; False when there are none left."""
        self.left -= count
        return self.left >= 0


def rotation(path: Path) -> list[Path]:
    """Return a log file and those that logrotate made of it, newest first."""
    found = [(int(match[1]), one) for one in path.parent.glob(f"{path.name}.*") if (match := ROTATED.search(one.name))]
    return [*([path] if path.is_file() else []), *(one for _, one in sorted(found))]


def _stamp_from(file: BinaryIO, offset: int, end: int, stamp: Stamp) -> float | None:
    """Return the moment of the first dated line that begins at `offset` or later, None where there is none."""
    file.seek(offset)
    if offset:
        offset += len(file.readline(LONGEST))
    while offset < end and (line := file.readline(LONGEST)):
        offset += len(line)
        if (moment := stamp(line)) is not None:
            return moment
    return None


def position(file: BinaryIO, end: int, moment: float, stamp: Stamp) -> int:
    """Return an offset before which every line is older than `moment`, found by bisection."""
    low, high = 0, end
    while high - low > BLOCK:
        middle = (low + high) // 2
        found = _stamp_from(file, middle, end, stamp)
        if found is not None and found < moment:
            low = middle
        else:
            high = middle
    return low


def backwards(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield the lines between two offsets, the last one first; a part of a line at `start` counts as one."""
    rest = b""
    while end > start:
        size = min(BLOCK, end - start)
        end -= size
        file.seek(end)
        lines = (file.read(size) + rest).split(b"\n")
        rest = lines[0][:LONGEST]
        yield from (line for line in reversed(lines[1:]) if line)
    if rest:
        yield rest


def _of_plain(path: Path, since: float, stamp: Stamp, budget: Budget) -> Iterator[bytes]:
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        for line in backwards(file, position(file, end, since, stamp), end):
            if not budget.take(len(line) + 1):
                return
            yield line


def _of_compressed(path: Path, since: float, until: float, stamp: Stamp, budget: Budget) -> Iterator[bytes]:
    """Yield the lines of a compressed file, the last one first; where they are too many, nothing older is looked at."""
    kept: deque[bytes] = deque()
    size, most, inside, full = 0, min(KEPT, budget.left), False, False
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(LONGEST):
                moment = stamp(line)
                if moment is not None:
                    if moment > until:
                        break
                    inside = moment >= since
                if not inside:
                    continue
                kept.append(line.rstrip(b"\n"))
                size += len(line)
                while size > most and kept:
                    size -= len(kept.popleft()) + 1
                    full = True
    except (OSError, EOFError, zlib.error):
        pass  # what could be read of a damaged file is better than nothing
    budget.take(budget.left if full else size)
    yield from reversed(kept)


def newest(
    path: Path,
    window: tuple[float, float],
    stamp: Stamp,
    parse: Callable[[float, bytes], Entry | None],
    limits: tuple[int, Budget],
) -> tuple[list[Entry], bool]:
    """Return (what `parse` makes of the newest lines between two moments, newest first; whether there may be more).

    `limits`: how many at most, and how many bytes may be looked at. Lines without a moment have that of the line before
    them. Several processes write, so lines may stand two seconds out of order.
    """
    (since, until), (most, budget) = window, limits
    entries: list[Entry] = []
    for file in rotation(path):
        if file.stat().st_mtime < since - 2:
            break
        lines = (
            _of_compressed(file, since - 2, until + 2, stamp, budget)
            if file.suffix == ".gz"
            else _of_plain(file, since - 2, stamp, budget)
        )
        undated: list[bytes] = []
        for line in lines:
            moment = stamp(line)
            if moment is None:
                undated.append(line)
                continue
            if moment < since - 2:
                break
            if since <= moment <= until:
                for one in [*undated, line]:
                    if (entry := parse(moment, one)) is not None:
                        entries.append(entry)
                        if len(entries) > most:
                            return entries[:most], True
            undated = []
        if budget.left <= 0:
            return entries, True
    return entries, False
