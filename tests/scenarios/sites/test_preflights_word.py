"""What preflight accepts, nginx accepts: inputs drawn from the spec, held against `nginx -t` on each Debian.

The estate is a sound one with a few fields changed, each to anything that its option in the spec allows. Nothing that
runs is touched. GATEHOUSE_EXAMPLES says how many estates are tried.
"""

from __future__ import annotations

import base64
import copy
import io
import os
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.locations import location_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.proxies import proxy_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.sites import site_problems
from ansible_collections.gatehouse.core.plugins.module_utils.preflight.upstreams import (
    transport_problems,
    upstream_problems,
)
from ansible_collections.gatehouse.core.plugins.module_utils.specs import spec_problems, spec_values
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from testinfra.host import Host

from estate import Estate

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT))
from tests.render.conftest import render_anew, role_variables  # noqa: E402 (the project's own folder is no package)

SPEC = yaml.safe_load((ROOT / "roles" / "proxy" / "meta" / "argument_specs.yml").read_text())
OPTIONS: dict[str, Any] = SPEC["argument_specs"]["main"]["options"]
RELEASES = {"13": "proxy1", "12": "proxy2"}
PROOF = "/run/proof"
CERTIFICATE = "/etc/ssl/gatehouse/app"
SOUND: dict[str, Any] = yaml.safe_load("""
proxy_upstreams:
  - name: shop
    transport: http
    members: [{name: a, address: 10.0.0.1, port: 80}, {name: b, address: 10.0.0.2, port: 80}]
  - name: desk
    members: [{name: c, address: 10.0.0.3, port: 443, tls_name: c.internal}]
proxy_caches: [{name: pages}]
proxy_rate_limits: [{name: login, rate: 5r/s}]
proxy_connection_limits: [{name: each}]
proxy_sites:
  - name: shop
    server_names: [shop.example.org]
    locations: [{path: /, upstream: shop}, {path: /files/, static: {dir: /srv/www}}, {path: /old, redirect: {to: /new}}]
  - name: desk
    server_names: [desk.example.org]
    locations: [{path: /, upstream: desk, cache: {zone: pages}}, {path: /live, upstream: shop, websocket: true}]
""")
# What the machine that asks and the hosts have to have is theirs to say.
FIXED: dict[str, Any] = {
    "proxy_certificate_dir": f"{PROOF}/certificates",
    "proxy_upstream_ca": str(ROOT / ".lab" / "test-sites" / "ca" / "ca.pem"),
    "proxy_upstream_crl": "",
}

