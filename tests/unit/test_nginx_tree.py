"""The parts of nginx_tree that need no nginx: checksums, trees on disk, links, and the checks on the controller."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils import lock, nginx_server, nginx_store
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import RefusedError

from .conftest import load

ROLE = Path(__file__).parents[2] / "roles/nginx"


action = load("roles/nginx/action_plugins/nginx_tree.py")
FILES = {"nginx.conf": "events {}\n", "sites/a.conf": "server {}\n"}
SUMS = {"/etc/ssl/b.pem": "22", "/etc/ssl/a.pem": "11"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a store with a configuration that was found."""
    os.umask(0o022)
    monkeypatch.setattr(lock, "FOLDER", tmp_path.parent / f"{tmp_path.name}-locks")
    (tmp_path / "nginx.conf").write_text("found\n")
    return nginx_store.Store(tmp_path)


def add(store: Any, word: str, keep: int = 5) -> str:
    """Write a tree, make it live and proven; return its name."""
    name, texts = nginx_store.wanted(store, {**FILES, "word": word}, SUMS)
    store.create(name, texts)
    store.choose(name)
    store.record(name, keep)
    return str(name)


def test_identity_names_the_tree_and_what_it_depends_on() -> None:
    assert nginx_store.identity("0001-12345678", SUMS) == (
        "# This file is written by Gatehouse. Through it the running nginx proves which tree it serves.\n"
        "# /etc/ssl/a.pem 11\n"
        "# /etc/ssl/b.pem 22\n"
        "server {\n"
        "    listen unix:/run/nginx-identity.sock;\n"
        "    access_log off;\n"
        '    return 200 "0001-12345678";\n'
        "}\n"
    )


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({**FILES, "identity.conf": nginx_store.identity("0009-12345678", SUMS)}, True),
        ({**FILES, "identity.conf": nginx_store.identity("0001-12345678", {**SUMS, "/etc/ssl/a.pem": "12"})}, False),
        ({**FILES, "identity.conf": nginx_store.identity("0001-12345678", SUMS), "more": ""}, False),
        ({"nginx.conf": "events {}\n", "identity.conf": nginx_store.identity("0001-12345678", SUMS)}, False),
    ],
)
def test_the_checksum_covers_everything_but_the_name(other: dict[str, str], same: bool) -> None:
    first = nginx_store.digest({**FILES, "identity.conf": nginx_store.identity("0001-12345678", SUMS)})
    assert (nginx_store.digest(other) == first) is same


def test_a_written_tree_is_the_wanted_one(store: Any) -> None:
    name = add(store, "one")
    assert name.startswith("0001-")
    assert store.live() == name
    assert store.linked()
    assert (store.root / "nginx.conf").read_text() == "events {}\n"
    assert store.found.read_text() == "found\n"
    assert nginx_store.wanted(store, {**FILES, "word": "one"}, SUMS)[0] == name
    assert nginx_store.wanted(store, {**FILES, "word": "two"}, SUMS)[0].startswith("0002-")
    assert nginx_store.wanted(store, {**FILES, "word": "one"}, {})[0].startswith("0002-")


@pytest.mark.parametrize(
    ("damage", "path", "text"),
    [
        (lambda top: (top / "word").write_text("two"), "word", "two"),
        (lambda top: (top / "word").write_bytes(b"one\xff"), "word", "# -rw-r--r-- of user {uid}\none\\xff"),
        (lambda top: (top / "word").chmod(0o600), "word", "# -rw------- of user {uid}\none"),
        (lambda top: (top / "sites").chmod(0o700), "sites", "# drwx------ of user {uid}\n"),
        (lambda top: (top / "empty").mkdir(), "empty", "# drwxr-xr-x of user {uid}\n"),
        (lambda top: (top / "link").symlink_to("/etc"), "link", "# lrwxrwxrwx of user {uid} to /etc\n"),
        (lambda top: os.mkfifo(top / "pipe", 0o644), "pipe", "# prw-r--r-- of user {uid}\n"),
    ],
)
def test_each_kind_of_damage_is_seen(store: Any, damage: Any, path: str, text: str) -> None:
    name = add(store, "one")
    damage(store.trees / name)
    assert store.read(name)[path] == text.format(uid=os.geteuid())
    assert nginx_store.wanted(store, {**FILES, "word": "one"}, SUMS)[0] != name
    assert nginx_store.digest(store.read(name))[:8] != name[-8:]


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the secrets of a tree be read by this process's own group, and return its number."""
    monkeypatch.setattr(nginx_store, "READERS", grp.getgrgid(os.getegid()).gr_name)
    return os.getegid()


