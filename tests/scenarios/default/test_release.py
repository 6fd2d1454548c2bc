"""What a deployment promises: a release that does not answer is put back, and what was changed by hand is repaired."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from estate import Ask, Estate

APP = "https://storefront.lab.test/api/whoami"
SECRETS = "/etc/gatehouse/storefront.secrets.env"


def answers(ask: Ask) -> dict[str, set[str]]:
    """Return the releases that answer the public, by the member that answers."""
    found: dict[str, set[str]] = {}
    for _ in range(12):
        identity = json.loads(ask(APP).body)
        found.setdefault(identity["host"], set()).add(identity["release"])
    return found


def release(ask: Ask) -> set[str]:
    """Return the releases that answer the public."""
    return set().union(*answers(ask).values())


def process_environment(host: Host, reader: str) -> str:
    """Return a command that reads, as the given account, what the storefront's process was started with."""
    pid = host.check_output("systemctl show storefront -P MainPID")
    return f"sudo -u {reader} cat /proc/{pid}/environ"


def test_a_release_that_does_not_answer_is_put_back(ask: Ask, estate: Estate) -> None:
    before = release(ask)
    broken = {"app_version": "6.6.6", "app_health_path": "/there-is-no-such-page", "app_health_timeout": 5}
    run = estate.play("playbooks/deploy.yml", "--limit", "storefront1,proxies", "-e", json.dumps(broken))
    assert run.returncode != 0
    assert "/there-is-no-such-page" in run.stdout, run.stdout
    assert "404" in run.stdout, run.stdout
    host = estate.host("storefront1")
    assert "6.6.6" not in host.check_output("readlink -f /srv/storefront/current")
    assert host.service("storefront").is_running
    assert release(ask) == before


def test_a_first_release_that_does_not_answer_leaves_nothing_behind(estate: Estate) -> None:
    host = estate.host("storefront3")
    files = "/etc/systemd/system/storefront.service /etc/gatehouse/storefront.*"
    host.check_output(f"systemctl disable --now storefront && rm -r /srv/storefront {files} && systemctl daemon-reload")
    try:
        broken = {"app_health_path": "/there-is-no-such-page", "app_health_timeout": 5}
        run = estate.play("playbooks/deploy.yml", "--limit", "storefront3,proxies", "-e", json.dumps(broken))
        assert run.returncode != 0
        assert "There was no release before it to go back to" in run.stdout, run.stdout
        assert host.check_output("systemctl list-units --all --plain --no-legend 'storefront*'") == ""
        assert host.check_output("systemctl list-unit-files --no-legend 'storefront*' || true") == ""
        assert host.check_output("find /etc/systemd /etc/gatehouse -name 'storefront*'") == ""
        assert host.check_output("ls /srv/storefront/releases") == ""
    finally:
        run = estate.play("playbooks/deploy.yml", "--limit", "storefront3,proxies")
    assert run.returncode == 0, run.stdout
    assert host.service("storefront").is_running
    assert host.service("storefront").is_enabled


def test_an_application_goes_back_to_the_release_before(ask: Ask, estate: Estate) -> None:
    members = set(estate.group("storefront"))
    before = answers(ask)
    assert set(before) == members
    version = ("-e", json.dumps({"app_version": "1.0.1"}))
    run = estate.play("playbooks/deploy.yml", "--limit", "storefront,proxies", *version)
    assert run.returncode == 0, run.stdout
    upgraded = answers(ask)
    assert set(upgraded) == members
    assert all(one.startswith("1.0.1-") for one in release(ask)), upgraded
    run = estate.play("playbooks/rollback.yml", "--limit", "storefront,proxies")
    assert run.returncode == 0, run.stdout
    assert answers(ask) == before


def test_going_back_to_an_unknown_release_is_refused(ask: Ask, estate: Estate) -> None:
    before = answers(ask)
    unknown = ("-e", "release=0.9.0-00000000")
    run = estate.play("playbooks/rollback.yml", "--limit", "storefront1,proxies", *unknown)
    assert run.returncode != 0
    assert "there is no good release 0.9.0-00000000 on each of them. The hosts have: " in run.stdout, run.stdout
    assert all(one in run.stdout for one in before["storefront1"])
    assert answers(ask) == before


