#!/usr/bin/python3
"""Remove what nginx keeps under certain keys from its cache folders.

nginx writes the key into each file's head, so every variant of a URL (Vary) and every slice is found, whatever its
name. A file that is gone nginx asks for anew.
Source: `ngx_http_file_cache_header_t` and `ngx_http_file_cache_set_header` in nginx's src/http/ngx_http_file_cache.c.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: cache_purge
short_description: Remove entries from nginx's cache by their keys
description:
  - Looks at every file of the given cache folders and removes those whose key fits one of the patterns.
  - Only regular files with a cache file's name are looked at, and no link is followed, so nothing outside a folder
    and nothing else in it is ever touched.
options:
  targets:
    description: What to remove.
    type: list
    elements: dict
    required: true
    suboptions:
      folder:
        description: Path of a C(proxy_cache_path).
        type: path
        required: true
      patterns:
        description: Regular expressions; a key that fits one from its beginning to its end is removed.
        type: list
        elements: str
        required: true
attributes:
  check_mode:
    support: full
author: the Gatehouse project
"""
EXAMPLES = r"""
- name: Forget the style sheets
  cache_purge:
    targets:
      - {folder: /var/lib/nginx/cache-assets, patterns: ['https?www[.]example[.]com/css/.*']}
"""
RETURN = r"""
purged:
  description: Files that were removed, or would be.
  type: int
  returned: success
kept:
  description: Files that were looked at and stay.
  type: int
  returned: success
"""

NAME = re.compile(r"[0-9a-f]{32}")
MARK = b"\nKEY: "
# The head of a file holds fixed fields of less than this, then the key, then what the upstream sent.
HEAD, LONGEST_KEY = 1024, 65536
VERSION_SIZE = 8


def key_of(name: str, folder: int) -> str | None:
    """Return the key of a cache file in the folder with that descriptor; None for what is no cache file."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        head = file.read(HEAD)
        start = head.find(MARK)
        if start < 0:
            return None
        text = head[start + len(MARK) :]
        while b"\n" not in text and len(text) < LONGEST_KEY and (more := file.read(HEAD)):
            text += more
        return text.split(b"\n", 1)[0].decode(errors="surrogateescape")


def entries(folder: str) -> Iterator[tuple[str, int, str]]:
    """Yield (name, descriptor of its folder, key) of the cache files below a folder."""
    for _, _, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in files:
            if NAME.fullmatch(name) and (key := key_of(name, descriptor)) is not None:
                yield name, descriptor, key


def spoil(name: str, folder: int) -> None:
    """Make an entry unreadable for workers that keep its file open: they read its head for each answer.

    The head begins with the version of the format (ngx_http_file_cache_header_t), and 0 is none. A file that has
    another name too may be somebody else's, and is left as it is.
    """
    handle = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        status = os.fstat(handle)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.pwrite(handle, bytes(VERSION_SIZE), 0)
    finally:
        os.close(handle)


def purge(folder: str, patterns: list[str], check: bool) -> tuple[int, int]:
    """Remove the entries whose key fits a pattern; return how many went and how many stay."""
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.DOTALL)
    purged = kept = 0
    if not Path(folder).is_dir():
        return 0, 0  # nginx has not made it yet
    for name, descriptor, key in entries(folder):
        if not patterns or not wanted.fullmatch(key):
            kept += 1
            continue
        purged += 1
        if not check:
            try:
                spoil(name, descriptor)
                os.unlink(name, dir_fd=descriptor)
            except FileNotFoundError:
                purged -= 1  # nginx was faster
    return purged, kept


def main() -> None:
    """Run the module."""
    target = {
        "folder": {"type": "path", "required": True},
        "patterns": {"type": "list", "elements": "str", "required": True},
    }
    options = {"targets": {"type": "list", "elements": "dict", "required": True, "options": target}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    counts = []
    for entry in module.params["targets"]:
        if os.path.realpath(entry["folder"]) != os.path.normpath(entry["folder"]):
            module.fail_json(msg=f"{entry['folder']} is, or is below, a link: write the folder's own path")
        counts.append(purge(entry["folder"], entry["patterns"], module.check_mode))
    purged, kept = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    module.exit_json(changed=purged > 0, purged=purged, kept=kept, msg=f"{purged} purged, {kept} stay")


if __name__ == "__main__":
    main()
