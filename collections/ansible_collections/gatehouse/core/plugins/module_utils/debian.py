"""What a Debian host has installed, read without apt: opening apt's cache takes a second or more on each host."""

from __future__ import annotations

import re
import subprocess

# What only apt can judge: a version, a pattern.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?")


def not_installed(names: list[str]) -> list[str]:
    """Return those of `names` that are not installed, in their order.

    A name with a version (`nginx=1.26*`) or a pattern is returned whatever there is, and so is one that another package
    provides: apt decides then. See dpkg-query(1).
    """
    plain = [name for name in names if _PLAIN.fullmatch(name)]
    if not plain:
        return list(names)
    shown = subprocess.run(  # noqa: S603 (an argument list, never a shell)
        ["/usr/bin/dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *plain],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    installed = {line.split()[0] for line in shown.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in plain or name.partition(":")[0] not in installed]


def shipped(package: str) -> set[str]:
    """Return the MD5 sums of a package's configuration files as it came with them (deb-conffiles(5)); {} without it."""
    argv = ["/usr/bin/dpkg-query", "-W", "-f", "${Conffiles}", package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    return {words[1] for words in map(str.split, done.stdout.splitlines()) if len(words) > 1}


def versions(packages: dict[str, str]) -> dict[str, str]:
    """Return {program: upstream version} of `packages` {program: package}: what is installed, else what apt would."""
    argv = ["/usr/bin/apt-cache", "policy", *packages.values()]
    done = subprocess.run(  # noqa: S603
        argv, capture_output=True, text=True, check=False, timeout=60, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=\S)", done.stdout):
        known = re.findall(r"^  (?:Installed|Candidate): (?:\d+:)?(\d+(?:\.\d+)*)", block, re.MULTILINE)
        if known:
            found[block.partition(":")[0]] = known[0]
    return {program: found[package] for program, package in packages.items() if package in found}
