#!/usr/bin/python3
"""Read which requests a proxy's application firewall refused, or would have, and how their visitors fared elsewhere.

The firewall's log has a file for each day (files/waf/waf_log.lua), the access log is nginx's. Both are read from their
newest end on and up to a bound, and no link is followed, because nginx's workers own the folder.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import stat
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: waf_records
short_description: Read the log of a proxy's application firewall
description:
  - Returns the requests that it refused or would have refused, newest last, without who sent them.
  - Of each visitor (an address with a browser's name) it counts the requests in the access log that were answered well
    and that no rule objected to.
options:
  since:
    description: "How far to look back, C(-7d), C(-12h) or C(-30m), or a date, C(2026-11-22)."
    type: str
    default: -7d
  most:
    description: Requests that are returned at most, the newest ones.
    type: int
    default: 20000
  most_bytes:
    description: Bytes of the access log that are read at most.
    type: int
    default: 268435456
attributes:
  check_mode:
    support: full
author: the Gatehouse project
"""
EXAMPLES = r"""
- name: Read yesterday's
  waf_records:
    since: -1d
"""
RETURN = r"""
records:
  description: "C({time, request_id, host, method, path, refused, score, hits: [[rule, variable]], visitor})."
  type: list
  returned: success
good:
  description: Requests of each visitor that were answered well, C({visitor: count}).
  type: dict
  returned: success
complete:
  description: Whether all of that time was read.
  type: bool
  returned: success
"""

FOLDER = Path("/var/log/nginx/waf")
ACCESS = Path("/var/log/nginx")
DAY_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})\.json")
AGO = re.compile(r"-(\d{1,4})([dhm])")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
LARGEST = 64 << 20  # bytes of one day; waf_log.lua writes half of that, and nginx's workers own the folder
LONGEST = 1 << 16  # bytes of a line
UNITS = {"d": 86400, "h": 3600, "m": 60}
FIELDS = {"time": int, "request_id": str, "client": str, "host": str, "method": str, "path": str, "refused": bool}


class WordError(Exception):
    """An option is no word of ours; the text says what to write."""


def begin_of(since: str, now: float) -> float:
    """Return the second from which to read."""
    if match := AGO.fullmatch(since):
        return now - int(match[1]) * UNITS[match[2]]
    if DATE.fullmatch(since):
        try:
            return datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp()
        except ValueError:
            pass
    raise WordError(f'since: "{since}" is no time; write -7d, -12h, -30m or a date such as 2026-11-22')


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a regular file, packed or not."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return
        try:
            if path.suffix == ".gz":
                with gzip.open(file) as unpacked:
                    yield from iter(partial(unpacked.readline, LONGEST), b"")
            else:
                yield from iter(partial(file.readline, LONGEST), b"")
        except (OSError, EOFError):  # a packed file whose end is missing
            return


def record_of(line: bytes) -> dict[str, Any] | None:
    """Return a line of the firewall's log; None for what is none."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or not all(isinstance(said.get(name), kind) for name, kind in FIELDS.items()):
        return None
    hits = said.get("hits")
    if not isinstance(hits, list) or not all(isinstance(hit, list) and len(hit) == 2 for hit in hits):
        return None
    return said


def records_since(begin: float, most: int) -> tuple[list[dict[str, Any]], bool]:
    """Return the newest records since `begin`, oldest first, and whether those are all."""
    first = datetime.fromtimestamp(begin, UTC).date().isoformat()
    names = [path.name for path in FOLDER.iterdir()] if FOLDER.is_dir() else []
    days = [match[1] for match in map(DAY_FILE.fullmatch, names) if match]
    found: deque[dict[str, Any]] = deque(maxlen=most)
    count, whole = 0, True
    for day in sorted(day for day in days if day >= first):
        left = LARGEST
        for line in lines_of(FOLDER / f"{day}.json"):
            left -= len(line)
            if left < 0:
                whole = False
                break
            if (record := record_of(line)) and record["time"] >= begin:
                found.append(record)
                count += 1
    return list(found), whole and count <= most


def visitor_of(client: str, agent: str) -> str:
    return hashlib.sha256(f"{client} {agent}".encode()).hexdigest()[:16]


def access_logs(begin: float) -> list[Path]:
    """Return the files of nginx's access log that may reach back to `begin`, newest first."""
    files = [path for path in ACCESS.glob("access.log*") if path.is_file() and path.stat().st_mtime >= begin]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def visitors(records: list[dict[str, Any]], begin: float, most_bytes: int) -> tuple[dict[str, int], bool]:
    """Give each record its `visitor` instead of an address; return the good answers of each, and if all was read."""
    objected = {record["request_id"]: record for record in records}
    clients = {f'"client":"{record["client"]}"'.encode() for record in records}
    good: dict[str, int] = {}
    left = most_bytes
    for path in access_logs(begin) if records else ():
        for line in lines_of(path):
            left -= len(line)
            if left < 0:
                break
            place = line.find(b'"client":"')
            if place < 0 or line[place : line.find(b'"', place + 10) + 1] not in clients:
                continue
            try:
                said = json.loads(line)
                at = datetime.fromisoformat(said["time"]).timestamp()
                who = visitor_of(said["client"], said["user_agent"])
            except (ValueError, KeyError, TypeError):
                continue
            if said.get("request_id") in objected:
                objected[said["request_id"]]["visitor"] = who
            elif at >= begin and str(said.get("status", "")).startswith(("2", "3")):
                good[who] = good.get(who, 0) + 1
    for record in records:
        record.setdefault("visitor", visitor_of(record["client"], ""))
        del record["client"]
    known = {record["visitor"] for record in records}
    return {who: count for who, count in good.items() if who in known}, left >= 0


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        supports_check_mode=True,
        argument_spec={
            "since": {"type": "str", "default": "-7d"},
            "most": {"type": "int", "default": 20000},
            "most_bytes": {"type": "int", "default": 256 * 1024**2},
        },
    )
    try:
        begin = begin_of(module.params["since"], time.time())
    except WordError as error:
        module.fail_json(msg=str(error))
    records, whole = records_since(begin, module.params["most"])
    good, seen = visitors(records, begin, module.params["most_bytes"])
    module.exit_json(changed=False, records=records, good=good, complete=whole and seen)


if __name__ == "__main__":
    main()
