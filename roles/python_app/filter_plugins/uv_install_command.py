"""The command that installs locked dependencies for a target's Python, whatever the controller runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

VERSION = re.compile(r"3\.[0-9]+")


def uv_install_command(version: Any, platform: str, requirements: str, complete: bool = True) -> list[str]:
    """Turn '3.13' into the argument list of `uv pip install` into lib/python3.13: wheels only, every hash checked.

    `complete`: whether `requirements` has all that its packages depend on; else nobody looks for the rest.
    """
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise ValueError(f"python_app_versions has {version!r}: write the version as text, for example '3.13'")
    words = ["uv", "pip", "install", "--quiet", "--target", f"lib/python{version}", "--python-version", str(version)]
    words += ["--python-platform", str(platform), "--only-binary", ":all:", "--require-hashes", "--link-mode", "copy"]
    return [*words, *(() if complete else ("--no-deps",)), "--requirements", str(requirements)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"uv_install_command": uv_install_command}
