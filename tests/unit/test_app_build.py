"""The build transaction: built once, again when inputs change or the archive is damaged, free of this machine."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.py").write_text("print(1)\n")
    (source / "notes.txt").write_text("mine\n")
    (tmp_path / "out").mkdir()
    return {
        "name": "demo", "version": "1.0", "source": str(source), "source_archive": {}, "source_git": {},
        "dir": str(tmp_path / "out"), "fetch": [], "commands": [],
        "files": {"bin/start": "#!/bin/sh\n"}, "exclude": ["notes.*"], "include": [], "strip": [], "timeout": 30,
    }  # fmt: skip


def test_build_is_recorded_and_found_again(builder: Any, options: dict[str, Any]) -> None:
    build = builder.Build(options)
    assert build.built_sha256() == ""
    sha256 = build.run()
    assert builder.Build(options).built_sha256() == sha256
    assert build.sidecar.read_text() == f"{sha256}  demo-1.0.tar.gz\n"
    assert json.loads(build.record.read_text())["inputs"] == build.inputs
    build.archive.unlink()
    assert builder.Build(options).built_sha256() == ""
    assert builder.Build(options).run() == sha256


def test_damage_or_another_source_means_a_new_build(builder: Any, options: dict[str, Any]) -> None:
    build = builder.Build(options)
    build.run()
    build.archive.write_bytes(b"damaged")
    assert builder.Build(options).built_sha256() == ""
    first = builder.Build(options).run()
    (Path(options["source"]) / "app.py").write_text("print(2)\n")
    assert builder.Build(options).built_sha256() == ""
    assert builder.Build(options).run() != first


def test_what_is_excluded_stays_out(builder: Any, options: dict[str, Any]) -> None:
    build = builder.Build(options)
    build.run()
    with tarfile.open(build.archive) as tar:
        assert tar.getnames() == ["app.py", "bin/start"]


def test_a_failing_command_shows_its_output_without_credentials(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["sh", "-c", "echo from https://me:secret@index/; exit 3"]]
    with pytest.raises(
        builder.ArchiveError,
        match=r"(?s)`sh -c .* failed in the build of demo \(which has no network\):\nfrom https://\*\*\*@index/",
    ):
        builder.Build(options).run()
    assert [file.name for file in Path(options["dir"]).iterdir()] == ["cache"]


def test_this_machine_in_a_file_is_an_error(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["sh", "-c", "command -v ansible > where"]]
    with pytest.raises(builder.ArchiveError, match="where names a folder of this controller"):
        builder.Build(options).run()
    options["strip"] = ["where"]
    assert builder.Build(options).run()


def test_the_source_is_at_the_same_place_everywhere(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["sh", "-c", "pwd > where; date >> where; umask >> where; echo $SOURCE_DATE_EPOCH > when"]]
    build = builder.Build(options)
    build.run()
    with tarfile.open(build.archive) as tar:
        content = tar.extractfile("where")
        assert content is not None
        assert content.read().decode().splitlines()[0] == "/build/src"


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_archives_are_for_the_account_and_its_group(builder: Any, options: dict[str, Any], umask: int) -> None:
    options["commands"] = [["true"]]
    build = builder.Build(options)
    build.dir.chmod(0o2775)  # a folder that a group shares stays so
    before = os.umask(umask)
    try:
        builder.folder(build.dir)
        with builder.locked(build.dir / ".lock"):
            build.run()
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o7777) for path in (build.dir, *build.dir.iterdir())}
    assert modes.pop(build.dir.name) == "0o2770"
    assert set(modes.pop("cache")) <= set("0o7520")
    assert modes == dict.fromkeys(("demo-1.0.tar.gz", "demo-1.0.tar.gz.sha256", "demo-1.0.json", ".lock"), "0o640")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "../1"}, "version is '../1'; it names files"),
        ({"source": "/nonexistent/app"}, "there is no folder /nonexistent/app: set app_source"),
        ({"commands": [["no-such-tool-x"]]}, "the build of demo needs no-such-tool-x"),
        ({"include": ["dist"]}, "the build of demo gave no files at all"),
    ],
)
def test_errors_say_what_to_do(builder: Any, options: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(builder.ArchiveError, match=message):
        builder.Build({**options, **change}).run()
