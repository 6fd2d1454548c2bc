"""What a second instance of an application takes from the first one."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.app import standby


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('APP_PORT="3000"', 'APP_PORT="23000"'),
        ('BIND="127.0.0.1:3000"', 'BIND="127.0.0.1:23000"'),
        ('LIMIT="13000"', 'LIMIT="13000"'),
        ('PAGES="3000-4000"', 'PAGES="3000-4000"'),
        ('URL="http://127.0.0.1:3000/x"', 'URL="http://127.0.0.1:3000/x"'),
    ],
)
def test_what_names_the_port_names_the_standbys(line: str, wanted: str) -> None:
    around = 'A="1"\n{}\nZ="2"\n'
    assert standby.standby_environment(around.format(line), 3000, 23000) == around.format(wanted)


UNIT = """[Unit]
Description=shop, deployed by Gatehouse
[Service]
WorkingDirectory=/srv/shop/current
EnvironmentFile=/etc/gatehouse/shop.env
EnvironmentFile=/etc/gatehouse/shop.secrets.env
EnvironmentFile=/srv/shop/current/release.env
ExecStartPre=+/usr/sbin/nft -f /etc/gatehouse/shop.nft
ExecStart=/srv/shop/current/bin/start
StateDirectory=shop
SocketBindDeny=tcp
SocketBindAllow=tcp:3000
"""


def test_its_unit_has_another_port_and_a_release_and_settings_that_stay() -> None:
    text = standby.standby_unit(UNIT, "shop", Path("/srv/shop"), Path("/srv/shop/releases/1.0.0-abc"), (3000, 23000))
    before, after = UNIT.splitlines(), text.splitlines()
    assert [line for line in after if line not in before] == [
        "Description=Standby of shop, while Gatehouse changes it",
        "WorkingDirectory=/srv/shop/releases/1.0.0-abc",
        "EnvironmentFile=/etc/gatehouse/shop-standby.env",
        "EnvironmentFile=/etc/gatehouse/shop-standby.secrets.env",
        "EnvironmentFile=/srv/shop/releases/1.0.0-abc/release.env",
        "ExecStart=/srv/shop/releases/1.0.0-abc/bin/start",
        "SocketBindAllow=tcp:23000",
    ]
    assert len(before) == len(after)


def test_rules_from_before_there_were_standbys_let_it_answer() -> None:
    old = 'ct direction reply tcp sport 3000 accept\nfib daddr type local tcp dport 3000 accept comment "itself"\n'
    new = old.replace("port 3000", "port { 3000, 23000 }")
    assert standby.standby_rules(old, 3000, 23000) == new
    assert standby.standby_rules(new, 3000, 23000) == new


@pytest.mark.parametrize(
    ("used", "problem"),
    [
        (str(100 << 20), ""),
        (str(600 << 20), "it uses 600 MiB and the host has 500 MiB left, so there is no room for a second one"),
        ("[not set]", ""),
    ],
)
def test_a_second_one_needs_room(used: str, problem: str) -> None:
    assert standby.lacking_memory(f"MemTotal: 1024000 kB\nMemAvailable:   {500 * 1024} kB\n", used) == problem
