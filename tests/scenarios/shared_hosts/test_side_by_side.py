"""A new version of an application on a single host, while visitors ask without pause: none of them notices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from estate import ROOT, Ask, Estate
from visitors import Load, visitors

# Where each is: the proxy's own nginx asks `shop`, and the endpoint of a host with a neighbour asks `desk`.
HOSTS = {"shop": "proxy1", "desk": "web1"}
PORTS = {"shop": 3000, "desk": 3001}


class Single:
    """One application on its only host."""

    def __init__(self, estate: Estate, name: str) -> None:
        self.estate, self.name, self.host = estate, name, estate.host(HOSTS[name])

    def deploy(self, version: str) -> subprocess.CompletedProcess[str]:
        return self.estate.play("playbooks/deploy.yml", "-e", f"app={self.name} version={version}")

    def orders(self) -> Counter[str]:
        return Counter(self.host.run(f"cat /var/lib/{self.name}/orders").stdout.splitlines())

    def started(self) -> str:
        """Return by which process the application runs."""
        return str(self.host.check_output(f"systemctl show --property=MainPID --value {self.name}"))

    def version(self) -> str:
        link = self.host.check_output(f"readlink /srv/{self.name}/current")
        return str(link).rpartition("/")[2].rpartition("-")[0]

    @contextmanager
    def load(self) -> Iterator[Load]:
        with visitors(self.estate, f"{self.name}.lab.test", self.orders) as found:
            yield found

    def assert_serves_alone(self, version: str) -> None:
        """The application itself runs this version, nginx asks it, and nothing is left of a second instance."""
        assert self.version() == version
        assert (
            self.host.run(
                f"ls /etc/systemd/system/{self.name}-standby.service /etc/gatehouse/{self.name}-standby.*"
            ).stdout
            == ""
        )
        assert self.host.run(f"systemctl is-active {self.name}-standby").stdout.strip() == "inactive"
        upstreams = self.host.check_output("cat /etc/nginx/active/upstreams/*.conf")
        assert f"server 127.0.0.1:{PORTS[self.name]};" in upstreams
        assert f"2{PORTS[self.name]}" not in upstreams
        assert not list((self.estate.state / "drained").glob("*.json"))
        # A standby has no second worker: there is one, of the application itself.
        units = self.host.check_output("systemctl list-units --plain --no-legend --state=active '*clerk*'").split("\n")
        mine = [unit.split()[0] for unit in units if unit.startswith(f"{self.name}.")]
        assert mine == (["desk.clerk@1.service"] if self.name == "desk" else [])


@pytest.fixture(params=sorted(HOSTS))
def single(request: pytest.FixtureRequest, estate: Estate) -> Single:
    return Single(estate, request.param)


def versions(load: Load) -> set[str]:
    return {release.rpartition("-")[0] for release in load.releases}


def test_nobody_notices_a_new_version_nor_the_way_back(single: Single) -> None:
    before = single.version()
    started = single.started()
    with single.load() as load:
        forth = single.deploy("1.1.0")
        back = single.estate.play("playbooks/rollback.yml", "-e", f"app={single.name}")
    assert (forth.returncode, back.returncode) == (0, 0), forth.stdout + back.stdout
    assert single.started() != started
    load.assert_nobody_noticed()
    assert versions(load) == {before, "1.1.0"}
    single.assert_serves_alone(before)


# What a run that was cut off in its last step leaves: a second instance, of the other release, that nobody asks.
LEFT_OVER = r"""
cd /etc/gatehouse && for file in env secrets.env; do sed 's/"3001"/"23001"/' desk.$file > desk-standby.$file; done
release=$(ls -d /srv/desk/releases/*/ | grep -v "$(readlink /srv/desk/current)" | head -1)
cd /etc/systemd/system
sed -e "s#/srv/desk/current#${release%/}#; s/tcp:3001/tcp:23001/" -e 's#/desk\.\(secrets\|env\)#/desk-standby.\1#' \
    desk.service > desk-standby.service
systemctl daemon-reload && systemctl start desk-standby
until curl -s http://127.0.0.1:23001/healthz; do sleep 0.2; done
"""


def test_nobody_notices_a_restart(estate: Estate) -> None:
    single = Single(estate, "desk")
    before, started = single.version(), single.started()
    single.host.check_output(LEFT_OVER)
    assert before not in single.host.check_output("curl -s http://127.0.0.1:23001/")
    with single.load() as load:
        run = estate.play("playbooks/restart.yml", "-e", "app=desk")
    assert run.returncode == 0, run.stdout
    load.assert_nobody_noticed()
    assert versions(load) == {before}
    assert single.started() != started
    single.assert_serves_alone(before)


def test_nobody_notices_a_version_that_fails(estate: Estate) -> None:
    single = Single(estate, "desk")
    before = single.version()
    with single.load() as load:
        run = single.deploy("2.0.0-error")
    assert run.returncode != 0
    assert "web1.desk has again what it had before" in run.stdout
    load.assert_nobody_noticed()
    assert versions(load) == {before}
    single.assert_serves_alone(before)


def test_a_release_that_cannot_run_twice_is_left_alone(estate: Estate) -> None:
    single = Single(estate, "desk")
    before = single.version()
    # Somebody else has the port of the second instance.
    single.host.check_output("systemd-run --unit=squatter --quiet python3 -m http.server --bind 127.0.0.1 23001")
    try:
        with single.load() as load:
            run = single.deploy("1.2.0")
    finally:
        single.host.check_output("systemctl stop squatter")
    assert run.returncode != 0
    assert "so nothing was changed" in run.stdout
    assert "rollout: {strategy: rolling}" in run.stdout
    load.assert_nobody_noticed()
    single.assert_serves_alone(before)


def test_a_run_that_was_killed_and_a_host_that_rebooted_leave_the_old_one_serving(estate: Estate, ask: Ask) -> None:
    single = Single(estate, "desk")
    before = single.version()
    with single.load() as load:
        # It waits for this release to answer, which it never does.
        run = subprocess.Popen(  # noqa: S603
            ["ansible-playbook", "playbooks/deploy.yml", "-i", estate.inventory, "-e", "app=desk version=2.0.0-hang",
             "-e", "app_health_timeout=60"],
            cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while single.version() != "2.0.0-hang":
            assert time.monotonic() < deadline
            time.sleep(0.5)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        time.sleep(3)
    load.assert_nobody_noticed()
    assert versions(load) == {before}
    note = json.loads((estate.state / "drained" / "web1.desk.json").read_text())
    assert note["kind"] == "standby"

    estate.podman("restart", "web1")
    deadline = time.monotonic() + 60
    while (answer := ask("https://desk.lab.test/")).status != 200:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert f'"release":"{before}-' in answer.body

    with single.load() as load:
        again = single.deploy("1.1.0")
    assert again.returncode == 0, again.stdout
    load.assert_nobody_noticed()
    assert versions(load) == {before, "1.1.0"}
    single.assert_serves_alone("1.1.0")


def test_a_neighbours_deployment_is_not_noticed(estate: Estate) -> None:
    single = Single(estate, "desk")
    started = single.started()
    with single.load() as load:
        run = estate.play("playbooks/deploy.yml", "-e", "app=storefront version=1.1.0")
    assert run.returncode == 0, run.stdout
    load.assert_nobody_noticed()
    assert single.started() == started
