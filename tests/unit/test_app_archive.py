"""Release archives: the same inputs give the same bytes, and a foreign archive is not trusted."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.app import archive


def tree(root: Path, **files: str) -> Path:
    """Write files; `a__b` stands for the path a/b."""
    for name, text in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def packed(root: Path) -> bytes:
    target = io.BytesIO()
    archive.write_archive(archive.tree_files(root), target)
    return target.getvalue()


def tar_with(tmp_path: Path, *members: tarfile.TarInfo) -> Path:
    file = tmp_path / "made.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, link
    info.size = 1 if kind == tarfile.REGTYPE else 0
    return info


def digest(root: Path, recipe: dict[str, object]) -> str:
    found: str = archive.inputs_digest(archive.tree_files(root, ["skipped"]), recipe)
    return found


def test_bytes_depend_on_content_alone(tmp_path: Path) -> None:
    one = tree(tmp_path / "one", b="2", a__c="1")
    two = tree(tmp_path / "elsewhere" / "two", a__c="1", b="2")
    for file in two.rglob("*"):
        os.utime(file, (1, 1))
    (two / "b").chmod(0o640)
    assert packed(one) == packed(two)
    (two / "b").chmod(0o750)
    assert packed(one) != packed(two)


def test_members_are_sorted_and_anonymous(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", b="2", a__c="1", a_="0")
    with tarfile.open(fileobj=io.BytesIO(packed(root))) as tar:
        members = tar.getmembers()
    assert [info.name for info in members] == sorted(info.name for info in members)
    assert {(info.uid, info.gid, info.uname, info.gname, info.mtime) for info in members} == {
        (0, 0, "", "", archive.EPOCH)
    }


def test_inputs_change_with_path_content_mode_and_recipe(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", a="1", skipped__x="1")
    first = digest(root, {"commands": []})
    (root / "skipped" / "x").write_text("2")
    assert digest(root, {"commands": []}) == first
    seen = {first, digest(root, {"commands": [["true"]]})}
    (root / "a").chmod(0o755)
    seen.add(digest(root, {"commands": []}))
    (root / "a").write_text("2")
    seen.add(digest(root, {"commands": []}))
    (root / "a").rename(root / "b")
    seen.add(digest(root, {"commands": []}))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("a/b/c.pyc", "*.pyc", True),
        (".git/config", ".git", True),
        (".env.local", ".env*", True),
        ("environment", ".env*", False),
        ("lib/python3.13/bin/gunicorn", "lib/*/bin", True),
        ("lib/python3.13/flask/bin/x", "lib/*/bin", False),
        ("app/lib/python3.13/bin", "lib/*/bin", False),
        ("distant", "dist", False),
        ("packages/x/dist/a", "/dist", False),
        ("dist/a", "/dist", True),
        ("app/views/log/a", "log", True),
        ("node_modules/x/build/obj/a.o", "**/build/obj", True),
        ("build/obj", "**/build/obj", True),
        ("node_modules/x/build/a", "**/build/obj", False),
    ],
)
def test_patterns(path: str, pattern: str, expected: bool) -> None:
    assert archive.matches(path, [pattern]) is expected


@pytest.mark.parametrize("target", ["/etc", "../one", "b/../../../etc", "/build/srcs"])
def test_a_link_out_of_the_source_is_refused_unless_excluded(tmp_path: Path, target: str) -> None:
    root = tree(tmp_path / "one", a="1")
    (root / "out").symlink_to(target)
    with pytest.raises(archive.ArchiveError, match=f"out is a link to {target}, which is outside of the source: "):
        list(archive.tree_files(root, roots=("/build/src",)))
    assert [name for name, _ in archive.tree_files(root, ["out"])] == ["a"]


def test_links_inside_are_kept_whatever_the_tree_is_called(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", packages__lib__index="1")
    (root / "node_modules").mkdir()
    for name, target in {"lib": "../packages/lib", "all": "/build/src/packages", "gone": "../nowhere"}.items():
        (root / "node_modules" / name).symlink_to(target)
    file = tmp_path / "x.tar.gz"
    with file.open("wb") as made:
        archive.write_archive(archive.tree_files(root, roots=("/build/src",)), made, ("/build/src",))
    archive.unpack(file, tmp_path / "out", 1)
    modules = tmp_path / "out" / "node_modules"
    links = {link.name: str(link.readlink()) for link in modules.iterdir()}
    assert links == {"lib": "../packages/lib", "all": "../packages", "gone": "../nowhere"}
    assert (modules / "lib" / "index").read_text() == (modules / "all" / "lib" / "index").read_text() == "1"
    (modules / "lib").unlink()
    before = archive.tree_digest(tmp_path / "out")
    (modules / "lib").symlink_to("../packages")
    assert archive.tree_digest(tmp_path / "out") != before


def test_another_target_of_a_link_is_another_input(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", a="1", b="1")
    (root / "link").symlink_to("a")
    first = digest(root, {})
    (root / "link").unlink()
    (root / "link").symlink_to("b")
    assert digest(root, {}) != first


def test_what_is_left_out_is_named_by_pattern(tmp_path: Path) -> None:
    names = {f"d{number}__x.pyc".replace(".", "_"): "1" for number in range(7)}
    root = tree(tmp_path / "one", a="1", log__a="1", app__log__b="1", **names)
    left_out: dict[str, list[str]] = {}
    found = [name for name, _ in archive.tree_files(root, ["/log", "x_pyc"], left_out=left_out)]
    assert found == ["a", "app/log/b"]
    assert archive.left_out_lines(left_out) == [
        "log (/log)",
        "d0/x_pyc, d1/x_pyc, d2/x_pyc, d3/x_pyc, d4/x_pyc and 2 more (x_pyc)",
    ]
    left_out.clear()
    kept = [name for name, _ in archive.tree_files(root, ["/log", "d?"], ["log/a", "/d3"], left_out)]
    assert kept == ["a", "app/log/b", "d3/x_pyc", "log/a"]
    assert left_out == {"d?": ["d0", "d1", "d2", "d4", "d5", "d6"]}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (member("/etc/cron.d/x"), "archive member '/etc/cron.d/x' would leave the release's folder"),
        (member("a/../../x"), "archive member 'a/../../x' would leave the release's folder"),
        (member("a\nb"), r"archive member 'a\\nb' would leave the release's folder"),
        (member("a", tarfile.SYMTYPE, link="/etc"), "archive member 'a' is a link to '/etc', which leaves"),
        (member("a/b", tarfile.SYMTYPE, link="../../c"), "archive member 'a/b' is a link to '../../c', which leaves"),
        (member("a", tarfile.SYMTYPE, link="good/../../c"), "archive member 'a' is a link to 'good/../../c', which"),
        (member("a", tarfile.SYMTYPE, link="b/.."), "archive member 'a' is a link to 'b/..', which leaves"),
        (member("good/b", tarfile.SYMTYPE, link="../.."), "archive member 'good/b' is a link to '../..', which leaves"),
        (member("a", tarfile.LNKTYPE, link="b"), "archive member 'a' is neither a file nor a folder"),
        (member("a", tarfile.CHRTYPE), "archive member 'a' is neither a file nor a folder"),
        (member("a", tarfile.FIFOTYPE), "archive member 'a' is neither a file nor a folder"),
        (member("a", mode=0o4755), "archive member 'a' has a set-user, set-group or sticky bit"),
    ],
)
def test_an_unsafe_member_refuses_the_whole_archive(tmp_path: Path, bad: tarfile.TarInfo, message: str) -> None:
    file = tar_with(tmp_path, member("good"), bad)
    with pytest.raises(archive.ArchiveError, match=message):
        archive.unpack(file, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("second", [member("a/passwd"), member("a"), member("a", tarfile.DIRTYPE)])
def test_nothing_is_unpacked_through_a_link(tmp_path: Path, second: tarfile.TarInfo) -> None:
    file = tar_with(tmp_path, member("b/c"), member("a", tarfile.SYMTYPE, link="b"), second)
    with pytest.raises(archive.ArchiveError, match=f"archive member '{second.name}' is written through a link"):
        archive.unpack(file, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        archive.unpack(tar_with(tmp_path, member("a"), member("a")), tmp_path / "out", 1)


def test_unpacked_is_what_was_packed_with_plain_modes(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", a__b="1", run="2")
    (root / "run").chmod(0o700)
    file = tmp_path / "x.tar.gz"
    file.write_bytes(packed(root))
    archive.unpack(file, tmp_path / "out", 1)
    found = {
        name: (path.read_text(), oct(path.stat().st_mode & 0o7777))
        for name, path in archive.tree_files(tmp_path / "out")
    }
    assert found == {"a/b": ("1", "0o644"), "run": ("2", "0o755")}


def test_files_of_two_releases_differ_in_their_time(tmp_path: Path) -> None:
    file = tmp_path / "x.tar.gz"
    file.write_bytes(packed(tree(tmp_path / "one", a__b="1", c="2")))
    times = set()
    for number, sha256 in enumerate(("0" * 64, "f" * 64, "0" * 64)):
        archive.unpack(file, tmp_path / str(number), archive.release_time(sha256))
        times |= {path.stat().st_mtime for _, path in archive.tree_files(tmp_path / str(number))}
    assert times == {archive.EPOCH, archive.EPOCH + 0xFFFFFFF}


def test_an_edit_by_hand_changes_the_tree_digest(tmp_path: Path) -> None:
    root = tree(tmp_path / "one", a="1", b__c="1")
    seen = {archive.tree_digest(root)}
    assert archive.tree_digest(root) in seen
    (root / "a").write_text("2")
    os.utime(root / "a", ns=(0, 12345))
    seen.add(archive.tree_digest(root))
    (root / "b" / "c").chmod(0o600)
    seen.add(archive.tree_digest(root))
    (root / "b" / "new").touch()
    seen.add(archive.tree_digest(root))
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("newest_first", "keep", "protected", "removed"),
    [
        (["d", "c", "b", "a"], 3, ["d", "c"], ["a"]),
        (["d", "c", "b", "a"], 2, ["a", "b"], ["d", "c"]),
        (["c", "b", "a"], 1, ["c", "a"], ["b"]),
        (["b", "a"], 3, ["b", ""], []),
        ([], 3, ["new"], []),
        (["b", "a"], 2, ["new", "b"], ["a"]),
    ],
)
def test_pruning_never_takes_the_protected(
    newest_first: list[str], keep: int, protected: list[str], removed: list[str]
) -> None:
    assert archive.prune_choice(newest_first, keep, protected) == removed
