"""Root on an application host lies to the controller: nobody else is misled, and no terminal obeys."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from estate import Estate

Run = subprocess.CompletedProcess[str]
FOLDER = "/usr/lib/python3/dist-packages"
# What every module on the host prints goes through this first, as root can have it.
LIAR = """
import re, sys
class Liar:
    def __getattr__(self, name):
        return getattr(sys.__stdout__, name)
    def write(self, text):
        for pattern, instead in {lies!r}:
            text = re.sub(pattern, lambda found: instead, text)
        return sys.__stdout__.write(text)
sys.stdout = Liar()
"""
DROP_IN = "/etc/ssh/sshd_config.d/00-gatehouse.conf"
Lying = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def lying(estate: Estate) -> Lying:
    """Return a context manager: meanwhile, what matches each pattern on shop2 is something else."""

    @contextmanager
    def lie(*lies: tuple[str, str]) -> Iterator[None]:
        text = base64.b64encode(LIAR.format(lies=lies).encode()).decode()
        host = estate.host("shop2")
        host.check_output(f"echo {text} | base64 -d > {FOLDER}/liar.py && echo import liar > {FOLDER}/liar.pth")
        try:
            yield
        finally:
            host.check_output(f"rm {FOLDER}/liar.pth {FOLDER}/liar.py")

    return lie


def play_role(estate: Estate, folder: Path, role: str, host: str, *words: str) -> Run:
    """Run one role on one host."""
    play = {"hosts": host, "become": True, "gather_facts": False, "roles": [role]}
    (folder / "play.yml").write_text(json.dumps([play]))
    return estate.play(str(folder / "play.yml"), *words)


def request(host: str, key: str, subject: str, names: str) -> str:
    """Return a command that prints a request such as the role makes, with a key and names of the host's choice."""
    extensions = (
        f"subjectAltName={names}", "basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth",
    )  # fmt: skip
    words = ["openssl", "req", "-new", "-newkey", key, "-nodes", "-keyout", "/dev/null", "-subj", subject]
    return shlex.join([*words, *(word for one in extensions for word in ("-addext", one))]) + " 2>/dev/null"


OWN = "DNS:shop.internal.lab.test,DNS:shop2.internal.lab.test,IP:10.42.0.102"


@pytest.mark.parametrize(
    ("key", "names"),
    [("rsa:2048", f"{OWN},DNS:shop1.internal.lab.test"), ("rsa:1024", OWN)],
    ids=["another host's name", "a weak key"],
)
def test_no_certificate_is_had_by_a_lie(estate: Estate, tmp_path: Path, lying: Lying, key: str, names: str) -> None:
    issued = estate.state / "ca" / "issued" / "shop2"
    before = sorted(issued.iterdir())
    csr = estate.host("shop2").check_output(request("shop2", key, "/O=Gatehouse/CN=shop.internal.lab.test", names))
    with lying((r'"csr": "[^"]*"', json.dumps({"csr": csr + "\n"})[1:-1])):
        run = play_role(estate, tmp_path, "certificate", "shop2", "-e", "certificate_renew=true")
    assert run.returncode != 0
    said = " ".join(run.stdout.split())
    assert "shop2 asks for DNS:shop.internal.lab.test, " in said, run.stdout
    assert "nothing was signed" in said
    assert sorted(issued.iterdir()) == before


def test_a_good_request_is_signed(estate: Estate, tmp_path: Path) -> None:
    """Else the refusals above would prove nothing."""
    issued = estate.state / "ca" / "issued" / "shop2"
    before = len(list(issued.iterdir()))
    run = play_role(estate, tmp_path, "certificate", "shop2", "-e", "certificate_renew=true")
    assert run.returncode == 0, run.stdout
    assert len(list(issued.iterdir())) == before + 1


def test_one_host_does_not_choose_the_release_of_the_others(estate: Estate, lying: Lying) -> None:
    deployed = estate.play("playbooks/deploy.yml", "-e", "app=shop version=1.1.0")
    assert deployed.returncode == 0, deployed.stdout
    with lying((r'"failed": ""', '"failed": "a lie"')):
        run = estate.play("playbooks/rollback.yml", "-e", "app=shop")
    assert run.returncode == 0, run.stdout
    assert "shop2 says that 1.0.0-" in " ".join(run.stdout.split()), run.stdout
    for host in ("shop1", "shop2"):
        assert "/1.0.0-" in estate.host(host).check_output("readlink /srv/shop/current")


def test_what_a_host_says_commands_no_terminal(estate: Estate, tmp_path: Path, lying: Lying) -> None:
    text = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp"
    said = {"msg": text, "warnings": [text], "stdout": text, "diff": {"before": "", "after": text}}
    lie = json.dumps({"failed": True, **said})
    with lying((r"(?s)^\s*\{.*\}\s*$", lie)):
        run = play_role(estate, tmp_path, "base", "shop2", "--diff", "-vvv")
    assert run.returncode != 0
    shown = run.stdout + run.stderr
    assert r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp" in shown, shown
    assert not [one for one in shown if unicodedata.category(one) in ("Cc", "Cf") and one not in "\n\t"]


def ssh(estate: Estate, *words: str) -> Run:
    """Log in on shop1 over a connection of its own."""
    own = ["-i", str(estate.state / "id_ed25519"), "-o", f"UserKnownHostsFile={estate.state / 'known_hosts'}"]
    command = ["ssh", *own, "-o", "BatchMode=yes", f"deploy@{estate.address('shop1')}", *words]
    return subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )


def test_sshd_takes_keys_only_and_forwards_nothing(estate: Estate) -> None:
    assert ssh(estate, "true").returncode == 0
    assert "Permission denied (publickey)" in ssh(estate, "-o", "PubkeyAuthentication=no", "true").stderr
    assert "administratively prohibited" in ssh(estate, "-W", "127.0.0.1:22").stderr


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("99-broken.conf", "Nonsense yes", "sshd refuses its configuration, so nothing was changed"),
        ("00-a.conf", "AuthorizedKeysFile /nonexistent", "deploy has no key on this host (/nonexistent)"),
        ("00-b.conf", "X11Forwarding yes", f"sshd would not go by {DROP_IN} (x11forwarding), so nothing was changed"),
    ],
)
def test_sshd_is_left_as_it_is_where_it_would_lock_out(
    estate: Estate, tmp_path: Path, file: str, text: str, said: str
) -> None:
    host, path = estate.host("shop1"), f"/etc/ssh/sshd_config.d/{file}"
    host.check_output(f"rm -f {DROP_IN} && echo {shlex.quote(text)} > {path}")
    run = play_role(estate, tmp_path, "base", "shop1")
    left = host.file(DROP_IN).exists
    host.check_output(f"rm {path}")
    assert run.returncode != 0
    assert said in " ".join(run.stdout.split()), run.stdout
    assert not left


def test_sshd_is_hardened_again_and_we_come_in(estate: Estate, tmp_path: Path) -> None:
    run = play_role(estate, tmp_path, "base", "shop1")
    assert run.returncode == 0, run.stdout
    host = estate.host("shop1")
    assert "passwordauthentication no" in host.check_output("sshd -T")
    assert "gatehouse-ssh-restore" not in host.check_output("systemctl list-timers --all --no-legend")
    off = play_role(estate, tmp_path, "base", "shop1", "-e", '{"base_ssh_managed": false}')
    assert off.returncode == 0, off.stdout
    assert not host.file(DROP_IN).exists
