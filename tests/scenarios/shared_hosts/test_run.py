"""One command of an application, in its release, with its environment and in its sandbox."""

from __future__ import annotations

import json
import subprocess

import pytest

from estate import Estate


def run(estate: Estate, *words: str) -> subprocess.CompletedProcess[str]:
    return estate.play("playbooks/run.yml", *(part for word in words for part in ("-e", word)))


def test_a_command_runs_as_the_application_does(estate: Estate) -> None:
    script = (
        "pwd; id -un; echo $APP_NAME $APP_RELEASE; echo $SHOP_TOKEN; touch /srv/desk/here; cat /etc/gatehouse/desk.env"
    )
    done = run(estate, "app=desk", json.dumps({"command": ["/bin/sh", "-c", script]}))
    current = estate.host("web1").check_output("readlink /srv/desk/current").rpartition("/")[2]
    # The last of its words fails, as the application's own would.
    assert done.returncode != 0
    assert "ended with status 1" in done.stdout
    for said in (f"/srv/desk/releases/{current}", f"desk {current}", "Read-only file system", "Permission denied"):
        assert said in done.stdout
    token = estate.host("web1").check_output(
        "sed -n 's/^SHOP_TOKEN=\"\\(.*\\)\"/\\1/p' /etc/gatehouse/desk.secrets.env"
    )
    assert len(token) > 20
    assert token not in done.stdout
    assert estate.host("web1").run("test -e /srv/desk/here").rc != 0


def test_a_line_is_split_as_a_shell_would_and_a_program_of_the_release_is_found(estate: Estate) -> None:
    done = run(estate, "app=storefront", "host=web2", """command='bin/python -c "import flask; print(6 * 7)"'""")
    assert done.returncode == 0, done.stdout
    assert "msg:\n    - '42'" in done.stdout
    assert "changed: [web2]" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["app=desk"], "command"),
        (["app=desk", "host=web2", "command=true"], "there is no application desk on web2; desk has web1.desk"),
        (["app=nobody", "command=true"], "there is no application nobody; nobody has no hosts"),
        (["app=desk", "command='echo \"'"], "No closing quotation"),
    ],
)
def test_what_cannot_run_is_refused(estate: Estate, words: list[str], message: str) -> None:
    done = run(estate, *words)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
