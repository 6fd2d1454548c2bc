"""The namespace on the controller in which a build's commands run, made by bubblewrap.

A build runs code of strangers: a bundler, its plugins, whatever the lock file names. It gets a copy of the source, the
tools to read, and nothing of the operator's: no home, no inventory, no state folder (CA key, SSH keys, secrets), no
agent, no variable of the environment that is not named here. Bubblewrap, because it needs neither root nor a daemon nor
an image, starts in a few milliseconds, and is a Debian package; systemd-run needs the system's manager or a user
session, which a CI job has not, and podman an image with the same tools.

The network is there for the steps that fetch, which run first and run no code of what they fetch; each sees the
settings of its own tool's index. What was fetched stays in a cache for each application, which later steps only read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# The same on every controller, so that a file which names them is the same too.
SOURCE, HOME, CACHE, HELPERS = "/build/src", "/build/home", "/build/cache", "/build/tools"
_ACCOUNT = 1000
_ACCOUNTS = {
    "passwd": f"root:x:0:0::/:/bin/sh\nbuild:x:{_ACCOUNT}:{_ACCOUNT}::{HOME}:/bin/sh\n",
    "group": f"root:x:0:\nbuild:x:{_ACCOUNT}:\n",
}
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Of /etc only this: programs behind a link of Debian's, their settings, authorities.
_ETC = (
    "alternatives", "ca-certificates", "ld.so.cache", "mime.types", "os-release", "php", "ssl/certs", "ssl/openssl.cnf",
)  # fmt: skip
_ETC_NETWORK = ("gai.conf", "host.conf", "hosts", "nsswitch.conf", "protocols", "resolv.conf", "services")
_PATHS = ("/usr/local/bin", "/usr/bin", "/bin")
# Not resolved: in a venv the tools stand beside the link and not beside the Python that it names.
TOOLS = Path(sys.executable).absolute().parent

_PROXIES = re.compile(r"(https?|all|no)_proxy", re.IGNORECASE)
# Each names a file or a folder, which has to be seen at its path.
_AUTHORITIES = (
    "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE",
)  # fmt: skip


@dataclass(frozen=True)
class Index:
    """How a tool learns its index: variables, and files in the operator's home and in /etc."""

    variables: re.Pattern[str]
    home: tuple[str, ...] = ()
    etc: tuple[str, ...] = ()


_NPM = Index(
    re.compile(
        r"NPM_TOKEN|NODE_AUTH_TOKEN"
        r"|(?i:npm_config_(//.+|@.+|registry|_auth\w*|(https?_?)?proxy|noproxy|ca|cafile|strict_ssl|fetch_\w+))"
    ),
    (".npmrc",),
    ("npmrc",),
)
# Where to fetch from, by which way and as whom. What else a tool can be given (a cache, a program to run) is not.
INDEXES = {
    "bundle": Index(re.compile(r"BUNDLE_(\w+__\w+|SSL_CA_CERT|TIMEOUT|RETRY)"), (".bundle/config",)),
    "composer": Index(re.compile(r"COMPOSER_(AUTH|CAFILE|IPRESOLVE)"), (".config/composer/auth.json",)),
    # pnpm and Yarn read npm's settings.
    **dict.fromkeys(("npm", "pnpm", "yarn"), _NPM),
    "pip": Index(
        re.compile(r"PIP_(\w*INDEX\w*|TRUSTED_HOST|PROXY|(DEFAULT_)?TIMEOUT|RETRIES)"),
        (".config/pip/pip.conf",),
        ("pip.conf",),
    ),
    "uv": Index(
        re.compile(r"UV_(\w*INDEX\w*|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS|HTTP_\w+|\w+_PROXY)"),
        (".config/uv/uv.toml",),
        ("uv/uv.toml",),
    ),
}


