"""nginx_tree on real hosts: each way through the transaction, and that a host is never left worse than it was."""

from __future__ import annotations

import re
import ssl
import subprocess
import threading
import time
from typing import Any

import pytest

from .conftest import Engine, site, tree

CERTIFICATE = "/etc/ssl/gatehouse-engine.pem"
NEW_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=engine "
    f"-keyout {CERTIFICATE}.key -out {CERTIFICATE} 2>/dev/null"
)
HAND_WRITTEN = 'events {}\nhttp { server { listen 8080; return 200 "by hand\\n"; } }\n'


def unchanged(result: dict[str, Any]) -> bool:
    """Return whether a run succeeded and had nothing to do."""
    return not result.get("failed") and not result["changed"] and result["outcome"] == "none"


def make_by_hand(engine: Engine, running: bool = True) -> None:
    """Make the host one that Gatehouse never saw, with its own nginx."""
    engine.sh("systemctl stop nginx; cd /etc/nginx && rm -rf active trees nginx.conf nginx.conf.before-gatehouse")
    engine.sh(f"cat > /etc/nginx/nginx.conf <<'END'\n{HAND_WRITTEN}END")
    if running:
        engine.sh("systemctl start nginx")
        assert engine.get() == "by hand"


def test_nothing_to_do_changes_nothing(engine: Engine) -> None:
    before = engine.snapshot()
    assert unchanged(engine.apply(tree()))
    assert engine.snapshot() == before


def test_a_new_tree_is_reloaded_and_proven(engine: Engine) -> None:
    previous, master = engine.live(), engine.sh("cat /run/nginx.pid")
    result = engine.apply(tree("two"), "--diff")
    assert (result["changed"], result["outcome"], result["tested"]) == (True, "reloaded", True)
    assert result["previous"] == previous
    assert result["tree"] == engine.live() == engine.serves() == f"{int(previous[:4]) + 1:04d}-{result['id'][:8]}"
    assert engine.get() == "two"
    assert engine.sh("cat /run/nginx.pid") == master
    assert engine.sh("tail -n 1 /etc/nginx/trees/proven") == result["tree"]
    entry = next(entry for entry in result["diff"] if entry["after_header"] == "active/sites/one.conf")
    assert (entry["before"], entry["after"]) == (site("one"), site("two"))
    assert engine.sh("stat -c '%a %U' /etc/nginx/active/sites/one.conf /etc/nginx/active/sites") == "644 root\n755 root"
    assert "successful" in engine.sh("nginx -t 2>&1")  # as people type it


@pytest.mark.parametrize("flags", [[], ["--check"]])
def test_a_bad_directive_is_refused_before_anything_is_live(engine: Engine, flags: list[str]) -> None:
    before, live = engine.snapshot(), engine.live()
    result = engine.apply(tree("two", bad="no_such_directive on;\n"), *flags)
    assert result["failed"]
    assert 'unknown directive "no_such_directive" in /etc/nginx/active/sites/bad.conf:1' in result["msg"]
    assert "+no_such_directive on;" in result["msg"]
    assert f"nginx runs. It serves {live}." in result["msg"]
    assert engine.snapshot() == before
    assert engine.serves() == live


def test_a_tree_that_could_not_be_proven_is_refused(engine: Engine) -> None:
    files = tree("two")
    files["nginx.conf"] = files["nginx.conf"].replace("include active/identity.conf;", "")
    result = engine.apply(files)
    assert "nginx.conf does not say `include active/identity.conf;` in its http block" in result["msg"]
    assert engine.get() == "one"


def test_what_nginx_warns_of_is_reported(engine: Engine) -> None:
    result = engine.apply(tree(twice=site("two")))
    assert result["warnings"] == ['nginx: [warn] conflicting server name "" on 0.0.0.0:8080, ignored']


def test_systemd_reads_a_changed_unit(engine: Engine) -> None:
    engine.sh("touch -d '1 minute' /etc/systemd/system/nginx.service.d/gatehouse.conf")
    assert engine.sh("systemctl show nginx -pNeedDaemonReload") == "NeedDaemonReload=yes"
    assert unchanged(engine.apply(tree()))
    assert engine.sh("systemctl show nginx -pNeedDaemonReload") == "NeedDaemonReload=no"


