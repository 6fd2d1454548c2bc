"""Every filter has a sidecar beside it, and what the sidecar's examples say is so."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [
    path.relative_to(ROOT) for path in sorted([*ROOT.glob("filter_plugins"), *ROOT.glob("roles/*/filter_plugins")])
]


def filters_of(folder: Path) -> dict[str, Callable[..., Any]]:
    """Return the filters that the files of a folder offer."""
    found: dict[str, Callable[..., Any]] = {}
    for path in sorted(folder.glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.FilterModule().filters()
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_filters_and_sidecars_are_the_same(folder: Path) -> None:
    assert sorted(filters_of(ROOT / folder)) == sorted(path.stem for path in (ROOT / folder).glob("*.yml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_sidecar_names_the_arguments(folder: Path) -> None:
    for name, function in filters_of(ROOT / folder).items():
        documentation = yaml.safe_load((ROOT / folder / f"{name}.yml").read_text())["DOCUMENTATION"]
        first, *others = inspect.signature(function).parameters.values()
        given = {one.name: one.default is inspect.Parameter.empty for one in others}
        options = {key: bool(option.get("required")) for key, option in documentation["options"].items()}
        assert documentation["name"] == name
        assert options.pop("_input") == (first.default is inspect.Parameter.empty)
        assert options == given, name
        assert documentation.get("positional", "") == ", ".join(given)


def examples() -> Iterator[Any]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("*.yml")):
            for task in yaml.safe_load(yaml.safe_load(path.read_text())["EXAMPLES"]):
                yield pytest.param(task, id=f"{path.stem}: {task['name']}")


@pytest.mark.parametrize("task", list(examples()))
def test_an_example_is_so(render: Callable[..., Any], trusted: Callable[[Any], Any], task: dict[str, Any]) -> None:
    that = task["ansible.builtin.assert"]["that"]
    assert that
    for expression in that if isinstance(that, list) else [that]:
        assert render(expression, **trusted(task.get("vars", {}))) is True
