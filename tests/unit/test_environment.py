"""The inventory plugin: what the wiring and the list of applications give to groups and hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

WIRING = """plugin: gatehouse.core.environment
all: {state_dir: /state, colour: wiring}
apps: {app_address: 127.0.0.1}
proxies: {proxy_drained: []}
"""
HOSTS = """proxies: {hosts: {proxy1: }}
shop: {hosts: {shop1: , shop2: }}
"""
APPLICATIONS = """applications:
  - name: shop
    runtime: node
    version: "1.0.0"
    port: 3000
    secrets: {TOKEN: "{{ vault_token }}"}
    node: {build_script: build}
    rollout: {batch: 2}
    upstream: {method: least_conn}
"""


def variables(folder: Path, host: str) -> dict[str, Any]:
    """Return a host's variables as they are written."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(folder)])
    manager = VariableManager(loader=loader, inventory=inventory)
    found: dict[str, Any] = manager.get_vars(host=inventory.get_host(host), include_hostvars=False)
    return found


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return an inventory of one application."""
    (tmp_path / "group_vars" / "all").mkdir(parents=True)
    (tmp_path / "wiring.yml").write_text(WIRING)
    (tmp_path / "hosts.yml").write_text(HOSTS)
    (tmp_path / "group_vars" / "all" / "applications.yml").write_text(APPLICATIONS)
    return tmp_path


def test_an_entry_gives_its_hosts_the_inputs_of_the_roles(environment: Path) -> None:
    found = variables(environment, "shop2")
    assert found["group_names"] == ["apps", "machines", "shop"]
    wanted = {
        "app_name": "shop",
        "runtime": "node",
        "app_version": "1.0.0",
        "app_port": 3000,
        "node_app_build_script": "build",
        "rollout_batch": 2,
        "app_address": "127.0.0.1",
        "state_dir": "/state",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["app_secrets"] == {"TOKEN": "{{ vault_token }}"}
    assert [name for name in found if "upstream" in name or name == "node"] == []


@pytest.mark.parametrize(
    "text", ['{"applications": [{"name": "shop", "port": 3000}]}', '"applications" :\n- {name: shop, port: 3000}\n']
)
def test_the_list_is_found_however_its_file_writes_it(environment: Path, text: str) -> None:
    (environment / "group_vars" / "all" / "applications.yml").write_text(text)
    found = variables(environment, "shop2")
    assert (found["app_name"], found["app_port"]) == ("shop", 3000)


def test_an_application_reaches_no_host_of_another(environment: Path) -> None:
    found = variables(environment, "proxy1")
    assert (found["colour"], found["proxy_drained"]) == ("wiring", [])
    assert [name for name in found if name.startswith(("app_", "rollout_", "node_"))] == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("hosts.yml", "all: {vars: {colour: own}}\n" + HOSTS),
        ("group_vars/all/environment.yml", "colour: own\n"),
        ("group_vars/proxies.yml", "colour: own\n"),
    ],
)
def test_whatever_an_environment_says_ranks_above_the_wiring(environment: Path, file: str, text: str) -> None:
    (environment / file).write_text(text)
    assert variables(environment, "proxy1")["colour"] == "own"


def test_a_groups_own_file_ranks_above_the_entry(environment: Path) -> None:
    (environment / "group_vars" / "shop.yml").write_text("app_port: 3001\n")
    assert variables(environment, "shop1")["app_port"] == 3001


@pytest.mark.parametrize(
    "text",
    [
        "applications: shop\n",
        "applications: [shop, {port: 3}, {name: [a]}, {name: 'a b'}]\n",
        "applications:\n",
    ],
)
def test_what_is_no_list_of_applications_is_left_to_preflight(environment: Path, text: str) -> None:
    (environment / "group_vars" / "all" / "applications.yml").write_text(text)
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(environment)])
    assert {str(group) for group in inventory.get_host("shop1").get_groups()} == {"all", "shop"}


def test_a_vault_beside_the_applications_is_not_opened(environment: Path) -> None:
    vault = environment / "group_vars" / "all" / "vault.yml"
    vault.write_text("$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    assert InventoryManager(loader=DataLoader(), sources=[str(environment)]).get_host("shop1").get_groups()


SHARED = """proxies: {hosts: {web1: {ansible_host: 10.0.0.1}}}
zone: {hosts: {web1: , web2: }, vars: {zone: a}}
webs: {hosts: {web1: , web2: {ansible_host: 10.0.0.2}}}
shop: {children: {webs: }}
desk: {hosts: {web2: , web3: {ansible_host: 10.0.0.3}}}
"""


@pytest.fixture
def shared(environment: Path) -> Path:
    """Return an inventory whose hosts have more to do than one application."""
    (environment / "hosts.yml").write_text(SHARED)
    (environment / "host_vars").mkdir()
    (environment / "host_vars" / "web2.yml").write_text("colour: red\n")
    with (environment / "group_vars" / "all" / "applications.yml").open("a") as file:
        file.write("  - {name: desk, runtime: python, version: '2', port: 5000}\n")
    return environment


def test_an_application_that_shares_its_host_has_one_of_its_own(shared: Path) -> None:
    inventory = InventoryManager(loader=DataLoader(), sources=[str(shared)])
    members = {name: [str(host) for host in inventory.get_hosts(name)] for name in ("shop", "desk", "machines")}
    assert members == {
        "shop": ["web1.shop", "web2.shop"],
        "desk": ["web2.desk", "web3"],
        "machines": ["web1", "web2", "web3"],
    }
    assert variables(shared, "web2")["instances"] == ["web2.shop", "web2.desk"]
    assert variables(shared, "web3")["instances"] == ["web3"]


def test_no_variable_of_an_application_reaches_another_one_on_its_host(shared: Path) -> None:
    shop, desk, machine = (variables(shared, name) for name in ("web2.shop", "web2.desk", "web2"))
    assert (shop["app_port"], desk["app_port"]) == (3000, 5000)
    assert "node_app_build_script" not in desk
    assert [name for name in machine if name.startswith(("app_", "node_", "rollout_"))] == []


def test_an_instance_has_the_variables_of_its_machine(shared: Path) -> None:
    desk = variables(shared, "web2.desk")
    wanted = {"machine": "web2", "ansible_host": "10.0.0.2", "colour": "red", "zone": "a", "alone_on_proxy": False}
    assert {name: desk[name] for name in wanted} == wanted
    assert set(desk["group_names"]) == {"apps", "desk", "webs", "zone"}


@pytest.mark.parametrize(
    ("hosts", "alone"),
    [
        ("proxies: {hosts: {web1: }}\nshop: {hosts: {web1: }}\n", True),
        ("proxies: {hosts: {web1: , web2: }}\nshop: {hosts: {web1: }}\n", False),
        ("proxies: {hosts: {web1: }}\nshop: {hosts: {web1: , web2: }}\n", False),
        ("proxies: {hosts: {web2: }}\nshop: {hosts: {web1: }}\ndesk: {hosts: {web1: }}\n", False),
    ],
    ids=["one-machine", "another-proxy", "another-host", "elsewhere"],
)
def test_an_application_is_alone_on_the_only_proxy(shared: Path, hosts: str, alone: bool) -> None:
    (shared / "hosts.yml").write_text(hosts)
    assert variables(shared, "web1.shop")["alone_on_proxy"] is alone


def test_the_controller_knows_the_folder_of_the_environment(environment: Path) -> None:
    # A lab is made there, from files that stand in it.
    assert variables(environment, "localhost")["environment_dir"] == str(environment)