def test_a_port_clash_puts_the_old_tree_back(engine: Engine) -> None:
    live, trees = engine.live(), engine.trees()
    engine.sh("systemd-run -q --unit=squatter python3 -m http.server 8081")
    engine.sh("timeout 10 sh -c 'until curl -s localhost:8081 >/dev/null; do sleep 0.1; done'")
    try:
        result = engine.apply(tree("two", clash=site("clash", port=8081)))
    finally:
        engine.sh("systemctl stop squatter")
    assert result["failed"]
    assert "bind() to 0.0.0.0:8081 failed (98: " in result["msg"]
    assert not re.search(r"\d\d:\d\d:\d\d", result["msg"])
    assert (result["outcome"], result["tested"]) == ("rolled_back", True)
    assert f"nginx runs. It serves {live}." in result["msg"]
    assert engine.live() == engine.serves() == live
    assert engine.trees() == trees
    assert engine.get() == "one"
    assert unchanged(engine.apply(tree()))
    assert engine.apply(tree("two", clash=site("clash", port=8081)))["outcome"] == "reloaded"
    assert engine.get(8081) == "clash"


@pytest.mark.parametrize(
    "damage",
    {
        "edited file": "echo '# by hand' >> active/sites/one.conf",
        "orphan": "echo '# by hand' > active/sites/two.conf",
        "removed file": "rm active/sites/one.conf",
        "mode": "chmod 600 active/sites/one.conf",
        "owner": "chown www-data active/sites/one.conf",
        "mode of a folder": "chmod 700 active/sites",
        "empty folder": "mkdir active/more",
        "link in place of a file": "cp active/sites/one.conf /srv/; ln -sf /srv/one.conf active/sites/one.conf",
        "folder in place of a file": "rm active/sites/one.conf; mkdir active/sites/one.conf",
        "folder in place of active": "rm -rf active.before-gatehouse; cp -rL active a; rm active; mv a active",
        "nginx.conf replaced": "cp --remove-destination active/nginx.conf nginx.conf",
        "identity": "sed -i s/return.200/return.201/ active/identity.conf",
        "no active": "rm active",
    }.items(),
    ids=lambda damage: damage[0],
)
def test_a_live_tree_that_was_changed_by_hand_is_repaired(engine: Engine, damage: tuple[str, str]) -> None:
    engine.sh(f"cd /etc/nginx && {damage[1]}")
    damaged = engine.snapshot()
    seen = engine.apply(tree(), "--check", "--diff")
    assert (seen["changed"], seen["tested"]) == (True, True)
    assert seen["diff"]
    assert engine.snapshot() == damaged
    result = engine.apply(tree())
    assert (result["changed"], result["outcome"]) == (True, "reloaded")
    assert engine.serves() == engine.live() == result["tree"]
    assert engine.get() == "one"
    assert sorted(engine.sh("cd /etc/nginx/active/ && find . ! -type d").split()) == [
        "./identity.conf",
        "./nginx.conf",
        "./sites/one.conf",
    ]
    assert unchanged(engine.apply(tree()))


@pytest.mark.parametrize(
    ("disturbance", "outcome"),
    {
        "stopped": ("systemctl stop nginx", "started"),
        "killed, socket left": ("systemctl kill -s KILL nginx; systemctl stop nginx; cp -a /dev/null $S", "started"),
        "disabled": ("systemctl disable -q nginx", "none"),
        "started by hand": ("systemctl stop nginx; nginx", "started"),
        "socket deleted": ("rm $S", "started"),
        "proof not written down": ("rm /etc/nginx/trees/proven", "none"),
    }.values(),
    ids=["stopped", "killed", "disabled", "started by hand", "socket deleted", "proof not written down"],
)
def test_a_server_that_was_disturbed_is_repaired(engine: Engine, disturbance: str, outcome: str) -> None:
    live = engine.live()
    engine.sh(f"S=/run/nginx-identity.sock; {disturbance}; sleep 0.3")
    seen = engine.apply(tree(), "--check")
    assert (seen["changed"], seen["tree"]) == (True, live)
    result = engine.apply(tree())
    assert (result["changed"], result["outcome"]) == (True, outcome)
    assert engine.serves() == engine.live() == live
    assert engine.sh("systemctl is-active nginx; systemctl is-enabled nginx") == "active\nenabled"
    assert engine.sh("systemctl show nginx -pMainPID --value") == engine.sh("cat /run/nginx.pid")
    assert unchanged(engine.apply(tree()))


def test_nginx_that_was_killed_comes_back_by_itself(engine: Engine) -> None:
    engine.sh("systemctl kill -s KILL nginx; sleep 2.5")
    assert engine.get() == "one"
    assert unchanged(engine.apply(tree()))


def test_a_frozen_nginx_is_reported_and_recovers(engine: Engine) -> None:
    live = engine.live()
    engine.sh("kill -STOP $(cat /run/nginx.pid)")
    try:
        result = engine.apply(tree("two"), timeout=2)
    finally:
        engine.sh("kill -CONT $(cat /run/nginx.pid)")
    assert re.search(r"nginx did not serve \S+ within 2 s", result["msg"])
    assert engine.live() == live
    assert engine.apply(tree("two"))["changed"]
    assert engine.get() == "two"


