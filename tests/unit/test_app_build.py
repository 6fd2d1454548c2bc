"""The build transaction: built once, again when inputs change or the archive is damaged, free of this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROLES = Path(__file__).parents[2] / "roles"
sys.path[:0] = [str(ROLES / "app" / "module_utils"), str(ROLES / "app" / "library")]


@pytest.fixture(scope="module")
def builder() -> Any:
    """Import the module as Ansible would: with the role's module_utils below ansible.module_utils."""
    import gatehouse_archive

    sys.modules.setdefault("ansible.module_utils.gatehouse_archive", gatehouse_archive)
    import gatehouse_sources

    sys.modules.setdefault("ansible.module_utils.gatehouse_sources", gatehouse_sources)
    import release_archive

    return release_archive


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.py").write_text("print(1)\n")
    (source / ".env").write_text("SECRET=1\n")
    (tmp_path / "out").mkdir()
    return {
        "name": "demo", "version": "1.0", "source": str(source), "source_archive": {}, "source_git": {},
        "dir": str(tmp_path / "out"), "commands": [],
        "files": {"bin/start": "#!/bin/sh\n"}, "exclude": [".env*"], "include": [], "strip": [], "timeout": 30,
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


def test_secrets_of_the_source_stay_out(builder: Any, options: dict[str, Any]) -> None:
    import tarfile

    build = builder.Build(options)
    build.run()
    with tarfile.open(build.archive) as tar:
        assert tar.getnames() == ["app.py", "bin/start"]


def test_a_failing_command_shows_its_output_without_credentials(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["sh", "-c", "echo from https://me:secret@index/; exit 3"]]
    with pytest.raises(
        builder.ArchiveError, match=r"(?s)`sh -c .* failed in the build of demo:\nfrom https://\*\*\*@index/"
    ):
        builder.Build(options).run()
    assert not list(Path(options["dir"]).iterdir())


def test_this_machine_in_a_file_is_an_error(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["sh", "-c", "pwd > where"]]
    with pytest.raises(builder.ArchiveError, match="where names a folder of this controller"):
        builder.Build(options).run()
    options["strip"] = ["where"]
    assert builder.Build(options).run()


def test_the_build_sees_no_vite_or_ansible_variables(
    builder: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITE_TOKEN", "1")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", "/cache")
    environment = builder.build_environment()
    assert not {"VITE_TOKEN", "ANSIBLE_VAULT_PASSWORD_FILE"} & set(environment)
    assert environment["UV_CACHE_DIR"] == "/cache"


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
