"""The section "Upgrading" of docs/operations.md, walked with an inventory of before."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = re.search(r"^## Upgrading\n.*?(?=^## )", (ROOT / "docs/operations.md").read_text(), re.M | re.S)[0]  # type: ignore[index]
TABLE: dict[str, Any] = yaml.safe_load((ROOT / "roles/preflight/files/renamed.yml").read_text())
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")][2:]
BEFORE = {
    "hosts.yml": """
all:
  vars:
    lab_name: prod
    private_network: 10.10.0.0/24
    edge_network: 198.51.100.0/25
    controller_address: 10.10.0.10
    controller_edge_address: 198.51.100.10
  children:
    proxies: {hosts: {proxy1: {ansible_host: 10.10.0.11, public_address: 198.51.100.11}}}
    apps:
      children:
        shop: {hosts: {shop1: {ansible_host: 10.10.0.101}, shop2: {ansible_host: 10.10.0.102}}}
""",
    "group_vars/all/internal_ca.yml": """
internal_ca_permitted_dns: [example.com]
internal_ca_passphrase: "{{ vault_internal_ca_passphrase }}"
internal_domain: internal.example.com
state_dir: "{{ ansible_config_file | dirname }}/state/prod"
ansible_user: deploy
""",
    "group_vars/apps/app.yml": "app_address: 127.0.0.1\nrollout_app: '{{ app_name }}'\n",
    "group_vars/apps/firewall.yml": """
firewall_services:
  - {name: app, port: 443, sources: "{{ groups['proxies'] | private_addresses(hostvars) }}"}
""",
    "group_vars/shop/app.yml": """
app_name: shop
app_version: "1.0.0"
app_port: 5000
app_source: SOURCE
app_secrets: {SECRET_KEY: "{{ vault_shop_secret_key }}"}
runtime: flask
flask_app_target: storefront:create_app()
rollout_batch: "1"
""",
    "group_vars/proxies/proxy.yml": """
proxy_sites: [{name: shop, server_names: [example.com], locations: [{path: /, upstream: shop}]}]
proxy_upstreams:
  - name: shop
    transport: mtls
    tls: {name: "shop.{{ internal_domain }}"}
    members: "{{ groups['shop'] | upstream_members(hostvars, 443) }}"
proxy_session_ticket_seed: "{{ vault_session_ticket_seed }}"
""",
    "group_vars/all/vault.yml": """
vault_internal_ca_passphrase: made up for the passphrase
vault_session_ticket_seed: made up for the tickets of sessions
vault_shop_secret_key: made up for the key
""",
}
# The same, as the steps of the page have it.
AFTER = {
    "hosts.yml": """
proxies: {hosts: {proxy1: {ansible_host: 10.10.0.11, public_address: 198.51.100.11}}}
shop: {hosts: {shop1: {ansible_host: 10.10.0.101}, shop2: {ansible_host: 10.10.0.102}}}
""",
    "group_vars/all/environment.yml": """
environment_name: prod
domains: [example.com]
ansible_user: deploy
private_network: 10.10.0.0/24
edge_network: 198.51.100.0/25
controller_address: 10.10.0.10
controller_edge_address: 198.51.100.10
""",
    "group_vars/all/applications.yml": """
applications:
  - name: shop
    version: "1.0.0"
    port: 5000
    source: SOURCE
    secrets: {SECRET_KEY: "{{ vault_shop_secret_key }}"}
    runtime: python
    python: {target: storefront:create_app()}
    rollout: {batch: "1"}
""",
    "group_vars/all/sites.yml": """
