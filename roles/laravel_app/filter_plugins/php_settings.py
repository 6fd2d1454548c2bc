"""Settings of PHP as lines of a php.ini."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
# What PHP takes as it is; anything else goes in quotes.
BARE = re.compile(r"[A-Za-z0-9_./:,-]+")


def php_settings(settings: Any) -> list[list[str]]:
    """Turn {'memory_limit': '256M'} into [['memory_limit', '256M']], sorted, values quoted where they need it.

    Values are text, integers or booleans (1 and 0). A name that is no setting's, or a value that could end its line or
    its quotes, is a ValueError.
    """
    if not isinstance(settings, Mapping):
        raise ValueError("laravel_app_php_settings must be a mapping, for example {memory_limit: 256M}")
    return [[str(name), php_value(str(name), value)] for name, value in sorted(settings.items())]


def php_value(name: str, value: Any) -> str:
    """Give the text of one value."""
    if not NAME.fullmatch(name):
        raise ValueError(f"laravel_app_php_settings has {name!r}, which is no name of a setting: see php.ini")
    if isinstance(value, bool):
        return "1" if value else "0"
    if not isinstance(value, (str, int)):
        raise ValueError(f"laravel_app_php_settings.{name} must be text or a number, for example 256M")
    text = str(value)
    if re.search(r'[\x00-\x1f\x7f"$\\]', text):
        raise ValueError(f'laravel_app_php_settings.{name} has a control character or one of " $ \\: write it without')
    return text if BARE.fullmatch(text) else f'"{text}"'


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[list[str]]]]:
        return {"php_settings": php_settings}
