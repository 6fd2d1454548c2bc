"""The filters of specs.py: one walk over a value and its argument_specs option, and its two uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

Filters = Callable[[str], Callable[..., Any]]
OPTION = yaml.safe_load("""
type: list
elements: dict
default: []
options:
  name: {type: str, required: true, description: ["Name.", "Format: nginx_name."]}
  method: {type: str, choices: [round_robin, least_conn], default: round_robin}
  weight: {type: int, default: 1}
  ratio: {type: float}
  live: {type: bool, default: false}
  size: {type: str, default: '', description: ["Memory.", "Format: nginx_size."]}
  names: {type: list, elements: str, default: [], description: ["Names.", "Format: server_name."]}
  modes: {type: list, elements: str, choices: [a, b], default: []}
  free: {type: dict}
  anything: {type: raw}
  inner:
    type: dict
    default: {}
    options:
      source: {type: str, default: internal_ca}
      chain: {type: path}
  secret: {type: str, no_log: true, description: ["Secret.", "Format: nginx_name."]}
  secrets: {type: dict, no_log: true, options: {token: {type: str}}}
""")
FULL = {
    "name": "a",
    "method": "round_robin",
    "weight": 1,
    "ratio": None,
    "live": False,
    "size": "",
    "names": [],
    "modes": [],
    "free": None,
    "anything": None,
    "inner": {"source": "internal_ca", "chain": None},
    "secret": None,
    "secrets": None,
}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, []),
        ([], []),
        ([{"name": "a"}], [FULL]),
        ([{"name": "a", "weight": None}], [FULL]),
        ([{"name": "a", "weight": 5, "live": True}], [{**FULL, "weight": 5, "live": True}]),
        ([{"name": "a", "inner": {"chain": "x"}}], [{**FULL, "inner": {"source": "internal_ca", "chain": "x"}}]),
        ([{"name": "a", "free": {"k": [1]}}], [{**FULL, "free": {"k": [1]}}]),
        ([{"name": "a", "ratio": 1, "size": "8m"}], [{**FULL, "ratio": 1, "size": "8m"}]),
        ([{"name": "a", "modes": ["b", "a"]}], [{**FULL, "modes": ["b", "a"]}]),
    ],
)
def test_defaults(filters: Filters, value: Any, result: Any) -> None:
    assert filters("spec_defaults")(value, OPTION, "xs") == result


def test_defaults_are_not_shared(filters: Filters) -> None:
    first, second = filters("spec_defaults")([{"name": "a"}, {"name": "b"}], OPTION, "xs")
    first["names"].append("changed")
    assert second["names"] == []
    assert OPTION["options"]["names"]["default"] == []
    option = {"type": "dict", "default": {"free": []}}
    filters("spec_defaults")(None, option)["free"].append("changed")
    assert option["default"] == {"free": []}


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ("a", ['xs must be a list, got "a"; write each item on a line of its own that begins with -']),
        ({"a": 1}, ["xs must be a list, got a mapping; write each item on a line of its own that begins with -"]),
        (["a"], ['xs[0] must be a mapping, got "a"']),
        ([None], ["xs[0] is empty; write it, or take the - away"]),
        ([{}], ["xs[0].name is required; write it"]),
        ([{"name": None}], ["xs[0].name is required; write it"]),
        ([{"name": 5}], ["xs[0].name must be text, got 5; write it in quotes"]),
        ([{"name": True}], ["xs[0].name must be text, got true; write it in quotes"]),
        ([{"name": "a", "weight": "5"}], ['xs[0].weight must be an integer, got "5"; write it without quotes']),
        ([{"name": "a", "weight": 1.5}], ["xs[0].weight must be an integer, got 1.5"]),
        ([{"name": "a", "weight": True}], ["xs[0].weight must be an integer, got true"]),
        ([{"name": "a", "ratio": "x"}], ['xs[0].ratio must be a number, got "x"']),
        ([{"name": "a", "live": "yes"}], ['xs[0].live must be true or false, got "yes"']),
        ([{"name": "a", "live": "true"}], ['xs[0].live must be true or false, got "true"; write true, without quotes']),
        ([{"name": "a", "free": []}], ["xs[0].free must be a mapping, got a list"]),
        (
            [{"name": "a", "method": "least_con"}],
            ['xs[0].method must be one of round_robin, least_conn, got "least_con"; write least_conn'],
        ),
        ([{"name": "a", "modes": ["a", "c"]}], ['xs[0].modes[1] must be one of a, b, got "c"']),
        ([{"name": "a", "wieght": 1}], ["xs[0].wieght is unknown; write weight"]),
        ([{"name": "a", "inner": {"zzz": 1}}], ["xs[0].inner.zzz is unknown; write one of source, chain"]),
        ([{"name": "a", "names": ["ok.example", "not ok"]}], None),
        (
            [{"name": "a"}, {"name": "b"}, {"name": "a"}],
            ['xs[2].name repeats "a", the name of xs[0]; give each its own name'],
        ),
        (
            [{"name": "a", "secret": "hunter 2"}],
            ["xs[0].secret is refused; write at most 63 letters, digits, _ . or -,"],
        ),
        ([{"name": "a", "secret": 12345}], ["xs[0].secret must be text, got an integer; write it in quotes"]),
        ([{"name": "a", "secrets": {"token": 12345}}], ["xs[0].secrets.token must be text, got an integer"]),
        (
            [{"weight": "5", "x": 1}, 7],
            [
                "xs[0].x is unknown",
                "xs[0].name is required",
                "xs[0].weight must be an integer",
                "xs[1] must be a mapping",
            ],
        ),
    ],
)
def test_problems(filters: Filters, value: Any, problems: list[str] | None) -> None:
    found = filters("spec_problems")(value, OPTION, "xs")
    texts = [f"{one['at']} {one['problem']}" + (f"; {one['remedy']}" if one["remedy"] else "") for one in found]
    if problems is None:
        assert [one["path"] for one in found] == [["xs", 0, "names", 1]]
        assert found[0]["problem"] == '"not ok" is no server name'
        return
    assert len(texts) == len(problems), texts
    for text, expected in zip(texts, problems, strict=True):
        assert text.startswith(expected)
    # Defaults are the other use of the same walk: they are refused with the same words.
    with pytest.raises(AnsibleFilterError) as error:
        filters("spec_defaults")(value, OPTION, "xs")
    assert error.value.message == "\n".join(texts)


RANGE = {"type": "int", "description": ["Share.", "Range: 1 to 65535."]}
RANGES = {"type": "list", "elements": "int", "description": "Status codes. Range: -1 to 599."}


@pytest.mark.parametrize(
    ("value", "option", "texts"),
    [
        (1, RANGE, []),
        (65535, RANGE, []),
        (0, RANGE, ["x 0 is out of range; write an integer from 1 to 65535"]),
        (65536, RANGE, ["x 65536 is out of range; write an integer from 1 to 65535"]),
        ("1", RANGE, ['x must be an integer, got "1"; write it without quotes']),
        (True, RANGE, ["x must be an integer, got true"]),
        (0, {**RANGE, "no_log": True}, ["x an integer is out of range; write an integer from 1 to 65535"]),
        ([-1, 599], RANGES, []),
        (
            [200, -2, 600],
            RANGES,
            [f"x[{n}] {v} is out of range; write an integer from -1 to 599" for n, v in ((1, -2), (2, 600))],
        ),
    ],
)
def test_an_integer_out_of_its_range(filters: Filters, value: object, option: dict[str, Any], texts: list[str]) -> None:
    found = filters("spec_problems")(value, option, "x")
    assert [f"{one['at']} {one['problem']}" + (f"; {one['remedy']}" if one["remedy"] else "") for one in found] == texts


def test_values_have_their_defaults_whatever_is_wrong_with_them(filters: Filters) -> None:
    full = filters("spec_values")([{"weight": "heavy", "inner": 5}, "no mapping"], OPTION, "xs")
    assert full == [{**FULL, "name": None, "weight": "heavy", "inner": 5}, "no mapping"]


def test_secrets_are_never_shown(filters: Filters) -> None:
    value = [{"name": "a", "secret": "hunter 2", "secrets": {"token": ["hunter", "2"]}}]
    assert "hunter" not in str(filters("spec_problems")(value, OPTION, "xs"))


def test_a_spec_that_is_wrong_says_so(filters: Filters) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        filters("spec_problems")("a", {"type": "string"}, "x")
    assert error.value.message == (
        "x: its spec has the type string; write one of str, path, int, float, bool, list, dict, raw"
    )
    with pytest.raises(AnsibleFilterError) as error:
        filters("spec_problems")("a", {"description": "Format: no_such_format."}, "x")
    assert error.value.message == "x: its spec has the format no_such_format, and there is no such filter"


def test_through_templar(render: Callable[..., Any]) -> None:
    values = [{"name": "a", "weight": 3, "inner": {"chain": "x"}}]
    full = {**FULL, "weight": 3, "inner": {"source": "internal_ca", "chain": "x"}}
    assert render("values | spec_defaults(option, 'xs')", values=values, option=OPTION) == [full]
    found = render("values | spec_problems(option, 'xs')", values=[{"name": "a", "weight": "3"}], option=OPTION)
    assert found[0]["at"] == "xs[0].weight"
    assert found[0]["problem"] == 'must be an integer, got "3"'
