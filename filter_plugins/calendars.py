"""When a timer starts something: calendar events of systemd.time(7), judged where there is no systemd.

Roles name the filter in their specs (`Format: calendar_event.`). The host's own systemd has the last word, before
anything is changed there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

_SHORT = {"minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "annually", "yearly"}
_DAY = r"(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_DAYS = re.compile(rf"{_DAY}(?:\.\.{_DAY})?(?:,{_DAY}(?:\.\.{_DAY})?)*", re.IGNORECASE)
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*)+")
_PART = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?(?:/([0-9]+))?")
_CRON = re.compile(r"(?:[0-9*/,-]+\s+){4}[0-9*/,a-z-]+", re.IGNORECASE)
# The least and the greatest value of each field, by its place from the end of a date and of a time.
_DATE = (("year", 1970, 2199), ("month", 1, 12), ("day", 1, 31))
_TIME = (("hour", 0, 23), ("minute", 0, 59), ("second", 0, 59))


def _field(text: str, name: str, least: int, most: int) -> str:
    """Return what is wrong with a field of a date or time, as `problem; write remedy`; '' if nothing is."""
    if text == "*":
        return ""
    for part in text.split(","):
        found = _PART.fullmatch(part)
        if not found:
            every = re.fullmatch(r"\*/([0-9]+)", part)
            remedy = f"{least}/{every[1]}" if every else f"*, {least + 1}, {least}..{least + 2} or {least}/5"
            return f"{part} is no {name}; write {remedy}"
        values = [int(value) for value in found.groups()[:2] if value]
        if any(not least <= value <= most for value in values) or values != sorted(values):
            return f"{part} is no {name}; write one from {least} to {most}"
        if found[3] and int(found[3]) == 0:
            return f"{part} repeats nothing; write 1 or more after the /"
    return ""


def _fields(text: str, mark: str, names: tuple[tuple[str, int, int], ...], least: int) -> str:
    fields = text.split(mark)
    if not least <= len(fields) <= len(names):
        return f"{text} is no {'date' if mark == '-' else 'time'}; write {'*-*-01' if mark == '-' else '03:00'}"
    named = names[-len(fields) :] if mark == "-" else names[: len(fields)]
    return next((wrong for field, one in zip(fields, named, strict=True) if (wrong := _field(field, *one))), "")


def calendar_event(value: Any) -> str:
    """Return a calendar event, such as `*-*-* 03:00:00`, `Mon..Fri 08:30` or `daily`."""
    text = value if isinstance(value, str) else ""
    if _CRON.fullmatch(text):
        problem = (
            'is of cron; write it as a timer has it, such as "*-*-* 03:00:00", "*:0/5" for every five minutes, or daily'
        )
        raise AnsibleFilterError(f"{json.dumps(value)} {problem}")
    words = text.split(" ")
    if len(words) > 1 and _ZONE.fullmatch(words[-1]):
        words.pop()
    wrong = ""
    if words == [""] or len(words) > 3:
        wrong = 'it has to have a date or a time; write "*-*-* 03:00:00", "Mon..Fri 08:30" or daily'
    elif words[0].lower() in _SHORT:
        wrong = f"{words[1]} is after {words[0]}; write a date and a time instead" if words[1:] else ""
    else:
        rest = words[1:] if _DAYS.fullmatch(words[0]) else words
        kinds = ["time" if ":" in word else "date" for word in rest]
        if kinds not in ([], ["date"], ["time"], ["date", "time"]):
            wrong = f"{rest[-1]} has no place there; write days of the week, the date and then the time"
        for word, kind in zip(rest, kinds, strict=True):
            # `~` counts a month's days from its end.
            one = _fields(word.replace("~", "-"), "-", _DATE, 2) if kind == "date" else _fields(word, ":", _TIME, 2)
            wrong = wrong or one
    if wrong:
        raise AnsibleFilterError(f"{json.dumps(value, default=str)} is no calendar event: {wrong}")
    return str(value)


class FilterModule:
    """Offer the function above to templates under its own name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"calendar_event": calendar_event}
