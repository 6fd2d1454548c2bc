"""What every runtime promises: a sandbox, a stop that finishes what is under way, a gate, and the way back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

from estate import ROOT, Ask, Estate

APPS = ("storefront", "dashboard", "guestbook", "tickets")


def release(ask: Ask, app: str) -> str:
    return str(json.loads(ask(f"https://{app}.lab.test/api/whoami").body)["release"])


@pytest.mark.parametrize("app", APPS)
def test_an_application_runs_in_a_sandbox(estate: Estate, app: str) -> None:
    host = estate.host(f"{app}1")
    exposure = host.check_output(f"systemd-analyze security --no-pager {app} | tail -n 1").split(": ")[-1].split()[0]
    assert float(exposure) <= 3, f"{app}: exposure {exposure}"
    # The nginx of a FastCGI application may read its release; nobody else may.
    assert host.run(f"sudo -u nobody ls /srv/{app}/current/").rc != 0


@pytest.mark.parametrize("app", APPS)
def test_a_request_under_way_finishes_when_the_unit_stops(estate: Estate, ask: Ask, app: str) -> None:
    host = estate.host(f"{app}1")
    slow = f"curl -si --max-time 10 --cacert /srv/ca.pem --resolve {app}.lab.test:443:{estate.entry}"
    slow += f" 'https://{app}.lab.test/api/whoami?wait=3000'"
    request = subprocess.Popen(
        ["podman", "exec", f"{estate.lab}-client", "sh", "-c", slow], stdout=subprocess.PIPE, text=True
    )
    host.check_output("sleep 1")
    took = float(host.check_output(f"s=$(date +%s%N); systemctl stop {app}; echo $(( ($(date +%s%N) - s) / 1000000 ))"))
    try:
        answer = request.communicate(timeout=15)[0]
        assert " 200" in answer.splitlines()[0], answer
        assert f'"{app}1"' in answer
        # It waited for the request, and not until systemd lost its patience.
        assert 1000 < took < 8000
        assert host.check_output(f"systemctl show {app} -P Result") == "success"
        assert ask(f"https://{app}.lab.test/api/whoami").status == 502
    finally:
        host.check_output(f"systemctl start {app}")
        host.check_output(f"for i in $(seq 100); do {asked(app)} && exit 0; sleep 0.1; done; exit 1")


def asked(app: str) -> str:
    """Return a command that says on the host whether the application takes requests again."""
    if app == "tickets":
        return "test -S /run/tickets/fastcgi.sock"
    port = {"storefront": 5000}.get(app, 3000)
    return f"curl -sfo /dev/null http://127.0.0.1:{port}/healthz"


@pytest.mark.parametrize("app", ["storefront", "guestbook", "tickets"])
def test_workers_follow_from_the_cores(estate: Estate, app: str) -> None:
    host = estate.host(f"{app}1")
    cores = int(host.check_output("nproc"))
    main = host.check_output(f"systemctl show {app} -P MainPID")
    children = len(host.check_output(f"pgrep -P {main}").split())
    if app == "tickets":
        assert children == min(max(4 * cores, 8), 32)
    else:
        assert children == min(max(cores, 2), 8)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Return a copy of the source of tickets, for a test to change."""
    source = tmp_path / "tickets"
    subprocess.run(["cp", "-r", str(ROOT / "apps" / "tickets"), str(source)], check=True)
    return source


def test_compiled_scripts_of_the_old_release_are_never_run(estate: Estate, ask: Ask, changed: Path) -> None:
    view = changed / "resources" / "views" / "tickets.blade.php"
    # As long as before, so that neither time nor size tells the files apart.
    view.write_text(view.read_text().replace("<h1>Tickets</h1>", "<h1>The bridge no 2</h1>"))
    sheet = changed / "public" / "tickets.css"
    sheet.write_text(sheet.read_text().replace("#eaf0ec", "#eaf0ed"))
    url = "https://tickets.lab.test"
    etag = ask(f"{url}/tickets.css").headers["etag"]
    new = {"app_version": "1.0.1", "app_source": str(changed)}
    run = estate.play("playbooks/deploy.yml", "--limit", "tickets:proxies", "-e", json.dumps(new))
    assert run.returncode == 0, run.stdout
    assert release(ask, "tickets").startswith("1.0.1-")
    assert "<h1>The bridge no 2</h1>" in ask(f"{url}/").body
    sent = ask(f"{url}/tickets.css", f"-HIf-None-Match: {etag}")
    assert (sent.status, "#eaf0ed" in sent.body) == (200, True)

    listed = estate.play("playbooks/releases.yml", "--limit", "tickets").stdout
    assert "1.0.1-" in listed
    for words in (": runs, archive of", ": good on "):
        assert words in listed, listed

    run = estate.play("playbooks/rollback.yml", "-e", "app=tickets")
    assert run.returncode == 0, run.stdout
    assert release(ask, "tickets").startswith("1.0.0-")
    assert "<h1>Tickets</h1>" in ask(f"{url}/").body


