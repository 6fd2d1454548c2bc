"""What visitors and operators see of a deployment that goes well, of going back, and of taking a host out."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

from estate import ROOT, Estate

from .conftest import Loading, Shop

LIVE = 2  # WebSockets of the load
# Remote tasks of one run, as Ansible counts them at verbosity 3.
TRIP = re.compile(r"^<([\d.]+)> SSH: EXEC", re.MULTILINE)


def trips(run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return how many round trips each host took; molecule has Ansible say that on stderr."""
    found = TRIP.findall(run.stdout + run.stderr)
    return {address: found.count(address) for address in sorted(set(found))}


def recap(text: str) -> dict[str, int]:
    """Return how many tasks changed something, by host."""
    return {name: int(count) for name, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", text, re.MULTILINE)}


def connections(shop: Shop, host: str) -> set[str]:
    """Return the peers that are connected to the application on a host."""
    command = "ss -Htn state established '( sport = :443 )'"
    return {line.split()[-1] for line in shop.estate.host(host).check_output(command).splitlines()}


def test_the_first_deployment_ran_the_migration_once_with_its_secret(shop: Shop) -> None:
    lines = {line: count for line, count in shop.lines("migrations").items() if "shop 1.0.0-" in line}
    assert set(lines.values()) == {1}
    assert all(line.endswith(" secret") and not line.endswith("no secret") for line in lines)


def test_what_is_there_already_is_said_and_changes_nothing(shop: Shop) -> None:
    began = time.monotonic()
    run = shop.play("deploy", "-e", "app=shop", "-vvv")
    assert run.returncode == 0, run.stdout
    assert "runs on shop1, shop2, shop3 already: nothing was changed" in run.stdout
    assert set(recap(run.stdout).values()) == {0}
    counts = trips(run)
    print(f"\na deployment with nothing to do: {time.monotonic() - began:.1f} s, round trips {counts}")
    assert set(counts) == {shop.estate.address(host) for host in shop.hosts}
    assert max(counts.values()) <= 3, counts


def test_a_release_moves_over_and_back_while_nobody_notices(shop: Shop, load: Loading) -> None:
    with load() as seen:
        began = time.monotonic()
        run = shop.deploy("1.1.0", "-vvv")
        print(f"\na deployment to three hosts: {time.monotonic() - began:.1f} s, round trips {trips(run)}")
        assert run.returncode == 0, run.stdout
        shop.assert_as_before("1.1.0")
        back = shop.play("rollback", "-e", "app=shop")
        assert back.returncode == 0, back.stdout
    seen.assert_nobody_noticed()
    assert {release.rpartition("-")[0] for release in seen.releases} == {"1.0.0", "1.1.0"}
    assert set(seen.spread) == set(shop.hosts)
    assert all(len(counts) == 2 for counts in seen.spread.values()), seen.spread
    shop.assert_as_before("1.0.0")
    assert [(line["what"], line["outcome"]) for line in shop.log()][-2:] == [
        ("deploy 1.1.0", "done"),
        ("go back", "done"),
    ]
    assert "shop: link 1.1.0-" in shop.estate.host("shop2").check_output("journalctl -t gatehouse --no-pager")


def test_a_host_is_taken_out_while_nobody_notices_and_stays_out(shop: Shop, load: Loading, estate: Estate) -> None:
    with load() as seen:
        before = connections(shop, "shop2")
        assert len(before) > LIVE
        run = shop.play("drain", "-e", "host=shop2", "-e", '{"reason": "new memory"}')
        assert run.returncode == 0, run.stdout
        after = connections(shop, "shop2")
        # What a WebSocket holds open is reported and left alone; nothing that is new came.
        assert len(after) <= LIVE
        assert after <= before
        assert bool(after) == ("shop2 still has connections after 6 s" in run.stdout)
        note = json.loads((estate.state / "drained" / "shop2.json").read_text())
        assert (note["kind"], note["reason"]) == ("maintenance", "new memory")
        whole = shop.play("proxies")
        assert whole.returncode == 0, whole.stdout
        assert set(recap(whole.stdout).values()) == {0}
        assert shop.drained() == {"shop2"}
        assert connections(shop, "shop2") <= after
        verified = shop.play("verify")
        assert verified.returncode == 0, verified.stdout
        run = shop.play("undrain", "-e", "host=shop2")
        assert run.returncode == 0, run.stdout
    seen.assert_nobody_noticed()
    shop.assert_as_before("1.0.0")
    assert not (estate.state / "drained" / "shop2.json").exists()


def test_a_drain_reaches_every_proxy_or_none(shop: Shop) -> None:
    for playbook, words, problem in (
        ("drain", ("-e", "host=shop9"), "no upstream has a member shop9"),
        ("undrain", ("-e", "host=shop9"), "no upstream has a member shop9"),
        ("drain", ("-e", "host=shop1", "--limit", "shop1,proxy1"), "this run leaves out proxy2"),
    ):
        run = shop.play(playbook, *words)
        assert run.returncode != 0
        assert problem in run.stdout, run.stdout
    shop.assert_as_before("1.0.0")


def test_the_last_member_is_not_taken_out(shop: Shop) -> None:
    run = shop.play("drain", "-e", "host=shop1,shop2,shop3")
    assert run.returncode != 0
    assert "upstream shop would have no member left: shop1, shop2, shop3 are the last that serve it" in run.stdout
    shop.assert_as_before("1.0.0")


def test_two_deployments_at_once_and_one_that_is_killed(shop: Shop, load: Loading) -> None:
    command = ["ansible-playbook", "playbooks/deploy.yml", "-i", shop.estate.inventory, "-e", "app=shop version=1.2.0"]
    lock = shop.estate.state / "deploys" / "shop" / "lock"
    with load() as seen:
        first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_for(lock)
            second = shop.deploy("1.3.0")
            assert second.returncode != 0
            owner = json.loads(lock.read_text())
            assert f"shop is being changed: deploy 1.2.0 by {owner['owner']} on " in second.stdout, second.stdout
            assert f"process {first.pid}" in second.stdout
            wait_for(shop.estate.state / "drained" / "shop2.json")
        finally:
            first.kill()
            first.wait()
        run = shop.deploy("1.2.0")
        assert run.returncode == 0, run.stdout
        assert "took over the lock of shop: deploy 1.2.0 by " in run.stdout + run.stderr
    seen.assert_nobody_noticed()
    shop.assert_as_before("1.2.0")
    assert [line["outcome"] for line in shop.log()][-2:] == ["interrupted", "done"]
    assert [count for line, count in shop.lines("migrations").items() if "1.2.0" in line] == [1]


def test_a_release_is_gone_back_to_by_its_name(shop: Shop) -> None:
    [version] = set(shop.current().values())
    kept = shop.estate.host("shop1").check_output("ls -d /srv/shop/releases/1.0.0-*/").split("/")[-2]
    unknown = shop.play("rollback", "-e", "app=shop release=0.9.0-00000000")
    assert unknown.returncode != 0
    assert "there is no good release 0.9.0-00000000 on each of them. The hosts have: " in unknown.stdout
    shop.assert_as_before(version)
    run = shop.play("rollback", "-e", f"app=shop release={kept}")
    assert run.returncode == 0, run.stdout
    shop.assert_as_before("1.0.0")


def wait_for(file: Path) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + 300
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not come"
        time.sleep(0.05)
