"""Text that may stand in an nginx configuration, and nothing else.

Every value of an inventory that reaches a configuration file passes one of these filters: each returns plain
text or raises with what is wrong and what to write instead. All are pure; none reads a file.

Sources: https://nginx.org/en/docs/syntax.html (sizes and times), `ngx_conf_read_token` in nginx's
src/core/ngx_conf_file.c (tokens and quotes), https://nginx.org/en/docs/http/server_names.html.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.expressions import regular_expression
from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError
from ansible_collections.gatehouse.core.plugins.module_utils.names import NAME

# What nginx reads as one token without quotes and without a second meaning: no blank, quote, backslash, `#`,
# `;{}$`.
_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=~*-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PATH = re.compile(r"/[A-Za-z0-9._~!&()*+,=:@/-]*")
_HOST_PATH = re.compile(r"/[A-Za-z0-9._~+,=:@/-]*")
_VARIABLES = re.compile(r"[A-Za-z0-9_./:|-]*(\$[a-z0-9_]+[A-Za-z0-9_./:|-]*)+")
_VARIABLE = re.compile(r"\$[a-z0-9_]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,14})([kKmMgG]?)")
_UNITS = ("y", "M", "w", "d", "h", "m", "s", "ms")
_SECONDS = {
    "y": 31_536_000,
    "M": 2_592_000,
    "w": 604_800,
    "d": 86_400,
    "h": 3600,
    "m": 60,
    "s": 1,
    "ms": 0.001,
}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_LARGEST_SIZE = 2**53
# nginx keeps the length of a location's path in one byte.
_LONGEST_PATH = 255
# And reads an argument into a page of 4096 bytes, in which quotes and backslashes take two.
_LONGEST_EXPRESSION = 4000
_DAYS = {"y": 365, "M": 30, "w": 7, "d": 1}
# nginx keeps many times as signed 32-bit milliseconds or seconds; what is longer than this wraps on some
# builds.
_LONGEST_SECONDS = 2**31 - 1


def _shown(value: Any) -> str:
    """Show `value` in an error: JSON tells a number from text, and no Python class name gets in."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def nginx_quote(value: Any, variables: bool = False, punctuation: bool = False) -> str:
    r"""Return `value` as one argument of a directive: bare where that is safe, else in double quotes.

    `value`: text, integer, or boolean (`on`/`off`). Control characters are always refused. `$` begins a
    variable, and nginx has no way to escape it: refused unless `variables`. `;`, `{` and `}` are refused
    unless `punctuation` (a Content-Security-Policy needs `;`), and then stand in quotes, where they end
    nothing.
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return str(int(value))
    if not isinstance(value, str):
        raise InputError(f"{_shown(value)} cannot be one nginx argument", "text, an integer or a boolean")
    text = str(value)
    if found := _CONTROL.search(text):
        raise InputError(
            f"{_shown(text)} has the control character U+{ord(found[0]):04X}", "it on one line, without tabs"
        )
    if not variables and "$" in text:
        raise InputError(f"{_shown(text)} has a $, which nginx reads as a variable", "it without $")
    if not punctuation and (found := re.search("[;{}]", text)):
        raise InputError(
            f"{_shown(text)} has a {found[0]}, which ends or opens an nginx directive", f"it without {found[0]}"
        )
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def nginx_size(value: Any) -> str:
    """Return a size as nginx writes it: bytes, or a number with `k` or `m`; `g` becomes `m`.

    Only some directives read `g` (`max_size`, not the size of a `keys_zone`), and all of them read `m`.
    """
    match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value)) if isinstance(value, (int, str)) else None
    if not match:
        raise InputError(f"{_shown(value)} is no size", "bytes, or a whole number followed by k, m or g, such as 8m")
    number, unit = match[1], match[2].lower()
    if int(number) * _BYTES[unit] > _LARGEST_SIZE:
        raise InputError(f"{_shown(value)} is more than nginx can count", "a smaller size, such as 8m")
    return f"{int(number) * 1024}m" if unit == "g" else number + unit


def _duration_parts(text: str) -> list[str]:
    """Split `1h 30m` into `1h`, `30m`, or return [] where nginx would refuse it (units fall, each at most once)."""
    rest, lowest, parts, seconds = text, -1, [], 0.0
    while rest:
        match = re.match(r"([0-9]{1,12})(ms|[yMwdhms])?(?: +(?=[0-9])|(?=[0-9])|$)", rest)
        # Only the last number may go without a unit, and it then means seconds.
        if not match or (not match[2] and match.end() < len(rest)):
            return []
        unit = match[2] or "s"
        if _UNITS.index(unit) <= lowest:
            return []
        lowest = _UNITS.index(unit)
        seconds += int(match[1]) * _SECONDS[unit]
        parts.append(f"{int(match[1])}{unit}")
        rest = rest[match.end() :]
    return parts if seconds <= _LONGEST_SECONDS else []


def nginx_duration(value: Any) -> str:
    """Return a time as nginx writes it, without blanks: `1h 30m` is `1h30m`, the integer 90 (seconds) is `90s`.

    Years and months become days, because nginx reads them only where it counts seconds.
    """
    parts = _duration_parts(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else []
    if not parts:
        raise InputError(
            f"{_shown(value)} is no duration",
            "whole numbers with ms, s, m, h, d, w, M or y, the largest unit first, such as 10m or 1h30m",
        )
    days = sum(int(part[:-1]) * _DAYS[part[-1]] for part in parts if part[-1] in _DAYS)
    if not any(part[-1] in "yM" for part in parts):
        return "".join(parts)
    return f"{days}d" + "".join(part for part in parts if part[-1] not in _DAYS)


def nginx_name(value: Any) -> str:
    """Return the name of an upstream, zone, site or request: also safe as a file's name and as a host's."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise InputError(
            f"{_shown(value)} is no name", "at most 63 letters, digits, _ . or -, beginning with a letter or digit"
        )
    return str(value)