def test_a_release_of_php_that_does_not_answer_is_put_back(estate: Estate, ask: Ask, changed: Path) -> None:
    before = release(ask, "tickets")
    controller = changed / "app" / "Http" / "Controllers" / "IdentityController.php"
    broken = controller.read_text().replace(
        'return response("ok', "throw new \\Exception('stuck'); return response(\"ok"
    )
    assert "stuck" in broken
    controller.write_text(broken)
    new = {"app_version": "6.6.6", "app_source": str(changed), "app_health_timeout": 5}
    run = estate.play("playbooks/deploy.yml", "--limit", "tickets:proxies", "-e", json.dumps(new))
    assert run.returncode != 0
    assert "did not answer 200 at /healthz over FastCGI (/run/tickets/fastcgi.sock)" in run.stdout, run.stdout
    assert "status 500" in run.stdout, run.stdout
    assert "Exception(code: 0): stuck" in run.stdout, run.stdout
    assert f"Release {before} was put back and answers." in run.stdout, run.stdout
    assert release(ask, "tickets") == before


def test_secrets_in_laravels_cache_are_the_applications_alone(estate: Estate) -> None:
    host = estate.host("tickets1")
    assert "APP_KEY" in host.file("/etc/gatehouse/tickets.secrets.env").content_string
    for path in ("/run/tickets/config.php", "/run/tickets/routes.php", "/run/tickets/views"):
        assert host.run(f"sudo -u tickets test -r {path}").rc == 0
        assert host.run(f"sudo -u www-data test -r {path}").rc != 0
    # What it needs for its work it reads and reaches, and only it.
    assert host.run("sudo -u www-data test -r /srv/tickets/current/public/tickets.css").rc == 0
    assert host.run("sudo -u www-data test -w /run/tickets/fastcgi.sock").rc == 0
    assert host.run("sudo -u nobody test -w /run/tickets/fastcgi.sock").rc != 0


def test_nginx_beside_an_application_sends_its_files(ask: Ask) -> None:
    sent = ask("https://storefront.lab.test/as-they-are/shop.css")
    assert sent.status == 200
    assert "max-age=3600" in sent.headers["cache-control"]


def test_rails_is_prepared_with_its_environment_and_writes_a_pidfile(estate: Estate) -> None:
    host = estate.host("guestbook1")
    # An initializer of its own ends without DATABASE_URL, so without it there would be no assets.
    assert host.check_output("ls /srv/guestbook/current/public/assets")
    pid = host.check_output("cat /srv/guestbook/current/tmp/pids/server.pid")
    assert pid == host.check_output("systemctl show guestbook -P MainPID")
    assert host.run("ls -A /run/gatehouse/*.env").rc != 0


def test_laravels_public_disk_is_served(estate: Estate, ask: Ask) -> None:
    host = estate.host("tickets1")
    host.check_output("sudo -u tickets sh -c 'echo torn off >/var/lib/tickets/storage/app/public/stub.txt'")
    sent = ask("https://tickets.lab.test/storage/stub.txt")
    assert (sent.status, sent.body.strip()) == (200, "torn off")


