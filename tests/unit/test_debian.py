"""What is read from dpkg, the account of an application, and what the module apt_packages does to a host."""

from __future__ import annotations

import grp
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils import account, debian, nginx_host

from .conftest import load

apt_packages = load("roles/base/library/apt_packages.py")
LISTING = "nginx installed\nlogrotate config-files\nlibssl3 installed\n"


@pytest.fixture
def dpkg(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let dpkg-query give LISTING; return the commands that were run."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, LISTING, "dpkg-query: no packages found matching nodejs\n")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["nginx"], []),
        (["nginx", "nodejs"], ["nodejs"]),
        (["logrotate"], ["logrotate"]),  # removed, and only its settings are left
        (["libssl3:amd64"], []),
        (["nginx=1.26*"], ["nginx=1.26*"]),  # apt's to judge
        (["nginx", "php*"], ["php*"]),
        ([], []),
    ],
)
def test_what_is_not_installed(dpkg: list[list[str]], names: list[str], missing: list[str]) -> None:
    assert debian.not_installed(names) == missing


def test_dpkg_is_asked_once_and_not_for_nothing(dpkg: list[list[str]]) -> None:
    debian.not_installed(["nginx", "nodejs"])
    assert len(dpkg) == 1
    debian.not_installed([])
    debian.not_installed(["php*"])
    assert len(dpkg) == 1


def test_apts_proxy_is_written_changed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "01proxy"
    monkeypatch.setattr(apt_packages, "PROXY", file)
    assert apt_packages.write_proxy("http://10.0.0.5:3142", True) == [f"{file}: added"]
    assert not file.exists()
    assert apt_packages.write_proxy("http://10.0.0.5:3142", False) == [f"{file}: added"]
    assert 'Acquire::https::Proxy "http://10.0.0.5:3142";' in file.read_text().splitlines()
    assert apt_packages.write_proxy("http://10.0.0.5:3142", False) == []
    assert apt_packages.write_proxy("http://10.0.0.6:3142", False) == [f"{file}: changed"]
    assert apt_packages.write_proxy("", False) == [f"{file}: removed"]
    assert apt_packages.write_proxy("", False) == []


def test_a_unit_is_held_only_while_its_package_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, units = tmp_path / "run", tmp_path / "lib"
    units.mkdir()
    (units / "there.service").write_text("")
    reloads: list[list[str]] = []
    monkeypatch.setattr(apt_packages, "RUNTIME", runtime)
    monkeypatch.setattr(apt_packages, "UNITS", (units,))
    monkeypatch.setattr(apt_packages.subprocess, "run", lambda command, **_: reloads.append(command))
    apt_packages.hold(["there.service", "coming.service"])
    apt_packages.hold(["there.service", "coming.service"])
    assert [path.name for path in runtime.iterdir()] == ["coming.service"]
    assert (runtime / "coming.service").readlink() == Path("/dev/null")
    apt_packages.release(["there.service", "coming.service"])
    assert list(runtime.iterdir()) == []
    assert len(reloads) == 1
    apt_packages.release(["coming.service"])
    assert len(reloads) == 1


def test_a_mask_of_the_operators_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt_packages, "RUNTIME", tmp_path)
    (tmp_path / "nginx.service").write_text("[Service]\n")
    apt_packages.release(["nginx.service"])
    assert (tmp_path / "nginx.service").read_text() == "[Service]\n"


@pytest.mark.parametrize(
    ("entry", "shadow", "right"),
    [
        (("/nonexistent", "/usr/sbin/nologin"), "shop:!:20000:0:99999:7:::", True),
        (("/nonexistent", "/bin/sh"), "shop:!:20000:0:99999:7:::", False),
        (("/srv", "/usr/sbin/nologin"), "shop:!:20000:0:99999:7:::", False),
        (("/nonexistent", "/usr/sbin/nologin"), "shop:$y$word:20000:0:99999:7:::", False),
        (("/nonexistent", "/usr/sbin/nologin"), "other:!:20000:0:99999:7:::", False),
        (None, "shop:!:20000:0:99999:7:::", False),
    ],
)
def test_an_account_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: tuple[str, str] | None, shadow: str, right: bool
) -> None:
    def found(name: str) -> Any:
        if entry is None:
            raise KeyError(name)
        return type("Entry", (), {"pw_dir": entry[0], "pw_shell": entry[1], "gr_mem": ["www-data"]})

    monkeypatch.setattr(pwd, "getpwnam", found)
    monkeypatch.setattr(grp, "getgrnam", found)
    (tmp_path / "shadow").write_text(shadow + "\n")
    monkeypatch.setattr(account, "SHADOW", tmp_path / "shadow")
    assert account.is_right("shop") is right
    assert account.is_member("www-data", "shop") is (entry is not None)
    assert not account.is_member("nobody", "shop")


def test_settings_of_nginxs_unit_are_compared_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nginx.service.d" / "gatehouse.conf"
    monkeypatch.setattr(nginx_host, "SETTINGS", file)
    before, after = nginx_host.settle_unit(4096, True)
    assert (before, list(after), file.exists()) == ({}, [str(file)], False)
    nginx_host.settle_unit(4096, False)
    assert "LimitNOFILE=4096" in file.read_text().splitlines()
    assert nginx_host.settle_unit(4096, False) == ({}, {})
    file.write_text("by hand\n")
    assert nginx_host.settle_unit(4096, False)[0] == {str(file): "by hand\n"}
    assert file.read_text() == nginx_host.unit_settings(4096)


def test_folders_that_workers_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "/srv/open\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert nginx_host.unreadable([]) == []
    assert nginx_host.unreadable(["/srv/shut", "/srv/open"]) == ["/srv/shut"]
    assert commands[0][:4] == ["runuser", "-u", "www-data", "--"]
    assert len(commands) == 1
