"""An application that the inventory takes away from a host: it is named, and removed when asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from estate import Estate

from .edited import edited, play


@pytest.fixture
def without(estate: Estate, tmp_path: Path) -> Path:
    """Return the inventory without `storefront` on web1."""
    return edited(tmp_path, estate, storefront=["web2"])


def test_what_is_left_over_is_named_and_removed(estate: Estate, without: Path) -> None:
    host = estate.host("web1")
    refused = estate.play("playbooks/remove.yml", "-e", "host=web1 app=storefront")
    assert refused.returncode != 0
    assert "the inventory puts storefront on web1" in refused.stdout
    looked = play(without, "playbooks/prepare.yml", "--check", "--limit", "web1")
    said = " ".join((looked.stdout + looked.stderr).split())
    assert "storefront was deployed to this host" in said
    try:
        done = play(without, "playbooks/remove.yml", "-e", "host=web1 app=storefront")
        assert done.returncode == 0, done.stdout
        assert "Its data is kept in /var/lib/storefront" in done.stdout
        assert host.run("systemctl cat storefront").rc != 0
        assert host.run("ls -d /etc/systemd/system/storefront.* /etc/systemd/system/*/storefront.*").stdout == ""
        assert host.run("pgrep -u storefront").stdout == ""
        assert host.run("ls /srv/storefront/releases /etc/gatehouse/storefront.env").stdout == ""
        assert host.run("nft list table inet gatehouse_storefront").rc != 0
        assert host.run("test -d /var/lib/storefront").rc == 0
        # Its neighbour runs on.
        assert host.run("systemctl is-active desk desk.clerk@1").rc == 0
        again = play(without, "playbooks/remove.yml", "-e", "host=web1 app=storefront remove_data=true")
        assert again.returncode == 0, again.stdout
        assert host.run("test -e /var/lib/storefront || test -e /srv/storefront || id storefront").rc != 0
        assert "changed=0" in play(without, "playbooks/remove.yml", "-e", "host=web1 app=storefront").stdout
    finally:
        assert estate.play("playbooks/deploy.yml", "-e", "app=storefront").returncode == 0
    assert host.run("systemctl is-active storefront storefront.clerk@1 storefront.tidy.timer").rc == 0
