"""Keeps what Python compiles of modules in zip files, on the scenarios' hosts.

Ansible sends each module as a zip with the library that all modules share, and Python keeps no bytecode of what it
imports from a zip: compiling that library anew is a third of what a module costs. What is kept is found by its source.
"""

from __future__ import annotations

import _imp
import marshal
import os
import zipimport
from types import CodeType

FOLDER = "/var/cache/gatehouse-bytecode"  # root's, as root runs what is kept there
KEY = 0x67617465
compile_source = zipimport._compile_source  # type: ignore[attr-defined]


def kept(path: str, source: bytes) -> CodeType:
    """Return the code of a source: what was kept of it, or else compiled, and kept if this is root."""
    file = f"{FOLDER}/{int.from_bytes(_imp.source_hash(KEY, source), 'little'):016x}"
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 (pathlib would be one more import of each Python on the host)
            code: CodeType = marshal.loads(stream.read())  # noqa: S302 (root wrote it)
    except OSError:
        code = compile_source(path, source)
        if os.geteuid() == 0:
            keep(file, code)
    else:
        _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]  # the zip is another one each time
    return code


def keep(file: str, code: CodeType) -> None:
    """Write it in one step; where nothing can be written, it is compiled again next time."""
    fresh = f"{file}.{os.getpid()}"
    try:
        with open(fresh, "wb") as stream:  # noqa: PTH123
            stream.write(marshal.dumps(code))
        os.rename(fresh, file)  # noqa: PTH104
    except OSError:
        pass


zipimport._compile_source = kept  # type: ignore[attr-defined]
