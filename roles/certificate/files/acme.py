#!/usr/bin/python3
"""Keep the certificates of this host's sites: have them issued over ACME, and serve them or what was there before.

Written by Gatehouse. The unit gatehouse-acme runs it, by its timer and in each play. What there is to do it reads from
the certificates themselves, so a run that failed, was killed or never came is made good by the next one. certbot talks
to the authority (RFC 8555) and keeps account and keys; this program says when, and makes the result live:

- A certificate is asked for when there is none, when names or authority changed, or when a third of its life is left.
- An authority that does not answer, or refuses, changes nothing: the site keeps the certificate that it has.
- New files go in place under the lock of `nginx_tree`. nginx has to accept them and, after a reload, to show each new
  certificate to a client; otherwise the old files come back. Either way the outcome is in result.json.

Exit status: 0 when every site has what it should, else 1.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

CONFIG = Path("/etc/gatehouse/acme/acme.json")
CERTBOT = "/usr/bin/certbot"
NGINX_TEST = ["/usr/sbin/nginx", "-t", "-q"]
LOCK = Path("/run/gatehouse/nginx.lock")
PATIENCE = 600
FILES = (("fullchain.pem", 0o644), ("privkey.pem", 0o600))
CERTBOT_SECONDS, ANSWER_SECONDS, PROOF_SECONDS = 300, 15, 20
# Let's Encrypt refuses a name for an hour after five failed validations within one: one of them is left for people.
FAILURES, WITHIN = 4, timedelta(hours=1)
# What certbot says around the reason.
NOISE = re.compile(r"^(Saving debug log|Ask for help|See the logfile|Hint:|Some challenges|- - |Renewing|Requesting)")


class RefusedError(Exception):
    """The new certificates are not served; the text says why."""


class Pair:
    """A chain and its key, as bytes, and what the leaf says."""

    def __init__(self, chain: bytes, key: bytes) -> None:
        self.data = (chain, key)
        self.leaf = x509.load_pem_x509_certificate(chain)
        public = load_pem_private_key(key, None).public_key()
        form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if public.public_bytes(*form) != self.leaf.public_key().public_bytes(*form):
            raise ValueError("the key does not belong to the certificate")

    @classmethod
    def read(cls, folder: Path) -> Pair | None:
        """Return the pair in a folder, None when there is none that can be used."""
        try:
            return cls(*((folder / name).read_bytes() for name, _ in FILES))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def start(self) -> datetime:
        """When it begins, in UTC. cryptography before 42 (Debian 12) has only the naive attributes."""
        leaf = self.leaf
        return leaf.not_valid_before_utc if hasattr(leaf, "not_valid_before_utc") else _utc(leaf.not_valid_before)

    @property
    def end(self) -> datetime:
        leaf = self.leaf
        return leaf.not_valid_after_utc if hasattr(leaf, "not_valid_after_utc") else _utc(leaf.not_valid_after)

    @property
    def names(self) -> list[str]:
        try:
            found = self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return sorted(found.get_values_for_type(x509.DNSName))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.leaf.public_bytes(Encoding.DER)).hexdigest()


def _utc(naive: datetime) -> datetime:
    return naive.replace(tzinfo=UTC)


def why_ask(names: list[str], pair: Pair | None, asked: str, directory: str, now: datetime) -> str:
    """Why a certificate must be asked for; '' when the one there is good. `asked`: the authority that issued it.

    A third of the life is what certbot itself leaves (30 of 90 days); half, where it is shorter than ten days.
    """
    if pair is None:
        return "there is none"
    if asked != directory:
        return f"it is from {asked or 'another authority'}"
    if pair.names != sorted(set(names)):
        return f"it is for {', '.join(pair.names)}"
    life, left = pair.end - pair.start, pair.end - now
    if left < life / (2 if life < timedelta(days=10) else 3):
        return f"it ends on {pair.end:%Y-%m-%d %H:%M} UTC"
    return ""


def failure_text(output: str) -> str:
    """Return what certbot says of the reason: the authority's problems, else the last lines that are no boilerplate."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not NOISE.match(line.strip())]
    reported = [line for line in lines if line.startswith(("Domain:", "Type:", "Detail:"))]
    return " ".join(reported or lines[-3:]) or "certbot failed without a word"


