"""The filters of filter_plugins/units.py: what names a unit, a release and a writable folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

Filters = Callable[[str], Callable[..., Any]]
NAME = (
    " is no name of an application or account;"
    " write at most 31 lower-case letters, digits or -, beginning with a letter"
)
TAKEN = " is a part of the system, whose folders or account the application would get; write another, such as"
VERSION = " is no version of a release; write at most 64 letters, digits or . _ + ~ -, beginning with a letter or digit"
PATH = (
    " is no path for a unit;"
    " write it from / on, without . and .., in letters, digits and ._+~@:=,- such as /var/cache/shop"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unit_name", "shop"),
        ("unit_name", "a" * 31),
        ("release_version", "1.0.0+build~1"),
        ("release_version", "0" * 64),
        ("unit_path", "/"),
        ("unit_path", "/var/cache/shop.d/"),
    ],
)
def test_accepted(filters: Filters, name: str, value: str) -> None:
    assert filters(name)(value) == value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("unit_name", "Shop", f'"Shop"{NAME}'),
        ("unit_name", "2shop", f'"2shop"{NAME}'),
        ("unit_name", "shop\n", f'"shop\\n"{NAME}'),
        ("unit_name", "a" * 32, f'"{"a" * 32}"{NAME}'),
        ("unit_name", None, f"null{NAME}"),
        ("unit_name", "root", f'"root"{TAKEN} root-app'),
        ("unit_name", "dpkg", f'"dpkg"{TAKEN} dpkg-app'),
        ("unit_name", "systemd-shop", f'"systemd-shop"{TAKEN} systemd-shop-app'),
        ("release_version", "1.0/..", f'"1.0/.."{VERSION}'),
        ("release_version", ".1", f'".1"{VERSION}'),
        ("release_version", 1.0, f"1.0{VERSION}"),
        ("unit_path", "var/cache", f'"var/cache"{PATH}'),
        ("unit_path", "/var/../etc", f'"/var/../etc"{PATH}'),
        ("unit_path", "/a\nUser=root", f'"/a\\nUser=root"{PATH}'),
        ("unit_path", "/a b", f'"/a b"{PATH}'),
        ("unit_path", "/%h", f'"/%h"{PATH}'),
    ],
)
def test_refused(filters: Filters, name: str, value: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters(name)(value)
    assert error.value.message == message
