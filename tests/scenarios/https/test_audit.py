"""The audit of what runs: it finds what somebody changed on a host, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from estate import Estate

# What this scenario is meant to be: an application without TLS, sites without a policy, and no collector of logs.
MEANT = ("upstream_client", "upstream_verified", "content_security_policy", "remote_log")
# (item, what breaks it, what puts it back, words of what is said)
BREAKS = (
    ("server_tokens", "sed -i 's/server_tokens off/server_tokens on/' /etc/nginx/active/http/base.conf",
     "sed -i 's/server_tokens on/server_tokens off/' /etc/nginx/active/http/base.conf", "server_tokens is on"),
    ("configuration", "true", "true", "was changed after nginx read it"),
    ("methods", "sed -i 's/return 405;/set $a 1;/' /etc/nginx/active/sites/shop.conf",
     "sed -i 's/set $a 1;/return 405;/' /etc/nginx/active/sites/shop.conf", "any method is passed on"),
    ("keys", "chmod 0644 /etc/ssl/gatehouse/shop/privkey.pem",
     "chmod 0600 /etc/ssl/gatehouse/shop/privkey.pem", "0644"),
    ("files_access", "chmod 0666 /etc/nginx/mime.types", "chmod 0644 /etc/nginx/mime.types", "0666"),
    ("files_owner", "chown nobody /etc/nginx/fastcgi_params",
     "chown root /etc/nginx/fastcgi_params", "belongs to nobody"),
    ("log_access", "chmod 0644 /var/log/nginx/access.log", "chmod 0640 /var/log/nginx/access.log", "0644"),
    ("account_shell", "usermod -s /bin/sh www-data", "usermod -s /usr/sbin/nologin www-data", "has the shell /bin/sh"),
    ("log_rotation", "sed -i 's/rotate 14/rotate 2/' /etc/logrotate.d/nginx",
     "sed -i 's/rotate 2/rotate 14/' /etc/logrotate.d/nginx", "kept for 2 days"),
    ("ports", "systemd-run -q -u stray python3 -m http.server 8099", "systemctl stop stray", "python3 listens"),
    ("packages_origin", "echo 'deb [trusted=yes] http://x.test x main' > /etc/apt/sources.list.d/x.list",
     "rm /etc/apt/sources.list.d/x.list", "without a signature"),
)  # fmt: skip


def waivers(until: str, *items: str) -> str:
    return json.dumps({"audit_waivers": [{"item": item, "reason": "a test", "until": until} for item in items]})


def audit(estate: Estate, *arguments: str) -> tuple[int, dict[str, Any]]:
    run = estate.play("playbooks/audit.yml", "-e", "format=json", *arguments)
    assert run.stdout.startswith("{"), run.stdout + run.stderr
    return run.returncode, json.loads(run.stdout)


@pytest.fixture
def broken(estate: Estate) -> Iterator[None]:
    host = estate.host("proxy1")
    host.check_output(" && ".join(f"({one[1]})" for one in BREAKS))
    yield
    host.check_output("; ".join(one[2] for one in BREAKS))


def test_what_is_as_it_was_made_fails_nothing(estate: Estate, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    code, found = audit(estate, "-e", waivers("2999-12-31", *MEANT), "-e", f"page={page}")
    assert (code, found["problems"], found["unneeded_waivers"]) == (0, [], [])
    assert {host["name"] for host in found["hosts"]} >= {"proxy1", "proxy2", "proxy3"}
    results = {row["item"]: row["result"] for row in found["hosts"][0]["items"]}
    assert {results[item] for item in MEANT} == {"waived"}
    assert sum(result == "pass" for result in results.values()) > 40
    assert "No failure without a waiver" in page.read_text()


def test_what_somebody_changed_is_found(estate: Estate, broken: None) -> None:
    ended = "2026-11-01"
    meant = json.loads(waivers("2999-12-31", *MEANT[1:]))["audit_waivers"]
    old = {"item": MEANT[0], "reason": "a test", "until": ended}
    code, found = audit(estate, "-e", json.dumps({"audit_waivers": [*meant, old]}))
    assert code == 1
    own = [one.removeprefix("proxy1: ") for one in found["problems"] if one.startswith("proxy1: ")]
    assert {one.partition(":")[0] for one in own} == {item for item, *_ in BREAKS} | {MEANT[0]}
    for item, _, _, words in BREAKS:
        assert any(one.startswith(f"{item}: ") and words in one for one in own), (item, own)
    late = [one for one in found["problems"] if f"the waiver ended on {ended}" in one]
    assert late == [one for one in found["problems"] if re.search(f": {MEANT[0]}: ", one)]
    assert {one.partition(":")[0] for one in found["problems"]} == {one.partition(":")[0] for one in late}
