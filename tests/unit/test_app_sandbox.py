"""Builds do not see the operator: what a hostile build tries, in a step that fetches and in one that builds."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from ansible_collections.gatehouse.core.plugins.module_utils import sandbox

ROOT = Path(__file__).resolve().parents[2]
# What a hostile step does: it tries everything, and writes what came of it into the release.
PROBE = """
import json, os, pathlib, socket, sys
targets, found = json.loads(pathlib.Path("targets").read_text()), {}

def tried(name, attempt):
    try:
        found[name] = [True, str(attempt())]
    except Exception as error:
        found[name] = [False, str(error)]

for path in targets["read"]:
    tried(path, lambda: pathlib.Path(path).stat())
for path in targets["write"]:
    tried(f"write {path}", lambda: pathlib.Path(path, "planted").write_text("x"))
tried("network", lambda: socket.create_connection(("127.0.0.1", targets["port"]), 2))
tried("agent", lambda: socket.socket(socket.AF_UNIX).connect(targets["agent"]))
tried("processes", lambda: [pid for pid in os.listdir("/proc") if pid.isdigit()])
tried("signal", lambda: os.kill(targets["pid"], 0))
tried("cache", lambda: pathlib.Path("/build/cache/mark").write_text(sys.argv[1]))
tried("cached", lambda: pathlib.Path("/build/cache/mark").read_text())
tried("mount", lambda: os.system("mount -t tmpfs none /mnt 2>/dev/null") and 1 / 0)
# The path names the toolchain, as no release may.
found["home"] = os.environ["HOME"]
found["environment"] = {name: value for name, value in os.environ.items() if name != "PATH"}
pathlib.Path(f"report-{sys.argv[1]}.json").write_text(json.dumps(found))
"""
SECRETS = {"AWS_SECRET_ACCESS_KEY", "VAULT_PASSWORD", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "ANSIBLE_VAULT_PASSWORD_FILE"}


@dataclass
class Operator:
    """An account on a controller, with what a build must not have."""

    root: Path
    port: int
    options: dict[str, Any]
    secrets: list[str] = field(default_factory=list)

    def attacked(self, builder: Any, step: str) -> dict[str, Any]:
        """Build with a hostile step, and return what it reports."""
        options = {**self.options, step: [["python3", "probe.py", step]]}
        build = builder.Build(options)
        build.run()
        with tarfile.open(build.archive) as tar:
            report = tar.extractfile(f"report-{step}.json")
            assert report is not None
            found: dict[str, Any] = json.load(report)
        return found

    def command(self, *command: str) -> dict[str, Any]:
        return {**self.options, "commands": [list(command)]}


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    """Return an operator whose home, state, agent and other application are as on a real controller."""
    secrets = {
        "home/.ssh/id_ed25519", "home/.npmrc", "home/.vault_pass", "state/ca/ca.key", "state/secrets/key",
        "out/cache/other/mark", "apps/other/app.py",
    }  # fmt: skip
    for name in sorted(secrets):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("secret\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in SECRETS:
        monkeypatch.setenv(name, str(tmp_path / "agent"))
    source = tmp_path / "apps" / "demo"
    source.mkdir()
    (source / "probe.py").write_text(PROBE)
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as agent:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        port = listener.getsockname()[1]
        read = [
            *(str(tmp_path / name) for name in sorted(secrets)),
            str(ROOT / "ansible.cfg"),
            "/etc/shadow",
            "/etc/ssl/private",
        ]
        write = [str(tmp_path), "/usr", "/etc", "/build", "/var"]
        targets = {"read": read, "write": write, "port": port, "agent": str(tmp_path / "agent"), "pid": os.getpid()}
        (source / "targets").write_text(json.dumps(targets))
        options = {
            "name": "demo", "version": "1.0", "source": str(source), "source_archive": {}, "source_git": {},
            "dir": str(tmp_path / "out"), "fetch": [], "commands": [], "files": {}, "exclude": [], "include": [],
            "strip": [], "timeout": 30,
        }  # fmt: skip
        yield Operator(tmp_path, port, options, read)


@pytest.mark.parametrize("step", ["fetch", "commands"])
def test_a_hostile_step_gets_nothing_of_the_operator(builder: Any, operator: Operator, step: str) -> None:
    found = operator.attacked(builder, step)
    environment = found.pop("environment")
    assert found.pop("home") == "/build/home"
    got = {name for name, (done, _) in found.items() if done}
    # What is there by design: the network and the cache while something is fetched, and always its own few processes.
    assert got == ({"network", "cache", "cached", "processes"} if step == "fetch" else {"processes"})
    assert len(json.loads(found["processes"][1].replace("'", '"'))) <= 3
    assert not set(environment) & SECRETS
    assert str(operator.root) not in json.dumps(environment)
    assert not list(operator.root.rglob("planted"))


def test_a_cache_is_kept_for_its_application_and_written_while_fetching_only(builder: Any, operator: Operator) -> None:
    assert operator.attacked(builder, "fetch")["cached"] == [True, "fetch"]
    found = operator.attacked(builder, "commands")
    assert found["cached"] == [True, "fetch"]
    assert found["cache"] == [False, "[Errno 30] Read-only file system: '/build/cache/mark'"]
    operator.options["name"] = "neighbour"
    assert not operator.attacked(builder, "commands")["cached"][0]


def test_the_environment_is_a_list_of_allowed_names(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost", "SSL_CERT_FILE": "/ca.pem", "NPM_TOKEN": "n",
        "npm_config_registry": "https://npm.test", "npm_config_//npm.test/:_authToken": "n", "npm_config_git": "/evil",
        "UV_INDEX_URL": "https://u:p@pypi.test", "UV_INDEX_OURS_PASSWORD": "p", "UV_PYTHON": "/evil",
        "PIP_INDEX_URL": "https://pypi.test", "PIP_TARGET": "/evil", "COMPOSER_AUTH": "{}", "COMPOSER_HOME": "/evil",
        "BUNDLE_GEMS__TEST": "u:p", "BUNDLE_GEMFILE": "/evil", "LD_PRELOAD": "/evil", "NODE_OPTIONS": "-r evil",
        "PYTHONPATH": "/evil", "VITE_TOKEN": "1", "UV_CACHE_DIR": "/evil",
    }  # fmt: skip
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    own = sandbox.environment()
    assert not set(own) & (set(given) - {"UV_CACHE_DIR"})
    assert "/evil" not in own.values()
    ways = {"HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"}
    for program, names in {
        "npm": {"NPM_TOKEN", "npm_config_registry", "npm_config_//npm.test/:_authToken"},
        "uv": {"UV_INDEX_URL", "UV_INDEX_OURS_PASSWORD"},
        "pip": {"PIP_INDEX_URL"},
        "composer": {"COMPOSER_AUTH"},
        "bundle": {"BUNDLE_GEMS__TEST"},
        "make": set[str](),
    }.items():
        assert set(sandbox.environment(program)) - set(own) == ways | names


def test_the_settings_of_an_index_are_seen_by_its_tool_only(
    builder: Any, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (operator.root / "home" / ".npmrc").write_text("registry=https://npm.example.org/\n")
    monkeypatch.setattr(sandbox, "check", lambda: None)
    (operator.root / "work").mkdir()
    (operator.root / "scratch").mkdir()
    box = sandbox.Sandbox(operator.root / "work", operator.root / "scratch", operator.root / "out" / "cache" / "other")

    def said(command: list[str], fetch: bool) -> str:
        environment = sandbox.environment(command[0] if fetch else "")
        done = subprocess.run(
            box.words(command, fetch), env=environment, capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout

    assert said(["npm", "config", "get", "registry"], fetch=True) == "https://npm.example.org/\n"
    look = ["sh", "-c", "cat /build/home/.npmrc /build/home/*/* 2>/dev/null; ls -A /build/home"]
    assert said(look, fetch=True) == ""
    assert said(look, fetch=False) == ""


def test_a_link_left_by_a_build_is_not_written_through(builder: Any, operator: Operator) -> None:
    options = operator.command("sh", "-c", f"rm -r bin; ln -s {operator.root / 'home'} bin")
    options["files"] = {"bin/.npmrc": "planted\n"}
    said = r"left the link bin, and bin/\.npmrc of the release would be written through it: nothing was packed"
    with pytest.raises(builder.ArchiveError, match=said):
        builder.Build(options).run()
    assert (operator.root / "home" / ".npmrc").read_text() == "secret\n"


@pytest.mark.parametrize(("end", "timeout"), [("exit 0", 30), ("sleep 30", 1)])
def test_no_process_of_a_build_outlives_it(builder: Any, operator: Operator, end: str, timeout: int) -> None:
    # In a session of its own and without the output, as what wants to stay would be.
    options = operator.command("sh", "-c", f"setsid sleep 4711.{timeout} >/dev/null 2>&1 & {end}")
    build = builder.Build({**options, "timeout": timeout})
    if timeout == 1:
        with pytest.raises(builder.ArchiveError, match="took more than 1 s"):
            build.run()
    else:
        build.run()
    running = b"".join(file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists())
    assert f"4711.{timeout}".encode() not in running


def package(name: str, scripts: dict[str, str]) -> bytes:
    """Return a package of npm's, whose scripts run at its installation if anybody lets them."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        about = json.dumps({"name": name, "version": "1.0.0", "scripts": scripts}).encode()
        for path, content in {"package/package.json": about, "package/index.js": b"// here\n"}.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def test_a_hostile_dependency_is_fetched_and_not_run(builder: Any, operator: Operator) -> None:
    content = package("evil", {"preinstall": "touch /build/src/ran", "postinstall": "touch /build/src/ran"})

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        resolved = f"http://127.0.0.1:{server.server_address[1]}/evil-1.0.0.tgz"
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        top = {"name": "demo", "version": "1.0.0", "dependencies": {"evil": "1.0.0"}}
        evil = {"version": "1.0.0", "resolved": resolved, "integrity": integrity, "hasInstallScript": True}
        lock = {**top, "lockfileVersion": 3, "requires": True, "packages": {"": top, "node_modules/evil": evil}}
        source = Path(operator.options["source"])
        (source / "package.json").write_text(json.dumps(top))
        (source / "package-lock.json").write_text(json.dumps(lock))
        recipe = yaml.safe_load((ROOT / "roles" / "node_app" / "vars" / "main.yml").read_text())
        fetch = recipe["__node_app_managers"]["npm"]["fetch"]
        build = builder.Build({**operator.options, "fetch": fetch, "strip": recipe["__node_app_strip"]})
        build.run()
        server.shutdown()
    with tarfile.open(build.archive) as tar:
        names = tar.getnames()
    assert "node_modules/evil/index.js" in names
    assert "ran" not in names


