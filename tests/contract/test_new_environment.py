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


HOSTS = GIVEN | {"runtime": "python"}
ONE_MACHINE = {"env": "mine", "domain": "example.org", "host": "203.0.113.7"}


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        (HOSTS, 4),
        (HOSTS | {"runtime": "laravel"}, 4),
        (HOSTS | {"runtime": "node", "proxies": "10.0.0.11,203.0.113.11", "application_hosts": "10.0.0.11"}, 1),
        (ONE_MACHINE | {"application": str(ROOT / "apps" / "storefront")}, 1),
        (ONE_MACHINE | {"application": "git@git.example.org:team/Shop_2.git", "runtime": "laravel"}, 1),
    ],
    ids=["python", "laravel", "on the proxy", "one machine", "one machine with laravel"],
)
def test_a_new_environment_passes_once_it_is_filled_in(tmp_path: Path, given: dict[str, str], hosts: int) -> None:
    (tmp_path / "wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
    outcome = write(tmp_path, given)
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
    count = f"{hosts} host" + "s" * (hosts > 1)
    assert f"environment of {count}, 1 site, 1 upstream: no problem found" in accepted.stdout


@pytest.mark.parametrize(
    ("given", "files", "entry"),
    [
        ({"application": "shop", "runtime": "node"}, [], {"name": "shop", "runtime": "node"}),
        (
            {"application": "https://git.example.org/team/My_Shop.git", "runtime": "node"},
            [],
            {
                "name": "my-shop",
                "runtime": "node",
                "source_git": {
                    "repository": "https://git.example.org/team/My_Shop.git",
                    "ref": "v{{ app_version }}",
                },
            },
        ),
        ({}, ["package.json"], {"name": "shop-v2", "runtime": "node", "source": "{source}"}),
        ({}, ["package.json", "pyproject.toml"], {"name": "shop-v2", "runtime": "python", "source": "{source}"}),
        ({}, ["package.json", "requirements.txt"], {"name": "shop-v2", "runtime": "python", "source": "{source}"}),
        ({}, ["package.json", "composer.json"], {"name": "shop-v2", "runtime": "laravel", "source": "{source}"}),
        ({}, ["package.json", "Gemfile"], {"name": "shop-v2", "runtime": "rails", "source": "{source}"}),
        ({"runtime": "node"}, ["Gemfile"], {"name": "shop-v2", "runtime": "node", "source": "{source}"}),
    ],
    ids=["name", "repository", "node", "python", "requirements", "laravel", "rails", "said"],
)
def test_name_source_and_runtime_follow_from_the_application(
    tmp_path: Path, given: dict[str, str], files: list[str], entry: dict[str, object]
) -> None:
    source = tmp_path / "src" / "Shop.v2"
    source.mkdir(parents=True)
    for name in files:
        (source / name).touch()
    outcome = write(tmp_path, {"env": "mine", "application": str(source), **given})
    assert outcome.returncode == 0, outcome.stdout
    (written,) = yaml.safe_load((tmp_path / "mine/group_vars/all/applications.yml").read_text())["applications"]
    if entry.get("source"):
        entry = entry | {"source": str(source)}
    kept = {key: value for key, value in written.items() if key in entry}
    assert kept == entry
    assert ("source" in written) != ("source_git" in written)


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
        ({"env": "mine", "application": "my shop"}, "write lower-case letters, digits and hyphens"),
        ({"env": "mine", "application": "my_shop"}, "write lower-case letters, digits and hyphens"),
        (
            {"env": "mine", "application": "git@git.example.org:shop.git"},
            "APP is a repository, which is not fetched: write RUNTIME=laravel or node or python or rails",
        ),
        ({"env": "mine", "application": "/no/such/folder"}, "APP: /no/such/folder is no folder of this machine"),
        (
            {"env": "mine", "application": str(ROOT / "docs")},
            f"APP: {ROOT / 'docs'} has none of composer.json, Gemfile, pyproject.toml, requirements.txt, package.json: "
            "write RUNTIME=laravel or node or python or rails",
        ),
        ({"env": "mine", "host": "web1.example.org"}, "write the IPv4 address that visitors reach"),
        ({"env": "mine", "host": "203.0.113.7", "proxies": "10.0.0.11"}, "leave out PROXIES and HOSTS"),
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
