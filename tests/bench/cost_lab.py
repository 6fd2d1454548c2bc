"""The estates that the cost bench boots: the lab's own inventory in other sizes, at addresses of the bench's own."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from cost_plan import NOW, RIVAL, THEN
from cost_runs import play, tree_memory, undisturbed

# One estate is at a time, and beside it the rival's host.
ESTATE, OTHER = 50, 51
PROXY, FIRST, NEXT_GROUP = 11, 101, 60
# What release_archive writes for each.
RELEASES = ("*-[0-9]*.tar.gz", "*-[0-9]*.tar.gz.sha256", "*-[0-9]*.json")


def _network(number: int) -> dict[str, str]:
    return {
        "private_network": f"10.{number}.0.0/24",
        "edge_network": f"198.18.{number}.0/24",
        "controller_address": f"10.{number}.0.1",
        "controller_edge_address": f"198.18.{number}.1",
    }


def describe(pattern: Mapping[str, Any], name: str, hosts: int) -> dict[str, Any]:
    """Return an inventory as `pattern`, the lab's: one proxy, and `hosts` shared out among its applications."""
    estate = deepcopy(dict(pattern))
    # A tree from before `environment_name` knows `lab_name` only.
    said = {"environment_name": name, "lab_name": name, "lab_client": "", **_network(ESTATE)}
    estate.setdefault("all", {}).setdefault("vars", {}).update(said)
    groups = estate["all"].get("children", estate)
    proxy = next(iter(groups["proxies"]["hosts"]))
    groups["proxies"]["hosts"] = {
        proxy: {"ansible_host": f"10.{ESTATE}.0.{PROXY}", "public_address": f"198.18.{ESTATE}.{PROXY}"}
    }
    applications = groups_of_applications(estate)
    address = FIRST
    for place, application in enumerate(applications):
        # The first ones take what does not go into equal shares.
        share = hosts // len(applications) + (place < hosts % len(applications))
        applications[application]["hosts"] = {
            f"{application}{number + 1}": {"ansible_host": f"10.{ESTATE}.0.{address + number}"}
            for number in range(share)
        }
        address += NEXT_GROUP
    return estate


def groups_of_applications(estate: Mapping[str, Any]) -> dict[str, Any]:
    """Return the groups of an inventory that are applications': the children of `apps`, or all but the proxies."""
    groups = estate["all"].get("children", estate)
    below: dict[str, Any] | None = groups.get("apps", {}).get("children")
    return below or {name: group for name, group in groups.items() if name not in ("all", "proxies")}


def describe_rival(state: Path) -> dict[str, Any]:
    """Return the inventory of the rival's host, whose connection is all literals: nothing has to be templated."""
    network = _network(OTHER)
    connection = {
        "ansible_user": "deploy",
        "ansible_ssh_private_key_file": str(state / "id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={state / 'known_hosts'}",
    }
    lab = {"lab_name": state.name, "lab_client": ""} | {f"lab_{name}": value for name, value in network.items()}
    return {"all": {"vars": lab | connection, "hosts": {"rival1": {"ansible_host": f"10.{OTHER}.0.{PROXY}"}}}}


def podman(*arguments: str) -> str:
    """Return what podman prints; the labs are root's."""
    become = ["sudo", "-n"] if os.geteuid() else []
    command = [*become, "podman", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


class Trees:
    """The tree that is measured, and if asked an older commit in a folder of its own."""

    def __init__(self, root: Path, folder: Path, against: str) -> None:
        self.root, self.folder, self.against = root, folder, against
        self.paths = {NOW: root} | ({THEN: folder / "then"} if against else {})

    def git(self, *arguments: str) -> str:
        """Run git; return what it printed."""
        run = subprocess.run(
            ["git", *arguments], cwd=self.root, capture_output=True, text=True, check=False, timeout=120
        )
        if run.returncode:
            raise SystemExit(f"git {' '.join(arguments)}: {run.stderr.strip()}")
        return run.stdout.strip()

    @contextmanager
    def checked_out(self) -> Iterator[None]:
        """Give the older commit a work tree that shares the labs' keys and CAs, and has the releases that are built."""
        if not self.against:
            yield
            return
        then = self.paths[THEN]
        self.git("worktree", "add", "--detach", str(then), self.against)
        try:
            (self.root / ".lab").mkdir(exist_ok=True)
            (then / ".lab").symlink_to(self.root / ".lab")
            self.share_releases()
            yield
        finally:
            with undisturbed():
                (then / ".lab").unlink(missing_ok=True)
                self.git("worktree", "remove", "--force", str(then))

    def share_releases(self) -> None:
        """Copy what one tree has built to the other, if that has nothing of this name.

        A folder for both would not do: where the two build differently, each run would build anew what the other built.
        """
        folders = [tree / "build" for tree in self.paths.values()]
        for source, target in itertools.permutations(folders, 2):
            target.mkdir(exist_ok=True)
            for file in itertools.chain.from_iterable(source.glob(pattern) for pattern in RELEASES):
                if not (target / file.name).exists():
                    shutil.copy2(file, target / file.name)

    def built(self, side: str) -> dict[str, int]:
        """Return the records of the releases that a tree has built, with the time of each."""
        return {file.name: file.stat().st_mtime_ns for file in (self.paths[side] / "build").glob(RELEASES[-1])}


class Lab:
    """The containers of one inventory: booted bare, and gone when the block ends, however it ends."""

    def __init__(self, trees: Trees, name: str, hosts: int = 0) -> None:
        """Describe an estate of that many application hosts; or the rival's host, if there are none."""
        self.trees, self.name = trees, name
        sides = trees.paths if hosts else {RIVAL: trees.root}
        self.inventories = {side: trees.folder / "inventories" / side / name for side in sides}
        for side, inventory in self.inventories.items():
            inventory.mkdir(parents=True)
            if hosts:
                lab = sides[side] / "inventories" / "lab"
                # Name and networks are the bench's own, in hosts.yml.
                for entry in (*lab.glob("wiring.yml"), *lab.rglob("group_vars/*/*.yml")):
                    if entry.name != "environment.yml":
                        link = inventory / entry.relative_to(lab)
                        link.parent.mkdir(parents=True, exist_ok=True)
                        link.symlink_to(entry)
                estate = describe(yaml.safe_load((lab / "hosts.yml").read_text()), name, hosts)
            else:
                estate = describe_rival(trees.root / ".lab" / name)
            (inventory / "hosts.yml").write_text(yaml.safe_dump(estate, sort_keys=False))

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        with undisturbed():
            self.take_down()
        for inventory in self.inventories.values():
            shutil.rmtree(inventory)

    def boot(self) -> None:
        """Boot every host anew; both sides meet hosts of the present recipe."""
        self.take_down()
        self._play("lab_up")

    def memory(self) -> float:
        """Return the MiB that the processes of all containers hold."""
        listing = podman("ps", "--filter", f"label=gatehouse.lab={self.name}", "--format", "{{.Pid}}")
        return sum(tree_memory(Path("/proc"), int(process)) for process in listing.split())

    def take_down(self) -> None:
        """Remove the containers, networks and keys, also those that a killed run left."""
        self._play("lab_down")

    def _play(self, playbook: str) -> None:
        inventory = self.inventories[RIVAL if RIVAL in self.inventories else NOW]
        play(self.trees.root, [f"playbooks/{playbook}.yml", "-i", str(inventory)])