def nginx_path(value: Any) -> str:
    """Return the path of a location: nginx compares it with the decoded, resolved path of a request."""
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise InputError(
            f"{_shown(value)} is no path of a location",
            "it from / on, in letters, digits and ._~!&()*+,=:@-, such as /api/",
        )
    if len(value) > _LONGEST_PATH:
        raise InputError(f"{_shown(value)} is too long a path for nginx", f"at most {_LONGEST_PATH} letters")
    if "//" in value or {".", ".."} & set(value.split("/")):
        raise InputError(
            f"{_shown(value)} never matches, because nginx resolves //, . and .. first", "the resolved path"
        )
    return str(value)


def location_path(value: Any) -> str:
    """Return the path of a location of any kind: a path as `nginx_path` takes it, or a regular expression.

    Which of the two it has to be is its `match`'s to say; see `location_match`.
    """
    text = str(value) if isinstance(value, str) else ""
    if _PATH.fullmatch(text):
        return nginx_path(text)
    if len(text) + text.count('"') + text.count("\\") > _LONGEST_EXPRESSION:
        raise InputError(f"{_shown(value)} is too long for nginx", f"at most {_LONGEST_EXPRESSION} characters")
    if not text or _CONTROL.search(text):
        raise InputError(f"{_shown(value)} is no path and no regular expression", "one such as /api/")
    return regular_expression(text, _shown(value), "path and no regular expression", "one such as /api/")


def host_path(value: Any) -> str:
    """Return an absolute path on the host, without blanks, `..` or anything that nginx would read."""
    text = str(value) if isinstance(value, str) else ""
    if not _HOST_PATH.fullmatch(text) or {".", ".."} & set(text.split("/")) or "//" in text:
        raise InputError(
            f"{_shown(value)} is no absolute path on the host", "one such as /srv/www, in letters, digits and ._~+,=:@-"
        )
    return text


def nginx_variable(value: Any) -> str:
    """Return one variable of nginx, `$cookie_session`: what a request is asked for.

    Source: https://nginx.org/en/docs/varindex.html
    """
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise InputError(f"{_shown(value)} is no variable of nginx", "one such as $cookie_session")
    return str(value)


def cache_key(value: Any) -> str:
    """Return a key made of variables of nginx and of plain text between them: `$scheme$host$request_uri`."""
    if not isinstance(value, str) or not _VARIABLES.fullmatch(value):
        raise InputError(f"{_shown(value)} is no key", "variables of nginx, such as $scheme$host$request_uri")
    return str(value)


def listen_address(value: Any) -> str:
    """Return a local address as `listen` takes it: `*`, an IPv4 address, or an IPv6 address in brackets.

    Source: https://nginx.org/en/docs/http/ngx_http_core_module.html#listen
    """
    text = str(value) if isinstance(value, str) else ""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        address = None
    # A link-local address says nothing without its zone, which nginx does not take.
    local = isinstance(address, ipaddress.IPv6Address) and (address.is_link_local or "%" in bare)
    if text == "*" or (address and not local and (address.version == 6) == (bare != text)):
        return text
    raise InputError(
        f"{_shown(value)} is no address to listen on", "*, an IPv4 address, or an IPv6 address in brackets: [::]"
    )


def server_name(value: Any) -> str:
    """Return a server name in lower case: exact (`shop.example.org`) or with one leading wildcard (`*.example.org`)."""
    text = value.lower() if isinstance(value, str) else ""
    labels = text.removeprefix("*.").split(".")
    wildcard_alone = text.startswith("*.") and len(labels) < 2
    if len(text) > 253 or wildcard_alone or not all(_LABEL.fullmatch(label) for label in labels):
        raise InputError(
            f"{_shown(value)} is no server name",
            "a DNS name such as shop.example.org or *.example.org (other scripts as punycode, xn--...)",
        )
    return str(text)


def variable_part(name: str) -> str:
    """Return a site's name as part of a variable of nginx, each name its own: `shop-2.eu` gives `shop_2d_2_2e_eu`."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", name)
