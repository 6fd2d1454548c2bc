"""What the application firewall is asked for: formats of its inputs, and whether a proxy has it at all.

Sources: https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x), https://coreruleset.org/docs
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from .expressions import regular_expression
from .input_error import InputError

_PARAMETER = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,128}")
_TEXT = re.compile(r"[ -~]{1,200}")
_OPEN_END = re.compile(r'\\(?:"|$)')
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+-]{0,63}")


def waf_parameter(value: Any) -> str:
    """Return the name of a parameter or a cookie as a rule of ModSecurity can have it."""
    if not isinstance(value, str) or not _PARAMETER.fullmatch(value):
        shown = json.dumps(value, default=str)
        raise InputError(
            f"{shown} is no name that a rule can leave alone", "letters, digits and _.:[]-, or a path without it"
        )
    return str(value)


def waf_text(value: Any) -> str:
    """Return a text that a rule of ModSecurity looks for: printable ASCII, and no `%{`, which would be a variable."""
    if not isinstance(value, str) or not _TEXT.fullmatch(value) or "%{" in value:
        raise InputError(
            f"{json.dumps(value, default=str)} is no text that a rule can look for",
            "up to 200 characters of printable ASCII without %{",
        )
    # ModSecurity takes a quote after any backslash for a part of the text: the rule would not end where it does.
    if _OPEN_END.search(value):
        raise InputError(
            f"{json.dumps(value)} has a backslash before a quote or at its end, where a rule's text would not end",
            "\\x5c in its place, in matches",
        )
    return str(value)


def waf_regex(value: Any) -> str:
    """Return a regular expression that a rule of ModSecurity can have, and that no visitor can make slow."""
    text = waf_text(value)
    return regular_expression(text, json.dumps(text), "regular expression", "one of PCRE")


def rule_number(name: str) -> int:
    """Return the number of a rule of one's own: the same as long as its name is. Up to 99999 are for local use."""
    return 10000 + zlib.crc32(name.encode()) % 90000


def media_type(value: Any) -> str:
    """Return a media type (RFC 9110 8.3.1) in lower case, without parameters."""
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        shown = json.dumps(value, default=str)
        raise InputError(f"{shown} is no media type", "it in lower case without parameters, such as application/json")
    return str(value)


def _mode(place: Any) -> Any:
    waf = place.get("waf") if isinstance(place, Mapping) else None
    return (waf.get("mode") if isinstance(waf, Mapping) else None) or "off"


def uses_waf(sites: Any) -> bool:
    """Return whether a site or one of its locations asks for the application firewall, as the inventory writes them."""
    for site in sites if isinstance(sites, (list, tuple)) else ():
        locations = site.get("locations") if isinstance(site, Mapping) else None
        places = [site, *(locations if isinstance(locations, (list, tuple)) else ())]
        if any(_mode(place) in ("detect", "block") for place in places):
            return True
    return False
