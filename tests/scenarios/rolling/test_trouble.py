"""What happens to hosts while a deployment runs: visitors notice nothing, nothing is lost, and the next run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from estate import ROOT

from .conftest import Loading, Shop, assert_refused


@contextmanager
def deploying(shop: Shop, version: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """Deploy in the background; the block runs as soon as the host `until` is drained for it."""
    command = ["ansible-playbook", "playbooks/deploy.yml", "-i", shop.estate.inventory]
    run = subprocess.Popen(
        [*command, "-e", f"app=shop version={version}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while until not in (noted := {file.stem for file in (shop.estate.state / "drained").glob("*.json")}):
            assert time.monotonic() < deadline, noted
            time.sleep(0.05)
        yield run
    finally:
        run.kill()
        run.wait()


def come_back(shop: Shop, host: str) -> None:
    """Start a host, and wait until it is reached."""
    shop.estate.podman("start", host)
    deadline = time.monotonic() + 60
    while not shop.estate.controller_reaches(host):
        assert time.monotonic() < deadline
        time.sleep(0.5)


@contextmanager
def full_disk(shop: Shop, app: str, host: str) -> Iterator[None]:
    """Leave no room where a host unpacks an application's releases."""
    releases, machine = f"/srv/{app}/releases", shop.estate.host(host)
    machine.check_output(f"mkdir -p /srv/full && cp -a {releases}/. /srv/full/")
    machine.check_output(
        f"mount -t tmpfs -o size=64k,mode=755 tmpfs {releases}"
        f" && cp -a /srv/full/$(basename $(readlink /srv/{app}/current))* {releases}/"
    )
    try:
        machine.run(f"dd if=/dev/zero of={releases}/.fill bs=1k")
        yield
    finally:
        machine.check_output(f"umount -l {releases}; rm -r /srv/full")


def test_a_run_goes_on_without_a_dead_host_and_it_serves_when_it_is_well(
    shop: Shop, load: Loading, version: str
) -> None:
    with deploying(shop, "4.0.0", until="shop2") as first:
        shop.estate.podman("kill", "shop2")
        said = first.communicate(timeout=240)[0]
    try:
        assert first.returncode != 0
        assert "shop2 stays drained: it cannot be reached" in said, said
        assert "The hosts that were to follow were not touched." in said
        assert shop.look("shop3") == (version, "well")
        assert shop.drained() == {"shop2"}
        word = "-e skip_unreachable=true goes on without a host that cannot be reached"
        assert_refused(shop.deploy("4.1.0"), word, "shop was changed on no host")
        with load() as seen:
            run = shop.deploy("4.1.0", "-e", "skip_unreachable=true")
            assert run.returncode == 0, run.stdout
            assert "this run goes on without shop2, which cannot be reached" in run.stdout
        seen.assert_nobody_noticed()
        assert {host: shop.look(host) for host in ("shop1", "shop3")} == dict.fromkeys(
            ("shop1", "shop3"), ("4.1.0", "well")
        )
    finally:
        come_back(shop, "shop2")
    # It is well by itself, with what it ran before, and gets no request until a deployment has asked it.
    assert shop.drained() == {"shop2"}
    undrained = shop.play("undrain", "-e", "host=shop2")
    assert_refused(undrained, "runs have gone on without shop2, which may have an old release; run site.yml or")
    assert shop.drained() == {"shop2"}
    with load() as seen:
        run = shop.deploy(version)
        assert run.returncode == 0, run.stdout
    seen.assert_nobody_noticed()
    shop.assert_as_before(version)


def test_one_application_that_fails_stops_no_other(shop: Shop, load: Loading, version: str) -> None:
    desk, log = shop.estate.host("desk1"), shop.estate.state / "deploys" / "desk" / "log"
    with load() as seen:
        with full_disk(shop, "desk", "desk1"):
            run = shop.play("deploy", "-e", "app_version=5.0.0")
        assert_refused(
            run,
            "desk failed: desk1: no space is left on this host for /srv/desk/releases",
            "desk was changed on no host: each of them serves what it served before.",
            "runs on shop1, shop2, shop3; switched in this run: shop1, shop2, shop3",
        )
        shop.assert_as_before("5.0.0")
        # Later, where its standby should start: what follows in the same run is done for the others, and for itself.
        busy = "systemd-run --quiet --unit=busy python3 -m http.server 24000 --bind 127.0.0.1"
        desk.check_output(busy)
        try:
            run = shop.estate.play("playbooks/apps.yml", "-e", "app_version=5.2.0")
        finally:
            desk.check_output("systemctl stop busy")
    seen.assert_nobody_noticed()
    assert_refused(run, "desk failed: desk ", "shop 5.2.0-", "switched in this run: shop1, shop2, shop3")
    after = run.stdout.partition("PLAY [Configure the applications' TLS endpoints]")[2]
    assert all(f"[{host}]" in after for host in ("desk1", *shop.hosts)), run.stdout
    shop.assert_as_before("5.2.0")
    assert desk.check_output("curl -s http://127.0.0.1:4000/healthz") == "well"
    assert [json.loads(line)["outcome"] for line in log.read_text().splitlines()][-2:] == ["failed", "failed"]
    assert shop.deploy(version).returncode == 0


def test_the_first_failure_ends_the_run_if_asked(shop: Shop, version: str) -> None:
    with full_disk(shop, "desk", "desk1"):
        run = shop.play("deploy", "-e", "app_version=5.1.0", "-e", "stop_on_failure=true")
    assert_refused(run, "no space is left on this host for /srv/desk/releases")
    shop.assert_as_before(version)
