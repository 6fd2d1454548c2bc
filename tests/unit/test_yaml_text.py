"""What is said of a text that is no YAML, and of the files of an inventory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.gatehouse.core.plugins.module_utils.yaml_text import mistakes

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "callback_plugins"))
from vault_password import closed_vaults

INDENTED = "is indented in another way than the lines before"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\n\tb: 2\n", (2, 1, "is indented by a tab", "write spaces instead")),
        ("a:\n  \tb: 2\n", (2, 3, "is indented by a tab", "write spaces instead")),
        (
            "a: 1\nb:\n  c: 1\n  c: 2\n",
            (4, 3, "has the key c twice, first in line 3", "write it once: remove or rename one of the two"),
        ),
        (
            "a: {b: 1\nc: 2\n",
            (1, 4, "opens { and does not close it before line 2", "write }, or a comma between two entries"),
        ),
        (
            "a: [1, 2\nc: 2\n",
            (1, 4, "opens [ and does not close it before line 2", "write ], or a comma between two entries"),
        ),
        ("a: {{ b }}\n", (1, 5, "has a template without quotes", 'write it in quotes: a: "{{ ... }}"')),
        ("a: {{ b }}/c\n", (1, 4, "has a template without quotes", 'write it in quotes: a: "{{ ... }}"')),
        ('a: "b\nc: 1\n', (1, 4, 'opens a quote " and does not close it', 'write " where the text ends')),
        (
            "a: 1\n  b: 2\n",
            (
                2,
                4,
                "has a colon where none can be",
                "indent the line as those around it, or write a text with a colon in quotes",
            ),
        ),
        ("a:\n  - b: 1\n   c: 2\n", (3, 4, INDENTED, "indent it as those around it")),
        ("a: 1\nb 2\nc: 3\n", (2, 1, "lacks a colon", "write `name: value`, with a space after it")),
        (
            "a: &base {b: 1}\nc:\n  <<: *base\n  b: 2\n",
            (4, 3, "has the key b twice, first in line 1", "write it once: remove or rename one of the two"),
        ),
        ("a: @b\n", (1, 4, "has a text that begins with @", "write it in quotes")),
        ("prod\n", (1, 1, "is no mapping", "write lines of the form `name: value`")),
    ],
)
def test_a_mistake_is_named_with_line_and_remedy(text: str, found: tuple[int, int, str, str]) -> None:
    assert [(one.line, one.column, one.problem, one.remedy) for one in mistakes(text)] == [found]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "---\n# nothing yet\n",
        "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\nb: !unsafe x\n",
        "base: &base {a: 1}\nb:\n  <<: *base\n  c: 2\n",
        'a: "{{ b }}"\nc: |\n  x\ty\n',
    ],
)
def test_right_text_has_no_mistake(text: str) -> None:
    assert mistakes(text) == []


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return an inventory of one host."""
    (tmp_path / "hosts.yml").write_text("all: {hosts: {web1: }}\n")
    for name in ("group_vars/all", "host_vars"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def refusal(folder: Path, capsys: pytest.CaptureFixture[str], loader: DataLoader | None = None) -> str:
    with pytest.raises(SystemExit) as ended:
        InventoryManager(loader=loader or DataLoader(), sources=[str(folder)])
    assert ended.value.code == 4
    return capsys.readouterr().err


def test_each_file_is_read_before_any_play(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (environment / "hosts.yml").write_text("all: {hosts: {web1: }\n")
    (environment / "group_vars" / "all" / "sites.yml").write_text("a: 1\na: 2\n")
    (environment / "host_vars" / "web1").write_text("\ta: 1\n")
    said = refusal(environment, capsys)
    for place, excerpt in (
        ("hosts.yml:1:6 opens {", "all: {hosts: {web1: }"),
        ("group_vars/all/sites.yml:2:1 has the key a twice", "a: 2"),
        ("host_vars/web1:1:1 is indented by a tab", "a: 1"),
    ):
        assert f"{environment}/{place}" in said
        assert f"\n     {excerpt}\n     -> " in said
    assert said.count("->") == 3


def test_a_vault_without_its_password_is_found(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vault, secret = environment / "group_vars" / "all" / "vault.yml", VaultSecret(b"right")
    vault.write_bytes(VaultLib([("default", secret)]).encrypt("vault_x: 1\n"))
    wrong, right = DataLoader(), DataLoader()
    wrong.set_vault_secrets([("default", VaultSecret(b"wrong"))])
    right.set_vault_secrets([("default", secret)])
    for loader in (DataLoader(), wrong):
        assert list(closed_vaults([str(environment)], loader)) == [vault]
        # What asks for no variables, as `ansible-inventory --graph`, needs no password.
        assert InventoryManager(loader=loader, sources=[str(environment)]).get_host("web1")
    assert list(closed_vaults([str(environment / "hosts.yml")], right)) == []
    vault.write_bytes(VaultLib([("default", secret)]).encrypt("vault_x: 1\nvault_x: 2\n"))
    assert "vault.yml:2:1 has the key vault_x twice, first in line 1\n     (encrypted)\n" in refusal(
        environment, capsys, right
    )
