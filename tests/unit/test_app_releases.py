"""What is known of each release on a host: which one was good, which failed, what they share, what is pruned."""

from __future__ import annotations

import errno
import os
import pwd
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.app import deployment as module
from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import file_sha256
from ansible_collections.gatehouse.core.plugins.module_utils.app.former import Former
from ansible_collections.gatehouse.core.plugins.module_utils.app.releases import Releases, explained


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the releases of an application in a scratch folder, whose account is ours."""
    account = SimpleNamespace(pw_uid=os.getuid(), pw_gid=os.getgid())
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account)
    return Releases(str(tmp_path), "shop", "shop")


def add(
    releases: Any,
    release: str,
    *paths: str,
    shared: tuple[str, ...] = (),
    prepare: Callable[[Path], Any] = lambda folder: None,
) -> None:
    """Unpack a release with these files in it."""
    source = releases.home.parent / f"source-{release}"
    for path in paths or ("main.js",):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(release)
    archive = source.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        for file in sorted(source.rglob("*")):
            tar.add(file, str(file.relative_to(source)), recursive=False)
    record = {"sha256": file_sha256(archive), "inputs": "", "shared": list(shared)}
    releases.unpack(release, archive, record, prepare)


def test_what_failed_is_marked_and_listed_last(releases: Any) -> None:
    for release in ("1", "2", "3"):
        add(releases, release)
        releases.note(release, deployed=float(release))
    add(releases, "4")
    releases.link("current", "2")
    releases.note("3", failed="it hung")
    assert [(one["release"], one["failed"], one["current"]) for one in releases.listed()] == [
        ("2", "", True),
        ("1", "", False),
        ("3", "it hung", False),
        ("4", "", False),
    ]
    releases.note("3", failed=None)
    assert releases.known()[0] == "3"


@pytest.mark.parametrize(
    "plant",
    [
        lambda file: file.write_text("LD_PRELOAD=/srv/shop/current/own.so\n"),
        lambda file: file.symlink_to("main.js"),
        lambda file: (file.mkdir(), (file / "x").write_text("")),
    ],
    ids=["a file", "a link", "a folder"],
)
def test_what_prepares_a_release_says_nothing_of_its_environment(releases: Any, plant: Callable[[Path], Any]) -> None:
    """Root's own command starts with it (ExecStartPre=+nft), and would load a library that it names."""
    add(releases, "1", prepare=lambda folder: plant(folder / "release.env"))
    file = releases.folder / "1" / "release.env"
    assert not file.is_symlink()
    assert file.read_text().splitlines()[1:] == ['APP_RELEASE="1"']
    assert (releases.folder / "1" / "main.js").read_text() == "1"


def test_a_note_leaves_the_release_intact(releases: Any) -> None:
    add(releases, "1")
    releases.note("1", deployed=5.0)
    assert releases.recorded("1")["deployed"] == 5.0
    (releases.folder / "1" / "main.js").write_text("by hand")
    assert releases.recorded("1") == {}


def test_releases_share_what_they_are_asked_to(releases: Any) -> None:
    add(releases, "1", "main.js", "storage/a", shared=("storage", "public/uploads"))
    add(releases, "2", "main.js", shared=("storage", "public/uploads"))
    (releases.home / "shared" / "storage" / "kept").write_text("x")
    for release in ("1", "2"):
        top = releases.folder / release
        assert (top / "storage" / "kept").read_text() == "x"
        assert (top / "public" / "uploads").is_dir()
        assert not (top / "storage").readlink().is_absolute()
        assert releases.recorded(release)
    assert not (releases.folder / "1" / "storage" / "a").exists()
    releases.remove("1")
    assert (releases.home / "shared" / "storage" / "kept").exists()


