"""When a timer starts something: calendar events of systemd.time(7), judged where there is no systemd.

Roles name the filter in their specs (`Format: calendar_event.`). The host's own systemd has the last word, before
anything is changed there.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

_SHORT = {"minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "annually", "yearly"}
_DAY = r"(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_DAYS = re.compile(rf"{_DAY}(?:\.\.{_DAY})?(?:,{_DAY}(?:\.\.{_DAY})?)*", re.IGNORECASE)
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*)+")
_PART = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?(?:/([0-9]+))?")
_CRON = re.compile(r"(?:[0-9*/,-]+\s+){4}[0-9*/,a-z-]+", re.IGNORECASE)
# The least and the greatest value of each field, by its place from the end of a date and of a time.
_DATE = (("year", 1970, 2199), ("month", 1, 12), ("day", 1, 31))
_TIME = (("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59))


def _wrong(problem: str, remedy: str) -> InputError:
    return InputError(f"is no calendar event: {problem}", remedy)


def _check_field(text: str, name: str, least: int, most: int) -> None:
    """Check a field of a date or time: `*`, or values, ranges and repetitions with commas between them."""
    for part in [] if text == "*" else text.split(","):
        found = _PART.fullmatch(part)
        if not found:
            every = re.fullmatch(r"\*/([0-9]+)", part)
            remedy = f"{least}/{every[1]}" if every else f"*, {least + 1}, {least}..{least + 2} or {least}/5"
            raise _wrong(f"{part} is no {name}", remedy)
        values = [int(value) for value in found.groups()[:2] if value]
        if any(not least <= value <= most for value in values) or values != sorted(values):
            raise _wrong(f"{part} is no {name}", f"one from {least} to {most}")
        if found[3] and int(found[3]) == 0:
            raise _wrong(f"{part} repeats nothing", "1 or more after the /")


def _check_date(text: str) -> None:
    # `~` counts a month's days from its end.
    fields = text.replace("~", "-").split("-")
    if len(fields) not in (2, 3):
        raise _wrong(f"{text} is no date", "*-*-01")
    for field, one in zip(fields, _DATE[-len(fields) :], strict=True):
        _check_field(field, *one)


def _check_time(text: str) -> None:
    fields = text.split(":")
    if len(fields) not in (2, 3):
        raise _wrong(f"{text} is no time", "03:00")
    for field, one in zip(fields, _TIME[: len(fields)], strict=True):
        _check_field(field, *one)


def calendar_event(value: Any) -> str:
    """Return a calendar event, such as `*-*-* 03:00:00`, `Mon..Fri 08:30` or `daily`."""
    text = value if isinstance(value, str) else ""
    try:
        _check(text)
    except InputError as error:
        raise InputError(f"{json.dumps(value, default=str)} {error.problem}", error.remedy) from None
    return str(value)


def _check(text: str) -> None:
    if _CRON.fullmatch(text):
        remedy = 'it as a timer has it, such as "*-*-* 03:00:00", "*:0/5" for every five minutes, or daily'
        raise InputError("is of cron", remedy)
    words = text.split(" ")
    if len(words) > 1 and _ZONE.fullmatch(words[-1]):
        words.pop()
    if words == [""] or len(words) > 3:
        raise _wrong("it has to have a date or a time", '"*-*-* 03:00:00", "Mon..Fri 08:30" or daily')
    if words[0].lower() in _SHORT:
        if words[1:]:
            raise _wrong(f"{words[1]} is after {words[0]}", "a date and a time instead")
        return
    rest = words[1:] if _DAYS.fullmatch(words[0]) else words
    kinds = ["time" if ":" in word else "date" for word in rest]
    if kinds not in ([], ["date"], ["time"], ["date", "time"]):
        raise _wrong(f"{rest[-1]} has no place there", "days of the week, the date and then the time")
    for word, kind in zip(rest, kinds, strict=True):
        (_check_date if kind == "date" else _check_time)(word)


def calendar_day(value: Any) -> str:
    """Return a day as text, 2027-01-31; YAML reads one without quotes as a date."""
    text = value.isoformat() if isinstance(value, date) else str(value)
    try:
        return date.fromisoformat(text if len(text) == 10 else "").isoformat()
    except ValueError:
        raise InputError(f"{json.dumps(text)} is no day", "it as 2027-01-31") from None