def test_an_application_changed_by_hand_is_repaired(estate: Estate) -> None:
    host = estate.host("storefront1")
    unit = "/etc/systemd/system/storefront.service"
    good = host.check_output(f"cat {unit}")
    host.check_output(f"sed -i s/NoNewPrivileges/#NoNewPrivileges/ {unit} && systemctl disable --now storefront")
    run = estate.play("playbooks/deploy.yml", "--limit", "storefront1,proxies")
    assert run.returncode == 0, run.stdout
    assert host.check_output(f"cat {unit}") == good
    assert host.service("storefront").is_running
    assert host.service("storefront").is_enabled


def test_an_application_runs_in_a_sandbox(estate: Estate) -> None:
    for name, unit in (("storefront1", "storefront"), ("dashboard1", "dashboard")):
        host = estate.host(name)
        score = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -n 1").split(": ")[-1].split()[0]
        assert float(score) < 2, f"{unit}: exposure {score}"


def test_a_secret_is_seen_by_the_application_only(estate: Estate) -> None:
    host = estate.host("storefront1")
    file = host.file(SECRETS)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)
    value = file.content_string.partition('SECRET_KEY="')[2].partition('"')[0]
    assert len(value) >= 16
    assert f"SECRET_KEY={value}\0" in host.check_output(process_environment(host, "root"))
    for command in (f"sudo -u nobody cat {SECRETS}", process_environment(host, "nobody")):
        denied = host.run(command)
        assert denied.rc != 0
        assert "Permission denied" in denied.stderr
    # The file differs, so that the run writes it and shows the difference as talkatively as Ansible can.
    host.check_output(f"echo '# by hand' >> {SECRETS}")
    run = estate.play("playbooks/deploy.yml", "--limit", "storefront1,proxies", "--diff", "-vvv")
    assert run.returncode == 0, run.stdout
    assert f"write {SECRETS}" in run.stdout, run.stdout
    assert value not in run.stdout + run.stderr
    assert value in host.file(SECRETS).content_string
    assert value not in host.check_output("journalctl --no-pager --boot")


def test_the_storefront_does_not_run_without_its_secret(estate: Estate) -> None:
    without = {"app_secrets": {}, "app_health_timeout": 5}
    run = estate.play("playbooks/deploy.yml", "--limit", "storefront1,proxies", "-e", json.dumps(without))
    assert run.returncode != 0
    assert "KeyError: 'SECRET_KEY'" in run.stdout, run.stdout
    assert "was put back and answers" in run.stdout, run.stdout
    assert "SECRET_KEY" in estate.host("storefront1").file(SECRETS).content_string


@pytest.fixture
def cut_off(estate: Estate) -> Iterator[Host]:
    """Give a host that answers connections but opens none, except to itself."""
    host = estate.host("storefront1")
    hook = "{ type filter hook output priority -10; policy drop; }"
    rules = ("oif lo accept", "ct state established,related accept")
    words = ["add table inet test_egress", f"add chain inet test_egress output {hook}"]
    words += [f"add rule inet test_egress output {rule}" for rule in rules]
    host.check_output(f"nft '{'; '.join(words)}'")
    try:
        yield host
    finally:
        host.check_output("nft delete table inet test_egress")


def test_a_release_needs_no_package_index(ask: Ask, estate: Estate, cut_off: Host) -> None:
    for name in ("storefront1", "storefront3", "dashboard1"):
        assert estate.host(name).run("command -v pip pip3 npm uv").rc != 0, f"{name} has an installer"
    reach = f"timeout 3 bash -c '</dev/tcp/{estate.address('proxy1')}/443'"
    assert estate.host("storefront2").run(reach).rc == 0
    assert cut_off.run(reach).rc != 0
    before = release(ask)
    cut_off.check_output("systemctl stop storefront && rm -r /srv/storefront")
    run = estate.play("playbooks/apps.yml", "--limit", "storefront1,proxies")
    assert run.returncode == 0, run.stdout
    whoami = json.loads(cut_off.check_output("curl -sf http://127.0.0.1:5000/api/whoami"))
    assert whoami["host"] == "storefront1"
    assert whoami["release"] in before