class Keeper:
    """One run. `config`: directory, ca_bundle, certificate_dir, home, address, sites [{name, names}]."""

    def __init__(self, config: dict[str, Any], now: datetime) -> None:
        self.config, self.now = config, now
        self.home, self.places = Path(config["home"]), Path(config["certificate_dir"])
        self.results: dict[str, dict[str, Any]] = {}

    # What there is

    def lineage(self, name: str) -> Pair | None:
        """Return what certbot got last for a site."""
        return Pair.read(self.home / "certbot" / "live" / name)

    def asked(self, name: str) -> str:
        """Return the directory of the authority that certbot got it from."""
        try:
            text = (self.home / "certbot" / "renewal" / f"{name}.conf").read_text()
        except OSError:
            return ""
        found = re.search(r"^server = (\S+)$", text, re.MULTILINE)
        return found[1] if found else ""

    def reasons(self) -> dict[str, str]:
        """Return {site: why its certificate must be asked for}."""
        forced = self.forced()
        found = {}
        for site in self.config["sites"]:
            name = site["name"]
            reason = why_ask(
                site["names"], self.lineage(name), self.asked(name), self.config["directory"], self.now
            ) or ("it was asked for by hand" if name in forced else "")
            if reason:
                found[name] = reason
        return found

    def forced(self) -> list[str]:
        """Return the sites that an operator wants renewed whatever their certificates say."""
        try:
            return (self.home / "renew").read_text().split()
        except OSError:
            return []

    # Asking

    def ask(self) -> None:
        """Ask for what is missing or due; what fails is in the results and changes nothing else."""
        reasons = self.reasons()
        silent = self.authority_silent() if reasons else ""
        for site in self.config["sites"]:
            name = site["name"]
            problem = ""
            if name in reasons:
                problem = silent or self.put_off(site) or self.order(site)
            state = "" if name not in reasons else "kept" if problem else "issued"
            self.results[name] = {"name": name, "state": state, "reason": reasons.get(name, ""), "problem": problem}
        if left := [name for name in self.forced() if self.results.get(name, {}).get("state") == "kept"]:
            (self.home / "renew").write_text("\n".join(left) + "\n")
        else:
            (self.home / "renew").unlink(missing_ok=True)

    def authority_silent(self) -> str:
        """Return why the authority cannot be asked now; '' when it answers. This costs none of its limits."""
        directory, bundle = self.config["directory"], self.config["ca_bundle"] or None
        try:
            context = ssl.create_default_context(cafile=bundle)
            request = urllib.request.Request(directory, headers={"User-Agent": "gatehouse"})  # noqa: S310 - https only
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS, context=context) as reply:  # noqa: S310
                json.load(reply)["newOrder"]
        except (OSError, ValueError, KeyError) as error:
            return f"{directory} does not answer as an ACME directory: {getattr(error, 'reason', None) or error!r}"
        return ""

    def _failures(self) -> dict[str, list[list[Any]]]:
        """Return {site: its failures}, each as [seconds of its time, digest of what was asked]; old ones are gone."""
        try:
            known = json.loads((self.home / "failures.json").read_text())
        except (OSError, ValueError):
            return {}
        oldest = (self.now - WITHIN).timestamp()
        return {name: [one for one in reported if one[0] > oldest] for name, reported in known.items()}

    def _mark(self, site: dict[str, Any]) -> str:
        return hashlib.sha256(json.dumps([self.config["directory"], site["names"]]).encode()).hexdigest()[:16]

    def put_off(self, site: dict[str, Any]) -> str:
        """Return why this site waits: the authority would count one more failure against its names."""
        times = [at for at, mark in self._failures().get(site["name"], []) if mark == self._mark(site)]
        if len(times) < FAILURES:
            return ""
        until = datetime.fromtimestamp(times[-FAILURES], UTC) + WITHIN
        return (
            f"{len(times)} attempts failed within an hour, and the authority counts them: the next one is made after "
            f"{until:%H:%M} UTC; {self.home}/certbot/logs shows what went wrong"
        )

    def order(self, site: dict[str, Any]) -> str:
        """Have certbot get a certificate with a new key; return what it says where that fails."""
        command = [CERTBOT, "certonly", "--config", str(CONFIG.parent / "certbot.ini"), "--non-interactive"]
        command += ["--force-renewal", "--renew-with-new-domains", "--cert-name", site["name"]]
        for name in site["names"]:
            command += ["-d", name]
        trust = {"REQUESTS_CA_BUNDLE": self.config["ca_bundle"]} if self.config["ca_bundle"] else {}
        try:
            done = subprocess.run(  # noqa: S603 - names come from the inventory, and there is no shell
                command, capture_output=True, text=True, timeout=CERTBOT_SECONDS, env=os.environ | trust
            )
            problem = failure_text(f"{done.stdout}\n{done.stderr}") if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        failures = self._failures()
        reported = failures.pop(site["name"], [])
        if problem:
            failures[site["name"]] = [*reported, [self.now.timestamp(), self._mark(site)]]
        (self.home / "failures.json").write_text(json.dumps(failures))
        return problem

    # Serving

    def serve(self) -> None:
        """Put in place what differs from what certbot has, and see to it that nginx serves what is in place."""
        fresh: dict[str, Pair] = {}
        for site in self.config["sites"]:
            name = site["name"]
            got, present = self.lineage(name), Pair.read(self.places / name)
            if got and got.end > self.now and (present is None or present.data != got.data):
                fresh[name] = got
        touched = dict.fromkeys(fresh, "issued")
        try:
            with locked():
                if fresh:
                    self.exchange(fresh)
                elif stale := self.stale():
                    touched = dict.fromkeys(stale, "reloaded")
                    reload_nginx()
                    self.prove(stale)
        except (RefusedError, OSError, subprocess.SubprocessError) as error:
            for name in touched:
                self.results[name] |= {"state": "refused", "problem": str(error)}
            return
        for name, state in touched.items():
            self.results[name]["state"] = state

    def wanted(self) -> dict[str, tuple[str, str]]:
        """Return {site: (a name to ask by, fingerprint of the leaf in place)}."""
        found = {}
        for site in self.config["sites"]:
            if pair := Pair.read(self.places / site["name"]):
                found[site["name"]] = site["names"][0], pair.fingerprint
        return found

    def stale(self) -> dict[str, tuple[str, str]]:
        """Return what of `wanted` the running nginx does not show."""
        return {site: (name, leaf) for site, (name, leaf) in self.wanted().items() if self.served(name) != leaf}

    def exchange(self, fresh: dict[str, Pair]) -> None:
        """Make new pairs live, all or none."""
        before = {name: [read(self.places / name / file) for file, _ in FILES] for name in fresh}
        for name, pair in fresh.items():
            place(self.places / name, list(pair.data))
        try:
            run(NGINX_TEST)
            reload_nginx()
            self.prove({name: one for name, one in self.wanted().items() if name in fresh})
        except (RefusedError, OSError, subprocess.SubprocessError) as error:
            for name, data in before.items():
                place(self.places / name, data)
            try:
                reload_nginx()
            except (RefusedError, OSError, subprocess.SubprocessError) as again:
                raise RefusedError(f"{error}\nThe certificates from before are back, but: {again}") from None
            raise RefusedError(f"{error}\nThe certificates from before are back and serve.") from None

    def prove(self, wanted: dict[str, tuple[str, str]]) -> None:
        """Wait until nginx shows every new leaf, several times in a row: old workers answer a little longer."""
        deadline, streak = time.monotonic() + PROOF_SECONDS, 0
        while streak < 4:
            time.sleep(0.1)
            wrong = [name for name, leaf in wanted.values() if self.served(name) != leaf]
            streak = 0 if wrong else streak + 1
            if wrong and time.monotonic() > deadline:
                raise RefusedError(f"nginx does not serve the new certificate of {', '.join(wrong)} after its reload")

    def served(self, name: str) -> str:
        """Return the SHA-256 of the leaf that this host shows for a name, '' when there is no answer.

        The leaf is compared, so trust does not enter. Behind a load balancer nginx may want a PROXY line first.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for line in (b"", b"PROXY UNKNOWN\r\n"):
            try:
                with socket.create_connection((self.config["address"], 443), timeout=5) as door:
                    door.sendall(line)
                    with context.wrap_socket(door, server_hostname=name) as client:
                        return hashlib.sha256(client.getpeercert(binary_form=True) or b"").hexdigest()
            except OSError:
                continue
        return ""

    def finish(self) -> int:
        """Write down and print the outcome of each site; return the exit status."""
        for site in self.config["sites"]:
            result = self.results[site["name"]]
            pair = Pair.read(self.places / site["name"])
            result["state"] = result["state"] or "current"
            result["end"] = f"{pair.end:%Y-%m-%d}" if pair else ""
            result["fingerprint"] = pair.fingerprint if pair else ""
            print(f"{site['name']}: {result['state']}, {result['problem'] or 'until ' + result['end']}")
        reported = json.dumps({"time": self.now.isoformat(), "sites": list(self.results.values())}, indent=2)
        fresh = self.home / ".result.json"
        fresh.write_text(reported + "\n")
        fresh.replace(self.home / "result.json")
        return int(any(result["problem"] for result in self.results.values()))


def run(command: list[str]) -> None:
    """Run a command of the system; refuse with what it says when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # noqa: S603 - constants
    if done.returncode:
        raise RefusedError(done.stderr.strip() or f"`{' '.join(command)}` ended with {done.returncode}")


