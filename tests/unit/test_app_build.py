"""The build transaction: built once, again when inputs change or the archive is damaged, free of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import re
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
    assert sorted(file.name for file in Path(options["dir"]).iterdir()) == ["cache", "demo-1.0.log"]
    log = (Path(options["dir"]) / "demo-1.0.log").read_text()
    assert log.startswith("$ sh -c ")
    assert log.endswith("\nfrom https://***@index/\n")
    assert "secret" not in log


def test_this_machine_in_a_file_is_an_error(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["sh", "-c", "command -v ansible > where"]]
    with pytest.raises(builder.ArchiveError, match="where of the release of demo names a folder of this controller"):
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
    assert modes == dict.fromkeys(
        ("demo-1.0.tar.gz", "demo-1.0.tar.gz.sha256", "demo-1.0.json", "demo-1.0.log", ".lock"), "0o640"
    )


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


def packed(build: Any) -> list[str]:
    build.run()
    with tarfile.open(build.archive) as tar:
        return tar.getnames()


def write(options: dict[str, Any], **files: str) -> None:
    """Write files of the source; `a__b` stands for the path a/b."""
    for name, text in files.items():
        file = Path(options["source"], *name.split("__"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_paths_of_the_build_may_stand_in_a_release(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [
        ["sh", "-c", 'mkdir .next; echo "{\\"appDir\\": \\"$PWD\\"}" > .next/required-server-files.json']
    ]
    assert ".next/required-server-files.json" in packed(builder.Build(options))


def test_own_commands_have_own_variables_and_files_of_the_runtime(builder: Any, options: dict[str, Any]) -> None:
    options |= {
        "files": {"bin/say": '#!/bin/sh\necho "$1"\n'},
        "fetch": [["sh", "-c", "echo ${VITE_API-none} > fetched"]],
        "commands": [["sh", "-c", "bin/say $VITE_API > built; cat .env.production /build/tools/note >> built"]],
        "environment": {"VITE_API": "https://api.test", "CI": False},
        "tools": {"note": "a helper\n"},
    }
    write(options, **{".env.production": "VITE_TITLE=Shop\n"})
    build = builder.Build(options)
    assert packed(build) == ["app.py", "bin/say", "built", "fetched"]
    with tarfile.open(build.archive) as tar:
        said = {name: tar.extractfile(name).read().decode() for name in ("fetched", "built")}  # type: ignore[union-attr]
    assert said == {"fetched": "none\n", "built": "https://api.test\nVITE_TITLE=Shop\na helper\n"}
    assert ".env.production (read by the build only)" in json.loads(build.record.read_text())["left_out"]
    changed = builder.Build({**options, "environment": {"VITE_API": "https://other.test"}})
    assert changed.built_sha256() == ""
    with pytest.raises(builder.ArchiveError, match="app_build_environment has PATH, which the build sets"):
        builder.Build({**options, "environment": {"PATH": "/evil"}})


def test_settings_of_a_build_never_get_into_the_release(builder: Any, options: dict[str, Any]) -> None:
    write(options, **{".env.production": "VITE_TITLE=Shop\n"})
    options["own_include"] = [".env.production"]
    options["commands"] = [["sh", "-c", "mkdir -p .next/standalone; cp .env.production .next/standalone"]]
    assert packed(builder.Build(options)) == ["app.py", "bin/start"]


def test_runtime_folders_are_left_out_at_the_root_and_listed(builder: Any, options: dict[str, Any]) -> None:
    write(options, dist__a="old", packages__x__dist__b="1", app__log__c="1", log__d="1", README="1")
    options |= {"exclude": ["/dist", "/log"], "include": ["app", "packages", "dist", "bin"]}
    build = builder.Build(options)
    assert packed(build) == ["app/log/c", "bin/start", "packages/x/dist/b"]
    assert json.loads(build.record.read_text())["left_out"] == [
        "dist (/dist)",
        "log (/log)",
        "README, app.py, notes.txt (not what is packed of this runtime's releases)",
    ]


def test_the_inventory_has_the_last_word_on_what_is_packed(builder: Any, options: dict[str, Any]) -> None:
    write(options, docs__a="1", docs__b="1", web__x="1", web__tests__y="1", log__keep="1", log__other="1")
    # What an earlier installation left in the source has a folder of the same name.
    write(options, extra__z="1", node_modules__y__extra__old="1")
    options |= {
        "exclude": ["/log", "node_modules"], "include": ["web"], "own_include": ["docs/a", "log/keep", "extra"],
        "own_exclude": ["tests", "web/node_modules"],
        "fetch": [["sh", "-c", "mkdir -p web/node_modules web/lib/tests; touch web/node_modules/f web/lib/tests/t"]],
    }  # fmt: skip
    # A name without a slash is meant for one's own files, and not for those of dependencies.
    assert packed(builder.Build(options)) == ["docs/a", "extra/z", "log/keep", "web/lib/tests/t", "web/x"]


def test_a_link_to_what_is_not_packed_is_refused(builder: Any, options: dict[str, Any]) -> None:
    write(options, packages__lib__index="1")
    options |= {"include": ["node_modules"]}
    options["fetch"] = [["sh", "-c", "mkdir node_modules; ln -s ../packages/lib node_modules/lib"]]
    with pytest.raises(
        builder.ArchiveError, match=r"(?s)links to what is not packed:\n  node_modules/lib -> packages/lib\n"
    ):
        builder.Build(options).run()
    options["own_include"] = ["packages"]
    assert packed(builder.Build(options)) == ["node_modules/lib", "packages/lib/index"]


def test_a_link_of_a_build_to_the_controller_is_refused_by_name(builder: Any, options: dict[str, Any]) -> None:
    options["commands"] = [["ln", "-s", "/etc/passwd", "users"]]
    with pytest.raises(builder.ArchiveError, match="users is a link to /etc/passwd, which is outside of the source"):
        builder.Build(options).run()


def test_a_failed_build_begins_with_the_cause_and_names_its_log(builder: Any, options: dict[str, Any]) -> None:
    script = """
