"""What an operator gets wrong in a copy of inventories/prod, as preflight answers it: what, where, and what to write.

A batch is one copy with several mistakes, so that one run judges them all. Each is (file, old text, new text, what is
said, text of the line that is named, remedy); an old text of "" appends, and a file that is not there is written.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = Path(__file__).resolve().parents[2]
H, E = "hosts.yml", "group_vars/all/environment.yml"
A, S = "group_vars/all/applications.yml", "group_vars/all/sites.yml"
VAULT = {"vault_passphrase": "made up for the passphrase", "vault_storefront_secret_key": "made up for the key"}
LIVE = "{path: /live, upstream: dashboard, websocket: true}"
Mistake = tuple[str, str, str, str, str, str]

SITES: list[Mistake] = [
    (S, "", "proxy_compresion: false\n", "proxy_compresion is no variable of the role proxy", "proxy_compresion",
     "write proxy_compression"),
    (S, LIVE, "{path: /live, upstream: dashboard, websockets: true}", ".locations[2].websockets is unknown", "/live",
     "write websocket"),
    (S, "server_names: [dashboard.example.com]", "server_names: dashboard.example.com", "must be a list",
     "server_names", "write each item on a line of its own that begins with -"),
    (S, "  - name: assets", "  - {name: assets, max_size: 2GB, inactive: 7 days}", '.max_size "2GB" is no size', "2GB",
     "write"),
    (S, "{path: /static/, upstream: storefront, cache: {zone: assets}}",
     "{path: static/, upstream: storefront, cache: {zone: assets}}", '"static/"', "static/", "write"),
    (S, "{path: /assets/, upstream: dashboard, cache: {zone: assets}}",
     "{path: /assets/, upstream: dashbord, cache: {zone: assets}}", 'names the upstream "dashbord"', "dashbord",
     "write dashboard"),
    (S, "", "extra_upstreams:\n  - {name: hand, tls: {name: x.internal.example.com}, transport: mtls, members: [\n"
     "      {name: storefront1, address: 10.10.0.101, port: 5000}]}\n",
     "5000 of member storefront1 is closed on host storefront1, whose firewall opens 443", "port: 5000", "write 443"),
    (S, "{path: /, upstream: dashboard}", '{path: /, upstream: dashboard, websocket: "no"}',
     'websocket must be true or false, got "no"', '"no"', "write false, without quotes"),
    ("group_vars/storefront.yml", "", "proxy_client_max_body_size: 20m\n",
     "proxy_client_max_body_size is an input of the role proxy, which runs on no host that group_vars/storefront.yml",
     "proxy_client", "write it for hosts that run it"),
    ("group_vars/proxies.yml", "", "app_version: 2.0.0\n",
     "app_version is an input of the role app, which runs on no host that group_vars/proxies.yml is for", "app_version",
     "write version: in the application's entry"),
    ("group_vars/proxies.yml", "", "proxy_session_ticket_seed: short\n", "proxy_session_ticket_seed is refused",
     "short", "write one such as `openssl rand"),
]  # fmt: skip
APPLICATIONS: list[Mistake] = [
    (A, "port: 5000", "port: 70000", "applications[0].port 70000 is no port", "70000", "write an integer"),
    (A, "    upstream: {method: least_conn}", "    upstream: {methd: least_conn}", ".methd is unknown", "methd",
     "write method"),
    (A, "      target: storefront:create_app()", "      targt: storefront:create_app()",
     "applications[0].python.targt is no key of an application", "targt", "write target"),
    (A, '    version: "1.0.0"\n    port: 3000', '    version: 1.10\n    port: "3000"\n    batch: 2',
     "applications[1].batch is no key of an application", "batch: 2", "write it below rollout:"),
    (A, "    secrets:", "    app_health_path: /up\n    secrets:",
     "applications[0].app_health_path has the role's prefix", "app_health_path", "write health_path"),
    (A, "", "  - name: shop\n    runtime: nodejs\n    python: {target: x}\n",
     "applications[2].name shop is no group of hosts.yml that has hosts", "name: shop", "add the group shop"),
    (A, "", "    rollout: {purges: [{site: shopp, prefix: /}]}\n", "applications[2].runtime \"nodejs\" is no runtime",
     "nodejs", "write node"),
    (E, "environment_name: prod", "environment_name: staging",
     "environment_name is staging, as that of staging: both would share one state folder", "environment_name",
     "write another name"),
    ("group_vars/storefronts.yml", "", "x: 1\n", "group_vars/storefronts.yml belongs to no group", "",
     "name it storefront.yml"),
]  # fmt: skip
PROCESS = """    processes: [{name: web, command: work > log}]
    schedules: [{name: tidy, command: tidy, calendar: "*/5 * * * *", hosts: firsst}]
