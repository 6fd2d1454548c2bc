"""Packages of Python that come as source only: fetched by their lock file, and built without the network.

`fetch LOCK TARGET NAME...` gets the named packages' source archives, whose SHA-256 the lock file has, with what their
builds require, and writes the rest of the lock file to TARGET. It runs none of their code: what a build requires is
read from `pyproject.toml`. `build VERSION FOLDER NAME...` builds them for one Python and installs them into a folder.
Written by Gatehouse for its builds; runs in their sandbox.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.parse
import urllib.request
import zipfile
from base64 import b64encode
from pathlib import Path
from typing import Any

STORE = Path("/build/cache/python-sources")
SIMPLE = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
# What PEP 517 says of a source without `pyproject.toml`, and wheel, which old ones expect.
REQUIRED = ["setuptools>=40.8.0", "wheel"]
# What may stand there: a name and versions. An option, a path or an address would have uv build what no index has.
NEED = re.compile(r"[A-Za-z0-9][\w.-]*\s*(\[[\w., -]*\])?\s*(\(?[<>=!~][^@/;]*)?(;.*)?")
ENTRY = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*(?:\[[^]]*\])?\s*==\s*([\w.!+-]+)")


def normal(name: str) -> str:
    """Give the name of a package as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> list[tuple[str, str, str]]:
    """Give (name, version, text) of each entry of a lock file; other lines have no name."""
    found = []
    for entry in re.split(r"(?<!\\)\n", lock):
        pinned = ENTRY.match(entry)
        found.append((normal(pinned[1]), pinned[2], entry) if pinned else ("", "", entry))
    return found


def indexes() -> list[str]:
    """Give the addresses of uv's indexes, those with precedence first, as variables and its files name them."""
    named, default = [], os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL") or ""
    for variable in ("UV_INDEX", "UV_EXTRA_INDEX_URL"):
        named += os.environ.get(variable, "").split()
    for file in (Path.home() / ".config/uv/uv.toml", Path("/etc/uv/uv.toml")):
        if file.is_file():
            reported = tomllib.loads(file.read_text())
            for index in reported.get("index", []):
                address = f"{index['name']}={index['url']}" if index.get("name") else index["url"]
                if index.get("default"):
                    default = default or address
                else:
                    named.append(address)
            default = default or reported.get("index-url", "")
    return [with_account(index) for index in [*named, default or "https://pypi.org/simple"]]


def with_account(index: str) -> str:
    """Give the address of an index `name=address`, with the account that variables have for the name."""
    name, mark, address = index.partition("=")
    if not mark or "://" in name:
        return index.rstrip("/")
    prefix = f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}_"
    parts = urllib.parse.urlsplit(address)
    if user := os.environ.get(f"{prefix}USERNAME"):
        password = urllib.parse.quote(os.environ.get(f"{prefix}PASSWORD", ""), safe="")
        account = f"{urllib.parse.quote(user, safe='')}:{password}"
        parts = parts._replace(netloc=f"{account}@{parts.netloc.rpartition('@')[2]}")
    return urllib.parse.urlunsplit(parts).rstrip("/")


class Redirect(urllib.request.HTTPRedirectHandler):
    """Follows a redirect as curl does: an account is for the host that it was meant for."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new and (new.type, new.host) != (req.type, req.host):
            new.remove_header("Authorization")
        return new


OPENER = urllib.request.build_opener(Redirect)


def get(address: str) -> tuple[bytes, str]:
    """Give what is at an address, and its type; an account in the address is sent as a header."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise SystemExit(f"{parts.scheme or address} is no way to an index that sources can be fetched by: use https")
    account, _, host = parts.netloc.rpartition("@")
    headers = {"Accept": SIMPLE, "User-Agent": "gatehouse"}
    if account:
        headers["Authorization"] = "Basic " + b64encode(urllib.parse.unquote(account).encode()).decode()
    plain = urllib.parse.urlunsplit(parts._replace(netloc=host))
    with OPENER.open(urllib.request.Request(plain, headers=headers), timeout=60) as answer:  # noqa: S310
        return answer.read(), answer.headers.get_content_type()


def listed(index: str, name: str) -> list[tuple[str, str]]:
    """Give (file name, address) of what an index has of a package."""
    page = f"{index}/{name}/"
    content, kind = get(page)
    if kind.endswith("json"):
        return [(file["filename"], urllib.parse.urljoin(page, file["url"])) for file in json.loads(content)["files"]]
    links = [html.unescape(link) for link in re.findall(r"""href=["']([^"']+)""", content.decode())]
    named = [(link, urllib.parse.urlsplit(link).path.rpartition("/")[2]) for link in links]
    return [(urllib.parse.unquote(file), urllib.parse.urljoin(page, link)) for link, file in named]