echo 'npm error code 1'
echo 'addon.cc:1:10: fatal error: Python.h: No such file or directory'
for n in $(seq 500); do echo "  step $n"; done
echo 'npm help'
exit 1
"""
    options["commands"] = [["sh", "-c", script]]
    with pytest.raises(builder.ArchiveError) as error:
        builder.Build(options).run()
    reported = str(error.value).split("(which has no network):\n")[1].splitlines()
    log = Path(options["dir"]) / "demo-1.0.log"
    assert reported[:2] == ["npm error code 1", "addon.cc:1:10: fatal error: Python.h: No such file or directory"]
    assert reported[-2:] == [
        "-> Python.h is missing on this controller: apt-get install python3-dev",
        f"The whole log: {log}",
    ]
    assert len(reported) < 15
    assert "  step 250\n" in log.read_text()


PROCFILE = """# What Heroku's users have
web: gunicorn shop:app --bind 0.0.0.0:$PORT && echo
release: python manage.py migrate
mail_out:   celery --app shop worker -Q mail

"""


def test_a_procfile_of_the_source_is_read_once(builder: Any, options: dict[str, Any]) -> None:
    write(options, Procfile=PROCFILE)
    build = builder.Build(options)
    build.run()
    said = {
        "processes": [{"name": "mail-out", "command": "celery --app shop worker -Q mail"}],
        "release": ["python", "manage.py", "migrate"],
        "web": "gunicorn shop:app --bind 0.0.0.0:$PORT && echo",
    }
    assert build.recorded()["procfile"] == said
    # It is found again where nothing has to be built, and another one is another build.
    assert builder.Build(options).built_sha256()
    write(options, Procfile=PROCFILE + "more: x\n")
    assert not builder.Build(options).built_sha256()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("work: a && b", "Procfile, line 1: `work` has &&, and no shell reads it; write one command, or a script"),
        ("just words", "Procfile, line 1: is no line `worker: command`"),
        ("a: x\na: y", "Procfile, line 2: has a a second time"),
    ],
)
def test_a_procfile_that_cannot_be_used_is_refused(builder: Any, options: dict[str, Any], line: str, said: str) -> None:
    write(options, Procfile=line)
    with pytest.raises(builder.ArchiveError) as error:
        builder.Build(options).run()
    assert str(error.value).startswith(said)
    assert "app_procfile: false" in str(error.value)


@pytest.mark.parametrize(
    ("text", "known", "refused"),
    [
        ("3.13\n", ["3.13", "3.11"], ""),
        ("3.13.2", ["3.13"], ""),
        ("v20.1", ["20"], ""),
        ("lts/*", ["20"], ""),
        ("python-3.12.1", ["3.13", "3.11"], "says 3.12.1, and its hosts have 3.13 and 3.11 by the inventory"),
        ("22", ["20"], "says 22, and its hosts have 20 by the inventory"),
        ("3.1", ["3.13"], "says 3.1, and its hosts have 3.13"),
    ],
)
def test_another_version_than_the_hosts_have_ends_the_build(
    builder: Any, options: dict[str, Any], text: str, known: list[str], refused: str
) -> None:
    (Path(options["source"]) / ".python-version").write_text(text)
    build = builder.Build({**options, "versions": {".python-version": known}})
    if not refused:
        assert build.run()
        return
    with pytest.raises(builder.ArchiveError, match=re.escape(refused)):
        build.run()
    # A file that is left out says nothing.
    assert builder.Build({**options, "versions": {".python-version": known}, "own_exclude": [".python-version"]}).run()


@pytest.mark.parametrize(
    ("engines", "admitted"),
    [
        ({}, True), ({"node": ">=18"}, True), ({"node": "20.x"}, True), ({"node": "^18.18 || ^20.9 || >=21.1"}, True),
        ({"node": "18 - 20"}, True), ({"node": "~20.19.0"}, True), ({"node": "*"}, True), ({"node": "lts"}, True),
        ({"node": ">=18 <21"}, True), ({"node": 20}, True), ({"npm": ">=11"}, True), ({"node": ">=20.19.0"}, True),
        ({"node": ">=22.9"}, False), ({"node": "24.x"}, False), ({"node": "^18.18 || >=21.1"}, False),
        ({"node": ">20"}, False), ({"node": "<20"}, False), ({"node": "16 - 18"}, False), ({"node": "~22"}, False),
    ],
)  # fmt: skip
def test_engines_of_another_node_end_the_build(
    builder: Any, options: dict[str, Any], engines: dict[str, Any], admitted: bool
) -> None:
    (Path(options["source"]) / "package.json").write_text(json.dumps({"engines": engines}))
    build = builder.Build({**options, "versions": {"package.json": ["20"]}})
    said = f"package.json of {options['name']} says engines.node {engines.get('node')}, and its hosts have 20"
    with contextlib.nullcontext() if admitted else pytest.raises(builder.ArchiveError, match=re.escape(said)):
        build.run()
