"""Certificates and their CA change while visitors keep asking, and no request fails."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from estate import ROOT, Estate

from .conftest import assert_nobody_noticed, visitors

PLAYBOOK = "playbooks/rotate_certificates.yml"
REPLACE = ("-e", "internal_ca_replace=true")


def leaves(estate: Estate) -> dict[str, str]:
    """Return the fingerprint of what each member shows."""
    command = "openssl x509 -noout -fingerprint -sha256 -in /etc/ssl/gatehouse/endpoint/fullchain.pem"
    return {host: estate.host(host).check_output(command) for host in (*estate.group("shop"), *estate.group("desk"))}


def authorities(estate: Estate) -> list[str]:
    """Return the CAs that the proxy trusts, as the fingerprints of their PEM texts."""
    text = estate.host("proxy1").file("/etc/nginx/active/upstreams/ca.pem").content_string
    return re.findall(r"-----BEGIN CERTIFICATE-----\n(.+)\n", text)


def test_the_leaves_of_one_application_are_renewed(estate: Estate) -> None:
    before = leaves(estate)
    with visitors(estate) as report:
        run = estate.play(PLAYBOOK, "--limit", "shop:proxies")
    assert run.returncode == 0, run.stdout
    after = leaves(estate)
    assert {host for host in before if after[host] != before[host]} == set(estate.group("shop"))
    assert_nobody_noticed(report)


def kill_at(estate: Estate, task: str, log: Path) -> None:
    """Replace the CA, and kill the whole run as soon as it names a task."""
    with log.open("w") as stream:
        # A group of its own, so that its workers go too.
        running = subprocess.Popen(
            ["ansible-playbook", PLAYBOOK, "-i", estate.inventory, *REPLACE],
            cwd=ROOT, stdout=stream, stderr=stream, start_new_session=True, env=os.environ | {"ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip
    deadline = time.monotonic() + 240
    while task not in log.read_text():
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(timeout=10)


def test_the_ca_is_replaced_however_often_the_run_is_killed(estate: Estate, tmp_path: Path) -> None:
    before = (estate.state / "ca" / "ca.pem").read_text()
    with visitors(estate) as report:
        for task in (
            "Make the encrypted key",
            "rotate_batch | Activate the certificates",
            "Advance the CA replacement",
        ):
            kill_at(estate, task, tmp_path / "log")
            # The site's own certificate is of this CA too, so visitors learn of it in time as well.
            trust = base64.b64encode((estate.state / "ca" / "trust.pem").read_bytes()).decode()
            estate.client.check_output(f"echo {trust} | base64 -d > /srv/ca.new && mv /srv/ca.new /srv/ca.pem")
        # By now the next CA may sign already; this ends what was begun, and begins nothing new.
        run = estate.play(PLAYBOOK)
    assert run.returncode == 0, run.stdout
    assert (estate.state / "ca" / "ca.pem").read_text() != before
    assert len(authorities(estate)) == 1
    assert not (estate.state / "ca" / "former").exists()
    assert_nobody_noticed(report)
