#!/usr/bin/python
"""Ansible module: make a lab's container an ACME authority that knows where the lab's names are."""

from __future__ import annotations

import io
import json
import ssl
import subprocess
import tarfile
import time
import urllib.request
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_pebble
short_description: Run pebble, an ACME authority for tests, in a container of a lab
description:
  - Installs Debian's pebble from the archives that the image carries, and runs it as a unit. Its names are in the
    container's own C(/etc/hosts), so that it fetches every challenge from port 80 of the lab's proxies.
  - Writes to O(folder) C(directory), the URL to ask; C(ca.pem), by which that is verified; and C(roots.pem), by which
    the certificates are, anew at each start of pebble, which keeps nothing.
options:
  container: {description: The container, type: str, required: true}
  address: {description: Its address, type: str, required: true}
  names: {description: The names that it may be asked for, type: list, elements: str, required: true}
  proxies: {description: The addresses at which each of them answers, type: list, elements: str, required: true}
  folder: {description: Where the controller's files go, type: path, required: true}
  customers: {description: Keys of those who get accounts by key identifier; empty for all, type: dict, default: {}}
  timeout: {description: Seconds to wait for its answer, type: int, default: 60}
author: [the Gatehouse project]
"""

EXAMPLES = r"""
- lab_pebble:
    container: prod-pebble
    address: 198.51.100.125
    names: [example.com]
    proxies: [198.51.100.11, 198.51.100.12]
    folder: /home/me/gatehouse/.lab/prod/acme
"""

RETURN = r"""
written: {description: The files that were made or changed, type: list, returned: success}
"""

UNIT = """[Unit]
Description=Pebble, an ACME authority for tests
After=network.target

[Service]
ExecStartPre=/bin/sh -c 'cat /etc/pebble/hosts > /etc/hosts'
ExecStart=/usr/bin/pebble -config /etc/pebble/config.json
Environment=PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 PEBBLE_AUTHZREUSE=0
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""
# The key is made where it is used and stays there. Strict verifiers want the key usage of a CA in what they trust.
START = """set -e
cd /etc/pebble
[ -s key.pem ] || openssl req -quiet -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650 \
  -keyout key.pem -out cert.pem -subj '/CN=The lab' -addext subjectAltName=IP:{address} \
  -addext keyUsage=critical,digitalSignature,keyCertSign
[ -x /usr/bin/pebble ] || DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends pebble >&2
systemctl daemon-reload
systemctl enable -q pebble
systemctl restart pebble
"""


def config(customers: dict[str, str]) -> str:
    """Return pebble's configuration: challenges are fetched from the ports that the public uses."""
    return json.dumps(
        {
            "pebble": {
                "listenAddress": "0.0.0.0:14000",
                "managementListenAddress": "0.0.0.0:15000",
                "certificate": "/etc/pebble/cert.pem",
                "privateKey": "/etc/pebble/key.pem",
                "httpPort": 80,
                "tlsPort": 443,
                "ocspResponderURL": "",
                "externalAccountBindingRequired": bool(customers),
                "externalAccountMACKeys": customers,
                "retryAfter": {"authz": 1, "order": 1},
                "certificateValidityPeriod": 90 * 24 * 3600,
            }
        }
    )


def hosts(names: list[str], addresses: list[str]) -> str:
    """Return /etc/hosts: every name at every address."""
    lines = ["127.0.0.1 localhost", *(f"{address} {' '.join(sorted(names))}" for address in addresses)]
    return "\n".join(lines) + "\n"


def archive(files: dict[str, str]) -> bytes:
    """Return a tar of {path: text} that root owns."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return stream.getvalue()


class Pebble:
    """The container, through podman."""

    def __init__(self, container: str) -> None:
        self.container = container

    def call(self, *argv: str, data: bytes | None = None) -> str:
        command = ["podman", *argv]
        done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=300)  # noqa: S603
        return done.stdout.decode()

    def text(self, path: str) -> str:
        """Return a file of the container, '' when there is none."""
        try:
            return self.call("exec", self.container, "cat", path)
        except subprocess.CalledProcessError:
            return ""

    def runs(self) -> bool:
        try:
            return bool(self.call("exec", self.container, "systemctl", "is-active", "pebble"))
        except subprocess.CalledProcessError:
            return False


def roots(address: str, ca: str, timeout: int) -> str:
    """Wait until the authority answers, and return the root of its certificates."""
    context, deadline = ssl.create_default_context(cadata=ca), time.monotonic() + timeout
    while True:
        try:
            url = f"https://{address}:15000/roots/0"
            with urllib.request.urlopen(url, timeout=5, context=context) as reply:
                return str(reply.read().decode())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main() -> None:
    """Make it so, and write down how it is reached."""
    module = AnsibleModule(
        argument_spec={
            "container": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "proxies": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "customers": {"type": "dict", "default": {}, "no_log": False},
            "timeout": {"type": "int", "default": 60},
        },
    )
    params, written = module.params, []
    pebble, address = Pebble(params["container"]), params["address"]
    files = {
        "/etc/pebble/config.json": config(params["customers"]),
        "/etc/pebble/hosts": hosts(params["names"], params["proxies"]),
        "/etc/systemd/system/pebble.service": UNIT,
    }
    try:
        if any(pebble.text(path) != text for path, text in files.items()) or not pebble.runs():
            pebble.call("cp", "-", f"{params['container']}:/", data=archive(files))
            pebble.call("exec", params["container"], "sh", "-c", START.format(address=address))
            written = [f"{params['container']}:{path}" for path in files]
        ca = pebble.text("/etc/pebble/cert.pem")
        reported = {
            "directory": f"https://{address}:14000/dir",
            "ca.pem": ca,
            "roots.pem": roots(address, ca, params["timeout"]),
        }
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        module.fail_json(msg=f"The container {params['container']} does not become an ACME authority: {said}")
    except OSError as error:
        module.fail_json(
            msg=f"pebble does not answer at {address}: {error}. Look at "
            f"`podman exec {params['container']} journalctl -u pebble`"
        )
    folder = Path(params["folder"])
    for name, text in reported.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            folder.mkdir(exist_ok=True)
            path.write_text(text)
            written.append(str(path))
    module.exit_json(changed=bool(written), written=written)


if __name__ == "__main__":
    main()
