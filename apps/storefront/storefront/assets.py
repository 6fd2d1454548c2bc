"""Static files under names that carry their content's hash, so that a cache may keep them for a year.

A release's files all have one fixed modification time (its archive is reproducible), so neither `Last-Modified` nor an
ETag made from time and size would differ between two releases: the ETag here is the content's own hash.
"""

import base64
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

IMMUTABLE = "public, max-age=31536000, immutable"
# During a rolling upgrade a page of one release may ask a host that runs the other: it gets the file it has, briefly.
OTHER_RELEASE = "public, max-age=10"
HASHED = re.compile(r"(?P<stem>.+)\.(?P<hash>[0-9a-f]{10})(?P<suffix>\.[^.]+)")


@dataclass(frozen=True)
class Asset:
    """One answer: what to send and for how long a cache may keep it."""

    body: bytes
    mimetype: str
    digest: str
    cache_control: str


class Assets:
    """All files under `folder`, read once; `url('img/key.svg')` gives `/static/img/key.<hash>.svg`."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.prefix = prefix
        self.files: dict[str, tuple[bytes, str]] = {}
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                body = file.read_bytes()
                self.files[file.relative_to(folder).as_posix()] = (body, hashlib.sha256(body).hexdigest())

    def url(self, name: str) -> str:
        """Give the address of a file; KeyError for one that is not there, so that a typo shows at once."""
        _, digest = self.files[name]
        stem, dot, suffix = name.rpartition(".")
        return f"{self.prefix}/{stem}.{digest[:10]}{dot}{suffix}"

    def integrity(self, name: str) -> str:
        """Give what a browser holds a script against (SRI). Pages do without one of another release for a moment."""
        return "sha256-" + base64.b64encode(bytes.fromhex(self.files[name][1])).decode()

    def find(self, path: str) -> Asset | None:
        """Give the asset that `path` (without the prefix) asks for, or None."""
        match = HASHED.fullmatch(path)
        name = match["stem"] + match["suffix"] if match else path
        if name not in self.files:
            return None
        body, digest = self.files[name]
        right = match is not None and digest.startswith(match["hash"])
        mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Asset(body, mimetype, digest, IMMUTABLE if right else OTHER_RELEASE)
