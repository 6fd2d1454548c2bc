"""The folder of an authority: its certificate, and what it has issued."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.pem import certificates, signed_by
from cryptography import x509


@dataclass(frozen=True)
class Authority:
    """One CA: its folder, its certificate, and whether its key is here."""

    folder: Path
    certificate: x509.Certificate
    has_key: bool

    @property
    def is_root(self) -> bool:
        return signed_by(self.certificate, self.certificate)

    @property
    def list_file(self) -> Path:
        return self.folder / "ca.crl.pem"


@dataclass(frozen=True)
class Issued:
    """One certificate on record: the host that has its key, and where its copy is."""

    host: str
    path: Path
    certificate: x509.Certificate


def issued(folder: Path) -> list[Issued]:
    """Return what is on record below `<folder>/issued/<host>/`, sorted; a damaged record is a ValueError."""
    found = []
    for path in sorted(folder.glob("issued/*/*.pem")):
        try:
            found.append(Issued(path.parent.name, path, certificates(path.read_bytes())[0]))
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path} is no certificate: put it back from a backup, or remove it") from error
    return found
