"""The settings of our units: none of what holds them in is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.gatehouse.core.plugins.module_utils.nginx_host import unit_settings

ROLES = Path(__file__).resolve().parents[2] / "roles"
VARIABLES = {
    "__certificate_acme_program": "/usr/local/lib/gatehouse/acme",
    "certificate_dir": "/etc/ssl/gatehouse",
    "certificate_acme_home": "/var/lib/gatehouse/acme",
    "certificate_acme_webroot": "/var/lib/gatehouse/acme/webroot",
}
# What each of them has, as yes; systemd.exec(5).
EVERYWHERE = {
    "LockPersonality", "NoNewPrivileges", "PrivateDevices", "PrivateTmp", "ProtectClock", "ProtectControlGroups",
    "ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
    "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
}  # fmt: skip
# What they have with another value, on one line or on several.
VALUES = {
    "ProtectProc": ["invisible"],
    "ProtectSystem": ["full"],
    "RestrictAddressFamilies": ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"],
    "SystemCallArchitectures": ["native"],
    "SystemCallErrorNumber": ["EPERM"],
}
NEEDED = {
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID",
    "CAP_SYS_RESOURCE",
}  # fmt: skip
DANGEROUS = {
    "CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_MODULE",
    "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_SYSLOG",
}  # fmt: skip


def acme() -> str:
    text = (ROLES / "certificate" / "templates" / "acme.service.j2").read_text()
    return str(Templar(loader=DataLoader(), variables=VARIABLES).template(trust_as_template(text)))


UNITS = {
    "nginx": lambda: unit_settings(65536),
    "acme": acme,
    "tickets": (ROLES / "proxy/files/session-tickets/gatehouse-session-tickets.service").read_text,
}


def settings(text: str) -> dict[str, list[str]]:
    """Return the words of each setting of a unit's service, those of several lines joined."""
    found: dict[str, list[str]] = {}
    for line in text.partition("[Service]")[2].splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).extend(value.split())
    return found


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_keeps_what_holds_it_in(unit: str) -> None:
    found = settings(UNITS[unit]())
    assert {name for name in EVERYWHERE if found.get(name) in (["yes"], ["true"])} == EVERYWHERE
    assert {name: sorted(found.get(name, [])) for name in VALUES} == VALUES
    assert found["SystemCallFilter"][0] == "@system-service"


def test_nginx_has_the_capabilities_that_it_needs() -> None:
    found = settings(unit_settings(1024))
    assert set(found["CapabilityBoundingSet"]) == NEEDED
    assert found["SystemCallFilter"] == ["@system-service", "~@keyring"]
    assert (found["Restart"], found["LimitNOFILE"]) == (["on-failure"], ["1024"])
    assert "StartLimitIntervalSec=0" in unit_settings(1024).partition("[Service]")[0]


@pytest.mark.parametrize("unit", ["acme", "tickets"])
def test_what_writes_keys_is_root_without_its_powers(unit: str) -> None:
    found: Any = settings(UNITS[unit]())["CapabilityBoundingSet"]
    # Each line takes some away: without the tilde, it would leave nothing but these.
    text = UNITS[unit]()
    assert text.count("CapabilityBoundingSet=") == text.count("CapabilityBoundingSet=~") == 2
    assert {name.removeprefix("~") for name in found} >= DANGEROUS
