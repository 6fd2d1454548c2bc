"""What an operator is promised of background jobs: they are done whatever a deployment does, and so are schedules."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from estate import Estate
from visitors import Load, visitors

WORKERS = ["postroom.worker@1.service", "postroom.worker@2.service"]
BESIDE = {"postroom1": [*WORKERS, "postroom.courier@1.service", "postroom.tidy.timer"], "postroom2": WORKERS}
Run = subprocess.CompletedProcess[str]


class Postroom:
    """The application of the scenario on its hosts, and its database."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.hosts = estate.group("postroom")

    def asked(self, statement: str) -> list[str]:
        """Return the rows of a statement to the database, one line each."""
        words = "runuser -u postgres -- psql --quiet --no-align --tuples-only postroom --command %s"
        return str(self.estate.inside("store1").check_output(words, statement)).splitlines()

    def delivered(self) -> Counter[str]:
        """Return how often each letter was delivered, once the queue is empty."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.waiting():
            time.sleep(1)
        return Counter(self.asked("SELECT letter FROM delivered"))

    def waiting(self) -> list[str]:
        """Return the letters that somebody began to deliver, or that are still on the queue."""
        password = self.estate.inside("store1").check_output("sed -n s/^requirepass.//p /etc/redis/redis.conf")
        ask = f"redis-cli -a {password} --no-auth-warning"
        queued = self.estate.inside("store1").check_output(f"{ask} llen celery; {ask} hlen unacked").split()
        return [
            *self.asked("SELECT letter FROM begun EXCEPT SELECT letter FROM delivered"),
            *filter("0".__ne__, queued),
        ]

    def units(self, host: str) -> dict[str, str]:
        """Return the processes and timers on a host that are not inactive, and since when."""
        command = "systemctl show 'postroom.*' --property=Id,ActiveState,ActiveEnterTimestampMonotonic"
        blocks = self.estate.host(host).check_output(command).split("\n\n")
        found = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks if block]
        return {
            one["Id"]: one["ActiveEnterTimestampMonotonic"]
            for one in found
            if one["ActiveState"] == "active" and one["Id"].count(".") == 2 and one["Id"] != "postroom.tidy.service"
        }

    def version(self, host: str) -> str:
        link = self.estate.host(host).check_output("readlink /srv/postroom/current")
        return str(link).rpartition("/")[2].rpartition("-")[0]

    def deploy(self, version: str, *words: str) -> Run:
        return self.estate.play("playbooks/deploy.yml", "-e", f"app=postroom version={version}", *words)

    def assert_all_run(self, version: str) -> None:
        """Every process and timer is up and where it belongs, and of this version."""
        for host, units in BESIDE.items():
            assert set(self.units(host)) == set(units), host
            assert self.version(host) == version

    @contextmanager
    def load(self) -> Iterator[Load]:
        with visitors(self.estate, "postroom.lab.test", self.delivered, {"get", "post", "slow", "kept"}) as found:
            yield found


@pytest.fixture(scope="session")
def postroom(estate: Estate) -> Postroom:
    return Postroom(estate)


def until(condition: Callable[[], bool], seconds: int = 120) -> None:
    """Wait for a condition, and fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.5)


def post(postroom: Postroom, letter: str, seconds: float) -> None:
    """Hand a letter in, as a visitor."""
    url = f"https://postroom.lab.test/orders/{letter}?seconds={seconds}"
    resolve = f"--resolve postroom.lab.test:443:{postroom.estate.entry}"
    postroom.estate.client.check_output(f"curl --fail -sS --cacert /srv/ca.pem {resolve} -X POST '{url}'")


def test_jobs_are_done_by_the_workers_of_all_hosts(postroom: Postroom) -> None:
    postroom.assert_all_run("1.0.0")
    letters = [f"first-{number}" for number in range(12)]
    for letter in letters:
        post(postroom, letter, 0.5)
    until(lambda: set(letters) <= set(postroom.delivered()))
    by = {row.split()[0] for row in postroom.asked("SELECT by FROM delivered")}
    assert by == set(postroom.hosts)


def test_a_process_has_the_sandbox_the_settings_and_a_name_in_the_journal(postroom: Postroom) -> None:
    host = postroom.estate.host("postroom1")
    pid = host.check_output("systemctl show --property=MainPID --value postroom.worker@2.service")
    environment = host.check_output(f"tr '\\0' '\\n' < /proc/{pid}/environ").splitlines()
    assert {"APP_PROCESS=worker", "APP_INSTANCE=2", "DATABASE_HOST=10.44.0.31"} <= set(environment)
    assert host.check_output(f"ps -o user= -p {pid}") == "postroom"
    assert host.run(f"nsenter --target {pid} --mount -- touch /srv/postroom/current/x").rc != 0
    assert "worker2@postroom1 ready" in host.check_output("journalctl --identifier=postroom.worker --no-pager")
    # What the application may connect to holds for its processes too.
    way = "runuser -u postroom -- timeout 3 bash -c '</dev/tcp/{}/{}'"
    assert host.run(way.format("10.44.0.31", 5432)).rc == 0
    assert host.run(way.format("10.44.0.31", 22)).rc != 0
    assert "courier of postroom" in postroom.asked("SELECT DISTINCT letter FROM carried")