class SandboxError(Exception):
    """There is no sandbox to be had: `problem` says why, `remedy` what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem, self.remedy = problem, remedy


def _bound(path: str | Path, target: str | Path = "") -> list[str]:
    return ["--ro-bind-try", str(path), str(target or path)]


def _namespaces(network: bool) -> Iterator[str]:
    """Give the words that make an empty system: the machine's programs to read, processes and accounts of its own."""
    bwrap = shutil.which("bwrap", path=os.pathsep.join(_PATHS))
    if bwrap is None:
        raise SandboxError(
            "an application is built in a sandbox, and this controller has no bubblewrap",
            "install it (apt-get install bubblewrap), or build elsewhere and write app_archive",
        )
    yield from (bwrap, "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "build")
    yield from ("--unshare-user", "--uid", str(_ACCOUNT), "--gid", str(_ACCOUNT))
    yield from ("--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
    if not network:
        yield "--unshare-net"
    for path in map(Path, _SYSTEM):
        yield from ("--symlink", str(path.readlink()), str(path)) if path.is_symlink() else _bound(path)
    yield from ("--proc", "/proc", "--dev", "/dev")


def check() -> None:
    """Raise SandboxError unless this controller can make a sandbox."""
    words = [*_namespaces(network=False), "/bin/true"]
    done = subprocess.run(  # noqa: S603 (an argument list, never a shell)
        words, env={}, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("bwrap: ")
        raise SandboxError(
            f"an application is built in a sandbox, and bubblewrap cannot make one here ({said})",
            "allow this account user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns; a container has to allow them and a /proc of their own), or "
            "build elsewhere and write app_archive",
        )


def environment(program: str = "", path: tuple[str, ...] = ()) -> dict[str, str]:
    """Give the environment of a build step; of one that fetches by `program`, with the way to the index too.

    `path`: folders in which programs are looked for before those of the controller.
    """
    given = {
        "PATH": os.pathsep.join((*path, str(TOOLS), *_PATHS)), "HOME": HOME, "USER": "build", "TMPDIR": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC", "CI": "1",
        # Some tools ask for the network or write to the cache where nobody has asked them to.
        "npm_config_cache": f"{CACHE}/npm", "npm_config_logs_max": "0", "npm_config_update_notifier": "false",
        "npm_config_audit": "false", "npm_config_fund": "false",
        # pnpm and Yarn would fetch, or take from the source, another pnpm or Yarn and run that.
        "npm_config_manage_package_manager_versions": "false", "YARN_IGNORE_PATH": "1",
        "UV_CACHE_DIR": f"{CACHE}/uv", "UV_PYTHON_DOWNLOADS": "never",
        "PIP_CACHE_DIR": f"{CACHE}/pip", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COMPOSER_CACHE_DIR": f"{CACHE}/composer", "BUNDLE_USER_CACHE": f"{CACHE}/bundle",
    }  # fmt: skip
    if program:
        index = INDEXES.get(program)
        given |= {
            name: value
            for name, value in os.environ.items()
            if _PROXIES.fullmatch(name) or name in _AUTHORITIES or (index and index.variables.fullmatch(name))
        }
    return given


@dataclass(frozen=True)
class Sandbox:
    """One build's: folders of the controller for the source, for what is thrown away, and for the cache."""

    source: Path
    scratch: Path
    cache: Path

    def __post_init__(self) -> None:
        check()
        for name, text in _ACCOUNTS.items():
            (self.scratch / name).write_text(text)
        for name in ("home", "tmp", "helpers", *(f"home-{program}" for program in INDEXES)):
            (self.scratch / name).mkdir(mode=0o700)

    def add_tools(self, tools: Mapping[str, str]) -> None:
        """Write files that commands find in `HELPERS`, name to content."""
        for name, text in tools.items():
            (self.scratch / "helpers" / Path(name).name).write_text(text)

    def words(self, command: list[str], fetch: bool) -> list[str]:
        """Give the whole command line; the variables are not in it, since every account can read it."""
        # The shell is the namespace's first process: when it ends, so has all that was started, and nothing can change
        # the source behind the back of what reads it then.
        waits = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
        return [*self._words(Path(command[0]).name if fetch else ""), "--as-pid-1", "--", *waits, *command]

    def _words(self, program: str) -> Iterator[str]:
        yield from _namespaces(network=bool(program))
        for name in _ETC + (_ETC_NETWORK if program else ()):
            yield from _bound(f"/etc/{name}")
        for name in _ACCOUNTS:
            yield from _bound(self.scratch / name, f"/etc/{name}")
        # Each tool whose settings are shown has a home of its own: nothing is left of them in the one of the build.
        home = f"home-{program}" if program in INDEXES else "home"
        yield from ("--bind", str(self.source), SOURCE, "--bind", str(self.scratch / home), HOME)
        yield from ("--bind", str(self.scratch / "tmp"), "/tmp", "--symlink", "../tmp", "/var/tmp")  # noqa: S108
        # Console scripts name the venv by its real path, and its Python may come from somewhere else. One that is
        # in the home itself, as ~/bin/python3, would bring all of it. After /tmp, since a checkout may be
        # there.
        for path in sorted({TOOLS.parent, TOOLS.parent.resolve(), Path(sys.prefix), Path(sys.base_prefix)}):
            if not path.is_relative_to("/usr") and not Path.home().is_relative_to(path):
                yield from _bound(path)
        # What fetches fills it and runs nobody's code; what runs anybody's code cannot change what is fetched next.
        yield from ("--bind" if program else "--ro-bind", str(self.cache), CACHE)
        yield from ("--ro-bind", str(self.scratch / "helpers"), HELPERS)
        if program:
            yield from self._settings(program)
        yield from ("--chdir", SOURCE, "--remount-ro", "/")

    @staticmethod
    def _settings(program: str) -> Iterator[str]:
        """Give what makes the operator's settings of one tool's index seen, and the authorities that are trusted."""
        for name in _AUTHORITIES:
            if path := os.environ.get(name):
                yield from _bound(path)
        if index := INDEXES.get(program):
            for name in index.etc:
                yield from _bound(f"/etc/{name}")
            for name in index.home:
                yield from _bound(Path.home() / name, f"{HOME}/{name}")
