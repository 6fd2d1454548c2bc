"""What PHP gets: settings, none of which can end its line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "roles" / "laravel_app" / "filter_plugins"))


def test_settings_are_sorted_and_quoted() -> None:
    from php_settings import php_settings

    given = {"memory_limit": "256M", "a.b": "x y", "html_errors": False, "max_input_vars": 2000, "date.timezone": "a/b"}
    assert php_settings(given) == [
        ["a.b", '"x y"'],
        ["date.timezone", "a/b"],
        ["html_errors", "0"],
        ["max_input_vars", "2000"],
        ["memory_limit", "256M"],
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "laravel_app_php_settings must be a mapping"),
        ({"a]\nb": "1"}, "which is no name of a setting"),
        ({"a": "1\nuser = root"}, r"laravel_app_php_settings\.a has a control character or one of"),
        ({"a": 'x"; y'}, r"laravel_app_php_settings\.a has a control character or one of"),
        ({"a": "${HOME}"}, r"laravel_app_php_settings\.a has a control character or one of"),
        ({"a": ["1"]}, r"laravel_app_php_settings\.a must be text or a number"),
    ],
)
def test_settings_that_would_say_more_are_refused(settings: Any, message: str) -> None:
    from php_settings import php_settings

    with pytest.raises(ValueError, match=message):
        php_settings(settings)