def test_a_secret_is_read_by_root_and_the_workers_only(store: Any, readers: int) -> None:
    wanted = {**FILES, "secrets/shop/users": "ann:$6$hash\n"}
    name, texts = nginx_store.wanted(store, wanted, SUMS)
    store.create(name, texts)
    store.choose(name)
    path = store.trees / name / "secrets/shop/users"
    assert (path.stat().st_mode, path.stat().st_gid) == (0o100640, readers)
    assert (store.trees / name / "nginx.conf").stat().st_mode == 0o100644
    assert nginx_store.wanted(store, wanted, SUMS)[0] == name


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o660])
def test_a_secret_with_another_mode_is_damage(store: Any, readers: int, mode: int) -> None:
    name, texts = nginx_store.wanted(store, {**FILES, "secrets/users": "ann:$6$hash\n"}, SUMS)
    store.create(name, texts)
    path = store.trees / name / "secrets/users"
    path.chmod(mode)
    said = f"# {stat.filemode(0o100000 | mode)} of user {os.geteuid()}, group {readers}\nann:$6$hash\n"
    assert store.read(name)["secrets/users"] == said


def test_a_secret_of_another_group_is_damage(store: Any, readers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    name, texts = nginx_store.wanted(store, {**FILES, "secrets/users": "ann:$6$hash\n"}, SUMS)
    store.create(name, texts)
    other = next(group.gr_name for group in grp.getgrall() if group.gr_gid != readers)
    monkeypatch.setattr(nginx_store, "READERS", other)
    assert store.read(name)["secrets/users"].startswith("# -rw-r----- of user")


def test_a_diff_shows_that_a_secret_changed_and_not_what_it_is() -> None:
    before = nginx_store.conceal({"active/secrets/users": "ann:$6$old\n", "active/a": "1\n"}, "former")
    after = nginx_store.conceal({"active/secrets/users": "ann:$6$new\n", "active/a": "2\n"}, "new")
    assert [action.unified(entry) for entry in action.differences(before, after)] == [
        "--- active/a\n+++ active/a\n@@ -1 +1 @@\n-1\n+2",
        "--- active/secrets/users\n+++ active/secrets/users\n@@ -1 +1 @@\n"
        "-# the former content is secret\n+# the new content is secret",
    ]


def test_an_nginx_conf_in_place_of_the_link_is_a_difference(store: Any) -> None:
    name = add(store, "one")
    store.conf.unlink()
    store.conf.write_text("events {}\n")
    assert not store.linked()
    assert nginx_store.wanted(store, {**FILES, "word": "one"}, SUMS)[0] != name


def test_what_was_found_is_kept_from_the_first_takeover_on(store: Any) -> None:
    add(store, "one")
    store.conf.unlink()
    store.conf.write_text("by hand later\n")
    add(store, "two")
    assert store.found.read_text() == "found\n"


def test_an_undone_takeover_leaves_what_was_found(store: Any) -> None:
    name, texts = nginx_store.wanted(store, FILES, {})
    with store.locked():
        store.create(name, texts)
        store.choose(name)
        store.restore_found()
    assert sorted(path.name for path in store.root.iterdir()) == ["nginx.conf"]
    assert store.conf.read_text() == "found\n"


def test_the_sweep_leaves_live_and_proven_trees_only(store: Any) -> None:
    names = [add(store, word, keep=2) for word in ("one", "two", "three")]
    for leftover in ("trees/0009-12345678", "trees/.test"):
        (store.root / leftover).mkdir()
    for leftover in ("trees/.proven", ".active.gatehouse", ".nginx.conf.gatehouse"):
        (store.root / leftover).write_text("")
    with store.locked():
        assert sorted(path.name for path in store.trees.iterdir()) == [*names[1:], "proven"]
    assert sorted(path.name for path in store.root.iterdir()) == [
        "active",
        "nginx.conf",
        "nginx.conf.before-gatehouse",
        "trees",
    ]


def test_the_sweep_spares_a_tree_that_is_live_but_not_yet_proven(store: Any) -> None:
    name, texts = nginx_store.wanted(store, FILES, {})
    store.create(name, texts)
    store.choose(name)
    store.sweep()
    assert store.live() == name
    assert store.read(name) == texts


@pytest.mark.parametrize("target", ["elsewhere/0001-12345678", "/etc/nginx/trees/0001-12345678", "trees/mine", "trees"])
def test_a_link_that_nginx_tree_did_not_make_is_no_live_tree(store: Any, target: str) -> None:
    store.active.symlink_to(target)
    assert store.live() == ""


def test_a_patch_replaces_its_own_files_only(store: Any) -> None:
    name = add(store, "one")
    files = nginx_store.patched(store, {"sites/a.conf": "server { }\n"})
    assert files == {**FILES, "sites/a.conf": "server { }\n", "word": "one"}
    assert nginx_store.wanted(store, files, SUMS)[0].startswith("0002-")
    # What is live already makes no new tree: nothing is tested, swapped or reloaded.
    assert nginx_store.wanted(store, nginx_store.patched(store, {"word": "one"}), SUMS)[0] == name


@pytest.mark.parametrize("damage", ["edit", "unlink"])
def test_a_patch_is_not_built_on_what_was_edited_by_hand(store: Any, damage: str) -> None:
    name = add(store, "one")
    if damage == "edit":
        (store.trees / name / "word").write_text("two")
    else:
        store.conf.unlink()
    with pytest.raises(RefusedError, match=f"the live tree {name} was changed by hand since it was made"):
        nginx_store.patched(store, {})


def test_going_back(store: Any) -> None:
    names = [add(store, word) for word in ("one", "two", "three")]
    assert nginx_store.kept(store, "previous") == (names[1], store.read(names[1]))
    store.choose(names[1])
    assert nginx_store.kept(store, "previous")[0] == names[0]
    assert nginx_store.kept(store, names[2])[0] == names[2]
    store.choose(names[0])
    with pytest.raises(RefusedError, match="no earlier tree"):
        nginx_store.kept(store, "previous")
    with pytest.raises(RefusedError, match="tree: 0000-12345678 is not kept on this host, which has 0001-"):
        nginx_store.kept(store, "0000-12345678")
    (store.trees / names[2] / "word").write_text("other")
    with pytest.raises(RefusedError, match=f"tree: {names[2]} was changed by hand since it was proven"):
        nginx_store.kept(store, names[2])


def test_the_error_log_is_read_from_where_it_was(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    server = nginx_server.Server(log, 1)
    assert server.emergencies(0) == []
    old = "2026/11/21 22:53:12 [emerg] 1#1: old\n"
    new = (
        "2026/11/21 22:53:12 [notice] 5601#5601: signal process started\n"
        "2026/11/21 22:53:12 [emerg] 5601#5601: bind() to 0.0.0.0:22 failed (98: Address already in use)\n"
        "2026/11/21 22:53:13 [emerg] 5601#5601: bind() to 0.0.0.0:22 failed (98: Address already in use)\n"
        "2026/11/21 22:53:14 [emerg] 5601#5601: still could not bind()\n"
    )
    expected = ["bind() to 0.0.0.0:22 failed (98: Address already in use)", "still could not bind()"]
    log.write_text(old + new)
    assert server.emergencies(len(old)) == expected
    log.write_text(new)  # rotated since
    assert server.emergencies(len(old + new)) == expected
    assert [bool(nginx_server.BIND_RETRY.search(line)) for line in expected] == [True, False]


def test_a_command_that_fails_or_hangs_is_reported(tmp_path: Path) -> None:
    server = nginx_server.Server(tmp_path / "error.log", 1)
    with pytest.raises(RefusedError, match=r"^said$"):
        server.call("sh", "-c", "echo said >&2; exit 3")
    with pytest.raises(RefusedError, match=r"^nginx: \[emerg\] said$"):
        server.call("sh", "-c", "echo '2026/11/21 23:17:39 [emerg] 9463#9463: said' >&2; exit 1")
    with pytest.raises(RefusedError, match=r"`false` ended with 1"):
        server.call("false")
    with pytest.raises(RefusedError, match="`sleep 9` did not end within 1 s"):
        server.call("sleep", "9")


def test_a_kernel_without_ipv6_is_named(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "nginx: [emerg] socket() [::]:80 failed (97: Address family not supported by protocol)"

    def refuse(*_: str) -> None:
        raise RefusedError(said)

    server = nginx_server.Server(store.root / "error.log", 1)
    monkeypatch.setattr(server, "call", refuse)
    name = add(store, "word")
    with pytest.raises(RefusedError) as refused:
        server.test(store, name)
    assert str(refused.value) == f'{said}\nthis host\'s kernel has no IPv6: write proxy_listen: ["*"]'
    said = "nginx: [emerg] something else"
    with pytest.raises(RefusedError, match=r"^nginx: \[emerg\] something else$"):
        server.test(store, name)


@pytest.mark.parametrize("master", [0, 7])
def test_who_gave_way_is_started_again_where_nginx_does_not_serve(
    store: Any, monkeypatch: pytest.MonkeyPatch, master: int
) -> None:
    module = load("roles/nginx/library/nginx_tree.py")
    steps: list[Any] = []

    class Server:
        def status(self) -> nginx_server.Status:
            return nginx_server.Status(master, 0, True, False)

        def serves(self, *_: Any) -> bool:
            return False

        def test(self, *_: Any) -> list[str]:
            return []

        def bring_up(self, name: str) -> str:
            steps.append("bring up")
            raise RefusedError("bind() failed")

        def reread(self) -> None:
            steps.append("reread")

        def call(self, *words: str) -> None:
            steps.append(words[1])

    monkeypatch.setattr(module, "absent_files", lambda options: [])

    def displace(_: Any) -> list[str]:
        steps.append("displace")
        return ["apache2.service"]

    monkeypatch.setattr(module.web_servers, "displace", displace)
    monkeypatch.setattr(module.web_servers, "restore", steps.append)
    options = {
        "files": FILES, "secrets": {}, "state": "present", "depends": [], "needs": [], "readable": [],
        "open_files": 0, "take_over": True, "keep": 5,
    }  # fmt: skip
    result: dict[str, Any] = {}
    with pytest.raises(RefusedError):
        module.run(store, Server(), options, False, result)
    # One that serves already has the ports.
    wanted = ["displace", "bring up", "stop", ["apache2.service"]] if not master else ["bring up", "reread", []]
    assert steps == wanted
    assert "displaced" not in result


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.conf": ""}, "the tree has no nginx.conf"),
        ({"../a": ""}, "'../a': write a path below active/, of letters, digits and _ - . /"),
        ({"/etc/a": ""}, "'/etc/a': write a path below active/, of letters, digits and _ - . /"),
        ({"a//b": ""}, "'a//b': write a path below active/, of letters, digits and _ - . /"),
        ({"a b": ""}, "'a b': write a path below active/, of letters, digits and _ - . /"),
        ({".a": ""}, "'.a': write a path below active/, of letters, digits and _ - . /"),
        ({"a\n": ""}, "'a\\n': write a path below active/, of letters, digits and _ - . /"),
        ({"identity.conf": ""}, "identity.conf: nginx_tree writes this file itself; choose another name"),
        ({"a": "", "a/b": ""}, "a/b: a is a file of the tree, so it cannot be a folder"),
        ({"a": 1}, "a: the content must be text"),
        (
            {"a": "http { include sites/*.conf; }"},
            "a: include sites/*.conf: write active/... for a file of the tree, else an absolute path",
        ),
        (
            {"a": "  include /etc/nginx/active/a;"},
            "a: include /etc/nginx/active/a: write active/... for a file of the tree, else an absolute path",
        ),
    ],
)
def test_a_tree_that_cannot_work_is_refused_on_the_controller(files: dict[str, Any], message: str) -> None:
    base = (
        {}
        if "nginx.conf" in message
        else {"nginx.conf": "include active/sites/*.conf;\ninclude /etc/nginx/mime.types;"}
    )
    assert action.problems({**base, **files}) == [message]


def test_a_patch_needs_no_nginx_conf_and_is_checked_like_the_whole() -> None:
    assert action.problems({"upstreams/a.conf": "upstream a {}"}, whole=False) == []
    assert action.problems({"upstreams/a.conf": "include x;"}, whole=False) != []
    assert action.problems({"upstreams/a.conf": "upstream a {}"}) == ["the tree has no nginx.conf"]


def test_differences_name_the_paths_and_what_is_new_or_gone() -> None:
    entries = action.differences(
        {"active/b": "1\n2\n", "active/gone": "x\n"}, {"active/b": "1\n3\n", "active/a": "y\n"}
    )
    assert [(entry["before_header"], entry["after_header"]) for entry in entries] == [
        ("/dev/null", "active/a"),
        ("active/b", "active/b"),
        ("active/gone", "/dev/null"),
    ]
    assert action.unified(entries[1]) == "--- active/b\n+++ active/b\n@@ -1,2 +1,2 @@\n 1\n-2\n+3"


class Templar:
    """Counts how often each variable is evaluated; a value that begins with $ is another variable."""

    def __init__(self, variables: dict[str, Any], counts: dict[str, int]) -> None:
        self.available_variables, self.counts = variables, counts

    def extend(self) -> Any:
        return Templar(self.available_variables, self.counts)

    def template(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("$"):
            return value
        self.counts[value] = self.counts.get(value, 0) + 1
        return self.template(self.available_variables[value[1:]])


def test_variables_are_evaluated_once_each_with_those_before_it() -> None:
    counts: dict[str, int] = {}
    templar = Templar({"input": "sites", "sites": "$input", "files": "$sites", "names": ["sites", "files"]}, counts)
    known: dict[str, Any] = {}
    assert action.ActionModule.finalize_task_arg("once", "$names", templar, known) == {
        "sites": "sites",
        "files": "sites",
    }
    assert counts == {"$names": 1, "$input": 1, "$sites": 1}
    for _ in range(3):
        assert action.ActionModule.finalize_task_arg("files", "$files", templar, known) == "sites"
    assert counts == {"$names": 1, "$input": 1, "$sites": 1, "$files": 3}


def test_a_variable_that_is_not_there_is_named() -> None:
    with pytest.raises(action.AnsibleActionFail, match="once names pages, and there is no such variable"):
        action.evaluated(["pages"], Templar({}, {}))


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({}, {"active/a.conf": "new"}, "active/a.conf: added"),
        ({"active/a.conf": "old"}, {"active/a.conf": "new"}, "active/a.conf: changed"),
        ({"active/a.conf": "old"}, {}, "active/a.conf: removed"),
    ],
)
def test_one_line_says_what_happened_to_a_file(before: dict[str, str], after: dict[str, str], line: str) -> None:
    assert [action.change(entry) for entry in action.differences(before, after)] == [line]


def test_nobody_goes_back_to_who_was_drained(store: Any) -> None:
    first, live = add(store, "one"), add(store, "two")
    # Drained and undrained, as a deployment does it.
    for word in ("server web1 down;\n", "server web1;\n"):
        name, texts = nginx_store.wanted(store, nginx_store.patched(store, {"sites/a.conf": word}), SUMS)
        store.create(name, texts)
        store.choose(name)
        store.record(name, 5, live)
        live = name
        assert store.proven() == [first, live]
        assert nginx_store.kept(store, "previous")[0] == first
