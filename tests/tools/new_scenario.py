"""Write a scenario: hosts at a free number of networks, one site, and a test of it that passes.

make scenario NAME=x
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
NETWORK = re.compile(r"\b10\.([0-9]{1,3})\.0\.0/24")
# 20 is the lab's, and the benches begin at 50.
FIRST, LAST = 21, 49
FILES = {
    "molecule/{name}/molecule.yml": """# What {name} promises, and whom.
# Below, only what differs from .config/molecule/config.yml.
""",
    "molecule/{name}/inventory/hosts.yml": """all:
  vars:
    environment_name: test-{lab}
    private_network: 10.{number}.0.0/24
    edge_network: 198.18.{number}.0/24
    controller_address: 10.{number}.0.1
    controller_edge_address: 198.18.{number}.1
  children:
    proxies:
      hosts:
        proxy1: {{ansible_host: 10.{number}.0.11, public_address: 198.18.{number}.11}}
""",
    "molecule/{name}/inventory/group_vars/proxies/proxy.yml": """proxy_sites:
  - name: example
    server_names: [example.lab.test]
    locations:
      - {{path: /, redirect: {{to: /new}}}}
""",
    "tests/scenarios/{name}/__init__.py": "",
    "tests/scenarios/{name}/test_{name}.py": '''"""What {name} promises, asked from outside."""

from __future__ import annotations

from estate import Ask


def test_the_example_answers(ask: Ask) -> None:
    answer = ask("https://example.lab.test/old")
    assert (answer.status, answer.headers["location"]) == (308, "/new")
''',
}
LINKS = {
    "molecule/{name}/inventory/wiring.yml": "../../../inventories/wiring.yml",
    "molecule/{name}/inventory/group_vars/all/lab.yml": "../../../../../inventories/lab/group_vars/all/lab.yml",
}


def taken(root: Path) -> Iterator[int]:
    """Yield the second numbers of the networks 10.x.0.0/24 that an inventory has."""
    for place in ("molecule/*/inventory/**/*.yml", "inventories/**/*.yml"):
        for path in root.glob(place):
            yield from (int(number) for number in NETWORK.findall(path.read_text()))


def write(root: Path, name: str) -> int:
    """Write the files of a scenario; return the number of its networks."""
    number = min(set(range(FIRST, LAST + 1)) - set(taken(root)))
    for path, text in FILES.items():
        file = root / path.format(name=name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(name=name, lab=name.replace("_", "-"), number=number))
    for path, target in LINKS.items():
        link = root / path.format(name=name)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    return number


def main() -> None:
    """Refuse a name that is none or taken, write, and say what comes next."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    name = parser.parse_args().name
    if not NAME.fullmatch(name):
        sys.exit(f'NAME is "{name}": write lower-case letters, digits and underscores, such as NAME=proxies')
    if (ROOT / "molecule" / name).exists():
        sys.exit(f"molecule/{name} is there already: write another NAME, or remove it first")
    number = write(ROOT, name)
    print(f"molecule/{name} is written, with the networks 10.{number}.0.0/24 and 198.18.{number}.0/24.")
    print(f"make molecule-{name} runs it; its test is tests/scenarios/{name}/test_{name}.py.")


if __name__ == "__main__":
    main()
