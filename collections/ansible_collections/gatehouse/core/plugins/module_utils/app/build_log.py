"""What a command of a build wrote: all of it into a log, and of that the lines that say why it failed.

npm ends with its help, compilers with what they gave up and not with why; so errors come first. What is known to be
missing is named with the Debian package, or the input, that brings it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

ERRORS, BEFORE, AFTER, LAST = 24, 1, 3, 8
# Characters of a line that are looked at and shown.
WIDTH = 400
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_ERROR = re.compile(
    r"(?i)\b(?:error|errors|failed|failure|fatal|exception|traceback|panic|undefined reference|unresolved|cannot|can't"
    r"|could not|couldn't|not found|no such file|missing|denied|unsatisfiable|no solution)\b"
    r"|\bERR!|ERR_|\b[A-Z]\w+Error\b|[\u2717\u2716\u00d7]"
)
# Help and advice, which npm, pip and node-gyp begin like errors.
_NOISE = re.compile(
    r"(?i)a complete log of this run|^npm (?:error|err!)\s*$|npm help|^npm (?:error|err!) (?:usage|options|aliases):?"
    r"|^npm (?:error|err!) (?:npm \w+$|\[-)|^npm warn|alias(?:es)?:|run \"npm help|^warning\b|\b0 errors?\b"
    r"|this is an issue with the package|this error originates from a subprocess"
)
_HEADERS = {
    "Python.h": "python3-dev", "ffi.h": "libffi-dev", "libpq-fe.h": "libpq-dev",
    "mysql.h": "default-libmysqlclient-dev", "mysql/mysql.h": "default-libmysqlclient-dev",
    "openssl/": "libssl-dev", "zlib.h": "zlib1g-dev",
    "jpeglib.h": "libjpeg-dev", "png.h": "libpng-dev", "libxml/": "libxml2-dev", "libxslt/": "libxslt1-dev",
    "sqlite3.h": "libsqlite3-dev", "yaml.h": "libyaml-dev", "ldap.h": "libldap-dev", "lber.h": "libldap-dev",
    "sasl/": "libsasl2-dev", "sasl.h": "libsasl2-dev", "bzlib.h": "libbz2-dev", "lzma.h": "liblzma-dev",
    "curl/": "libcurl4-openssl-dev", "cairo.h": "libcairo2-dev", "pango/": "libpango1.0-dev", "vips/": "libvips-dev",
    "xmlsec/": "libxmlsec1-dev", "krb5.h": "libkrb5-dev", "gssapi/": "libkrb5-dev", "magic.h": "libmagic-dev",
    "gmp.h": "libgmp-dev", "sodium.h": "libsodium-dev", "zmq.h": "libzmq3-dev", "sql.h": "unixodbc-dev",
    "librdkafka/": "librdkafka-dev", "hiredis/": "libhiredis-dev", "snappy.h": "libsnappy-dev",
}  # fmt: skip
_PROGRAMS = {
    "pg_config": "libpq-dev", "mysql_config": "default-libmysqlclient-dev", "pkg-config": "pkg-config",
    "xml2-config": "libxml2-dev", "xslt-config": "libxslt1-dev", "curl-config": "libcurl4-openssl-dev",
    "cmake": "cmake", "cargo": "cargo", "rustc": "rustc", "msgfmt": "gettext", "msguniq": "gettext", "git": "git",
    "swig": "swig", "gfortran": "gfortran", "yarn": "", "pnpm": "",
    **dict.fromkeys(
        ("make", "cc", "gcc", "g++", "c++", "x86_64-linux-gnu-gcc", "aarch64-linux-gnu-gcc"), "build-essential"
    ),
}  # fmt: skip
_NO_HEADER = re.compile(r"fatal error: ['\"]?([\w./+-]+\.h)['\"]?(?:: No such file| file not found)")
_NO_PROGRAM = (
    re.compile(r"(?:^|[\s'\"`:])([\w+-]+)['\"`]?: (?:command )?not found"),
    re.compile(r"not found: ([\w+-]+)"),
    re.compile(r"(?:Can't find|could not find|Unable to find|unable to execute) ['\"`]?([\w+-]+)['\"`]?"),
    re.compile(r"\b(pg_config|mysql_config|xml2-config)\b['\"`]? (?:executable )?(?:is )?(?:not found|required)"),
    re.compile(r"(?:spawn|No such file or directory: ['\"]) ?([\w+-]+)(?:['\"]| ENOENT)"),
)
_NO_LIBRARY = re.compile(
    r"(?:cannot find -l|^Package ['\"]?)([\w.+-]+)(?:['\"]? was not found|['\"]?, required|: No such file|$)"
)
_OWNER = (
    re.compile(r"^npm (?:error|ERR!) path .*/node_modules/((?:@[\w.-]+/)?[\w.-]+)$"),
    re.compile(r"Failed (?:to build|building wheel for)[: ]+`?([\w.-]+)"),
    re.compile(r"^Building ([\w.-]+)"),
)
_ADVICE = (
    (
        re.compile(r"can only install with an existing package-lock|npm-shrinkwrap\.json with lockfileVersion"),
        "write node_app_package_manager: pnpm or yarn if the source has their lock file, or commit package-lock.json",
    ),
    (
        re.compile(r"compiled against a different Node\.js version|Could not locate the bindings file|invalid ELF"),
        "name the package in node_app_install_scripts, and the hosts' Node in node_app_version",
    ),
    (
        re.compile(r"@prisma/client did not initialize yet|Cannot find module '\.prisma/client"),
        'write app_build_commands: [["npx", "prisma", "generate"]]',
    ),
    (
        re.compile(r"ha(?:s|ve) no (?:usable |compatible )?wheels?|no wheels with a matching|from source is disabled"),
        "a package has no wheel for the hosts' Python: name it in python_app_source_packages, which builds it here",
    ),
    (
        re.compile(r"from Google Fonts|fonts\.googleapis\.com"),
        "a build has no network, which next/font/google needs: take next/font/local, or fonts from npm such as geist",
    ),
    (
        re.compile(r"(?:ENOTFOUND|EAI_AGAIN|getaddrinfo|Temporary failure in name resolution|Network is unreachable)"),
        "a build has no network: what it needs is fetched by its lock file, or by app_build_fetch",
    ),
    (
        re.compile(r"JavaScript heap out of memory"),
        "write app_build_environment: {NODE_OPTIONS: --max-old-space-size=4096}",
    ),
)  # fmt: skip


@dataclass
class Findings:
    """What one command's output says, read line by line so that its size does not matter."""

    errors: list[str] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST))
    hints: list[str] = field(default_factory=list)
    owner: str = ""
    _after: int = 0
    _former: str = ""

    def read(self, lines: Iterable[str]) -> None:
        """Read the output, or the next part of it."""
        for raw in lines:
            if line := _CONTROL.sub("", raw.rstrip())[:WIDTH]:
                self._read(line)

    def _read(self, line: str) -> None:
        self.last.append(line)
        self.owner = next((found[1] for rule in _OWNER if (found := rule.search(line))), self.owner)
        if (hint := missing(line)) and hint not in self.hints:
            self.hints.append(hint)
        if _NOISE.search(line):
            self._former = ""
        elif _ERROR.search(line):
            if self._former and not self._after and BEFORE:
                self._show(self._former)
            self._show(line)
            self._former, self._after = "", AFTER
        elif self._after:
            self._show(line)
            self._after -= 1
        else:
            self._former = line

    def _show(self, line: str) -> None:
        if len(self.errors) < ERRORS and line not in self.errors:
            self.errors.append(line)

    def reported(self) -> list[str]:
        """Give the lines to show: the errors, or where none looks like one the last lines; then what is missing."""
        lines = list(self.errors)
        rest = [line for line in self.last if line not in lines and not _NOISE.search(line)]
        if not lines:
            lines = rest
        elif rest:
            lines += ["...", *rest[-3:]]
        of = f" (for {self.owner})" if self.owner else ""
        return [*lines, *(f"-> {hint}{of}" for hint in self.hints)]


def missing(line: str) -> str:
    """Say what to add where a line shows what is not there, '' if it shows no such thing."""
    if header := _NO_HEADER.search(line):
        name = header[1]
        package = next((package for part, package in _HEADERS.items() if name == part or name.startswith(part)), "")
        return needs(name, package or "the -dev package that has it (apt-file search)")
    for rule in _NO_PROGRAM:
        found = rule.search(line)
        if found and found[1] in _PROGRAMS:
            package = _PROGRAMS[found[1]]
            return needs(found[1], package) if package else f"write node_app_package_manager: {found[1]}"
    if (library := _NO_LIBRARY.search(line)) and not line.startswith(("npm", "node")):
        return needs(f"the library {library[1]}", f"lib{library[1].removeprefix('lib')}-dev or the like")
    return next((advice for rule, advice in _ADVICE if rule.search(line)), "")


def needs(what: str, package: str) -> str:
    """Say which Debian package brings what a build lacks."""
    return f"{what} is missing on this controller: apt-get install {package}"
