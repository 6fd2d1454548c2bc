"""What a deployment promises: a release that does not answer is put back, and what was changed by hand is repaired."""

from __future__ import annotations

import json

from estate import Ask, Estate

APP = "https://storefront.lab.test/api/whoami"


def release(ask: Ask) -> set[str]:
    """Return the releases that answer the public."""
    return {json.loads(ask(APP).body)["release"] for _ in range(9)}


def test_a_release_that_does_not_answer_is_put_back(ask: Ask, estate: Estate) -> None:
    before = release(ask)
    broken = {"app_version": "6.6.6", "app_health_path": "/there-is-no-such-page", "app_health_timeout": 5}
    run = estate.play("playbooks/apps.yml", "--limit", "storefront1", "-e", json.dumps(broken))
    assert run.returncode != 0
    assert "/there-is-no-such-page" in run.stdout, run.stdout
    assert "404" in run.stdout, run.stdout
    host = estate.host("storefront1")
    assert "6.6.6" not in host.check_output("readlink -f /srv/storefront/current")
    assert host.service("storefront").is_running
    assert release(ask) == before


def test_an_application_changed_by_hand_is_repaired(estate: Estate) -> None:
    host = estate.host("storefront1")
    unit = "/etc/systemd/system/storefront.service"
    good = host.check_output(f"cat {unit}")
    host.check_output(f"sed -i s/NoNewPrivileges/#NoNewPrivileges/ {unit} && systemctl disable --now storefront")
    run = estate.play("playbooks/apps.yml", "--limit", "storefront1")
    assert run.returncode == 0, run.stdout
    assert host.check_output(f"cat {unit}") == good
    assert host.service("storefront").is_running
    assert host.service("storefront").is_enabled


def test_an_application_runs_in_a_sandbox_without_its_secret_in_sight(estate: Estate) -> None:
    for name, unit in (("storefront1", "storefront"), ("dashboard1", "dashboard")):
        host = estate.host(name)
        score = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -n 1").split(": ")[-1].split()[0]
        assert float(score) < 2, f"{unit}: exposure {score}"
    host = estate.host("storefront1")
    assert host.run("sudo -u nobody env | grep SECRET_KEY").rc != 0
    assert host.check_output("systemctl show storefront -p Environment").count("SECRET_KEY") == 0


def test_a_release_needs_no_package_index(estate: Estate) -> None:
    for name in ("storefront1", "storefront3", "dashboard1"):
        assert estate.host(name).run("command -v pip pip3 npm uv").rc != 0, f"{name} has an installer"
