"""Retired words stay out: docs/glossary.md and the field's manuals have others for them."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

# A retired word in any text or name -> what to write instead.
WORDS = {
    r"\bin clear\b": "in plaintext",
    r"\bworkshop\b": "toolchain",
    r"\b(he|him|his|himself)\b": "the visitor, they, or the passive",
    # To tell apart, or one thing from another, is the plain word for that.
    r"(\btell\b|(?<![a-z])(tells|told)(?![a-z]))(?!.* (apart|from)\b)": "say, show, report or send",
    r"(?<![a-z])brought(?![a-z])": "deployed, installed, started or external",
    r"\bstands\b(?! for)": "is, or is written",
    r"(?<![a-z])lessons?(?![a-z])|parish|tollhouse|first plan": "a plain name that any reader knows",
}
# Names of before, which the table of renamed names and what tests it say.
FORMER = yaml.safe_load((ROOT / "roles/preflight/files/renamed.yml").read_text())
FORMER_NAMES = {*FORMER["variables"], *FORMER["playbooks"], *(old for one in FORMER["values"].values() for old in one)}
EXEMPT = (Path(__file__), ROOT / "CHANGELOG.md")
# How a task's or play's name began -> what to begin it with.
BEGINNINGS = {
    "Tell": "Show, or what is updated or reloaded",
    "Have": "the verb of what is done",
    "Let": "Undrain, or the verb of what is done",
    "See": "Check",
    "Learn": "Read, or Gather",
    "Bring": "Copy, Install or Create",
    "Say": "Show",
    "Forget": "Remove, Purge or Clear",
    "Stop here": "Fail because ...",
    "Ask what": "Read",
    "Write down": "Record",
}
# Names that keep their beginning, and why.
EXCEPTIONS: dict[str, str] = {
    "Let the environment be found by its bare name": "a link that only the lab's scenarios make",
    "Let this machine run many systemds": "raises limits of the kernel, and not one of them alone",
    "See what is served after that": "a scenario's step between two kills",
    "See what is served at the end": "a scenario's step between two kills",
}


def tracked(*patterns: str) -> list[Path]:
    """Return the tracked files that match, without links, this one, and the history."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file() and not path.is_symlink() and path not in EXEMPT]


def task_names() -> list[tuple[str, str]]:
    """Return (file, name without the file's prefix) of every task and play."""
    found = []
    for path in tracked(
        "site.yml", "roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "playbooks/*.yml", "molecule/*.yml"
    ):
        for name in re.findall(r"^\s*- name: [\"']?([^\n]+?)[\"']?$", path.read_text(), flags=re.MULTILINE):
            found.append((str(path.relative_to(ROOT)), name.rsplit(" | ", 1)[-1]))
    return found


@pytest.mark.parametrize("pattern", WORDS)
def test_no_text_has_a_retired_word(pattern: str) -> None:
    found = []
    for path in tracked("*.md", "*.yml", "*.py", "*.j2", "*.js", "Makefile", ".gitignore"):
        for number, line in enumerate([str(path.relative_to(ROOT)), *path.read_text().splitlines()]):
            if re.search(pattern, line, flags=re.IGNORECASE) and not any(name in line for name in FORMER_NAMES):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert not found, f"write {WORDS[pattern]}: {found}"


def test_task_names_begin_with_the_fields_verbs() -> None:
    names = task_names()
    assert len(names) > 200
    found = [
        f"{file}: {name} (begin with {instead})"
        for file, name in names
        for beginning, instead in BEGINNINGS.items()
        if re.match(rf"{beginning}\b", name) and name not in EXCEPTIONS
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A visitor and his session", 1),
        ("def test_what_fails_is_told() -> None:", 1),
        ("What tells entries apart, or one from another", 0),
        ("internal_ca_brought", 1),
        ("The file stands in /etc; a wildcard stands for one label", 1),
        ("tell_trust.yml, the history, a teller and a newstand", 0),
    ],
)
def test_a_retired_word_is_found_in_texts_and_names(text: str, count: int) -> None:
    assert sum(bool(re.search(pattern, text, re.IGNORECASE)) for pattern in WORDS) == count


def test_every_exception_is_still_a_name() -> None:
    assert set(EXCEPTIONS) <= {name for _, name in task_names()}
