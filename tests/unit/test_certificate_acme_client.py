"""acme_client on folders made for the test, with a systemd that runs what the test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import load

acme_client = load("roles/certificate/library/acme_client.py")

CURRENT = {"name": "shop", "state": "current", "reason": "", "problem": "", "end": "2027-01-01"}
ISSUED = {**CURRENT, "state": "issued", "reason": "there is none"}
KEPT = {**CURRENT, "state": "kept", "reason": "it ends on 2027-01-01", "problem": "no answer"}
REFUSED = {**CURRENT, "state": "refused", "problem": "nginx: [emerg] no"}


class Ended(Exception):  # noqa: N818 - it is no error
    """The module has ended."""


class Host:
    """A host's folders, its systemd, and the module's own frame."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        self.program, self.client, self.unit = root / "bin" / "acme", root / "certbot", root / "acme.timer"
        self.client.touch()
        self.outcome: list[dict[str, Any]] = [CURRENT]
        self.calls: list[list[str]] = []
        self.timer = self.dead = False
        self.warnings: list[str] = []
        self.result: dict[str, Any] = {}

    def systemctl(self, argv: list[str]) -> tuple[int, str, str]:
        self.calls.append(argv[1:])
        verb = argv[1]
        if verb in ("is-active", "is-enabled"):
            return int(not self.timer), "", ""
        if verb == "enable":
            self.timer = True
        if verb == "disable":
            self.timer = False
        if verb == "start" and not self.dead:
            (self.home / "result.json").write_text(json.dumps({"sites": self.outcome}))
            return int(any(site["problem"] for site in self.outcome)), "", "Job failed."
        return int(self.dead), "a line of the log", "Job failed."

    def run(self, check: bool = False, **more: Any) -> dict[str, Any]:
        """Run the module; return what it ends with, `failed` if so."""
        host = self
        (self.home / "result.json").unlink(missing_ok=True)
        self.warnings, self.calls = [], []
        params = {
            "state": "present",
            "files": [
                {"path": str(self.program), "content": '#!/bin/sh\necho \'{"shop": "it is due"}\'\n', "mode": "0755"},
                {"path": str(self.root / "etc" / "acme.json"), "content": "{}\n", "mode": "0644"},
            ],
            "folders": {str(self.home): "0755", str(self.home / "certbot"): "0700"},
            "home": str(self.home),
            "program": str(self.program),
            "client": str(self.client),
            "unit": "acme",
            "names": ["shop"],
            "renew": [],
            "strict": False,
            **more,
        }

        class Frame:
            check_mode = check

            def __init__(self, **spec: Any) -> None:
                assert set(spec["argument_spec"]) == set(params)
                self.params = params

            def run_command(self, argv: list[str]) -> tuple[int, str, str]:
                if argv[0] == str(host.program):
                    return 0, '{"shop": "it is due"}', ""
                return host.systemctl(argv)

            def warn(self, text: str) -> None:
                host.warnings.append(text)

            def exit_json(self, **result: Any) -> None:
                host.result = result
                raise Ended

            def fail_json(self, **result: Any) -> None:
                self.exit_json(failed=True, **result)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(acme_client, "AnsibleModule", Frame)
            with pytest.raises(Ended):
                acme_client.main()
        return self.result


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_first_run_installs_and_runs_and_the_second_changes_nothing(host: Host) -> None:
    host.outcome = [ISSUED]
    first = host.run()
    assert (first["changed"], first["sites"], host.timer) == (True, [ISSUED], True)
    assert host.program.stat().st_mode & 0o777 == 0o755
    assert (host.home / "certbot").stat().st_mode & 0o777 == 0o700
    assert [entry["after_header"] for entry in first["diff"]] == [
        str(host.program),
        str(host.root / "etc" / "acme.json"),
    ]
    host.outcome = [CURRENT]
    second = host.run()
    assert (second["changed"], second["diff"], host.warnings) == (False, [], [])


def test_without_the_client_nothing_is_done(host: Host) -> None:
    host.client.unlink()
    assert host.run() == {"changed": False, "missing": True, "sites": []}
    assert not host.home.exists()


def test_a_certificate_that_could_not_be_had_is_a_warning_that_says_what_holds(host: Host) -> None:
    host.outcome = [KEPT]
    assert "failed" not in host.run()
    assert host.warnings == [
        "site shop: its certificate could not be had (it ends on 2027-01-01). no answer. "
        "It keeps the certificate that it has, until 2027-01-01."
    ]
    assert host.run()["changed"] is False


def test_strict_makes_it_a_failure(host: Host) -> None:
    host.outcome = [KEPT]
    result = host.run(strict=True)
    assert (result["failed"], result["msg"][:45]) == (True, "site shop: its certificate could not be had (")


def test_new_files_that_are_not_served_are_a_failure(host: Host) -> None:
    host.outcome = [REFUSED]
    result = host.run()
    assert (result["failed"], result["msg"]) == (
        True,
        "New certificates are not served:\nsite shop: nginx: [emerg] no",
    )


def test_a_program_that_dies_is_a_failure_with_its_log(host: Host) -> None:
    host.dead, host.timer = True, True
    result = host.run()
    assert result["failed"]
    assert result["msg"] == "acme.service ended with 1 and tended no site: Job failed.\na line of the log"


def test_check_mode_writes_nothing_and_asks_nobody(host: Host) -> None:
    result = host.run(check=True)
    assert (result["changed"], result["sites"][0]["state"]) == (True, "due")
    assert not host.program.exists()
    assert {call[0] for call in host.calls} <= {"is-active", "is-enabled"}
    host.run()
    result = host.run(check=True)
    assert (result["changed"], result["sites"][0]["reason"]) == (True, "it is due")
    assert "start" not in {call[0] for call in host.calls}


def test_what_is_to_be_renewed_is_left_for_the_program(host: Host) -> None:
    host.run(renew=["shop"])
    assert (host.home / "renew").read_text() == "shop\n"
    result = host.run(renew=["shpo"])
    assert result["msg"] == "certificate_acme_renew: no ACME site is called 'shpo'; write one of shop"


def test_the_last_site_takes_program_and_timer_away_and_leaves_the_account(host: Host) -> None:
    host.run()
    assert host.run(check=True, state="absent")["changed"]
    assert host.program.exists()
    assert host.run(state="absent")["changed"]
    assert (host.program.exists(), host.timer, host.home.is_dir()) == (False, False, True)
    assert host.run(state="absent")["changed"] is False