def test_a_test_that_hangs_is_given_up(engine: Engine) -> None:
    before = engine.snapshot()
    engine.sh("cd /usr/sbin; mv nginx nginx.real; printf '#!/bin/sh\\nexec sleep 60\\n' > nginx; chmod +x nginx")
    try:
        result = engine.apply(tree("two"), timeout=2)
    finally:
        engine.sh("mv /usr/sbin/nginx.real /usr/sbin/nginx")
    assert "did not end within 2 s" in result["msg"]
    assert engine.snapshot() == before


def test_a_changed_certificate_is_served(engine: Engine) -> None:
    text = f"server {{ listen 8443 ssl; ssl_certificate {CERTIFICATE}; ssl_certificate_key {CERTIFICATE}.key; }}\n"
    depends = [CERTIFICATE, f"{CERTIFICATE}.key"]

    def seen() -> str:
        return ssl.get_server_certificate((engine.address, 8443), timeout=5).strip()

    engine.sh(NEW_CERTIFICATE)
    assert engine.apply(tree(secure=text), depends=depends)["changed"]
    assert seen() == engine.sh(f"cat {CERTIFICATE}")
    assert unchanged(engine.apply(tree(secure=text), depends=depends))
    engine.sh(NEW_CERTIFICATE)
    assert seen() != engine.sh(f"cat {CERTIFICATE}")
    result = engine.apply(tree(secure=text), "--diff", depends=depends)
    assert (result["changed"], result["outcome"]) == (True, "reloaded")
    assert [entry["after_header"] for entry in result["diff"]] == ["active/identity.conf"]
    assert seen() == engine.sh(f"cat {CERTIFICATE}")


def test_what_earlier_tasks_have_still_to_make_is_not_tested(engine: Engine) -> None:
    engine.sh("rm -f /etc/ssl/not-yet.pem")
    files = tree(secure="server { listen 8443 ssl; ssl_certificate /etc/ssl/not-yet.pem; }\n")
    seen = engine.apply(files, "--check", depends=["/etc/ssl/not-yet.pem"])
    assert (seen["changed"], seen["tested"]) == (True, False)
    assert "not on the host yet: /etc/ssl/not-yet.pem" in seen["warnings"][0]
    result = engine.apply(files, depends=["/etc/ssl/not-yet.pem"])
    assert "not on this host: /etc/ssl/not-yet.pem" in result["msg"]
    assert engine.get() == "one"


def test_check_mode_shows_the_change_and_makes_none(engine: Engine) -> None:
    before = engine.snapshot()
    seen = engine.apply(tree("two"), "--check", "--diff")
    assert (seen["changed"], seen["tested"], seen["outcome"]) == (True, True, "none")
    assert engine.snapshot() == before
    result = engine.apply(tree("two"), "--diff")
    assert all(result[key] == seen[key] for key in ("changed", "tree", "id", "diff"))


def test_rollback_goes_back_one_tree_at_a_time_and_to_any_by_name(engine: Engine) -> None:
    names = [engine.live(), *(engine.apply(tree(word))["tree"] for word in ("two", "three"))]
    assert engine.apply({}, "--check", state="rollback")["tree"] == names[1]
    assert engine.get() == "three"
    for name, word in ((names[1], "two"), (names[0], "one")):
        result = engine.apply({}, state="rollback")
        assert (result["changed"], result["outcome"], result["tree"]) == (True, "reloaded", name)
        assert engine.get() == word
        assert engine.serves() == name
    assert engine.apply({}, state="rollback", tree=names[2])["changed"]
    assert engine.get() == "three"
    assert unchanged(engine.apply({}, state="rollback", tree=names[2]))
    engine.sh(f"echo >> /etc/nginx/trees/{names[1]}/nginx.conf")
    assert "was changed by hand" in engine.apply({}, state="rollback")["msg"]
    assert "is not kept on this host" in engine.apply({}, state="rollback", tree="0000-00000000")["msg"]
    assert engine.get() == "three"


def test_only_proven_trees_are_kept_and_as_many_as_asked_for(engine: Engine) -> None:
    made = [engine.apply(tree(f"word {number}"), keep=5)["tree"] for number in range(6)]
    assert engine.trees() == [*made[-5:], "proven"]
    assert engine.sh("cat /etc/nginx/trees/proven").split() == made[-5:]
    engine.apply(tree(), keep=1)
    assert engine.trees() == [engine.live(), "proven"]
    assert "there is no earlier tree" in engine.apply({}, state="rollback")["msg"]