def test_composer_runs_neither_scripts_nor_plugins_while_it_fetches() -> None:
    words = yaml.safe_load((ROOT / "roles" / "laravel_app" / "vars" / "main.yml").read_text())["__laravel_app_composer"]
    assert {"--no-plugins", "--no-scripts"} <= set(words)


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp"])  # noqa: S108 (where a checkout may be)
def test_tools_of_a_checkout_below_tmp_are_found(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as checkout:
        tools = Path(checkout, ".venv", "bin")
        for path in (tools, *(Path(checkout, name) for name in ("source", "scratch", "cache"))):
            path.mkdir(parents=True)
        (tools / "tool").write_text("#!/bin/sh\necho found; touch $(dirname $0)/planted\n")
        (tools / "tool").chmod(0o755)
        monkeypatch.setattr(sandbox, "TOOLS", tools)
        made = sandbox.Sandbox(*(Path(checkout, name) for name in ("source", "scratch", "cache")))
        done = subprocess.run(
            made.words(["tool"], fetch=False), env=sandbox.environment(), capture_output=True, text=True, check=False
        )
        assert done.stdout == "found\n", done.stderr
        assert not (tools / "planted").exists()


def test_without_bubblewrap_nothing_is_built(
    builder: Any, operator: Operator, estate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert estate.check() == (False, "environment of 4 hosts, 1 site, 1 upstream: no problem found")
    monkeypatch.setattr(sandbox, "_PATHS", (str(operator.root),))
    said = "an application is built in a sandbox, and this controller has no bubblewrap"
    remedy = "install it (apt-get install bubblewrap), or build elsewhere and write app_archive"
    with pytest.raises(sandbox.SandboxError) as error:
        builder.Build(operator.command("touch", "ran")).run()
    assert str(error.value) == f"{said}: {remedy}"
    failed, report = estate.check()
    assert failed
    assert estate.lines(report) == [said, "this controller", f"-> {remedy}"]
    # Where everything was built elsewhere, nobody needs it.
    estate.edit("group_vars/apps/app.yml", "app_name:", "app_archive: build/shop.tar.gz\napp_name:")
    assert said not in estate.check()[1]


def test_where_namespaces_are_forbidden_the_refusal_says_so() -> None:
    code = "from ansible_collections.gatehouse.core.plugins.module_utils import sandbox; sandbox.check()"
    forbidden = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbidden, "sh", sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    said = done.stderr.strip().splitlines()[-1]
    assert "SandboxError: an application is built in a sandbox, and bubblewrap cannot make one here (" in said
    assert "allow this account user namespaces (sysctl user.max_user_namespaces, " in said
