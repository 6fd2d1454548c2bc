"""The filters of unit_values.py: what names a unit, a release and a writable folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from .conftest import ROOT

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
        ("process_name", "mail-2"),
        ("command_line", "celery --app 'my shop' worker -n w$APP_INSTANCE@%h"),
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
        (
            "unit_name",
            "dry-run",
            '"dry-run" is what a unit of the application dry would be called; write another, such as dry-runs',
        ),
        (
            "process_name",
            "web",
            '"web" is the application\'s own start, or what runs before it; write another, such as worker, or the '
            "start in the runtime's keys and the migration in migrate_command",
        ),
        (
            "process_name",
            "mail@1",
            '"mail@1" is no name of a process; write at most 31 lower-case letters, digits or -, beginning with a'
            " letter",
        ),
        ("command_line", ["celery"], '["celery"] is no command; write one line, such as python worker.py'),
        (
            "command_line",
            "a | b",
            '"a | b" has |, and no shell reads it; write one command, or a script that is in the release',
        ),
        ("command_line", "A=1 b", '"A=1 b" begins with a variable; write env A=1 and the program after it'),
        ("command_line", "say 'x", '"say \'x" has a quote without its other one; write both'),
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


@pytest.mark.parametrize("value", ["", "yes", "two\nlines\tand a tab", 0, -5])
def test_an_environment_variable_is_text_or_an_integer(filters: Filters, value: object) -> None:
    assert filters("environment_variable")({"_A1": value}) == {"_A1": value}


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"A": True}, "the value is no text and no integer; write it in quotes, as the program expects it"),
        ({"A": 1.5}, "the value is no text and no integer; write it in quotes, as the program expects it"),
        ({"A": None}, "the value is no text and no integer; write it in quotes, as the program expects it"),
        ({"A": ["x"]}, "the value is no text and no integer; write it in quotes, as the program expects it"),
        ({"A": "x\0"}, "the value has a control character; write it without, beside newlines and tabs"),
        ({"A-B": "x"}, '"A-B" is no name of an environment variable; write letters, digits and _'),
        ({"1A": "x"}, '"1A" is no name of an environment variable; write letters, digits and _'),
    ],
)
def test_what_an_environment_file_cannot_hold(filters: Filters, variable: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("environment_variable")(variable)
    assert error.value.message == message


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("LD_PRELOAD", "libjemalloc.so.2", True),
        ("LD_PRELOAD", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2:libx.so", True),
        ("LD_LIBRARY_PATH", "/usr/local/lib:/opt/oracle/lib", True),
        ("LD_BIND_NOW", "1", True),
        ("LDAP_URL", "ldaps://10.0.0.5/", True),
        ("LD_PRELOAD", "/srv/shop/current/lib/own.so", False),
        ("LD_PRELOAD", "libx.so /var/lib/shop/own.so", False),
        ("LD_PRELOAD", "/usr/../srv/shop/current/own.so", False),
        ("LD_PRELOAD", "lib/own.so", False),
        ("LD_AUDIT", "/run/own.so", False),
        ("LD_LIBRARY_PATH", "lib", False),
        ("LD_LIBRARY_PATH", "/usr/lib:", False),
        ("LD_LIBRARY_PATH", "/usrlocal", False),
        ("GCONV_PATH", "/var/lib/shop", False),
    ],
)
def test_no_variable_has_root_load_the_applications_code(
    filters: Filters, name: str, value: str, accepted: bool
) -> None:
    if accepted:
        assert filters("environment_variable")({name: value}) == {name: value}
        return
    with pytest.raises(AnsibleFilterError, match="it has the loader of root's own command"):
        filters("environment_variable")({name: value})


def test_preflight_refuses_it_where_it_is_written(filters: Filters) -> None:
    spec = ROOT / "roles" / "app" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(spec.read_text())["argument_specs"]["main"]["options"]
    given = {"DEBUG": False, "RATE": 0.5, "PORT": 80}
    for name in ("app_environment", "app_secrets", "app_runtime_environment"):
        found = filters("spec_problems")(given, options[name], name)
        assert [one["at"] for one in found] == [f"{name}.DEBUG", f"{name}.RATE"]
        assert {one["remedy"] for one in found} == {"write it in quotes, as the program expects it"}
