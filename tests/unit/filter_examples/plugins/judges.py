"""The functions of preflight as filters, for their examples."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

HOME = "ansible_collections.gatehouse.core.plugins.module_utils.preflight"
MODULES = (
    "addresses",
    "applications",
    "certificates",
    "environment",
    "locations",
    "machines",
    "plays",
    "proxies",
    "renamed",
    "report",
    "sites",
    "sources",
    "upstreams",
    "variables",
)


class FilterModule:
    """Offer the functions under their own names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        modules = [import_module(f"{HOME}.{name}") for name in MODULES]
        return {
            name: function
            for module in modules
            for name, function in inspect.getmembers(module, inspect.isfunction)
            if function.__module__ == module.__name__ and not name.startswith("_")
        }
