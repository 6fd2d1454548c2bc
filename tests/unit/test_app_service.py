"""What systemd reads: environment files, command lines, and when an answer counts as healthy."""

from __future__ import annotations

import re
import runpy
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.app import service

ROLES = Path(__file__).parents[2] / "roles"
sys.path[:0] = [str(ROLES / "app" / "filter_plugins"), str(ROLES / "python_app" / "filter_plugins")]


def test_environment_values_are_quoted() -> None:
    text = service.environment_file({"B": 'say "hi" $HOME `x` \\n', "A": 5})
    assert text == service.HEADER + 'A="5"\nB="say \\"hi\\" \\$HOME \\`x\\` \\\\n"\n'


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"A-B": "1"}, "'A-B' is no name for an environment variable: use letters, digits and _"),
        ({"A\nX": "1"}, "no name for an environment variable"),
        ({"A": True}, "the value of A must be a string or an integer: put quotes around it"),
        ({"A": ["x"]}, "the value of A must be a string or an integer"),
        ({"A": "x\0y"}, "the value of A has a control character in it"),
    ],
)
def test_environment_that_cannot_be_written(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        service.environment_file(values)


def test_secret_files_show_nothing_in_a_diff(tmp_path: Path) -> None:
    file = tmp_path / "app.secrets.env"
    file.write_text('KEY="old-secret"\n')
    shown = service.ManagedFile(file, 'KEY="new-secret"\n', 0o600, secret=True).diff()
    assert "secret" not in shown["before"] + shown["after"]
    assert shown["before"] != shown["after"]


@pytest.mark.parametrize(
    ("address", "url"), [("10.0.0.1", "http://10.0.0.1:80/healthz"), ("fd00::1", "http://[fd00::1]:80/healthz")]
)
def test_gate_url(address: str, url: str) -> None:
    assert service.Gate(address, 80, "/healthz", 5).url == url


@pytest.mark.parametrize("value", ["/run/shop/fpm.sock", 'a "b" $c `d` \\e', ""])
def test_a_value_reads_back_from_its_environment_file(value: str) -> None:
    text = service.environment_file({"A_SOCKET": "no", "SOCKET": value, "SOCKET_B": "no"})
    assert service.environment_value(text, "SOCKET") == value
    assert service.environment_value(text, "OTHER") == ""


def test_nothing_an_application_wrote_moves_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = service.Gate("127.0.0.1", 80, "/healthz", 5)
    assert gate.refusal(500, "\x1b[2Jgone\nwhere\u202e?") == "status 500: \\x1b[2Jgone\nwhere\\u202e?"
    with pytest.raises(service.ServiceError, match=r"failed: \\x1b\[31mno\ndisk$"):
        service.run([sys.executable, "-c", r"import sys; sys.exit('\x1b[31mno\ndisk')"], shown=["bin/migrate"])
    monkeypatch.setattr(service, "run", lambda *words, **how: "one\ntwo \x9b2J\x07\n")
    assert service.Service("shop", "shop").journal(0) == "one\ntwo \\x9b2J\\x07"


def test_a_server_that_speaks_no_http_is_quoted_on_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"\x1b[2J\xc2\x9b go away\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        said = service.Gate("127.0.0.1", server.getsockname()[1], "/healthz", 5).ask(5)
        thread.join(timeout=5)
    assert "go away" in said
    assert said.isprintable()


class Framework(BaseHTTPRequestHandler):
    """Looks at each request as Django and Rails do: at its host name, and at what a proxy says of its scheme."""

    def do_GET(self) -> None:
        host = self.headers["Host"]
        if host != "shop.example":
            self.send_response(400)
        elif self.headers["X-Forwarded-Proto"] != "https":
            self.send_response(301)
            self.send_header("Location", f"https://{host}{self.path}")
        else:
            self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>Bad Request (400)</h1>" if host != "shop.example" else b"")

    def log_message(self, *words: Any) -> None:
        """Log nothing."""


def test_the_gate_asks_as_a_visitor_of_the_site() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Framework) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = ("127.0.0.1", server.server_address[1], "/healthz", 5)
        by_name, by_address = service.Gate(*where, host="shop.example"), service.Gate(*where)
        said = by_name.ask(5), by_address.ask(5), service.Gate(*where, host="other.example").ask(5)
        server.shutdown()
    assert said[0] == ""
    assert said[1:] == ("status 400: <h1>Bad Request (400)</h1>",) * 2
    assert "Django refuses an address as the host name" in by_address.hint(said[1], "")


def test_systemd_command() -> None:
    from systemd_command import systemd_command

    assert systemd_command(["bin/start"], "/srv/x/current") == "/srv/x/current/bin/start"
    assert systemd_command(["/usr/bin/node", "a b", '50% "$X"', "c\\d"], "/srv/x") == (
        '/usr/bin/node "a b" "50%% \\"$$X\\"" "c\\\\d"'
    )


@pytest.mark.parametrize(
    "words", [[], "bin/start", [""], [5], ["-bin/start"], ["+/bin/sh"], ["a\nb"], ["a", "b\nUser=root"]]
)
def test_systemd_command_refuses(words: Any) -> None:
    from systemd_command import systemd_command

    with pytest.raises(ValueError, match="app_start_command"):
        systemd_command(words, "/srv/x")


def test_uv_install_command() -> None:
    from uv_install_command import uv_install_command

    words = uv_install_command("3.13", "x86_64-manylinux_2_28", "requirements.txt")
    assert words[:3] == ["uv", "pip", "install"]
    assert words[words.index("--target") + 1] == "lib/python3.13"
    assert {"--require-hashes", "--only-binary"} <= set(words)
    with pytest.raises(ValueError, match=r"python_app_versions has 3.1: write the version as text"):
        uv_install_command(3.1, "x", "y")


def test_the_script_that_runs_python_names_the_missing_version(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROLES / "python_app" / "files" / "python.sh", tmp_path / "bin" / "python")
    run = [shutil.which("sh") or "/bin/sh", str(tmp_path / "bin" / "python"), "-c", "import own; print(own.NAME)"]
    done = subprocess.run(run, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 78
    version = re.search(r"add '(3\.\d+)' to python_app_versions", done.stderr)
    assert version
    # With it, the release's own packages are found from any folder.
    (tmp_path / "lib" / f"python{version[1]}").mkdir(parents=True)
    (tmp_path / "lib" / f"python{version[1]}" / "own.py").write_text("NAME = 'locked'\n")
    done = subprocess.run(run, cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "locked\n")


@pytest.mark.parametrize(
    ("cores", "written", "workers", "threads"),
    [(1, 0, 2, 4), (2, 0, 2, 4), (4, 0, 4, 8), (64, 0, 8, 16), (64, 3, 3, 3)],
)
def test_gunicorn_takes_its_workers_from_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, written: int, workers: int, threads: int
) -> None:
    given = {"APP_ADDRESS": "fd00::1", "APP_PORT": "5000", "GUNICORN_INTERFACE": "wsgi"}
    given |= {"GUNICORN_WORKERS": str(written), "GUNICORN_THREADS": str(written), "GUNICORN_GRACEFUL_TIMEOUT": "20"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    found = runpy.run_path(str(ROLES / "python_app" / "files" / "gunicorn.conf.py"))
    assert (found["workers"], found["threads"], found["bind"]) == (workers, threads, "[fd00::1]:5000")
    assert found["worker_class"] == "gthread"
