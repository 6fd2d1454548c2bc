"""What an application of evil intent meets where root works beside it: no link followed, no answer without an end."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader
from ansible.template import Templar, trust_as_template
from ansible_collections.gatehouse.core.plugins.module_utils.app import confined, service
from ansible_collections.gatehouse.core.plugins.module_utils.app.releases import Releases

ROLE = Path(__file__).parents[2] / "roles" / "app"
sys.path[:0] = [str(ROLE / "filter_plugins")]
NOBODY = SimpleNamespace(pw_uid=65534, pw_gid=65534)
UNIT = """\
[Unit]
Description=shop

[Service]
# Why
Type=exec
User=shop
EnvironmentFile=/etc/gatehouse/shop.secrets.env
ExecStartPre=+/usr/sbin/nft -f /etc/gatehouse/shop.nft
ExecStart=/usr/bin/node
RuntimeDirectory=shop
StateDirectory=shop
ReadWritePaths=/srv/shop/shared
NoNewPrivileges=yes
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    account = NOBODY if os.geteuid() == 0 else SimpleNamespace(pw_uid=os.getuid(), pw_gid=os.getgid())
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account)
    (tmp_path / "srv" / "shop").mkdir(parents=True)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return Releases(str(tmp_path / "srv"), "shop", "shop")


def test_shared_folders_are_the_accounts(releases: Any) -> None:
    releases.make_shared("public/uploads")
    releases.make_shared("public/uploads")
    made = releases.home / "shared" / "public" / "uploads"
    assert made.stat().st_mode & 0o777 == 0o750
    assert made.owner() == (made.parents[1]).owner() == ("nobody" if os.geteuid() == 0 else made.owner())
    assert os.geteuid() == os.getuid()  # what followed has root's rights again


