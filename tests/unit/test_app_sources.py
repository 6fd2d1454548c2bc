"""Sources of releases: the same archive or commit gives the same bytes, and what cannot be used is refused."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

FILES = {"app.py": "print(1)\n", "bin/start": "#!/bin/sh\n", "tests/test_app.py": "assert True\n"}


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "out").mkdir()
    return {
        "name": "demo", "version": "1.0", "source": "", "source_archive": {}, "source_git": {},
        "dir": str(tmp_path / "out"), "fetch": [], "commands": [], "files": {}, "exclude": [".env*", ".git", "tests"],
        "include": [], "strip": [], "timeout": 30,
    }  # fmt: skip


def written(folder: Path) -> Path:
    """Write the demo's source, with what never belongs into a release."""
    for name, text in {**FILES, ".env": "SECRET=1\n"}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755 if name == "bin/start" else 0o644)
    return folder


def tar_of(folder: Path, file: Path, top: str, mode: Any = "w:gz") -> Path:
    with tarfile.open(file, mode) as tar:
        tar.add(folder, top)
    return file


def sum_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def git(repository: Path, *words: str) -> str:
    """Run git without the settings of anybody."""
    who = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(repository), "GIT_CONFIG_NOSYSTEM": "1", **who}
    done = subprocess.run(
        ["git", "-C", str(repository), *words], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one commit, a branch main, and an annotated tag v1."""
    folder = written(tmp_path / "repository")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--force", "app.py", "bin", "tests")
    git(folder, "commit", "--quiet", "--message=one")
    git(folder, "tag", "--annotate", "--message=one", "v1")
    return folder


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def members(build: Any) -> list[str]:
    with tarfile.open(build.archive) as tar:
        return list(tar.getnames())


def test_folder_archive_and_commit_of_one_source_give_the_same_bytes(
    builder: Any, options: dict[str, Any], tmp_path: Path, repository: Path
) -> None:
    folder = written(tmp_path / "folder")
    made = tar_of(folder, tmp_path / "demo.tar.xz", "demo-1.0", "w:xz")
    ways: list[dict[str, Any]] = [
        {"source": str(folder)},
        {"source_archive": {"location": str(made), "sha256": sum_of(made)}},
        {"source_git": {"repository": str(repository), "ref": "refs/tags/v1"}},
        {"source_git": {"repository": str(repository), "ref": "v1"}},
        {"source_git": {"repository": str(repository), "ref": git(repository, "rev-parse", "HEAD")}},
    ]
    with served(tmp_path) as address:
        ways.append({"source_archive": {"location": f"{address}/{made.name}", "sha256": sum_of(made)}})
        builds = [builder.Build({**options, **way}) for way in ways]
        sums = {build.run() for build in builds}
    assert len(sums) == 1
    assert members(builds[0]) == ["app.py", "bin/start"]
    assert len({build.inputs for build in builds}) == 3


def test_an_archive_that_was_built_is_found_again_without_asking_for_its_source(
    builder: Any, options: dict[str, Any], tmp_path: Path
) -> None:
    made = tar_of(written(tmp_path / "folder"), tmp_path / "demo.tgz", ".")
    options["source_archive"] = {"location": str(made), "sha256": sum_of(made)}
    sha256 = builder.Build(options).run()
    made.unlink()
    assert builder.Build(options).built_sha256() == sha256
    options["source_archive"]["sha256"] = "0" * 64
    assert builder.Build(options).built_sha256() == ""


def test_the_commit_is_recorded_and_a_moved_tag_is_refused(
    builder: Any, options: dict[str, Any], repository: Path
) -> None:
    options["source_git"] = {"repository": str(repository), "ref": "v1"}
    build = builder.Build(options)
    first = build.run()
    commit = git(repository, "rev-parse", "HEAD")
    assert json.loads(build.record.read_text())["origin"] == {
        "repository": str(repository), "ref": "v1", "commit": commit,
    }  # fmt: skip
    (repository / "app.py").write_text("print(2)\n")
    assert builder.Build(options).built_sha256() == first  # not committed, so not there
    git(repository, "commit", "--quiet", "--all", "--message=two")
    git(repository, "tag", "--force", "v1")
    moved = git(repository, "rev-parse", "HEAD")
    was = f"v1 of {repository} was commit {commit} when demo 1.0 was built, and is {moved} now: if that is meant, write"
    with pytest.raises(builder.ArchiveError, match=was):
        builder.Build(options)
    assert builder.Build({**options, "version": "1.1"}).run() != first
    options["source_git"]["ref"] = moved
    assert builder.Build(options).built_sha256() == ""


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "HEAD"])
def test_a_branch_is_refused_with_the_commit_that_it_is(
    builder: Any, options: dict[str, Any], repository: Path, ref: str
) -> None:
    options["source_git"] = {"repository": str(repository), "ref": ref}
    said = f"{ref} of {repository} is a branch, so whoever pushes there would decide what is deployed: write a tag as "
    commit = git(repository, "rev-parse", "HEAD")
    with pytest.raises(
        builder.ArchiveError, match=rf"{said}app_source_git.ref, or the commit's full id \(now {commit}\)"
    ):
        builder.Build(options)


def test_what_is_not_committed_and_settings_of_the_user_change_nothing(
    builder: Any, options: dict[str, Any], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options["source_git"] = {"repository": str(repository), "ref": "v1"}
    first = builder.Build(options).run()
    (repository / "notes.txt").write_text("mine\n")
    (tmp_path / ".gitconfig").write_text("[core]\n\tautocrlf = true\n[tar]\n\tumask = 0077\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    (Path(options["dir"]) / "demo-1.0.json").unlink()
    assert builder.Build(options).run() == first


def test_a_folder_of_a_repository_is_a_source(builder: Any, options: dict[str, Any], repository: Path) -> None:
    options["source_git"] = {"repository": str(repository), "ref": "v1", "folder": "bin/"}
    build = builder.Build(options)
    build.run()
    assert members(build) == ["start"]
    options["source_git"]["folder"] = "src"
    with pytest.raises(builder.ArchiveError, match=r"`git archive` failed, see app_source_git:"):
        builder.Build(options).run()


def linked(tmp_path: Path) -> Path:
    """Pack a source with a link in it."""
    folder = written(tmp_path / "linked")
    (folder / "out").symlink_to("/etc")
    return tar_of(folder, tmp_path / "linked.tgz", "demo")


def test_a_link_in_an_archive_is_refused_unless_excluded(builder: Any, options: dict[str, Any], tmp_path: Path) -> None:
    made = linked(tmp_path)
    options["source_archive"] = {"location": str(made), "sha256": sum_of(made)}
    with pytest.raises(builder.ArchiveError, match="archive member 'out' is a link to '/etc', which leaves the"):
        builder.Build(options).run()
    options["exclude"] = [*options["exclude"], "out"]
    build = builder.Build(options)
    build.run()
    assert members(build) == ["app.py", "bin/start"]


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "demo/../../escaped"])
def test_an_archive_cannot_write_beside_the_build(
    builder: Any, options: dict[str, Any], tmp_path: Path, name: str
) -> None:
    made = tmp_path / "bad.tgz"
    with tarfile.open(made, "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    options["source_archive"] = {"location": str(made), "sha256": sum_of(made)}
    with pytest.raises(builder.ArchiveError, match="would leave the release's folder"):
        builder.Build(options).run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"source_archive": {"location": "/a.tgz"}},
            "app_source_archive names /a.tgz without its sha256: write what `sha256sum` says of the archive that you",
        ),
        (
            {"source_archive": {"location": "https://me:token@host/a.tgz"}},
            r"app_source_archive names https://\*\*\*@host/a.tgz without its sha256",
        ),
        (
            {"source_archive": {"location": "/a.tgz", "sha256": "A1"}},
            "app_source_archive.sha256 is 'A1': write 64 hexadecimal digits in lower case",
        ),
        (
            {"source_archive": {"location": "/nonexistent/a.tgz", "sha256": "0" * 64}},
            "there is no archive /nonexistent/a.tgz: correct app_source_archive.location, or put it there",
        ),
        (
            {"source_archive": {"location": "http://127.0.0.1:9/a.tgz", "sha256": "0" * 64}},
            "http://127.0.0.1:9/a.tgz cannot be fetched",
        ),
        (
            {"source_archive": {"location": "/a.tgz", "sha256": "0" * 64}, "source_git": {"repository": "/r"}},
            "app_source_archive and app_source_git are both written: keep one of them",
        ),
        ({"source_archive": {"sha256": "0" * 64}}, "app_source_archive.location is missing: write where the source is"),
        ({"source_git": {"ref": "v1"}}, "app_source_git.repository is missing: write where the source is"),
        (
            {"source_git": {"repository": "/r"}},
            "app_source_git names /r without a ref: write a tag or a commit's id",
        ),
        ({"source_git": {"repository": "--upload-pack=x", "ref": "v1"}}, "neither may begin with -"),
        ({"source_git": {"repository": "/nonexistent", "ref": "v1"}}, "`git ls-remote` failed, see app_source_git:"),
    ],
)
def test_a_source_that_cannot_be_used_says_what_to_write(
    builder: Any, options: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(builder.ArchiveError, match=message):
        builder.Build({**options, **change}).run()
    assert not list(Path(options["dir"]).iterdir())


def test_another_archive_than_the_one_meant_is_refused(builder: Any, options: dict[str, Any], tmp_path: Path) -> None:
    made = tar_of(written(tmp_path / "folder"), tmp_path / "demo.tgz", "demo")
    options["source_archive"] = {"location": str(made), "sha256": "0" * 64}
    found = rf"demo.tgz has SHA-256 {sum_of(made)}, but app_source_archive.sha256 is 0{{64}}: nothing was built."
    with pytest.raises(builder.ArchiveError, match=found):
        builder.Build(options).run()
    made.write_text("no archive\n")
    options["source_archive"]["sha256"] = sum_of(made)
    with pytest.raises(builder.ArchiveError, match=r"demo\.tgz is no tar archive"):
        builder.Build(options).run()


def test_a_ref_that_is_not_there_is_named(builder: Any, options: dict[str, Any], repository: Path) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message=two")
    git(repository, "branch", "v1")  # the tag of the same name goes first
    options["source_git"] = {"repository": str(repository), "ref": "v1"}
    assert builder.Build(options).source.commit == git(repository, "rev-parse", "refs/tags/v1^{}")
    options["source_git"]["ref"] = "v2"
    with pytest.raises(builder.ArchiveError, match=r"has no tag 'v2': correct app_source_git\.ref, or write"):
        builder.Build(options)