"""
PROCESSES: list[Mistake] = [
    (A, "", PROCESS, 'applications[1].processes[0].name "web" is the application\'s own start', "name: web",
     "write another"),
    (A, "work > log", "work > log", 'applications[1].processes[0].command "work > log" has >, and no shell reads it',
     "work > log", "write one command, or a script that is in the release"),
    (A, "*/5", "*/5", 'applications[1].schedules[0].calendar "*/5 * * * *" is of cron', "*/5",
     "write it as a timer has it"),
    (A, "firsst", "firsst", "applications[1].schedules[0].hosts must be one of all, first", "firsst", "write first"),
]  # fmt: skip
HOSTS: list[Mistake] = [
    (H, "proxy2: {ansible_host: 10.10.0.12, public_address: 198.51.100.12}", "proxy2: {ansible_host: 10.10.0.12}",
     "host proxy2 has no public_address", "proxy2", "write public_address: beside it"),
    (H, "storefront2: {ansible_host: 10.10.0.102}", "storefront2: {ansible_host: 10.10.0.101}",
     "10.10.0.101 of host storefront2 is the address of storefront1 too", "storefront2", "give each host its own"),
    (E, "domains: [example.com]", "", "domains is not defined", "", "write domains: there"),
]  # fmt: skip
ALONE: list[list[Mistake]] = [
    [(A, "runtime: python", "runtime: flask", "applications[0].runtime flask was renamed to python", "runtime: flask",
      "write python"),
     (A, "    python:", "    flask:", "applications[0].flask was renamed to python", "flask:", "write python"),
     (E, "environment_name: prod", "lab_name: prod", "lab_name was renamed to environment_name", "lab_name",
      "write environment_name"),
     (S, "upstream: storefront, cache: {zone: assets}", "upstream: storefront, cache: {zone: assets, recipe: lesson}",
      "proxy_sites[0].locations[1].cache.recipe lesson was renamed to basic", "lesson", "write basic"),
     ("group_vars/storefront.yml", "", "flask_app_workers: 3\n", "flask_app_workers was renamed to python_app_workers",
      "flask_app_workers", "write python_app_workers")],
    [(E, "controller_address: 10.10.0.10 ", "controller_address: 10.10.0.0/24 ",
      'controller_address "10.10.0.0/24" is no IP address', "controller_address", "write one such as 10.0.0.5"),
     (A, "runtime: node", "runtime: nodejs", 'applications[1].runtime "nodejs" is no runtime', "nodejs", "write node")],
    [(H, "proxies:", "proxy:", "hosts.yml has no group proxies that has hosts", "", "call proxy proxies")],
    [(A, "applications:", "applications: shop\nx_applications:", 'applications must be a list, got "shop"',
      "applications: shop", "write `- name: shop`")],
    # One cause is one problem, whatever follows from it.
    [(A, "applications:", "x_applications:", "group storefront is neither proxies nor an application's", "",
      "write an entry with name: storefront"),
     (A, "x_applications:", "x_applications:", "group dashboard is neither proxies nor an application's", "",
      "write an entry")],
    [(A, "", "    source: ../shop\n", "source ../shop is relative, and each playbook would begin elsewhere", "source",
      'write "{{ inventory_dir }}/../shop"')],
    [(A, "name: dashboard", "name: My Shop", '"My Shop" names a unit, a folder and an account', "My Shop",
      "write dashboard")],
    [(S, "", "proxy_upstreams: []\n", "takes the place of the pools that follow from the applications", "",
      "call it extra_upstreams")],
    [("group_vars/all/vault.yml", "", "vault_x: change-me\n", "vault_x has the value of the example", "vault_x",
      "write a secret of your own")],
]  # fmt: skip


def edit(folder: Path, mistake: Mistake) -> None:
    """Make one mistake in a copy."""
    path = folder / mistake[0]
    text = path.read_text() if path.exists() else ""
    if not mistake[1]:
        path.write_text(text + mistake[2])
        return
    assert mistake[1] in text, mistake
    path.write_text(text.replace(mistake[1], mistake[2], 1))


@pytest.mark.parametrize(
    "batch", [SITES, APPLICATIONS, PROCESSES, HOSTS, *ALONE], ids=lambda batch: str(batch[0][3])[:40]
)
def test_a_mistake_is_named_with_its_place_and_a_remedy(tmp_path: Path, batch: list[Mistake]) -> None:
    # Beside the other environments, as a copy is.
    shutil.copytree(ROOT / "inventories" / "staging", tmp_path / "staging", symlinks=True)
    folder = tmp_path / "mine"
    shutil.copytree(ROOT / "inventories" / "prod", folder, symlinks=True)
    (tmp_path / "wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
    for mistake in batch:
        edit(folder, mistake)
    command = ["ansible-playbook", "playbooks/preflight.yml", "-i", str(folder), "-e", json.dumps(VAULT)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 2, run.stdout
    blocks = re.split(r"\n\s+\d+\. ", run.stdout)
    if batch in ALONE:
        assert len(blocks) - 1 == len(batch), run.stdout
    for file, _, _, said, line, remedy in batch:
        found = [block for block in blocks if said in block]
        assert len(found) == 1, f"{said}\n{run.stdout}"
        assert f"-> {remedy}" in found[0], found[0]
        if line:
            number = re.search(rf"mine/{re.escape(file)}:(\d+)", found[0])
            assert number, found[0]
            lines = (folder / file).read_text().splitlines()
            assert line in lines[int(number[1]) - 1], found[0]
    # Nothing is said of the wiring, which the operator did not write.
    assert "wiring.yml" not in run.stdout, run.stdout


@pytest.mark.parametrize("playbook", ["site.yml", "playbooks/preflight.yml"])
def test_what_is_no_yaml_ends_any_run_first(tmp_path: Path, playbook: str) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(ROOT / "inventories" / "prod", folder, symlinks=True)
    (tmp_path / "wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
    edit(folder, (H, "proxy2: {", "proxy2: {{", "", "", ""))
    edit(folder, (S, "  - name: assets", "\t- name: assets", "", "", ""))
    # Only the tasks are listed, so that no host can be meant by mistake.
    command = ["ansible-playbook", playbook, "-i", str(folder), "--list-tasks"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stdout) == (4, ""), run.stdout
    places = re.findall(r"mine/(\S+?):(\d+):\d+ .+\n     .+\n     -> .+", run.stderr)
    lines = {file: (folder / file).read_text().splitlines()[int(line) - 1] for file, line in places}
    assert list(lines) == [H, S], run.stderr
    assert "proxy2: {{" in lines[H]
    assert lines[S].startswith("\t")


def test_the_vaults_password_is_asked_for_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(ROOT / "inventories" / "prod", folder, symlinks=True)
    (tmp_path / "wiring.yml").symlink_to(ROOT / "inventories" / "wiring.yml")
    vault, password = folder / "group_vars" / "all" / "vault.yml", tmp_path / "password"
    password.write_text("made up\n")
    vault.write_bytes(VaultLib([("default", VaultSecret(b"made up"))]).encrypt(json.dumps(VAULT)))
    command = ["ansible-playbook", "playbooks/preflight.yml", "-i", str(folder)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stdout) == (4, "")
    assert run.stderr.count("mine/group_vars/all/vault.yml is encrypted, and no password was given that opens it") == 1
    assert run.stderr.count("-> add --ask-vault-pass, or --vault-password-file=FILE") == 1
    command += ["--vault-password-file", str(password), "-e", "ansible_ssh_private_key_file="]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0, run.stdout
