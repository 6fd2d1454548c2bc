"""What is a name: the patterns that filters, modules and preflight share."""

from __future__ import annotations

import re

# Of a site, an upstream or a zone: also safe as a file's name and as a host's.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
