"""What `make lab` promises: again is nothing to do, what cannot be is refused, and its end leaves nothing behind."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from estate import ROOT, Estate

NAME = "test-lab-two"


class Lab(Estate):
    """A second lab with an inventory of its own, beside the one of the scenario."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder
        folder.mkdir()
        lab = ROOT / "inventories" / "lab"
        for name in ("wiring.yml", *(f"group_vars/all/{file}.yml" for file in ("lab", "applications", "sites"))):
            link = folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(lab / name)

    def write(self, apps: dict[str, dict[str, str]] | None = None, **variables: str) -> None:
        """Write the inventory: one proxy, and hosts of the storefront."""
        addresses = {
            "environment_name": NAME,
            "private_network": "10.23.0.0/24",
            "edge_network": "198.18.23.0/24",
            "controller_address": "10.23.0.1",
            "controller_edge_address": "198.18.23.1",
        }
        proxy = {"ansible_host": "10.23.0.11", "public_address": "198.18.23.11"}
        groups = {
            "proxies": {"hosts": {"proxy1": proxy}},
            "storefront": {"hosts": apps or {}},
        }
        hosts = {"all": {"vars": addresses | variables, "children": groups}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.play("playbooks/lab_up.yml", *arguments)

    def down(self) -> subprocess.CompletedProcess[str]:
        return self.play("playbooks/lab_down.yml")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Lab]:
    """Yield a second lab that is not up yet; what of it is left after the test goes."""
    lab = Lab(tmp_path / NAME)
    lab.write()
    yield lab
    lab.write()
    run = lab.down()
    assert run.returncode == 0, run.stdout


def podman(*arguments: str) -> list[str]:
    run = subprocess.run(["podman", *arguments], check=True, capture_output=True, text=True, timeout=60)
    return sorted(run.stdout.splitlines())


def standing(*labs: str) -> list[str]:
    """Return what of these labs is on this machine: containers and since when, networks, folders."""
    everything = [
        *podman("ps", "--all", "--format", "{{.Names}} {{.ID}} {{.StartedAt}}"),
        *podman("network", "ls", "--format", "{{.Name}} {{.ID}}"),
        *(str(path) for base in (ROOT / ".lab", Path("/var/lib/gatehouse-lab")) for path in sorted(base.iterdir())),
    ]
    return [line for line in everything if any(lab in line for lab in labs)]


def changed(run: subprocess.CompletedProcess[str]) -> int:
    assert run.returncode == 0, run.stdout
    found = re.search(r"^localhost\s+: ok=\d+\s+changed=(\d+)", run.stdout, re.MULTILINE)
    assert found, run.stdout
    return int(found[1])


def test_bringing_the_lab_up_again_changes_nothing(estate: Estate) -> None:
    before = standing(estate.lab)
    assert len(before) > 1
    assert changed(estate.play("playbooks/lab_up.yml")) == 0
    assert changed(estate.play("playbooks/lab_up.yml", "--check", "--diff")) == 0
    assert standing(estate.lab) == before


def test_what_cannot_be_is_refused_and_nothing_changes(estate: Estate, two: Lab) -> None:
    theirs = estate.variables("proxy1")
    refused: list[tuple[dict[str, str], dict[str, dict[str, str]], list[str]]] = [
        (
            {"private_network": theirs["private_network"], "controller_address": theirs["controller_address"]},
            {},
            [
                f"private_network {theirs['private_network']} is in use already by the lab '{estate.lab}'",
                "proxy1: ansible_host 10.23.0.11 is no address for a host in private_network",
            ],
        ),
        (
            {},
            {"web1": {"ansible_host": "10.99.0.5"}, "web2": {"ansible_host": "10.23.0.11"}},
            [
                "host web1: ansible_host 10.99.0.5 is no address for a host in private_network 10.23.0.0/24",
                "host web2: ansible_host 10.23.0.11 is taken by host proxy1",
            ],
        ),
        ({"edge_network": "198.18.23.1/24"}, {}, ["edge_network is '198.18.23.1/24'", "write an IPv4 range such as"]),
    ]
    before = standing(estate.lab, NAME)
    for variables, apps, messages in refused:
        two.write(apps, **variables)
        run = two.up()
        assert run.returncode != 0
        said = " ".join(run.stdout.split())
        for message in messages:
            assert message in said, run.stdout
        assert standing(estate.lab, NAME) == before


def test_a_lab_comes_up_follows_its_inventory_and_ends_without_a_trace(two: Lab) -> None:
    assert standing(NAME) == []
    two.write({"web1": {"ansible_host": "10.23.0.101"}})
    assert changed(two.up("--check")) > 0
    assert standing(NAME) == []

    assert changed(two.up()) > 0
    stood = standing(NAME)
    names = [line.split()[0] for line in stood]
    assert names == [
        *(f"{NAME}-{host}" for host in ("client", "proxy1", "web1")),
        *(f"gatehouse-{NAME}-{place}" for place in ("edge", "private")),
        str(two.state),
        f"/var/lib/gatehouse-lab/{NAME}",
    ]
    proxy = two.host("proxy1")
    assert proxy.check_output("hostname; id -un; cat /proc/1/comm").split() == ["proxy1", "root", "systemd"]
    assert proxy.check_output("systemctl --failed --no-legend") == ""
    assert changed(two.up()) == 0

    # A host that leaves the inventory loses its container; the others run on.
    two.write()
    assert changed(two.up()) > 0
    assert standing(NAME) == [line for line in stood if not line.startswith(f"{NAME}-web1 ")]

    assert changed(two.down()) > 0
    assert standing(NAME) == []
    assert changed(two.down()) == 0