def test_a_shared_links_owner_is_the_account(releases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nginx follows no other link than one that belongs to whom it leads to."""
    given = []
    monkeypatch.setattr(os, "chown", lambda path, *ids, **how: given.append((Path(path).name, ids, how)))
    add(releases, "1", "main.js", shared=("public/uploads",))
    follows = {how.get("follow_symlinks", True) for name, ids, how in given if name == "uploads"}
    assert follows == {False}
    assert {ids for name, ids, _ in given if name == "uploads"} == {(os.getuid(), os.getgid())}
    assert releases.shares("1", ["public/uploads"])
    other = SimpleNamespace(pw_uid=os.getuid() + 1, pw_gid=0)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: other)
    assert not releases.shares("1", ["public/uploads"])


@pytest.fixture
def deployment(releases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function: the deployment of the application, with these options beside the usual ones."""
    monkeypatch.setattr(module, "SETTINGS", tmp_path)
    usual = {
        "name": "shop", "root": str(tmp_path), "user": "shop", "state": "released", "unit": "", "environment": {},
        "address": "127.0.0.1", "port": 3000, "health_path": "/", "health_timeout": 1, "health_status": 200,
        "health_body": "", "health_host": "", "unproven": False, "keep": 1, "reason": "",
        "processes": [], "schedules": [], "first": True, "restart": False, "secrets": {}, "egress": "",
    }  # fmt: skip
    return lambda **options: module.Deployment({**usual, **options}, False)


@pytest.mark.parametrize(
    ("current", "deployed", "unproven", "held"),
    [
        ("2", 0.0, False, "1"),  # killed after the switch
        ("1", 0.0, False, "1"),  # killed before it
        ("2", 9.0, False, ""),  # found good
        ("2", 9.0, True, "1"),  # by its own host alone: the run never came to its end
        ("3", 0.0, True, ""),  # another change
    ],
)
def test_what_an_interrupted_run_replaced_is_still_what_to_go_back_to(
    releases: Any, deployment: Any, current: str, deployed: float, unproven: bool, held: str
) -> None:
    add(releases, "2")
    releases.note("2", deployed=deployed)
    one = deployment(unproven=unproven)
    Former("1", "2", 5.0, [], deploys=True).write(one.former)
    known = one.held(current, "2")
    assert (known.release if known else "") == held


def test_a_report_says_what_came_what_was_written_and_what_to_do(deployment: Any) -> None:
    one = deployment(health_host="shop.example", health_path="/healthz")
    said = one.report("2", "status 400: <h1>Bad Request (400)</h1>", "Release 1 was put back and answers.", "booted")
    assert said.splitlines() == [
        "shop 2 did not answer 200 at http://127.0.0.1:3000/healthz for shop.example within 1 s (status 400: "
        "<h1>Bad Request (400)</h1>). Release 1 was put back and answers.",
        "What the unit wrote:",
        "booted",
        "Hint: Django refuses the host name shop.example: add it to ALLOWED_HOSTS, or set app_health_host to one that "
        "it accepts.",
        "Correct the application or its settings (app_environment, app_secrets, app_health_path, app_health_host, "
        "app_health_timeout) and deploy again; `journalctl -u shop.service` on the host has the rest.",
    ]
    assert "Hint" not in one.report("2", "status 500", "", "")


def test_nothing_is_put_back_that_is_gone_or_was_not_replaced(releases: Any, deployment: Any) -> None:
    for release in ("2", "3"):
        add(releases, release)
    releases.link("current", "2")
    for former, replaced_by in (("1", "2"), ("3", "4")):
        one = deployment(state="put_back")
        Former(former, replaced_by, 5.0, [], deploys=True).write(one.former)
        with pytest.raises(Exception, match=f"does not know any more what shop ran before {replaced_by}"):
            one.undo()
        assert not one.answers


def test_what_is_staged_takes_nothing_from_what_can_be_gone_back_to(releases: Any, deployment: Any) -> None:
    for release in ("1", "2", "3", "4"):
        add(releases, release)
    releases.link("previous", "2")
    releases.link("current", "3")
    deployment(state="staged").prune("4")
    assert sorted(releases.known()) == ["2", "3", "4"]
    releases.link("previous", "3")
    releases.link("current", "4")
    deployment().prune("4")
    assert sorted(releases.known()) == ["3", "4"]


class Steps:
    """Answers in the place of systemd: what it was asked, in order, and which process does not stay."""

    def __init__(self, deployment: Any, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.taken: list[str] = []
        self.lost: dict[str, str] = {}
        module = type(deployment).ensure.__globals__
        monkeypatch.setitem(module, "systemctl", lambda *words, check=True: "")
        monkeypatch.setitem(module, "run", lambda *words, **how: "a table")
        deployment.egress = folder / "shop.nft"
        service, processes = deployment.service, deployment.processes
        shown = {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
        monkeypatch.setattr(service, "show", lambda: shown)
        monkeypatch.setattr(service, "restart", lambda: self.taken.append(f"restart {self.release()}"))
        self.releases = deployment.releases
        monkeypatch.setattr(service, "wait", lambda gate: "")
        monkeypatch.setattr(service, "journal", lambda since, *units: f"what {', '.join(units) or 'it'} wrote")
        ran = {"ActiveState": "active", "UnitFileState": "enabled"}
        monkeypatch.setattr(processes, "here", lambda: {"shop.old@1.service": ran, "shop.worker@1.service": ran})
        monkeypatch.setattr(processes, "stop", lambda units, say: self.taken.append(f"stop {', '.join(sorted(units))}"))
        monkeypatch.setattr(processes, "disable", lambda units: self.taken.append(f"disable {', '.join(units)}"))
        monkeypatch.setattr(processes, "start", self.start)
        (folder / "shop.env").write_text("")
        self.files = [module["ManagedFile"](folder / "shop.env", "", 0o644)]

    def release(self) -> str:
        return str(self.releases.linked("current"))

    def start(self, units: list[str]) -> dict[str, str]:
        self.taken.append(f"start {', '.join(units)} of {self.release()}")
        return {unit: how for unit, how in self.lost.items() if self.release() == "2"}


WORKER = {"name": "worker", "command": "work", "instances": 2, "hosts": "all", "readiness_delay": 0}


@pytest.fixture
def moving(releases: Any, deployment: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Any, Steps]:
    """Return a deployment of release 2, where 1 runs with a worker and a process that is no more; and its steps."""
    for release in ("1", "2"):
        add(releases, release)
    releases.note("1", deployed=1.0)
    releases.link("current", "1")
    one = deployment(processes=[WORKER])
    return one, Steps(one, monkeypatch, tmp_path)


def test_processes_end_before_the_switch_and_start_when_it_is_proven(moving: tuple[Any, Steps]) -> None:
    one, steps = moving
    one.ensure("2", False, steps.files)
    old, first, second = "shop.old@1.service", "shop.worker@1.service", "shop.worker@2.service"
    assert steps.taken == [
        f"stop {old}, {first}",
        f"disable {old}",
        "restart 2",
        f"start {first}, {second} of 2",
    ]
    assert f"stop {old}: the inventory has no such one here" in one.actions
    assert one.releases.fact("2", "deployed")


def test_a_process_that_does_not_stay_puts_the_release_back_with_its_own(moving: tuple[Any, Steps]) -> None:
    one, steps = moving
    steps.lost = {"shop.worker@2.service": "exit-code, status 1"}
    with pytest.raises(Exception, match="answers, and a process of it did not stay") as error:
        one.ensure("2", False, steps.files)
    assert steps.taken[-2:] == ["restart 1", "start shop.old@1.service, shop.worker@1.service of 1"]
    assert "Release 1 was put back and answers." in str(error.value)
    assert "what shop.worker@2.service wrote" in str(error.value)
    assert one.answers
    assert one.releases.fact("2", "failed")
    assert not one.releases.fact("2", "deployed")


def test_a_full_disk_is_named_with_its_place() -> None:
    remedy = "make room (`df -h /srv/shop/releases`), and run this again"
    full = OSError(errno.ENOSPC, "No space left on device")
    assert explained(full, "/srv/shop/releases") == f"no space is left on this host for /srv/shop/releases: {remedy}"
    full.filename = "/etc/systemd/system/shop.service"
    assert explained(full, "/srv/shop/releases").startswith(
        "no space is left on this host for /etc/systemd/system/shop"
    )
    assert explained(OSError(errno.EACCES, "Permission denied"), "/srv") == "[Errno 13] Permission denied"
