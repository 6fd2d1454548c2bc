"""`make new`: what it writes is an environment that preflight accepts once the marked places are filled in."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {
    "env": "mine",
    "domain": "example.org",
    "application": "shop",
    "proxies": "10.0.0.11,203.0.113.11 10.0.0.12,203.0.113.12",
    "application_hosts": "10.0.0.21 10.0.0.22",
}
# What a reader writes in the places that are marked, by what is before the mark.
ANSWERS = {
    "controller_address": "10.0.0.10",
    "controller_edge_address": "203.0.113.10",
    "certificate_acme_email": "ops@example.org",
    "source": str(ROOT / "apps" / "storefront"),
    "target": "storefront:create_app()",
    "APP_KEY": "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
}


def write(folder: Path, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Write an environment below `folder`."""
    extra = [part for name, value in given.items() for part in ("-e", f'{name}="{value}"')]
    command = ["ansible-playbook", "playbooks/new.yml", "-i", "localhost,", *extra, "-e", f"environments={folder}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def preflight(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["ansible-playbook", "playbooks/preflight.yml", "-i", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


ONE_MACHINE = {"proxies": "10.0.0.11,203.0.113.11", "application_hosts": "10.0.0.11"}


@pytest.mark.parametrize(
    ("runtime", "places", "size"),
    [("python", {}, 4), ("laravel", {}, 4), ("node", ONE_MACHINE, 2)],
    ids=["python", "laravel", "one machine"],
)
def test_a_new_environment_passes_once_it_is_filled_in(
    tmp_path: Path, runtime: str, places: dict[str, str], size: int
) -> None:
    (tmp_path / "wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
    outcome = write(tmp_path, {**GIVEN, **places, "runtime": runtime})
    assert outcome.returncode == 0, outcome.stdout
    folder = tmp_path / "mine"
    assert stat.S_IMODE((folder / "group_vars/all/vault.yml").stat().st_mode) == 0o600
    marks = sum(file.read_text().count('"FILL IN') for file in folder.rglob("*.yml"))
    refused = preflight(folder)
    found = re.findall(r"(\S+) is still to be filled in\n\s+\S*/(mine/\S+\.yml):(\d+)", refused.stdout)
    assert refused.returncode == 2
    assert marks == len(found) == int(re.search(r"(\d+) errors", refused.stdout)[1]), refused.stdout  # type: ignore[index]
    for name, file, line in found:
        lines = (tmp_path / file).read_text().splitlines()
        answer = ANSWERS[name.rpartition(".")[2]]
        lines[int(line) - 1] = re.sub(r'"FILL IN[^"]*"', f'"{answer}"', lines[int(line) - 1])
        (tmp_path / file).write_text("\n".join(lines) + "\n")
    accepted = preflight(folder)
    assert accepted.returncode == 0, accepted.stdout
    assert f"estate of {size} hosts, 1 site, 1 upstream: no problem found" in accepted.stdout


def test_without_answers_all_is_marked(tmp_path: Path) -> None:
    assert write(tmp_path, {"env": "mine"}).returncode == 0
    hosts = yaml.safe_load((tmp_path / "mine" / "hosts.yml").read_text())
    assert hosts["proxies"]["hosts"]["proxy1"]["ansible_host"].startswith("FILL IN")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"env": "Mine"}, "write a name, such as ENV=mine"),
        ({"env": "mine", "runtime": "php"}, "write one of laravel, node, python, rails"),
        ({"env": "mine", "runtime": "flask"}, "RUNTIME flask was renamed to python: write RUNTIME=python"),
        ({"env": "mine", "application": "my shop"}, "write lower-case letters, digits and underscores"),
    ],
)
def test_what_cannot_be_an_environment_is_refused(tmp_path: Path, given: dict[str, str], message: str) -> None:
    outcome = write(tmp_path, given)
    assert outcome.returncode == 2
    assert message in outcome.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_environment_is_never_written_over(tmp_path: Path) -> None:
    assert write(tmp_path, {"env": "mine"}).returncode == 0
    before = (tmp_path / "mine/group_vars/all/vault.yml").read_text()
    again = write(tmp_path, {"env": "mine"})
    assert (again.returncode, "is there already" in again.stdout) == (2, True)
    assert (tmp_path / "mine/group_vars/all/vault.yml").read_text() == before
