"""What the role proxy needs to name the files of its tree."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any


def tree_file(entry: Mapping[str, Any], template: str, variable: str) -> dict[str, Any]:
    """Return the template of `nginx_tree` that renders one named entry, beside its like.

    {name: shop, ...} with `sites/site.conf.j2` and `site` gives
    {src: sites/site.conf.j2, dest: sites/shop.conf, vars: {site: {name: shop, ...}}}.
    """
    destination = posixpath.join(posixpath.dirname(template), f"{entry['name']}.conf")
    return {"src": template, "dest": destination, "vars": {variable: entry}}


class FilterModule:
    """Filters of the role proxy."""

    def filters(self) -> dict[str, Any]:
        return {"tree_file": tree_file}
