"""A YAML file of the project as data, read once in each task.

The templates of a tree ask for the spec some twenty times, and reading it through `from_yaml`, which notes where each
word was written, is a third of the time that rendering takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: yaml_file
short_description: A YAML file as data
version_added: "0.1.0"
description:
  - For files that come with a role. Nothing in them is a template.
options:
  _terms:
    description: Absolute paths on the controller.
    type: list
    elements: str
    required: true
"""
EXAMPLES = """
- name: Read a role's spec
  ansible.builtin.debug:
    msg: "{{ lookup('yaml_file', role_path ~ '/meta/argument_specs.yml') }}"
"""
RETURN = """
_value:
  description: The data of each file.
  type: list
"""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@lru_cache(maxsize=16)
def _data(path: str, changed: int) -> Any:
    return yaml.load(Path(path).read_text(encoding="utf-8"), _LOADER)  # noqa: S506 a safe loader, in C where there is one


class LookupModule(LookupBase):  # type: ignore[misc]
    """Reads the files."""

    def run(self, terms: Sequence[Any], variables: Any = None, **kwargs: Any) -> list[Any]:
        """Return the data of the files whose paths are the terms."""
        try:
            return [_data(str(term), Path(str(term)).stat().st_mtime_ns) for term in terms]
        except (OSError, yaml.YAMLError) as error:
            raise AnsibleLookupError(f"yaml_file: {error}") from error
