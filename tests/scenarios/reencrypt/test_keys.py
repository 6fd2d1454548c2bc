"""Private keys: who may read them, and that they are nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from estate import ROOT, Estate


def keys(estate: Estate) -> dict[str, list[str]]:
    """Return the paths of the private keys on each host."""
    hosts = (*estate.group("proxies"), *estate.group("shop"), *estate.group("desk"), *estate.group("plain"))
    command = "find /etc/ssl/gatehouse -name privkey.pem"
    return {host: estate.host(host).check_output(command).split() for host in hosts}


def test_root_alone_reads_them(estate: Estate) -> None:
    found = keys(estate)
    assert all(found.values()), found
    for host, paths in found.items():
        reported = estate.host(host).check_output(f"stat -c '%U:%G %a' {' '.join(paths)}").splitlines()
        assert set(reported) == {"root:root 600"}, host


def test_they_are_on_their_host_and_nowhere_else(estate: Estate) -> None:
    secrets = {
        estate.host(host).file(path).content_string.splitlines()[1]
        for host, paths in keys(estate).items()
        for path in paths
    }
    assert len(secrets) >= 9
    places = [estate.state, ROOT / "build", Path.home() / ".ansible", Path("/tmp"), Path("/var/log")]  # noqa: S108
    for place in places:
        for folder, _, names in os.walk(place):
            for path in (Path(folder) / name for name in names):
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 50_000_000:
                    text = path.read_text(errors="replace")
                    assert not any(secret in text for secret in secrets), path


def test_the_cas_key_is_encrypted(estate: Estate) -> None:
    text = (estate.state / "ca" / "ca.key").read_text()
    assert text.splitlines()[0].strip("-") == "BEGIN ENCRYPTED PRIVATE KEY"


def test_no_key_is_shown_however_talkative_a_run_is(estate: Estate) -> None:
    run = estate.play("playbooks/rotate_certificates.yml", "--limit", "shop1,proxy1", "--diff", "-vvv")
    assert run.returncode == 0, run.stdout
    for host in ("shop1", "proxy1"):
        for path in keys(estate)[host]:
            secret = estate.host(host).file(path).content_string.splitlines()[1]
            assert secret not in run.stdout + run.stderr


def test_verify_shows_every_certificate_and_refuses_one_near_its_end(estate: Estate) -> None:
    run = estate.play("playbooks/verify.yml")
    assert run.returncode == 0, run.stdout
    for words in ("TLS endpoint of shop", "site desk", "members", "revocation list", "proxy1.internal.lab.test"):
        assert words in run.stdout, run.stdout
    run = estate.play("playbooks/verify.yml", "-e", "certificate_min_days=91")
    assert run.returncode != 0
    assert "shop1: endpoint (shop.internal.lab.test" in run.stdout, run.stdout
    assert "certificate_min_days asks for 91" in run.stdout