def fetched(name: str, version: str, sums: set[str]) -> Path:
    """Give the source archive of a package, kept from an earlier build or fetched; it has one of the sums."""
    for file in STORE.glob(f"*/{name.replace('-', '_')}-{version}.*"):
        if hashlib.sha256(file.read_bytes()).hexdigest() in sums:
            return file
    problem = f"no index has the source of {name} {version} that the lock file names"
    for index in indexes():
        try:
            files = listed(index, name)
        except OSError as error:
            problem = f"{name} cannot be asked for: {error}"
            continue
        for entry, address in files:
            found = re.match(rf"(.+)-{re.escape(version)}(\.tar\.gz|\.zip)$", entry)
            if not found or normal(found[1]) != name:
                continue
            host = urllib.parse.urlsplit(index).netloc
            parts = urllib.parse.urlsplit(address)
            # The account of an index is for its own host.
            if host.rpartition("@")[2] == parts.netloc:
                address = urllib.parse.urlunsplit(parts._replace(netloc=host))
            content, _ = get(address)
            if (digest := hashlib.sha256(content).hexdigest()) not in sums:
                problem = f"{entry} has SHA-256 {digest}, which the lock file does not have: lock {name} again"
                continue
            kept = STORE / digest / f"{name.replace('-', '_')}-{version}{found[2]}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(content)
            return kept
    raise SystemExit(f"error: {problem}")


def required(archive: Path) -> list[str]:
    """Give what the build of a source requires, read and not run."""
    text = ""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            name = next((one for one in opened.namelist() if re.fullmatch(r"[^/]+/pyproject\.toml", one)), "")
            text = opened.read(name).decode() if name else ""
    else:
        with tarfile.open(archive) as tar:
            name = next((one for one in tar.getnames() if re.fullmatch(r"[^/]+/pyproject\.toml", one)), "")
            member = tar.extractfile(name) if name else None
            text = member.read().decode() if member else ""
    return tomllib.loads(text).get("build-system", {}).get("requires", REQUIRED) if text else REQUIRED


def python(version: str) -> str:
    """Give the Python of the version, or where there is none this one: enough for what compiles nothing."""
    return shutil.which(f"python{version}") or sys.executable


def tools(version: str) -> Path:
    """Give the folder with what builds require, for one Python."""
    return STORE / f"required-{version}"


def fetch(lock: str, target: str, versions: str, *names: str) -> None:
    """Get the sources of the named packages and what their builds require; write the rest of the lock file."""
    wanted, rest, sources = {normal(name) for name in names}, [], dict[str, Path]()
    for name, version, text in entries(Path(lock).read_text()):
        if name in wanted:
            sources[name] = fetched(name, version, set(re.findall(r"--hash=sha256:([0-9a-f]{64})", text)))
        else:
            rest.append(text)
    if missing := sorted(wanted - set(sources)):
        raise SystemExit(f"error: {lock} has no {', '.join(missing)}: correct python_app_source_packages")
    Path(target).write_text("\n".join(rest))
    needs = [need for archive in sources.values() for need in required(archive)]
    if strange := [need for need in needs if not isinstance(need, str) or not NEED.fullmatch(need.strip())]:
        raise SystemExit(
            f"error: a build requires {strange[0]!r}, which is no package of an index by its name: "
            "take the package out of python_app_source_packages"
        )
    for version in versions.split(",") if needs else ():
        command = ["uv", "pip", "install", "--quiet", "--target", str(tools(version)), "--python", python(version)]
        subprocess.run([*command, "--only-binary", ":all:", "--", *sorted(set(needs))], check=True)  # noqa: S603
    for name, archive in sources.items():
        Path(target).with_name(f"{name}.source").write_text(str(archive))


def build(version: str, folder: str, lock: str, *names: str) -> None:
    """Build the fetched sources for one Python, and install them into a folder."""
    environment = {**os.environ, "PYTHONPATH": str(tools(version))}
    interpreter = python(version)
    for name in map(normal, names):
        source = Path(lock).with_name(f"{name}.source").read_text()
        print(f"Building {name} by {interpreter} for Python {version}", flush=True)
        command = ["uv", "pip", "install", "--target", folder, "--python", interpreter, "--python-version", version]
        command += ["--no-deps", "--no-index", "--no-build-isolation", "--no-cache", "--offline", "--link-mode", "copy"]
        done = subprocess.run([*command, source], env=environment, check=False)  # noqa: S603
        if done.returncode:
            raise SystemExit(
                f"error: {name} cannot be built from its source for Python {version}; where it has compiled parts, the "
                f"controller needs python{version} with its headers (python{version}-dev) and build-essential"
            )


if __name__ == "__main__":
    {"fetch": fetch, "build": build}[sys.argv[1]](*sys.argv[2:])