def reload_nginx() -> None:
    """Have nginx read the certificates; one that does not run will read them when it starts."""
    run(["systemctl", "reload", "nginx"])


@contextmanager
def locked() -> Iterator[None]:
    """Wait for a play that is changing the configuration; `nginx_tree` takes the same lock (lock.py)."""
    LOCK.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise RefusedError(f"another run holds {LOCK} for more than {PATIENCE} s: see /proc/locks")
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def read(path: Path) -> bytes | None:
    """Return a file's bytes, None when there is no such file."""
    return path.read_bytes() if path.exists() else None


def place(folder: Path, data: list[bytes | None]) -> None:
    """Put chain and key in place, each by one rename, with nothing between the two."""
    folder.mkdir(mode=0o755, exist_ok=True)
    pending = []
    for (name, mode), content in zip(FILES, data, strict=True):
        fresh = folder / f".{name}.new"
        if content is not None:
            fresh.unlink(missing_ok=True)
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(handle, mode)
                os.fsync(handle)
        pending.append((fresh, folder / name, content))
    for fresh, path, content in pending:
        if content is None:
            path.unlink(missing_ok=True)
        else:
            fresh.replace(path)


def main() -> int:
    """Tend all sites; with --check only say, as JSON, what would be asked for."""
    keeper = Keeper(json.loads(CONFIG.read_text()), datetime.now(UTC))
    if "--check" in sys.argv[1:]:
        print(json.dumps(keeper.reasons()))
        return 0
    os.umask(0o022)
    keeper.ask()
    keeper.serve()
    return keeper.finish()


if __name__ == "__main__":
    sys.exit(main())
