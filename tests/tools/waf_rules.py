"""Write roles/proxy/files/waf/rules.yml: the rules of Debian's packages `modsecurity-crs`, by number.

    python tests/tools/waf_rules.py 12=DIR 13=DIR > roles/proxy/files/waf/rules.yml

Each DIR is the folder /usr/share/modsecurity-crs/rules of a host with that Debian release. Preflight knows by this
file which rules there are, and the report what each looks for. Left out is what only steers other rules. A scenario
holds the file against the package on its proxy, so that a point release of Debian shows.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

RULE = re.compile(r'"id:(9[1-4]\d{4}),(.*?)"\s*(?:\n\s*\n|\n(?=[S#])|\Z)', re.DOTALL)
MESSAGE = re.compile(r"msg:'((?:[^'\\]|\\.)*)'")
LEVEL = re.compile(r"paranoia-level/(\d)")
STEERS = re.compile(r"01[1-8]$")
# What roles/proxy/vars/main/waf.yml adds.
OWN = {
    1010: ("The body could not be read as its content type says", 1),
    1011: ("The parts of a form contradict its boundary", 1),
    1012: ("A rule gave up, because the request is too long-winded for it", 1),
}


def rules(folder: Path) -> dict[int, tuple[str, int]]:
    """Return {id: (what it looks for, paranoia from which it does)}."""
    found = {}
    for file in sorted(folder.glob("REQUEST-9[1-4]*.conf")):
        if file.name.startswith(("REQUEST-910", "REQUEST-912", "REQUEST-949")):
            continue
        for match in RULE.finditer(file.read_text(encoding="utf-8")):
            message = MESSAGE.search(match[2])
            level = LEVEL.search(match[2])
            if message and not STEERS.search(match[1]):
                found[int(match[1])] = (re.sub(r"\\(.)", r"\1", message[1]), int(level[1]) if level else 1)
    return found


def main() -> None:
    releases = {name: rules(Path(folder)) for name, folder in (word.split("=", 1) for word in sys.argv[1:])}
    known: dict[int, tuple[str, int]] = dict(OWN)
    for _, found in sorted(releases.items()):
        known |= found
    print("---")
    print("# The rules of the application firewall in Debian's packages, written by tests/tools/waf_rules.py. `since`")
    print("# is the first release of Debian that has one, where that is not each.")
    print("# yamllint disable rule:line-length")
    for number, (message, level) in sorted(known.items()):
        since = next(name for name, found in sorted(releases.items()) if number in found or number in OWN)
        text = message.replace("\\", "\\\\").replace('"', '\\"')
        more = "" if since == min(releases) else f", since: {since}"
        print(f'{number}: {{message: "{text}", paranoia: {level}{more}}}')


if __name__ == "__main__":
    main()
