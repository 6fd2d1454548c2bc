"""What the scenarios' hosts keep of the code in Ansible's zips: compiled once, found by its source alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / ".config" / "molecule" / "gatehouse_bytecode.py"
SOURCE = """
def where():
    return where.__code__.co_filename
"""


def load(zipped: Path, folder: Path, source: str = SOURCE) -> tuple[str, int]:
    """Import a module from a zip as a host would; return its file as its code has it, and how often Python compiled."""
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("module.py", source)
    script = f"""
import sys
sys.path.insert(0, {str(FILE.parent)!r})
import zipimport
compiled = []
usual = zipimport._compile_source
zipimport._compile_source = lambda path, source: compiled.append(path) or usual(path, source)
import gatehouse_bytecode
gatehouse_bytecode.FOLDER = {str(folder)!r}
gatehouse_bytecode.os.geteuid = lambda: 0
sys.path.insert(0, {str(zipped)!r})
import module
print(module.where(), len(compiled))
"""
    said = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    path, count = said.split()
    return path, int(count)


def test_a_source_is_compiled_once_wherever_its_zip_is(tmp_path: Path) -> None:
    one, other, folder = tmp_path / "one.zip", tmp_path / "other.zip", tmp_path / "kept"
    folder.mkdir()
    assert load(one, folder) == (f"{one}/module.py", 1)
    assert load(other, folder) == (f"{other}/module.py", 0)
    assert load(one, folder, SOURCE + "# changed\n") == (f"{one}/module.py", 1)
    assert len(list(folder.iterdir())) == 2


def test_where_nothing_can_be_kept_it_is_compiled(tmp_path: Path) -> None:
    for _ in range(2):
        path, compiled = load(tmp_path / "one.zip", tmp_path / "missing")
        assert path == f"{tmp_path}/one.zip/module.py"
        assert compiled > 0
