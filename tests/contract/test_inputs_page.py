"""Every input of a role is on docs/inputs.md: the public ones with default and meaning, the internal ones apart."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.specs import spec_problems

TOOL = Path(__file__).resolve().parents[1] / "tools" / "inputs_page.py"
SPEC = importlib.util.spec_from_file_location("inputs_page", TOOL)
assert SPEC
assert SPEC.loader
inputs_page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(inputs_page)


def test_the_page_is_what_the_specs_say() -> None:
    assert inputs_page.PAGE.read_text() == inputs_page.page(), "run `make docs`"


def test_the_order_names_every_role_and_the_lists_no_other_inputs() -> None:
    specs = inputs_page.specs()
    assert sorted(inputs_page.ORDER) == sorted(specs)
    every = {name for points in specs.values() for point in points.values() for name in point.get("options") or {}}
    assert every >= inputs_page.PUBLIC | inputs_page.INTERNAL
    assert not inputs_page.PUBLIC & inputs_page.INTERNAL
    # One that nobody sets is public without being listed, or the list would only grow.
    main = {name for points in specs.values() for name in points.get("main", {}).get("options") or {}}
    assert (inputs_page.set_by_the_project() | (every - main)) >= inputs_page.PUBLIC


def test_an_input_is_public_or_internal_and_never_both() -> None:
    public, internal = inputs_page.inputs()
    for role, points in inputs_page.specs().items():
        every = {name for point in points.values() for name in point.get("options") or {}}
        assert set(public[role]).isdisjoint(internal[role])
        assert set(public[role]) | set(internal[role]) == every


def test_every_public_input_has_an_example_that_it_accepts() -> None:
    public, _ = inputs_page.inputs()
    options = {name: option for role in public.values() for name, option in role.items()}
    needed = {name for name, option in options.items() if option.get("type") != "bool"}
    assert set(inputs_page.EXAMPLES) == needed
    problems = {}
    for name, value in inputs_page.EXAMPLES.items():
        assert value != options[name].get("default"), name
        # What a variable will be is seen in an environment.
        if "{{" not in str(value) and (found := spec_problems(value, options[name], name)):
            problems[name] = found
    assert not problems


def test_what_pages_and_environments_name_is_public() -> None:
    _, internal = inputs_page.inputs()
    hidden = {name for names in internal.values() for name in names}
    texts = [path.read_text() for path in inputs_page.ROOT.glob("inventories/*/group_vars/**/*.yml")]
    blocks = [re.findall(r"```yaml\n(# group_vars.*?)```", path.read_text(), re.DOTALL) for path in
              inputs_page.ROOT.glob("docs/*.md")]  # fmt: skip
    written = {name for text in [*texts, *(block for some in blocks for block in some)] for name in
               re.findall(r"^(\w+):", text, re.MULTILINE)}  # fmt: skip
    assert written & hidden == set()
