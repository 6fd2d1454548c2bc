"""Files of the controller that an inventory names: whether they are there, and what is wrong with certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError

from .certificates import certificate_files, certificate_problems, unreadable_file
from .estate import Estate
from .problem import Problem, wrong
from .renamed import renamed_in_page


def missing_files(estate: Estate, files: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield as problems the files [{path, file}] that are not where `copy` would look, and pages' names of before."""
    for wanted in files:
        try:
            path = estate.find(wanted["file"])
            if wanted["path"][-1] == "error_page":
                renamed = estate.roles.renamed["page_variables"]
                yield from renamed_in_page(estate.read(path), wanted["path"], wanted["file"], renamed)
        except (AnsibleError, OSError, UnicodeDecodeError):
            problem = f"names {wanted['file']}, which is no file that can be read"
            yield wrong(wanted["path"], problem, "put it there, or correct the path")


def certificate_file_problems(estate: Estate, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the certificates that one host takes from files."""
    for wanted in certificate_files(values):
        for found in _certificate(estate, wanted):
            yield {**found, "path": [*wanted["path"], *found["path"]]}


def _certificate(estate: Estate, wanted: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with a chain and its key; each is read once, however many hosts take it."""
    key = (wanted["chain"], wanted["key"], *wanted["names"])
    if key not in estate.certificates:
        texts, problems = {"chain": "", "key": ""}, []
        for part in texts:
            try:
                texts[part] = estate.read(estate.find(wanted[part]))
            except (AnsibleError, OSError, UnicodeDecodeError):
                problems += unreadable_file(part, wanted[part])
        if texts["chain"]:
            days = estate.certificate_days
            problems += certificate_problems(texts["chain"], wanted["names"], texts["key"], "", days)
        estate.certificates[key] = problems
    return estate.certificates[key]
