"""What inventories call has a sidecar with examples; those of all other filters are in filter_examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, load

FACE = ROOT / "filter_plugins"
EXAMPLES = Path(__file__).parent / "filter_examples"
# Where people write or read expressions; roles and playbooks are the project's own.
PLACES = ("inventories/**/*.yml", "molecule/*/inventory/**/*.yml", "docs/*.md", "README.md", "playbooks/templates/**/*")
CALL = re.compile(r"\| *([a-z_]+)\b")


def filters_of(folder: Path) -> dict[str, Callable[..., Any]]:
    """Return the filters that the files of a folder offer."""
    found: dict[str, Callable[..., Any]] = {}
    for path in sorted(folder.glob("*.py")):
        found |= load(str(path.relative_to(ROOT))).FilterModule().filters()
    return found


SIDECARS = sorted(FACE.glob("*.yml"))
FILTERS = filters_of(FACE)


def test_what_inventories_call_has_a_sidecar() -> None:
    texts = [path.read_text() for place in PLACES for path in ROOT.glob(place) if path.is_file()]
    called = {name for text in texts for name in CALL.findall(text)} & set(FILTERS)
    assert {"derived_secret", "site_host"} <= called
    assert sorted(called) == [path.stem for path in SIDECARS]


@pytest.mark.parametrize("path", SIDECARS, ids=lambda path: path.stem)
def test_a_sidecar_names_the_arguments(path: Path) -> None:
    documentation = yaml.safe_load(path.read_text())["DOCUMENTATION"]
    first, *others = inspect.signature(FILTERS[path.stem]).parameters.values()
    given = {one.name: one.default is inspect.Parameter.empty for one in others}
    options = {key: bool(option.get("required")) for key, option in documentation["options"].items()}
    assert documentation["name"] == path.stem
    assert options.pop("_input") == (first.default is inspect.Parameter.empty)
    assert options == given
    assert documentation.get("positional", "") == ", ".join(given)


@pytest.mark.parametrize(
    "folder",
    [FACE, *sorted(ROOT.glob("roles/*/filter_plugins"))],
    ids=lambda path: path.parts[-2] if path != FACE else "shared",
)
def test_every_filter_has_an_example_and_says_what_it_returns(folder: Path) -> None:
    name = "shared" if folder == FACE else folder.parent.name
    written = yaml.safe_load((EXAMPLES / f"{name}.yml").read_text())
    sidecars = {path.stem for path in folder.glob("*.yml")}
    found = filters_of(folder)
    assert sorted(found) == sorted({*written, *sidecars})
    assert all(function.__doc__ for function in found.values())


def examples() -> Iterator[Any]:
    for path in (*SIDECARS, *sorted(ROOT.glob("roles/*/filter_plugins/*.yml"))):
        for task in yaml.safe_load(yaml.safe_load(path.read_text())["EXAMPLES"]):
            about = {"that": task["ansible.builtin.assert"]["that"], "vars": task.get("vars", {})}
            yield pytest.param(about, id=f"{path.stem}: {task['name']}")
    for path in sorted(EXAMPLES.glob("*.yml")):
        for name, found in yaml.safe_load(path.read_text()).items():
            for one in found:
                yield pytest.param(one, id=f"{name}: {one['name']}")


@pytest.mark.parametrize("example", list(examples()))
def test_an_example_is_so(render: Callable[..., Any], trusted: Callable[[Any], Any], example: dict[str, Any]) -> None:
    that = example["that"]
    assert that
    for expression in that if isinstance(that, list) else [that]:
        assert render(expression, **trusted(example.get("vars", {}))) is True
