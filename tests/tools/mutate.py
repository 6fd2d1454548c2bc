"""Break the code in small ways and look whether the fast tests notice: a seeded sample, bounded in time.

make mutate MUTATE="--against main --minutes 10 --seed 1"

Mutants are made in a copy of the project, one at a time, and tried by the test files that name their file. The existing
tools do not fit: mutmut wants a package that tests import, and cosmic-ray has neither a sample nor a choice of tests,
while here modules and plugins are loaded by their path.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PLACES = re.compile(r"(callback_plugins|collections|filter_plugins|roles)/.*\.py")
SUITES = ("unit", "render")  # the contract looks at the repository, which a copy has none of
SECONDS = 900  # for the tests of one file; a mutant gets three times what they take without it
COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


class Mutant(NamedTuple):
    """One change: its line, and the text of the file with it."""

    line: int
    what: str
    text: str


def replacement(node: ast.AST) -> str:
    """Return what to write in place of a node, '' where it is left alone."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
        changed = ast.Compare(node.left, [COMPARE[type(node.ops[0])](), *node.ops[1:]], node.comparators)
        return f"({ast.unparse(changed)})"
    if isinstance(node, ast.BoolOp):
        other: ast.boolop = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return f"({ast.unparse(ast.BoolOp(other, node.values))})"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return f"({ast.unparse(node.operand)})"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return str(not node.value)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return str(node.value + 1)
    if isinstance(node, ast.Return) and node.value is not None:
        return "return None"
    return "pass" if isinstance(node, ast.Raise) else ""


def mutants(text: str) -> Iterator[Mutant]:
    """Yield every mutant of a file's text, one change each."""
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in ast.walk(ast.parse(text)):
        new = replacement(node)
        # Within an f-string the positions are those of the whole.
        if not new or not isinstance(node, (ast.expr, ast.stmt)) or node.end_lineno is None:
            continue
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + (node.end_col_offset or 0)
        old = text.encode()[begin:end].decode()
        changed = text.encode()[:begin].decode() + new + text.encode()[end:].decode()
        try:
            ast.parse(changed)
        except SyntaxError:
            continue
        yield Mutant(node.lineno, f"{' '.join(old.split())} -> {' '.join(new.split())}", changed)


def tests_of(path: str, source: str, texts: dict[str, str]) -> list[str]:
    """Return the test files that import a file or name one of its functions; all unit tests where none does.

    `source`: the file's text; `texts`: {test file: its text}.
    """
    stem = re.escape(Path(path).stem)
    functions = [one.name for one in ast.parse(source).body if isinstance(one, ast.FunctionDef) and "_" in one.name[1:]]
    names = "|".join(map(re.escape, functions)) or "(?!)"
    pattern = re.compile(rf"\b{stem}\.py\b|[./]{stem} import|import .*\b{stem}\b|\b({names})\b")
    return [name for name, text in sorted(texts.items()) if pattern.search(text)] or ["tests/unit"]


def area_of(name: str) -> str:
    """Return the kind of code that a file is: `library`, `module_utils`, `preflight`..."""
    return Path(name).parts[-2]


def git(*words: str) -> list[str]:
    run = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    return run.stdout.splitlines()


def changed_files(against: str) -> list[str]:
    """Return the Python files of the project itself that differ from where this branch left another."""
    base = git("merge-base", against, "HEAD")[0]
    return [name for name in git("diff", "--name-only", "--diff-filter=d", base) if PLACES.fullmatch(name)]


def killed(copy: Path, tests: Sequence[str], seconds: float = SECONDS) -> bool:
    """Run the tests in the copy; a mutant that fails or hangs is noticed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", *tests]
    try:
        run = subprocess.run(command, cwd=copy, capture_output=True, timeout=seconds, check=False)  # noqa: S603
        return run.returncode != 0
    except subprocess.TimeoutExpired:
        return True


def main() -> None:
    """Try a sample until the time is over, and print the survivors and the score of each area."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", default="main", help="the branch that the files changed since")
    parser.add_argument("--files", nargs="*", help="these files instead")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    files = options.files or changed_files(options.against)
    sample = [(name, one) for name in sorted(files) for one in mutants((ROOT / name).read_text())]
    random.Random(options.seed).shuffle(sample)  # noqa: S311 (a sample, no secret)
    print(f"{len(sample)} mutants of {len(files)} files, for {options.minutes:g} minutes, seed {options.seed}")
    paths = [path for one in SUITES for path in (ROOT / "tests" / one).glob("test_*.py")]
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in paths}
    scores: dict[str, list[int]] = {}
    # Of each file the tests that try it, none where they fail by themselves, and the seconds that they take.
    sound: dict[str, tuple[list[str], float]] = {}
    deadline = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="gatehouse-mutants-") as scratch:
        copy = Path(scratch)
        for name in git("ls-files"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
        for name, mutant in sample:
            if time.monotonic() > deadline:
                break
            original = (copy / name).read_text()
            if name not in sound:
                tests = tests_of(name, original, texts)
                began = time.monotonic()
                failing = killed(copy, tests)
                sound[name] = ([] if failing else tests, time.monotonic() - began)
                print(f"{name}: tried by {' '.join(tests)}" + (", which fail without a mutant" if failing else ""))
            tests, seconds = sound[name]
            if not tests:
                continue
            (copy / name).write_text(mutant.text)
            is_killed = killed(copy, tests, 3 * seconds + 10)
            (copy / name).write_text(original)
            scores.setdefault(area_of(name), [0, 0])[0 if is_killed else 1] += 1
            if not is_killed:
                print(f"survived  {name}:{mutant.line}: {mutant.what}", flush=True)
    for area, (gone, alive) in sorted(scores.items()):
        print(f"{area:30} {gone} of {gone + alive} killed, {100 * gone // (gone + alive)} %")


if __name__ == "__main__":
    main()