def test_a_schedule_runs_on_one_host(postroom: Postroom) -> None:
    count = len(postroom.asked("SELECT by FROM tidied"))
    until(lambda: len(postroom.asked("SELECT by FROM tidied")) >= count + 2)
    assert {row.split()[0] for row in postroom.asked("SELECT by FROM tidied")} == {"postroom1"}


def test_a_second_run_changes_nothing(postroom: Postroom) -> None:
    before = {host: postroom.units(host) for host in postroom.hosts}
    run = postroom.estate.play("playbooks/deploy.yml")
    assert run.returncode == 0, run.stdout
    assert "already: nothing was changed" in run.stdout
    assert {host: postroom.units(host) for host in postroom.hosts} == before


def test_a_deployment_loses_no_job_and_no_request(postroom: Postroom) -> None:
    interrupted = "SELECT by FROM carried WHERE letter = 'ended'"
    before = len(postroom.asked(interrupted))
    with postroom.load() as seen:
        run = postroom.deploy("1.1.0")
        assert run.returncode == 0, run.stdout
        postroom.assert_all_run("1.1.0")
        back = postroom.estate.play("playbooks/rollback.yml", "-e", "app=postroom")
        assert back.returncode == 0, back.stdout
    seen.assert_nobody_noticed()
    postroom.assert_all_run("1.0.0")
    releases = {row.split()[1].rpartition("-")[0] for row in postroom.asked("SELECT by FROM delivered")}
    assert releases == {"1.0.0", "1.1.0"}
    # The jobs under way were finished: none was begun a second time.
    assert postroom.asked("SELECT letter FROM begun GROUP BY letter HAVING count(*) > 1") == []
    # The courier was asked by the signal that it knows, in both.
    assert len(postroom.asked(interrupted)) == before + 2


def test_a_job_that_takes_too_long_is_said_and_done_again(postroom: Postroom) -> None:
    # Longer than the run needs to get to its host, and than its worker may take to end.
    post(postroom, "long", 100)
    until(lambda: "long" in postroom.asked("SELECT letter FROM begun"))
    run = postroom.estate.play("playbooks/restart.yml", "-e", "app=postroom")
    assert run.returncode == 0, run.stdout
    assert re.search(r"postroom\.worker@[12]\.service did not end in time and was killed", run.stdout)
    until(lambda: "long" in postroom.delivered(), 300)
    assert postroom.delivered()["long"] == 1


def test_a_release_whose_worker_dies_is_put_back(postroom: Postroom) -> None:
    # It has other processes too, and its own are put back with it.
    process = {"name": "worker", "command": "celery --app postroom.jobs worker", "readiness_delay": 120}
    run = postroom.deploy("6.6.6", "-e", json.dumps({"app_processes": [process], "app_schedules": []}))
    assert run.returncode != 0
    assert "postroom 6.6.6-" in run.stdout
    assert (
        "answers, and a process of it did not stay: postroom.worker@1.service ended: exit-code, status 1" in run.stdout
    )
    assert "this release's worker cannot work" in run.stdout
    assert "Release 1.0.0-" in run.stdout
    postroom.assert_all_run("1.0.0")
    post(postroom, "after", 0)
    until(lambda: postroom.delivered()["after"] == 1)


def test_a_worker_that_is_killed_comes_back_by_itself(postroom: Postroom) -> None:
    host = postroom.estate.host("postroom2")
    before = postroom.units("postroom2")
    host.check_output("systemctl kill --signal=SIGKILL postroom.worker@1.service")
    until(lambda: postroom.units("postroom2").get(WORKERS[0], before[WORKERS[0]]) != before[WORKERS[0]])
    assert postroom.units("postroom2")[WORKERS[1]] == before[WORKERS[1]]
    # One that somebody stopped does not, but the next run starts it.
    host.check_output("systemctl disable --now postroom.worker@2.service")
    run = postroom.estate.play("playbooks/deploy.yml")
    assert run.returncode == 0, run.stdout
    postroom.assert_all_run("1.0.0")
    assert host.check_output("systemctl is-enabled postroom.worker@2.service") == "enabled"


def test_what_the_inventory_does_not_name_is_removed(postroom: Postroom) -> None:
    one = '{"app_processes": [{"name": "worker", "command": "celery --app postroom.jobs worker"}], "app_schedules": []}'
    run = postroom.estate.play("playbooks/deploy.yml", "-e", one)
    assert run.returncode == 0, run.stdout
    assert "stop postroom.courier@1.service: the inventory has no such one here" in run.stdout
    for host in postroom.hosts:
        assert set(postroom.units(host)) == {WORKERS[0]}
        files = postroom.estate.host(host).check_output("cd /etc/systemd/system; ls -d postroom.* */postroom.*").split()
        files.remove("multi-user.target.wants/postroom.service")
        assert files == [
            "multi-user.target.wants/postroom.worker@1.service",
            "postroom.service",
            "postroom.worker@.service",
        ]
    again = postroom.estate.play("playbooks/deploy.yml")
    assert again.returncode == 0, again.stdout
    postroom.assert_all_run("1.0.0")


def test_all_of_it_is_there_after_a_reboot(postroom: Postroom) -> None:
    for verb in ("stop", "start"):
        postroom.estate.podman(verb, "postroom1")
    until(lambda: postroom.estate.controller_reaches("postroom1"))
    until(lambda: set(BESIDE["postroom1"]) <= set(postroom.units("postroom1")))