@pytest.mark.parametrize("planted", ["public", "public/uploads"])
@pytest.mark.parametrize("kind", ["link", "dangling", "file"])
def test_what_is_planted_in_place_of_a_shared_folder_is_refused(
    releases: Any, tmp_path: Path, planted: str, kind: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    releases.make_shared("public")
    place = releases.home / "shared" / planted
    with contextlib.suppress(FileNotFoundError):
        place.rmdir()
    if kind == "file":
        place.write_text("")
    else:
        place.symlink_to(victim if kind == "link" else tmp_path / "nowhere")
    before = victim.stat()
    with pytest.raises(service.ServiceError, match=f"/shared/{planted} cannot be a folder"):
        releases.make_shared("public/uploads")
    assert victim.stat() == before
    assert list(victim.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_link_in_place_of_the_shared_folder_itself_is_not_followed(releases: Any, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir(mode=0o777)
    (releases.home / "shared").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="shared"):
        releases.make_shared("uploads")
    assert list((tmp_path / "victim").iterdir()) == []


def test_a_tree_becomes_roots_without_what_is_no_file(tmp_path: Path) -> None:
    release = tmp_path / "release"
    (release / "bin").mkdir(parents=True)
    (release / "bin" / "run").write_text("")
    (release / "bin" / "run").chmod(0o6777)
    (release / "open").write_text("")
    (release / "open").chmod(0o666)
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o600)
    (release / "link").symlink_to(outside)
    confined.give(release, os.getuid(), os.getgid())
    modes = {path.name: path.stat().st_mode & 0o7777 for path in release.rglob("*") if not path.is_symlink()}
    assert modes == {"bin": 0o755, "run": 0o755, "open": 0o644}
    assert outside.stat().st_mode & 0o777 == 0o600
    (release / "hard").hardlink_to(outside)
    with pytest.raises(service.ServiceError, match="hard is no plain file"):
        confined.give(release, os.getuid(), os.getgid())
    (release / "hard").unlink()
    os.mkfifo(release / "pipe")
    with pytest.raises(service.ServiceError, match="pipe is no plain file"):
        confined.give(release, os.getuid(), os.getgid())


def test_a_command_apart_has_all_that_confines_the_unit() -> None:
    confinement = [
        "User=shop",
        "NoNewPrivileges=yes",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged",
    ]
    state = ["StateDirectory=shop", "ReadWritePaths=/srv/shop/shared"]
    assert sorted(confined.properties(UNIT)) == sorted(confinement + state)
    assert confined.properties(UNIT, confined.OF_ITS_STATE) == confinement


@pytest.mark.parametrize("ends", [True, False])
def test_what_prepares_a_release_writes_to_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    release, ran, owners = tmp_path / "unpack" / "release", [], []
    release.mkdir(parents=True)

    def run(command: list[str], **_: Any) -> None:
        ran.append(command)
        if command[0] == "systemd-run":
            # The account alone comes to it, through a folder that stays root's.
            assert (release.stat().st_mode & 0o777, release.parent.stat().st_mode & 0o777) == (0o755, 0o710)
            if not ends:
                raise service.ServiceError("it failed")

    account = SimpleNamespace(pw_uid=4711, pw_gid=4712)
    monkeypatch.setattr(confined, "run", run)
    monkeypatch.setattr(confined, "give", lambda folder, uid, gid: owners.append((folder, uid, gid)))
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: owners.append((path, uid, gid)))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account)
    with contextlib.nullcontext() if ends else pytest.raises(service.ServiceError, match="it failed"):
        confined.prepare("shop", ["bin/prepare"], release, UNIT, "shop", 30, Path("/run/shop.env"))
    words = ran[0][: ran[0].index("--")]
    assert ran[0][ran[0].index("--") :] == ["--", "bin/prepare"]
    given = [word.removeprefix("--property=") for word in words if word.startswith("--property=")]
    assert sorted(given) == sorted(
        [
            "User=shop",
            "NoNewPrivileges=yes",
            "SystemCallFilter=@system-service",
            "SystemCallFilter=~@privileged",
            "EnvironmentFile=/run/shop.env",
            f"WorkingDirectory={release}",
            f"ReadWritePaths={release}",
            "PrivateNetwork=yes",
            "UMask=0022",
            "Environment=HOME=/tmp XDG_CACHE_HOME=/tmp",
            "RuntimeMaxSec=30",
        ]
    )
    # Whatever came of it, the tree is root's again, and nobody else comes to it.
    assert owners == [(release.parent, 0, 4712), (release, 4711, 4712), (release, 0, 0)]
    assert release.parent.stat().st_mode & 0o777 == 0o700
    assert [command[:2] for command in ran[1:]] == ([] if ends else [["systemctl", "kill"]])


@contextlib.contextmanager
def dripping(server: socket.socket, first: bytes) -> Iterator[None]:
    """Take one connection, send `first`, and then a byte every 20 ms until nobody listens."""
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(first)
            for _ in range(500):
                time.sleep(0.02)
                connection.sendall(b"a")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join(timeout=15)


@pytest.mark.parametrize(
    "first", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"]
)
def test_an_answer_that_drips_has_one_deadline(first: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, dripping(server, first):
        gate = service.Gate("127.0.0.1", server.getsockname()[1], "/", 5)
        began = time.monotonic()
        assert gate.ask(0.4).startswith("timed out")
        assert time.monotonic() - began < 3


def test_fastcgi_that_drips_has_one_deadline(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "fpm.sock"))
        with dripping(server, b"\x01\x06\x00\x01\xff\xff\x00\x00"):
            gate = service.FastCgiGate("", 1, "/", 5, 200, "", str(tmp_path / "fpm.sock"), "index.php")
            began = time.monotonic()
            assert "timed out" in gate.ask(0.4)
            assert time.monotonic() - began < 3


