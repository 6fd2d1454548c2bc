"""Parts of HTTP messages that an inventory may write: header names and values, redirects, rates, password hashes.

Roles name them in their specs (`Format: header_name.`), so that preflight refuses a wrong value before any host
is touched. Each filter returns its value or raises with the remedy; quoting for nginx is `nginx_quote`'s work.

Sources: RFC 9110 5.1 and 5.5 (fields), 10.2.2 (Location), crypt(5) (password hashes).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.input_error import InputError

# RFC 9110 allows more (`!#$%&'*+.^`|~`), which no header in use has and of which nginx gives some a meaning.
# And nginx has tables with room for names of a usual length.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELD = re.compile(r"[\x20-\x7e]*")
# nginx reads an argument into a page of 4096 bytes, in which quotes and backslashes take two.
_LONGEST = 4000
# What a visitor writes may not come first: `$request_uri` may begin with two slashes, and then leads to any host.
_TARGET = re.compile(r"(https?://([A-Za-z0-9\[]|\$host\b)|/(?![/\\$]))[A-Za-z0-9._~!$&'()*+,=:@/?%#\[\]-]*")
_RATE = re.compile(r"[1-9][0-9]{0,5}r/[sm]")
_VARIABLE = re.compile(r"\$(\{[a-z0-9_]+\}|[a-z0-9_]*)", re.IGNORECASE)
# What crypt(3) of Debian verifies with a cost worth the name, and nginx's own apr1.
_HASH = re.compile(r"\$(5|6|y|2[aby]|apr1)\$[A-Za-z0-9./$=,]{8,250}")

# Variables of nginx that cannot carry a line break into a header: each is parsed, or passed on as it was sent.
_REDIRECT_VARIABLES = ("$host", "$request_uri")
_HEADER_VARIABLES = (
    "$host",
    "$remote_addr",
    "$remote_user",
    "$scheme",
    "$server_port",
    "$request_id",
    "$request_uri",
    "$ssl_client_verify",
    "$ssl_client_s_dn",
    "$ssl_client_fingerprint",
)


def _text(value: Any) -> str:
    """Return `value` when it is text, else ''."""
    return str(value) if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _variables(value: Any, text: str, known: tuple[str, ...]) -> None:
    """Raise when `text` uses another variable of nginx than the known ones."""
    for match in _VARIABLE.finditer(text):
        if match[0] not in known:
            raise InputError(f"{_shown(value)} has {match[0]}", f"only {', '.join(known)} with a $")


def _short(value: Any, text: str) -> str:
    """Return `text` when nginx can read it as one argument."""
    if len(text) + text.count('"') + text.count("\\") > _LONGEST:
        raise InputError(f"{_shown(value)} is too long for nginx", f"at most {_LONGEST} characters")
    return text


def header_name(value: Any) -> str:
    """Return the name of a header field (RFC 9110 5.1)."""
    text = _text(value)
    if not _NAME.fullmatch(text):
        raise InputError(f"{_shown(value)} is no name of a header", "letters, digits and -, such as X-Request-Id")
    return text


def header_text(value: Any) -> str:
    """Return the value of a header field as it is: printable ASCII on one line, without variables."""
    text = _text(value)
    if not isinstance(value, str) or not _FIELD.fullmatch(text):
        raise InputError(f"{_shown(value)} is no value of a header", "it on one line, in printable ASCII characters")
    if "$" in text:
        raise InputError(f"{_shown(value)} has a $, which nginx reads as a variable", "it without $")
    return _short(value, text)


def request_header_value(value: Any) -> str:
    """Return the value of a header for an upstream; a few of nginx's variables may stand in it."""
    text = _text(value)
    if not isinstance(value, str) or not _FIELD.fullmatch(text):
        raise InputError(f"{_shown(value)} is no value of a header", "it on one line, in printable ASCII characters")
    _variables(value, text, _HEADER_VARIABLES)
    return _short(value, text)


def redirect_target(value: Any) -> str:
    """Return where a redirect leads: a path from `/` on or an http(s) address; $host and $request_uri may stand in it.

    `$uri` is refused: it is decoded, so a visitor could write a line break and a further header into it.
    """
    text = _text(value)
    if not _TARGET.fullmatch(text):
        raise InputError(
            f"{_shown(value)} is no target of a redirect",
            "a path such as /new or an address such as https://example.org$request_uri",
        )
    _variables(value, text, _REDIRECT_VARIABLES)
    return _short(value, text)


def http_method(value: Any) -> str:
    """Return a method's name, in capitals as it is sent (RFC 9110, 9.1)."""
    text = _text(value)
    if not re.fullmatch(r"[A-Z]{1,32}(?:-[A-Z]{1,32})*", text):
        raise InputError(f"{_shown(value)} is no method", "it in capitals, such as GET or PROPFIND")
    return text


def request_rate(value: Any) -> str:
    """Return a rate of requests as `limit_req_zone` takes it: `10r/s` or `30r/m`."""
    text = _text(value)
    if not _RATE.fullmatch(text):
        raise InputError(f"{_shown(value)} is no rate", "requests a second or a minute, such as 10r/s or 30r/m")
    return text


def crypt_hash(value: Any) -> str:
    """Return a password's hash as `auth_basic_user_file` takes it; the value is never shown."""
    text = _text(value)
    if not _HASH.fullmatch(text):
        raise InputError("the value is no hash of a password", "what `openssl passwd -6` prints")
    return text
