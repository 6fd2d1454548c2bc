"""Copies of the scenario's inventory in which applications and proxies are elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from estate import ROOT, Estate

# Who is where in the inventory of the scenario.
PLACES = {"proxies": ["proxy1"], "shop": ["proxy1"], "storefront": ["web1", "web2"], "desk": ["web1"]}


def edited(
    folder: Path, estate: Estate, sites: Mapping[str, Sequence[str]] | None = None, **places: Sequence[str]
) -> Path:
    """Return a copy of the inventory with other hosts in the groups that are named; an application without any is gone.

    `sites`: {site: its server names}, of those that have others.
    """
    inventory = folder / "inventory"
    shutil.copytree(ROOT / estate.inventory, inventory)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    about = {name: said for group in ("proxies", "storefront") for name, said in hosts[group]["hosts"].items()}
    where = {**PLACES, **places}
    kept = {group: {"hosts": {name: about[name] for name in names}} for group, names in where.items() if names}
    (inventory / "hosts.yml").write_text(json.dumps({"all": hosts["all"], **kept}))

    def edit(file: str, key: str, change: Any) -> None:
        path = inventory / "group_vars" / "all" / file
        # Paths in it are relative to its place.
        text = path.read_text().replace("{{ inventory_dir }}/../..", f"{ROOT}/molecule")
        said = yaml.safe_load(text)
        path.write_text(json.dumps({key: [change(one) for one in said[key] if one["name"] in kept]}))

    edit("applications.yml", "applications", dict)
    edit("sites.yml", "proxy_sites", lambda site: {**site, **named(site["name"], sites or {})})
    return inventory


def named(site: str, sites: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what is other of a site."""
    return {"server_names": list(sites[site])} if site in sites else {}


def play(inventory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        ["ansible-playbook", *words, "-i", str(inventory)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
