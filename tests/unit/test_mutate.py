"""The mutants of `make mutate`: which there are, that each changes one thing, and which tests try them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from .conftest import load

TOOL = Path(__file__).resolve().parents[1] / "tools" / "mutate.py"


@pytest.fixture(scope="module")
def mutate() -> ModuleType:
    return load("tests/tools/mutate.py")


SOURCE = '''"""A file."""


def least(values, strict=True):
    """Return what is least."""
    if not values or len(values) > 9:
        raise ValueError("é")
    return f"{len(values) == 1} of {1}"
'''


def test_each_change_is_one_of_its_own(mutate: ModuleType) -> None:
    found = list(mutate.mutants(SOURCE))
    assert {one.what for one in found} >= {
        "True -> False",
        "not values or len(values) > 9 -> (not values and len(values) > 9)",
        "not values -> (values)",
        "len(values) > 9 -> (len(values) >= 9)",
        "9 -> 10",
        'raise ValueError("é") -> pass',
    }
    assert len({one.text for one in found}) == len(found)
    assert SOURCE not in {one.text for one in found}
    for one in found:
        compile(one.text, "mutant", "exec")
        lines = zip(one.text.splitlines(), SOURCE.splitlines(), strict=True)
        assert [number for number, (new, old) in enumerate(lines, 1) if new != old] == [one.line]


def test_a_file_is_tried_by_the_tests_that_name_it(mutate: ModuleType) -> None:
    texts = {
        "tests/unit/test_a.py": "from x.y import members",
        "tests/unit/test_b.py": "member_turns",
        "tests/unit/test_c.py": 'load("library/members.py")',
        "tests/unit/test_d.py": "filters('upstream_members')",
        "tests/unit/test_e.py": "two members run",
    }
    found = mutate.tests_of("x/members.py", "def upstream_members(): pass\ndef run(): pass\n", texts)
    assert found == ["tests/unit/test_a.py", "tests/unit/test_c.py", "tests/unit/test_d.py"]
    assert mutate.tests_of("x/other.py", "", texts) == ["tests/unit"]