def test_vendored_gems_are_unpacked_without_an_index_and_no_others_are_seen(estate: Estate) -> None:
    host, role = estate.host("guestbook1"), ROOT / "roles" / "rails_app"
    settings = yaml.safe_load((role / "vars" / "main.yml").read_text())["__rails_app_bundler"]["vendored"]
    files = {
        "Gemfile": 'source "https://rubygems.org"\ngem "porter"\n',
        "Gemfile.lock": "GEM\n  remote: https://rubygems.org/\n  specs:\n    porter (1.2.3)\n\nPLATFORMS\n  ruby\n\n"
        "DEPENDENCIES\n  porter\n",
        ".bundle/config": yaml.safe_dump(settings),
        "bin/prepare": (role / "files" / "prepare.sh").read_text(),
        "gem/porter.gemspec": 'Gem::Specification.new { |s| s.name = "porter"; s.version = "1.2.3"; s.summary = "x"\n'
        '  s.authors = ["a"]; s.files = ["lib/porter.rb"] }\n',
        "gem/lib/porter.rb": "HINGE = 'oiled'\n",
    }
    folder = host.check_output("mktemp -d")
    for name, text in files.items():
        packed = base64.b64encode(text.encode()).decode()
        path = f"{folder}/{name}"
        host.check_output(f"mkdir -p $(dirname {path}) && echo {packed} | base64 -d > {path}")
    host.check_output(f"mkdir -p {folder}/vendor/cache")
    missing = host.run(f"cd {folder} && sh bin/prepare")
    assert missing.rc != 0
    assert "Could not find porter-1.2.3 in cached gems" in missing.stdout + missing.stderr
    build = f"cd {folder}/gem && gem build -q porter.gemspec 2>&1 && mv porter-1.2.3.gem ../vendor/cache/"
    host.check_output(f"{build} && cd {folder} && sh bin/prepare")
    assert host.check_output(f"cd {folder} && bundle exec ruby -e 'require %q(porter); puts HINGE'") == "oiled"
    assert host.run(f"cd {folder} && bundle exec ruby -e 'require %q(rails)'").rc != 0


def in_release(app: str, command: str) -> str:
    """Return a command that runs another in an application's release, as its account and in its environment."""
    files = (f"/etc/gatehouse/{app}.env", f"/etc/gatehouse/{app}.secrets.env")
    settings = " ".join(f"--property=EnvironmentFile={file}" for file in files)
    return (
        f"systemd-run --quiet --wait --pipe --collect --property=User={app}"
        f" --property=WorkingDirectory=/srv/{app}/current {settings} -- /usr/bin/env {command}"
    )


def reported(host: Host, port: int, path: str) -> dict[str, object]:
    return dict(json.loads(host.check_output(f"curl -sf -HX-Forwarded-Proto:https http://127.0.0.1:{port}{path}")))


def test_a_django_project_runs_by_its_entry_point(estate: Estate) -> None:
    host = estate.host("storefront1")
    # Its commands find the locked dependencies too.
    assert "Operations to perform" in host.check_output(
        in_release("records", "bin/python manage.py migrate --no-input")
    )
    page = reported(host, 5001, "/")
    assert page["secure"] is True
    assert page["kinds"] == 1
    assert len(host.check_output("pgrep -P $(systemctl show records -P MainPID)").split()) == 1


def test_an_application_that_speaks_asgi_runs_by_its_entry_point(estate: Estate) -> None:
    assert reported(estate.host("storefront1"), 5002, "/a") == {"interface": "http", "path": "/a"}


def test_a_release_is_built_from_a_commit_and_from_an_archive(
    estate: Estate, ask: Ask, tmp_path: Path, changed: Path
) -> None:
    before = release(ask, "tickets")
    archive = tmp_path / "tickets.tar.gz"
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q", "-b", "main"), ("add", "."), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", "-C", str(changed), *words], check=True)
    subprocess.run(["git", "-C", str(changed), "tag", "v1"], check=True)
    (changed / "artisan").write_text("not committed\n")
    subprocess.run(["tar", "czf", str(archive), "-C", str(ROOT / "apps"), "tickets"], check=True)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    ways: tuple[dict[str, Any], ...] = (
        {"app_source_git": {"repository": str(changed), "ref": "v1"}},
        {"app_source_archive": {"location": str(archive), "sha256": found}},
    )
    for way in ways:
        run = estate.play("playbooks/deploy.yml", "--limit", "tickets", "-e", json.dumps(way))
        assert run.returncode == 0, run.stdout
        # Of the same source, so the same archive: it is built anew, and nothing on the host changes.
        assert "changed: [tickets1 -> localhost]" in run.stdout
        assert re.search(r"^tickets1 .* changed=1 ", run.stdout, re.MULTILINE), run.stdout
        assert release(ask, "tickets") == before
    wrong = {"app_source_archive": {"location": str(archive), "sha256": "0" * 64}}
    run = estate.play("playbooks/deploy.yml", "--limit", "tickets", "-e", json.dumps(wrong))
    assert run.returncode != 0
    said = f"has SHA-256 {found}, but app_source_archive.sha256 is {'0' * 64}: nothing was built."
    assert said in " ".join(run.stdout.split()), run.stdout
    assert release(ask, "tickets") == before