proxy_sites: [{name: shop, server_names: [example.com], locations: [{path: /, upstream: shop}]}]
""",
    "group_vars/all/vault.yml": BEFORE["group_vars/all/vault.yml"],
}
MOVED = "was moved to the entry shop of applications in group_vars/all/applications.yml"
ANSWERED = {
    ("lab_name was renamed to environment_name", "hosts.yml:4", "write environment_name"),
    (f"app_name {MOVED}", "group_vars/shop/app.yml:2", "write name: there"),
    (f"app_version {MOVED}", "group_vars/shop/app.yml:3", "write version: there"),
    (f"app_port {MOVED}", "group_vars/shop/app.yml:4", "write port: there"),
    (f"app_source {MOVED}", "group_vars/shop/app.yml:5", "write source: there"),
    (f"app_secrets {MOVED}", "group_vars/shop/app.yml:6", "write secrets: there"),
    (f"runtime {MOVED}", "group_vars/shop/app.yml:7", "write runtime: python there"),
    (f"flask_app_target {MOVED}", "group_vars/shop/app.yml:8", "write python: {target: ...} there"),
    (f"rollout_batch {MOVED}", "group_vars/shop/app.yml:9", "write rollout: {batch: ...} there"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of an environment beside the wiring."""
    (tmp_path / "inventories" / "prod").mkdir(parents=True)
    shutil.copy(ROOT / "inventories" / "wiring.yml", tmp_path / "inventories")
    return tmp_path / "inventories" / "prod"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("SOURCE", str(ROOT / "apps" / "storefront")))


def preflight(folder: Path) -> tuple[int, set[tuple[str, str, str]]]:
    """Return preflight's exit code and its problems: (text, file:line, remedy)."""
    command = ["ansible-playbook", "playbooks/preflight.yml", "-i", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    blocks = re.findall(r"^\s+\d+\. (.+)\n\s+(\S+).*\n\s+-> (.+)", run.stdout, re.MULTILINE)
    errors = re.search(r"(\d+) errors?", run.stdout)
    assert len(blocks) == int(errors[1] if errors else 0), run.stdout + run.stderr
    return run.returncode, {
        (text, place.removeprefix(f"{folder}/").rpartition(":")[0], remedy) for text, place, remedy in blocks
    }


def linked(folder: Path) -> None:
    """Run the page's own command where it says."""
    command = shlex.split(re.search(r"`(ln -s [^`]+)`", PAGE)[1])  # type: ignore[index]
    subprocess.run(command, cwd=folder.parents[1], check=True)


def test_an_inventory_of_before_is_answered_name_by_name(folder: Path) -> None:
    write(folder, BEFORE)
    code, found = preflight(folder)
    link = ("wiring.yml, which joins the roles, is missing", "", f"run ln -s ../wiring.yml {folder}/wiring.yml")
    assert code == 2
    assert found ^ {*ANSWERED, link} == set()
    linked(folder)
    assert preflight(folder) == (2, ANSWERED)


def test_the_steps_of_the_page_lead_to_an_environment_without_a_problem(folder: Path) -> None:
    linked(folder)
    write(folder, AFTER)
    kept = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]  # type: ignore[index]
    with (folder / "group_vars/all/environment.yml").open("a") as file:
        file.write(re.sub(r"^   ", "", kept, flags=re.MULTILINE))
    assert preflight(folder) == (0, set())


def test_a_link_of_before_is_answered(folder: Path) -> None:
    write(folder, AFTER)
    (folder / "gatehouse.yml").symlink_to("../gatehouse.yml")
    remedy = f"run ln -s ../wiring.yml {folder}/wiring.yml and remove gatehouse.yml"
    assert preflight(folder) == (2, {("gatehouse.yml was renamed to wiring.yml", "", remedy)})


def test_the_page_has_each_renamed_name() -> None:
    pairs = [
        pair for part in ("variables", "keys", "links", "page_variables", "playbooks") for pair in TABLE[part].items()
    ]
    pairs += [pair for names in TABLE["values"].values() for pair in names.items()]
    assert len(pairs) > 5
    for old, new in pairs:
        assert any(old in row.split("|")[1] and new in row.split("|")[2] for row in ROWS), (old, new)


@pytest.mark.parametrize(("old", "new"), TABLE["playbooks"].items())
def test_a_playbook_of_before_names_the_one_of_now(folder: Path, old: str, new: str) -> None:
    write(folder, AFTER)
    command = ["ansible-playbook", f"playbooks/{old}", "-i", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 2
    assert f"playbooks/{old} was renamed; write playbooks/{new}" in run.stdout
