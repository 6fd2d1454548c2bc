"""A release that is bad in any way leaves the old one serving, nobody notices, and the operator reads why."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from estate import ROOT

from .conftest import Loading, Shop, assert_refused


def test_bad_releases_are_put_back_while_nobody_notices(shop: Shop, load: Loading, version: str) -> None:
    with load() as seen:
        assert_refused(
            shop.deploy("2.0.0-crash"),
            "shop cannot start: it is set to crash",
            f"Release {version}-",
            "was put back and answers.",
            "The hosts that were to follow were not touched.",
        )
        shop.assert_as_before(version)
        assert_refused(
            shop.deploy("2.0.0-error"),
            "did not answer 200 at http://127.0.0.1:3000/healthz within 6 s (status 500: broken)",
            "shop answers 500 to /healthz",
        )
        shop.assert_as_before(version)
        assert_refused(shop.deploy("2.0.0-hang"), "/healthz within 6 s (timed out)", "was put back and answers.")
        shop.assert_as_before(version)
        # Well when asked on its own host: only a proxy notices.
        assert_refused(
            shop.deploy("2.0.0-proxies"),
            "shop1 did not answer 200 to this proxy at https://10.38.0.101:443/healthz (mtls), asked 3 times: "
            "status 500: broken",
            "What the unit wrote on shop1:",
            "shop answers 500 to /healthz",
        )
        shop.assert_as_before(version)
        assert_refused(
            shop.deploy("2.0.0-migration"), "the migration cannot add the column", "and nothing was switched"
        )
        shop.assert_as_before(version)
    seen.assert_nobody_noticed()
    assert {release.rpartition("-")[0] for release in seen.releases} == {version}


def test_what_failed_is_marked_and_never_gone_back_to(shop: Shop, version: str) -> None:
    listed = shop.play("releases").stdout
    assert re.search(r"2\.0\.0-proxies-\w+: failed \(shop1 did not answer 200 to this proxy", listed), listed
    back = shop.play("rollback", "-e", "app=shop")
    assert_refused(back, "there is no good release before the one that runs.", "2.0.0-proxies-", "(failed)")
    shop.assert_as_before(version)


def test_a_damaged_archive_is_unpacked_nowhere(shop: Shop, version: str, tmp_path: Path) -> None:
    good = next((ROOT / "build").glob(f"shop-{version}.tar.gz"))
    archive = tmp_path / "shop.tar.gz"
    archive.write_bytes(good.read_bytes()[:-20])
    archive.with_name("shop.tar.gz.sha256").write_text((ROOT / "build" / f"{good.name}.sha256").read_text())
    run = shop.deploy("2.1.0", "-e", json.dumps({"app_archive": str(archive)}))
    assert_refused(
        run, "nothing was unpacked", "shop was changed on no host: each of them serves what it served before."
    )
    shop.assert_as_before(version)


def test_a_host_that_does_not_answer_either_way_stays_out_until_a_good_run(shop: Shop, version: str) -> None:
    # Neither release answers that status, by which the present one is said to have been found good.
    host, record = shop.estate.host("shop1"), "/srv/shop/releases/$(basename $(readlink /srv/shop/current)).json"
    host.check_output(f"""sed -i 's/"status": 200/"status": 201/' {record}""")
    run = shop.deploy("2.6.0", "-e", "app_health_status=201")
    host.check_output(f"""sed -i 's/"status": 201/"status": 200/' {record}""")
    assert_refused(run, "but does not answer either: status 200: well", "shop1 stays drained: it cannot be reached, or")
    assert shop.drained() == {"shop1"}
    run = shop.deploy(version)
    assert run.returncode == 0, run.stdout
    shop.assert_as_before(version)


def test_a_run_that_is_killed_at_the_gate_puts_back_what_it_finds(shop: Shop, load: Loading, version: str) -> None:
    bad = "2.7.0-proxies"
    command = ["ansible-playbook", "playbooks/deploy.yml", "-i", shop.estate.inventory, "-e", f"app=shop version={bad}"]
    with load() as seen:
        first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            deadline = time.monotonic() + 90
            while shop.look("shop1") != (bad, "well"):  # well on its own host, and the proxies ask already
                assert time.monotonic() < deadline
        finally:
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
        assert shop.drained() == {"shop1"}
        # It has nothing to change, and the gate is what refuses.
        assert_refused(shop.deploy(bad), "shop1 did not answer 200 to this proxy", "What the unit wrote on shop1:")
        shop.assert_as_before(version)
    seen.assert_nobody_noticed()
    assert re.search(r"2\.7\.0-proxies-\w+: failed \(shop1 did not answer 200", shop.play("releases").stdout)


def test_a_canary_that_its_command_does_not_like_is_put_back(shop: Shop, version: str) -> None:
    canary = {"rollout_canary_seconds": 2, "rollout_canary_command": ["/bin/false"]}
    run = shop.deploy("2.3.0", "-e", json.dumps(canary))
    why = "/bin/false (rollout_canary_command) did not end with 0 within 2 s; it said last: nothing"
    assert_refused(run, "shop 2.3.0-", "failed on shop1", why, "The hosts that were to follow were not touched.")
    shop.assert_as_before(version)


def test_all_hosts_in_one_batch_are_refused(shop: Shop, version: str) -> None:
    run = shop.deploy("2.4.0", "-e", "rollout_batch=100%")
    assert_refused(run, "upstream shop would have no member left")
    shop.assert_as_before(version)


def test_a_run_without_the_proxies_is_refused(shop: Shop, version: str) -> None:
    run = shop.deploy("2.5.0", "--limit", "shop1")
    assert_refused(run, "this run leaves out proxy1, proxy2", "--limit shop1:proxies")
    shop.assert_as_before(version)


def test_an_application_that_is_not_there_is_named(shop: Shop) -> None:
    run = shop.play("deploy", "-e", "app=shopp")
    assert_refused(
        run, "app is shopp, and the inventory has no application of that name; write -e app=desk or -e app=shop"
    )


def test_the_sandbox_and_its_limits(shop: Shop) -> None:
    host = shop.estate.host("shop1")
    score = host.check_output("systemd-analyze security --no-pager shop | tail -n 1").split(": ")[-1].split()[0]
    assert float(score) <= 3.0
    shown = host.check_output("systemctl show shop -p MemoryMax -p CPUQuotaPerSecUSec -p TasksMax -p User")
    assert set(shown.splitlines()) == {"User=shop", "MemoryMax=536870912", "CPUQuotaPerSecUSec=2s", "TasksMax=200"}
    link = host.check_output("readlink /srv/shop/current/storage")
    assert link == "../../shared/storage"