def test_a_running_nginx_is_taken_over(engine: Engine) -> None:
    make_by_hand(engine)
    master = engine.sh("cat /run/nginx.pid")
    seen = engine.apply(tree(), "--check", "--diff")
    assert (seen["changed"], seen["tested"]) == (True, True)
    assert {"before": HAND_WRITTEN, "before_header": "nginx.conf"}.items() <= seen["diff"][-1].items()
    assert engine.sh("ls -A /etc/nginx").split().count("trees") == 0
    result = engine.apply(tree())
    assert (result["changed"], result["outcome"], result["previous"]) == (True, "reloaded", "")
    assert engine.sh("cat /run/nginx.pid") == master
    assert engine.sh("cat /etc/nginx/nginx.conf.before-gatehouse") == HAND_WRITTEN.strip()
    assert engine.get() == "one"
    assert unchanged(engine.apply(tree()))


@pytest.mark.parametrize(("bad", "message"), [("no_such;\n", "unknown directive"), (site("x", port=22), "bind() to")])
@pytest.mark.parametrize("running", [True, False])
def test_a_takeover_that_fails_leaves_what_was_found(engine: Engine, running: bool, bad: str, message: str) -> None:
    make_by_hand(engine, running)
    result = engine.apply(tree(bad=bad))
    assert message in result["msg"]
    assert engine.sh("cd /etc/nginx && test -f nginx.conf -a ! -L nginx.conf && cat nginx.conf") == HAND_WRITTEN.strip()
    assert engine.sh("cd /etc/nginx && ls -Ad active trees nginx.conf.before* 2>/dev/null || true") == ""
    if running:
        assert "nginx runs. It serves a configuration that is not of nginx_tree." in result["msg"]
        assert engine.get() == "by hand"
    else:
        assert "nginx does not run." in result["msg"]
        time.sleep(2)  # longer than systemd waits before it tries again
        assert engine.sh("pgrep -x nginx || true") == ""
    assert engine.apply(tree())["changed"]
    assert engine.get() == "one"


def test_trees_is_not_followed_out_of_its_folder(engine: Engine) -> None:
    engine.sh("cd /etc/nginx && mv trees /srv/elsewhere && ln -s /srv/elsewhere trees && touch /srv/elsewhere/mine")
    try:
        result = engine.apply(tree("two"))
        assert engine.sh("ls /srv/elsewhere/mine") == "/srv/elsewhere/mine"
    finally:
        engine.sh("cd /etc/nginx && rm trees /srv/elsewhere/mine && mv /srv/elsewhere trees")
    assert "/etc/nginx/trees is a link: make it a folder" in result["msg"]


def test_two_runs_at_once_take_turns(engine: Engine) -> None:
    runs = [engine.start(tree(word)) for word in ("two", "three")]
    results = [engine.finish(run) for run in runs]
    assert [(result["changed"], result["outcome"]) for result in results] == [(True, "reloaded")] * 2
    last = max(results, key=lambda result: str(result["tree"]))
    assert engine.live() == engine.serves() == last["tree"]
    assert {result["tree"] for result in results} <= set(engine.trees())


def test_a_run_waits_for_the_one_before_it(engine: Engine) -> None:
    live = engine.live()
    held = "sleep 4; readlink /etc/nginx/active > /srv/seen"
    engine.sh(f"rm -f /srv/seen; systemd-run -q flock /run/gatehouse/nginx.lock sh -c '{held}'")
    assert engine.apply(tree("two"))["outcome"] == "reloaded"
    assert engine.sh("cat /srv/seen") == f"trees/{live}"


def test_no_request_is_lost_in_twenty_reloads(engine: Engine) -> None:
    answers: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(engine.get())
            except OSError as error:
                answers.append(f"failed: {error}")

    client = threading.Thread(target=ask)
    client.start()
    try:
        for number in range(20):
            assert engine.apply(tree(f"word {number}"))["outcome"] == "reloaded"
    finally:
        done.set()
        client.join()
    assert len(answers) > 500
    assert [answer for answer in answers if not re.fullmatch(r"one|word \d+", answer)] == []
    assert answers[-1] == "word 19"


def test_a_run_killed_at_any_step_is_completed_by_the_next(
    engine: Engine, killed: subprocess.CompletedProcess[str]
) -> None:
    assert killed.returncode == 0, killed.stdout[-5000:] + killed.stderr
    reported = re.findall(rf"^ok: \[{engine.name}\] =>\s+msg: '?(step \d+: \w+)", killed.stdout, re.MULTILINE)
    assert "step 1: killed" in reported
    assert "step 26: completed" in reported, "the run has more steps than were tried"