# What other scenarios try: these proxies have no module for `waf`, and the wiring makes the endpoints (shared_hosts).
ELSEWHERE = ("waf", "proxy_endpoints")
_WORD = st.text("abcxyz019", min_size=1, max_size=6)
_LABEL = st.one_of(_WORD, st.sampled_from(["a" * 63, "xn--bcher-kva", "0", "a-b"]))
_NAME = st.one_of(_WORD, st.sampled_from(["a" * 63, "a-" * 31, "A.b_c-1", "shop", "login", "pages", "tls", "default"]))
_TEXT = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), st.sampled_from(["x" * 4000, '"' * 2000])
)
_PATH = st.one_of(
    st.sampled_from(["/", "/files", "/files/", "/.gatehouse/", "/.well-known/acme-challenge/x", "/" + "a" * 254]),
    st.text("/ab.~!&()*+,=:@-_0", max_size=8).map("/{}".format),
)
_EXPRESSION = st.sampled_from(
    [
        "^/a{2}$",
        "[.]php$",
        r"\.(png|jpe?g)$",
        '^/"',
        "^/[;{}]",
        "^/(?<name>[a-z]+)/x",
        "^/(?i)a",
        "[[]",
        "(?=a)b",
        "\\Q{\\E",
    ]
)
_DURATION = st.one_of(
    st.integers(0, 10**6).map("{}s".format), st.sampled_from(["0", "1ms", "1h 30m", "1y", "68y", "1M1d"])
)
_SIZE = st.one_of(st.integers(0, 10**4).map("{}k".format), st.sampled_from(["0", "1", "1g", "8388608g", "64m"]))
_ADDRESS = st.one_of(st.ip_addresses().map(str), st.sampled_from(["fe80::1", "127.0.0.1", "::"]))
_RANGE = st.one_of(_ADDRESS, st.sampled_from(["10.0.0.0/8", "fd00::/64", "0.0.0.0/0", "::/0", "192.0.2.7/32"]))
_VARIABLE = st.sampled_from(
    ["$cookie_session", "$arg_a", "$http_x_a", "$host", "$request_uri", "$remote_addr", "$scheme"]
)
FORMATS: dict[str, st.SearchStrategy[Any]] = {
    "backtracking_regex": _EXPRESSION,
    "cache_key": st.lists(_VARIABLE, min_size=1, max_size=3).map("".join),
    "crypt_hash": st.just("$5$gatehouse1$tUhYduRNoxC1/jfEwwV48Y.7N588OVRhLQTmfREAmf5"),
    "header_name": st.one_of(_WORD, st.sampled_from(["X-A", "A" * 64, "Vary", "Set-Cookie", "x_a", "Host", "Range"])),
    "header_text": _TEXT,
    "host_path": st.sampled_from(["/srv/www", "/srv/www/", "/", "/srv/a.b~c+,=:@-/x"]),
    "listen_address": st.sampled_from(["*", "[::]", "127.0.0.1", "[::1]"]),
    "location_path": st.one_of(_PATH, _EXPRESSION),
    "long_secret": st.sampled_from(["0123456789abcdef", "x" * 400]),
    "member_address": st.one_of(_ADDRESS, st.sampled_from(["unix:/run/a.sock", "localhost"])),
    "network_address": _ADDRESS,
    "network_port": st.integers(1, 65535),
    "network_range": _RANGE,
    "nginx_duration": _DURATION,
    "nginx_name": _NAME,
    "nginx_path": _PATH,
    "nginx_size": _SIZE,
    "nginx_variable": _VARIABLE,
    "redirect_target": st.sampled_from(["/", "/new$request_uri", "https://$host/x?a=b#c", "http://[::1]/", "/a'b(c)*"]),
    "request_header_value": st.one_of(_TEXT, st.sampled_from(["$host", "a;$remote_addr", "{$scheme}"])),
    "http_method": st.sampled_from(["GET", "POST", "PATCH", "PROPFIND", "PURGE", "M-SEARCH"]),
    "request_rate": st.one_of(st.integers(1, 999999).map("{}r/s".format), st.integers(1, 999999).map("{}r/m".format)),
    "server_name": st.one_of(
        st.lists(_LABEL, min_size=1, max_size=4).map(".".join), _WORD.map("*.{}.example.org".format)
    ),
    "whole_seconds": _DURATION,
}
# Texts without a format are files, on the controller or (chain, key) on the host.
PLAIN = {
    "chain": ["", f"{CERTIFICATE}/fullchain.pem"],
    "key": ["", f"{CERTIFICATE}/privkey.pem"],
    "ca": ["", FIXED["proxy_upstream_ca"]],
    "crl": [""],
    "page": [""],
    "error_page": [""],
}
# What has to be on the host: nginx makes the folder of a cache, not those above it.
BY_HOST = {"proxy_caches.path": st.sampled_from(["", "/var/tmp/proof", "/var/tmp/proof/"])}  # noqa: S108 (on a lab host)


