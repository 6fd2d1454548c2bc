"""What a failed build shows: errors before help, and what is missing by the package or the input that brings it."""

from __future__ import annotations

import pytest
from ansible_collections.gatehouse.core.plugins.module_utils.app.build_log import ERRORS, Findings

NPM_HELP = """\
npm error code EUSAGE
npm error
npm error The `npm ci` command can only install with an existing package-lock.json or
npm error npm-shrinkwrap.json with lockfileVersion >= 1.
npm error
npm error Options:
npm error [--install-strategy <hoisted|nested|shallow|linked>] [--legacy-bundling]
npm error
npm error Run "npm help ci" for more info
npm error A complete log of this run can be found in: /build/home/x.log
"""
GYP = """\
npm error code 1
npm error path /build/src/node_modules/better-sqlite3
npm error command failed
npm error gyp ERR! stack Error: not found: make
"""


def shown_of(text: str) -> list[str]:
    findings = Findings()
    findings.read(text.splitlines())
    lines: list[str] = findings.reported()
    return lines


def test_the_help_of_npm_is_no_cause() -> None:
    lines = shown_of(NPM_HELP)
    assert lines[0] == "npm error code EUSAGE"
    assert not any("Options" in line or "complete log" in line or "--install" in line for line in lines)
    assert lines[-1].startswith("-> write node_app_package_manager: pnpm or yarn if the source has their lock file")


def test_what_is_missing_names_the_package_that_lacks_it() -> None:
    assert (
        shown_of(GYP)[-1]
        == "-> make is missing on this controller: apt-get install build-essential (for better-sqlite3)"
    )


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("x.c:4:10: fatal error: libpq-fe.h: No such file or directory", "apt-get install libpq-dev"),
        ("a.h:1:10: fatal error: 'openssl/ssl.h' file not found", "apt-get install libssl-dev"),
        (
            "a.c:1: fatal error: odd/thing.h: No such file or directory",
            "the -dev package that has it (apt-file search)",
        ),
        ("Error: pg_config executable not found.", "apt-get install libpq-dev"),
        ("sh: 1: cmake: not found", "apt-get install cmake"),
        ("error: [Errno 2] No such file or directory: 'gcc'", "apt-get install build-essential"),
        ("CommandError: Can't find msgfmt. Make sure you have GNU gettext", "apt-get install gettext"),
        ("/usr/bin/ld: cannot find -lxml2: No such file or directory", "apt-get install libxml2-dev or the like"),
        ("  Because flasgger==0.9.7.1 has no usable wheels and you require", "name it in python_app_source_packages"),
        ("Error: Could not locate the bindings file. Tried:", "name the package in node_app_install_scripts"),
        ("Error: getaddrinfo EAI_AGAIN files.example.com", "a build has no network"),
        ("next/font: error: Failed to fetch `Geist` from Google Fonts.", "take next/font/local"),
        ("sh: 1: pnpm: not found", "write node_app_package_manager: pnpm"),
    ],
)
def test_known_causes_have_their_remedy(line: str, hint: str) -> None:
    lines = shown_of(line)
    assert lines[-1].startswith("-> ")
    assert hint in lines[-1]


@pytest.mark.parametrize("line", ["compiled 3 modules", "found 0 errors", "warning: cannot find a cache"])
def test_what_is_no_cause_has_no_remedy(line: str) -> None:
    assert not any(shown.startswith("-> ") for shown in shown_of(line))


def test_much_output_stays_short_and_its_control_characters_out() -> None:
    lines = shown_of("\n".join(f"\x1b[31merror {number}: broken\x1b[0m" for number in range(10_000)))
    assert lines[0] == "error 0: broken"
    assert lines[-1] == "error 9999: broken"
    assert len(lines) <= ERRORS + 4
