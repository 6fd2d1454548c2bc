"""What looks like a secret among the files of a source or a release: by its name, or by what is in it.

A release goes to every host of its application, and its archive stays on the controller: no place for a key. What is
found is refused by name, since what is left out in silence is missed by the application, and stays in the source.
Public certificates (`*.pem` of a CA bundle) are none.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from ansible_collections.gatehouse.core.plugins.module_utils.app.archive import ArchiveError, matches

# What the tools of a front end read while they build (Vite, Next.js), public by their manuals. It is never packed.
BUILD_ONLY = (".env.production",)
# Patterns as in gatehouse_archive.matches, in lower case, and what such a file is.
_NAMES = {
    "variables of an environment": (".env", ".env.*", "*.env", ".envrc"),
    "a private key or a store of keys": (
        "*.key", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".ssh", ".gnupg", "secring.*", "*.p12", "*.pfx",
        "*.jks", "*.keystore", "*.bks", "*.pk8", "*.ppk", "*.kdbx", "*.ovpn",
    ),
    "a file of passwords": (
        ".netrc", "_netrc", ".git-credentials", ".pypirc", ".pgpass", ".my.cnf", ".mylogin.cnf", ".htpasswd",
        ".htdigest", ".vault_pass*", ".vault-pass*", ".vault-token", ".dockercfg", ".docker/config.json",
        ".gem/credentials", ".s3cfg", ".boto", ".aws", ".azure", ".kube",
    ),
    "a vault": ("vault.yml", "vault.yaml"),
    "the state of Terraform": ("*.tfstate", "*.tfstate.*"),
    "a database or a dump of one": (
        "db.sqlite3", "*.dump", "*.pgdump", "*.rdb", "dump.sql", "*[-_.]dump.sql", "*.sql.gz", "*.sql.bz2", "*.sql.xz",
        "*.sql.zst", "*.sql.zip",
    ),
}  # fmt: skip
# What only shows how such a file looks, and public halves of keys.
_HARMLESS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")
_CONTENTS = {
    # With something of the key after it: code that looks for this line is no key.
    "a private key": re.compile(
        rb"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
        rb"""(?:\\[nr]|[\s"'+,]){1,80}(?:[A-Za-z0-9+/=]{16}|[A-Za-z-]{1,20}: )"""
    ),
    "a vault of Ansible's": re.compile(rb"\$ANSIBLE_VAULT;[0-9.]+;AES256\S{0,200}\s+[0-9a-f]{32}"),
}
_PASSWORD_IN_ADDRESS = re.compile(rb"://[^/@\s:\"'$]{1,200}:(?!\$)[^/@\s\"']{1,400}@")
# Settings that are a source's own, and hold a secret only sometimes.
_SETTINGS = {
    ".npmrc": re.compile(rb"""(?m)^[^#;\n]{0,400}(?:_authToken|_auth|_password)\s{0,9}=\s{0,9}["']?(?!\$\{)[^\s"']"""),
    ".yarnrc.yml": re.compile(rb"""npmAuth(?:Token|Ident):\s{0,9}["']?(?!\$\{)[^\s"']"""),
    "auth.json": re.compile(
        rb'"(?:http-basic|bearer|github-oauth|gitlab-oauth|gitlab-token|bitbucket-oauth|custom-headers)"\s{0,99}:'
        rb'\s{0,99}\{\s{0,99}"'
    ),
    "pip.conf": _PASSWORD_IN_ADDRESS,
    "requirements*.txt": _PASSWORD_IN_ADDRESS,
    "uv.toml": _PASSWORD_IN_ADDRESS,
}


def secret_in(relative: str, file: Path) -> str:
    """Say what secret the file looks like, or ''."""
    lower = relative.lower()
    name = lower.rpartition("/")[2]
    harmless = any(fnmatchcase(name, pattern) for pattern in _HARMLESS)
    if not harmless:
        for what, patterns in _NAMES.items():
            if matches(lower, patterns):
                return what
    return content_secret(relative, file)


def content_secret(relative: str, file: Path) -> str:
    """Say what secret is in the file, or ''."""
    name = relative.lower().rpartition("/")[2]
    if not file.stat().st_size:
        return ""
    settings = [("a password or token", rule) for pattern, rule in _SETTINGS.items() if fnmatchcase(name, pattern)]
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return next((what for what, rule in (*_CONTENTS.items(), *settings) if rule.search(content)), "")


def refuse_secrets(
    name: str,
    where: str,
    files: Iterable[tuple[str, Path]],
    known: Iterable[str] = (),
    named: Iterable[str] = (),
) -> None:
    """Refuse files that look like secrets, all at once; `where`: what they are files of.

    `known`: whole paths of files that are none, whatever they look like; `named`: patterns of files whose name says
    nothing about what is in them.
    """
    known, named, found = set(known), tuple(named), []
    for relative, file in files:
        if relative in known or file.is_symlink():
            continue
        what = content_secret(relative, file) if matches(relative, named) else secret_in(relative, file)
        if what:
            found.append(f"  {relative}: {what}")
    if found:
        raise ArchiveError(
            f"{where} of {name} has what looks like a secret, and a release is no place for one:\n" + "\n".join(found)
            + "\nRemove it, or name it in app_exclude (a pattern). What the application needs of it belongs into "
            "app_secrets. Write the whole path of a file that is no secret in app_include"
        )  # fmt: skip