def drawn(name: str, option: Mapping[str, Any], way: str = "") -> st.SearchStrategy[Any]:
    """Return the values that an option's spec allows, extremes among them."""
    description = option.get("description") or ""
    last = description if isinstance(description, str) else description[-1]
    if (kind := option.get("type", "str")) == "list":
        element = {**option, "type": option["elements"]} | {"default": None, "required": False}
        # Two entries of one name are refused everywhere, so three are no more than two.
        return st.lists(drawn(name, element, way), max_size=3)
    if f"{way}{name}" in BY_HOST:
        return BY_HOST[f"{way}{name}"]
    if kind == "dict":
        options = {key: one for key, one in option["options"].items() if key not in ELSEWHERE}
        inner = {key: drawn(key, one, f"{way}{name}.") for key, one in options.items()}
        needed = {key: one for key, one in inner.items() if option["options"][key].get("required")}
        return st.fixed_dictionaries(needed, optional={key: one for key, one in inner.items() if key not in needed})
    if kind == "bool":
        return st.booleans()
    if choices := option.get("choices"):
        return st.sampled_from(choices)
    if limits := re.search(r"Range: (-?\d+) to (\d+)\.", last):
        low, high = int(limits[1]), int(limits[2])
        return st.one_of(st.integers(low, high), st.sampled_from([low, high, min(high, low + 1)]))
    if form := re.search(r"Format: (\w+)\.", last):
        empty = [st.just("")] if option.get("default") == "" else []
        return st.one_of(FORMATS[form[1]], *empty)
    return st.sampled_from(PLAIN[name])