def test_a_link_in_place_of_the_socket_is_not_asked(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "of-root.sock"))
        server.listen()
        server.setblocking(False)
        (tmp_path / "fpm.sock").symlink_to(tmp_path / "of-root.sock")
        gate = service.FastCgiGate("", 1, "/", 5, 200, "", str(tmp_path / "fpm.sock"), "index.php")
        assert gate.ask(1) == f"{tmp_path}/fpm.sock is not a socket"
        assert not gate.held_by(os.getuid())
        with pytest.raises(BlockingIOError):
            server.accept()


def test_what_no_rule_admits_is_rejected_at_once() -> None:
    loader = DataLoader()
    known: dict[str, Any] = {"ansible_search_path": [str(ROLE)], "ansible_config_file": "/srv/ansible.cfg"}
    for path in (ROLE / "defaults" / "main.yml", ROLE / "vars" / "main.yml"):
        known |= loader.load_from_file(str(path), trusted_as_template=True)
    known |= {"app_name": "shop", "app_port": 3000, "inventory_hostname": "shop1"}
    known |= {"app_egress": [{"name": "web", "to": ["192.0.2.0/24"], "ports": [443]}]}
    filter_loader.add_directory(str(ROLE / "filter_plugins"))
    text = trust_as_template((ROLE / "templates" / "egress.nft.j2").read_text())
    written = Templar(loader, known).template(text, overrides={"trim_blocks": True})
    chains = {
        name: [rule.strip() for rule in body.splitlines() if rule.strip() and "#" not in rule]
        for name, body in re.findall(r"chain (\w+) \{\n(.*?)\n\t\}", written, re.DOTALL)
    }
    hook = "type filter hook output priority filter; policy accept;"
    assert chains["output"] == [hook, 'meta skuid "shop" goto egress']
    verdicts = [rule.partition(" comment")[0].split()[-1] for rule in chains["egress"]]
    # Own answers, itself, link-local twice (before what the inventory admits), the inventory's, the log, and the end.
    assert [one for one in verdicts if one != '"'] == [
        "accept",
        "accept",
        *["admin-prohibited"] * 2,
        "accept",
        "admin-prohibited",
    ]
    assert chains["egress"][-1] == "reject with icmpx admin-prohibited"


def test_link_local_is_refused_before_anywhere_is_admitted() -> None:
    from egress_rules import egress_networks, egress_rules

    egress = [
        {"name": "web", "to": ["0.0.0.0/0", "::/0"], "ports": [443, 80]},
        {"name": "names", "to": ["10.0.0.2"], "ports": [53], "protocol": "udp"},
        {"name": "shop", "application": "shop"},
        {"name": "near", "to": ["169.254.1.1"]},
    ]
    rules = egress_rules(egress, ["10.0.0.11", "10.0.0.12"])
    reject = "reject with icmpx admin-prohibited"
    assert [(rule["name"], rule["match"], rule["verdict"]) for rule in rules] == [
        ("near", "ip daddr { 169.254.1.1 }", "accept"),
        ("link-local", "ip daddr { 169.254.0.0/16 }", reject),
        ("link-local", "ip6 daddr { fd00:ec2::254, fe80::/10 }", reject),
        ("web", "ip daddr { 0.0.0.0/0 } tcp dport { 80, 443 }", "accept"),
        ("web", "ip6 daddr { ::/0 } tcp dport { 80, 443 }", "accept"),
        ("names", "ip daddr { 10.0.0.2 } udp dport { 53 }", "accept"),
        ("shop", "ip daddr { 10.0.0.11, 10.0.0.12 } tcp dport { 443 }", "accept"),
    ]
    assert egress_networks(egress[1:3], ["10.0.0.11"]) == ["10.0.0.2/32", "10.0.0.11/32"]
    assert egress_networks([]) == []


def test_systemd_expands_nothing_in_a_command() -> None:
    found = confined.transient("shop-run", ["/bin/sh", "-c", 'exec "${0%/*}/python" $X'], ["User=shop"], 5)
    assert found[found.index("--") + 1 :] == ["/bin/sh", "-c", 'exec "$${0%/*}/python" $$X']
