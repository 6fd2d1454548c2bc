"""What the application firewall is asked for: formats of its inputs, and whether a proxy has it at all.

Sources: https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x), https://coreruleset.org/docs
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .input_error import InputError

_PARAMETER = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,128}")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+-]{0,63}")


def waf_parameter(value: Any) -> str:
    """Return the name of a parameter or a cookie as a rule of ModSecurity can have it."""
    if not isinstance(value, str) or not _PARAMETER.fullmatch(value):
        shown = json.dumps(value, default=str)
        raise InputError(
            f"{shown} is no name that a rule can leave alone", "letters, digits and _.:[]-, or a path without it"
        )
    return str(value)


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