def fields(value: Any, options: Mapping[str, Any], way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield (path, its option) of each field of what is in `value`, its lists' entries and those' fields too."""
    for name, option in options.items():
        if name in FIXED or name in ELSEWHERE:
            continue
        yield (*way, name), option
        entries = value.get(name) if isinstance(value, Mapping) else None
        if option.get("elements") == "dict":
            for index, entry in enumerate(entries or ()):
                yield from fields(entry, option["options"], (*way, name, index))
        elif option.get("type") == "dict" and option.get("options"):
            yield from fields(entries or {}, option["options"], (*way, name))


FIELDS = [(path, option) for path, option in fields(SOUND, OPTIONS) if path[0] not in FIXED]


@cache
def changed_field(place: int) -> st.SearchStrategy[Any]:
    path, option = FIELDS[place]
    way = ".".join(str(part) for part in path[:-1] if isinstance(part, str))
    return drawn(path[-1], option, f"{way}." if way else "").map(lambda value: (path, value))


@st.composite
def estates(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """Return the sound estate with one to three fields changed, and what was changed."""
    values, changes = copy.deepcopy(SOUND) | FIXED, []
    places = st.integers(0, len(FIELDS) - 1)
    for _ in range(draw(st.integers(1, 3))):
        path, value = draw(places.flatmap(changed_field))
        changes.append(f"{'.'.join(map(str, path))}={value!r}")
        here: Any = values
        for part in path[:-1]:
            if isinstance(here, list) and part >= len(here):
                break
            here = here.setdefault(part, {}) if isinstance(here, dict) else here[part]
        else:
            here[path[-1]] = value
    return values, "; ".join(changes)


def refusals(values: Mapping[str, Any]) -> list[str]:
    """Return the errors that preflight has of a proxy's inputs."""
    found = [one for name in OPTIONS for one in spec_problems(values.get(name), OPTIONS[name], name)]
    full = {name: spec_values(values.get(name), option, name) for name, option in OPTIONS.items()}
    found += [*proxy_problems(full), *location_problems(full), *transport_problems(full, {})]
    found += [*site_problems(full["proxy_sites"]), *upstream_problems(full["proxy_upstreams"])]
    return [f"{one['path']} {one['problem']}" for one in found if one.get("level") != "warning"]


def tree(values: Mapping[str, Any], release: str) -> dict[str, str]:
    """Return the files of the tree for one Debian, path to text."""
    facts = {"ansible_facts": {"distribution_major_version": release}, "ansible_check_mode": False}
    files = render_anew(**values, **facts)
    more = Templar(DataLoader(), {**role_variables(), **values, **facts}).template(
        trust_as_template("{{ __proxy_files }}")
    )
    identity = {"identity.conf": "# The module nginx_tree writes this file.\n"}
    return {f"active/{path}": text for path, text in {**files, **more, **identity}.items()}


@dataclass
class Tried:
    """Estates that preflight accepts: what was changed in each, and its tree for one Debian."""

    changes: list[str] = field(default_factory=list)
    trees: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    certificates: set[str] = field(default_factory=set)
    refused: int = 0

    def add(self, values: Mapping[str, Any], changed: str) -> None:
        if refusals(values):
            self.refused += 1
            return
        # Each Debian has every other one; HTTP/3 is refused by the role on the older one (missing_features).
        release = "13" if values.get("proxy_http3") else sorted(RELEASES)[len(self.trees) % 2]
        try:
            self.trees.append((release, tree(values, release)))
        except AnsibleError as error:
            pytest.fail(f"preflight accepts {changed}, which the role cannot render: {error}")
        self.changes.append(changed)
        self.certificates |= {site["name"] for site in values["proxy_sites"]}
        self.certificates.add(values.get("proxy_upstream_certificate", "upstreams"))

    def packed(self, release: str) -> bytes:
        """Return an archive of the trees for a Debian, each in a folder of its number, with links to certificates."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name in self.certificates:
                info = tarfile.TarInfo(f"certificates/{name}")
                info.type, info.linkname = tarfile.SYMTYPE, CERTIFICATE
                tar.addfile(info)
            for number, (mine, files) in enumerate(self.trees):
                start = {"nginx.conf": files["active/nginx.conf"]}
                for path, text in (files | start).items() if mine == release else ():
                    info = tarfile.TarInfo(f"{number}/{path}")
                    info.size = len(text.encode())
                    tar.addfile(info, io.BytesIO(text.encode()))
        return out.getvalue()


def judged(host: Host, archive: bytes) -> dict[int, str]:
    """Return what nginx refuses of the trees in an archive, and tables that it finds too small, by their numbers."""
    sent = base64.b64encode(archive).decode()
    host.check_output(f"rm -rf {PROOF}; mkdir {PROOF}")
    for start in range(0, len(sent), 60_000):
        host.check_output(f"printf %s {sent[start : start + 60_000]} >> {PROOF}/sent")
    host.check_output(f"cd {PROOF} && base64 -d sent | tar xz")
    ask = "said=$(nginx -t -q -c $tree/nginx.conf 2>&1)"
    shown = 'case $?$said in [!0]* | *"could not build optimal"*) echo "${tree##*/} "$said;; esac'
    test = f"for tree in {PROOF}/[0-9]*; do {ask}; {shown}; done"
    lines = [line.partition(" ") for line in host.check_output(test).splitlines()]
    host.check_output(f"rm -rf {PROOF}")
    return {int(number): said for number, _, said in lines}


def test_what_preflight_accepts_nginx_accepts(estate: Estate) -> None:
    tried, given_examples = Tried(), os.environ.get("GATEHOUSE_EXAMPLES")

    @settings(
        max_examples=int(given_examples or 40),
        derandomize=not given_examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn_estate=estates())
    def draw(drawn_estate: tuple[dict[str, Any], str]) -> None:
        tried.add(*drawn_estate)

    draw()
    refused = {}
    for release, name in RELEASES.items():
        for number, said in judged(estate.host(name), tried.packed(release)).items():
            refused[f"Debian {release}: {tried.changes[number]}"] = said
    assert not refused
    # A test of what is never accepted would prove nothing.
    assert len(tried.trees) > tried.refused / 3, (len(tried.trees), tried.refused)


def test_many_sites_have_room_in_nginxs_tables(estate: Estate) -> None:
    tried, values = Tried(), copy.deepcopy(SOUND) | FIXED
    asked = {"mode": "required", "ca": FIXED["proxy_upstream_ca"]}
    values["proxy_sites"] = [
        {
            "name": f"customer-{number:02}",
            "server_names": [f"customer-{number:02}.example.org"],
            "content_security_policy": "default-src 'self'",
            "maintenance": {"enabled": True},
            "client_certificates": asked,
            "locations": [{"path": "/", "redirect": {"to": "/new"}}],
        }
        for number in range(20)
    ]
    for release in RELEASES:
        tried.add(values, release)
    assert len(tried.trees) == len(RELEASES)
    for release, name in RELEASES.items():
        assert judged(estate.host(name), tried.packed(release)) == {}
