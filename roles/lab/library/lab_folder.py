#!/usr/bin/python
"""Ansible module: a lab's keys and small files, on the controller and where every container mounts them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_folder
short_description: Make the keys of a lab, and the files that say how to reach it
description:
  - Makes in O(path) the keys C(id_ed25519) and C(host_key) where they are missing, C(known_hosts) and O(files), for
    O(owner) alone.
  - Copies to O(mount) what sshd in the containers reads, owned by root as it insists.
options:
  path: {description: The lab's folder on the controller, type: path, required: true}
  mount: {description: The folder that every container mounts, type: path, required: true}
  owner: {description: Number of the user whose O(path) is, type: int, required: true}
  addresses: {description: The addresses of all hosts, type: list, elements: str, required: true}
  files: {description: Name and content of each further file in O(path), type: dict, default: {}}
author: [the Gatehouse project]
"""

EXAMPLES = r"""
- lab_folder:
    path: /home/me/gatehouse/.lab/lab
    mount: /var/lib/gatehouse-lab/lab
    owner: 1000
    addresses: [10.20.0.11, 10.20.0.101]
    files: {urls.txt: "https://storefront.lab.test/\n"}
"""

RETURN = r"""
written: {description: The files and folders that were made or mended, type: list, returned: success}
"""

KEYS = ("id_ed25519", "host_key")


class Folders:
    """What is there is compared with what is wanted; only differences are written, and nothing in check mode."""

    def __init__(self, check_mode: bool) -> None:
        self.check_mode = check_mode
        self.written: list[str] = []

    def folder(self, path: Path, mode: int, owner: int) -> None:
        """Make a folder and those above it that are missing; they belong to `owner` as well."""
        if not path.parent.is_dir():
            self.folder(path.parent, 0o755, owner)
        if not path.is_dir():
            self._write(path, lambda: path.mkdir(mode=mode))
        self._mend(path, mode, owner)

    def key(self, path: Path, comment: str, owner: int) -> None:
        """Make a key and its public half, where they are missing."""
        public = path.with_suffix(".pub")
        if not (path.exists() and public.exists()):
            self._write(path, lambda: self._generate(path, comment))
        self._mend(path, 0o600, owner)
        self._mend(public, 0o644, owner)

    def file(self, path: Path, content: bytes, mode: int, owner: int) -> None:
        """Write a file that is missing or says something else."""
        if not path.is_file() or path.read_bytes() != content:
            self._write(path, lambda: self._replace(path, content))
        self._mend(path, mode, owner)

    def _write(self, path: Path, action: Callable[[], object]) -> None:
        self.written.append(str(path))
        if not self.check_mode:
            action()

    def _mend(self, path: Path, mode: int, owner: int) -> None:
        if not path.exists():
            return
        status = path.stat()
        if status.st_mode & 0o7777 != mode:
            self._write(path, lambda: path.chmod(mode))
        if status.st_uid != owner:
            self._write(path, lambda: shutil.chown(path, owner))

    @staticmethod
    def _generate(path: Path, comment: str) -> None:
        for old in (path, path.with_suffix(".pub")):
            old.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)  # noqa: S603

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        """Write for root alone, which `_mend` widens: a key is never readable by others in between."""
        path.unlink(missing_ok=True)
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)


def main() -> None:
    """Make both folders as they should be."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "mount": {"type": "path", "required": True},
            "owner": {"type": "int", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    path, mount, owner = Path(module.params["path"]), Path(module.params["mount"]), module.params["owner"]
    lab = Folders(module.check_mode)
    try:
        lab.folder(path, 0o700, owner)
        for name in KEYS:
            lab.key(path / name, f"Gatehouse lab {path.name}", owner)
        lab.folder(mount, 0o755, 0)
        files = {name: str(content).encode() for name, content in module.params["files"].items()}
        # Absent only in check mode, before the first run.
        if all((path / name).exists() for name in KEYS):
            public = (path / "host_key.pub").read_text()
            files["known_hosts"] = "".join(f"{address} {public}" for address in module.params["addresses"]).encode()
            lab.file(mount / "host_key", (path / "host_key").read_bytes(), 0o600, 0)
            lab.file(mount / "authorized_keys", (path / "id_ed25519.pub").read_bytes(), 0o644, 0)
        for name, content in sorted(files.items()):
            lab.file(path / name, content, 0o600, owner)
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"ssh-keygen could not make a key in {path}: {error.stderr.decode().strip()}")
    except OSError as error:
        module.fail_json(msg=f"The lab's folders {path} and {mount} cannot be written: {error}")
    module.exit_json(changed=bool(lab.written), written=lab.written)


if __name__ == "__main__":
    main()
