"""Items of an audit: packages, modules, accounts, units, and what listens."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .host import Host
from .verdict import Finding, Item, Table, Verdict, absent, judged

# What a loaded module is for: a directive that begins with one of these.
_USES = {
    "js": ("js_",), "brotli_filter": ("brotli",), "xslt_filter": ("xslt_",), "headers_more_filter": ("more_",),
    "ndk": ("set_",), "lua": ("lua_", "content_by_lua"),
}  # fmt: skip
_DAV = ("dav_methods", "dav_ext_methods")
# From this score of `systemd-analyze security` on, a unit may do more than it needs. nginx's master has to be root.
_MOST = {"nginx.service": 5.0}
_MOST_OF_OTHERS = 4.0
_LOOPBACK = re.compile(r"127\.|::1$|\[?::ffff:127\.")
_BREACH = (
    "text is a third of its size; what BREACH needs, a secret beside a visitor's words in one answer, is the "
    "application's to avoid (docs/security.md). proxy_compression: false turns it off"
)


def _origins(host: Host) -> Verdict:
    if not host.facts["packages"]:
        return absent("nginx is not installed from a package")
    return judged(_foreign(host), "all from Debian, signed")


def _foreign(host: Host) -> Iterator[Finding]:
    releases = host.facts["releases"]
    for place in host.facts["unchecked"]:
        yield place, "packages are taken from here without a signature"
    for package in host.facts["packages"]:
        origins = {releases.get(source, "") for source in package["sources"]} - {""}
        if package["sources"] and "Debian" not in origins:
            yield (
                package["name"],
                f"comes from {', '.join(sorted(origins)) or 'a source without a name'}, not from Debian",
            )


def _current(host: Host) -> Verdict:
    old = (
        (one["name"], f"{one['installed']} is installed, {one['candidate']} is there")
        for one in host.facts["packages"]
        if one["candidate"] not in ("", "(none)", one["installed"])
    )
    return judged(old, "the newest that the host's package lists have")


def _modules(host: Host) -> Verdict:
    names = {one.name for one in host.main.walk()}

    def unused() -> Iterator[Finding]:
        for one in host.main.all("load_module"):
            found = re.search(r"ngx_(?:http_)?(\w+?)_module\.so", one.args[0])
            module = found[1] if found else one.args[0]
            if not any(name.startswith(_USES.get(module, (module,))) for name in names):
                yield one.place, f"{module} is loaded, and nothing uses it"

    return judged(unused(), "each module that is loaded is used")


def _dav(host: Host) -> Verdict:
    found = ((one.place, f"{one.name} lets visitors write") for one in host.main.walk() if one.name in _DAV)
    return judged((one for one in found if "off" not in one[1]), "no location takes WebDAV")


def _compression(host: Host) -> Verdict:
    on = [one for one in host.main.walk() if one.name in ("gzip", "brotli", "zstd") and one.args == ("on",)]
    return judged(((one.place, f"{one.name} is on") for one in on), "off", _BREACH)


def _autoindex(host: Host) -> Verdict:
    found = (one for one in host.main.walk() if one.name == "autoindex" and one.args == ("on",))
    return judged(((one.place, "lists a folder's files") for one in found), "no folder is listed")


def _workers(host: Host) -> Verdict:
    user = next((one.args[0] for one in host.main.all("user")), "nobody")
    found = [("nginx.conf", "the workers are root")] if user == "root" else []
    processes = [one["user"] for one in host.nginx["processes"]]
    if processes.count("root") > 1:
        found.append(("nginx", f"{processes.count('root')} processes are root's, where only the master has to be"))
    groups = [group for one in host.facts["accounts"] if one["name"] == user for group in one["groups"]]
    found += [(user, f"is in the group {group}") for group in groups if group in ("root", "sudo", "adm", "shadow")]
    return judged(found, f"the workers are {user}")


def _locked(host: Host) -> Verdict:
    names = [one["name"] for one in host.facts["accounts"]]
    open_ones = ((one["name"], "has a password") for one in host.facts["accounts"] if not one["locked"])
    return judged(open_ones, f"no password: {', '.join(names)}") if names else absent("nothing runs as an account")


def _shells(host: Host) -> Verdict:
    names = [one["name"] for one in host.facts["accounts"]]
    shells = (
        (one["name"], f"has the shell {one['shell']}")
        for one in host.facts["accounts"]
        if not one["shell"].endswith(("/nologin", "/false"))
    )
    return judged(shells, f"no shell: {', '.join(names)}") if names else absent("nothing runs as an account")


def _units(host: Host) -> Verdict:
    def exposed() -> Iterator[Finding]:
        for unit in host.facts["units"]:
            most = _MOST.get(unit["name"], _MOST_OF_OTHERS)
            if unit["exposure"] is not None and unit["exposure"] > most:
                yield unit["name"], f"its score is {unit['exposure']}, above {most}"

    scores = [f"{one['name']} {one['exposure']}" for one in host.facts["units"] if one["exposure"] is not None]
    return judged(exposed(), ", ".join(scores)) if scores else absent("systemd gives no scores here")


def _wanted(host: Host) -> Iterator[tuple[str, int, int]]:
    """Yield (protocol, first, last) of the ports that the inventory opens."""
    for service in host.services:
        first, _, last = str(service.get("ports") or service.get("port") or "").partition("-")
        if first.isdigit():
            yield str(service.get("protocol") or "tcp"), int(first), int(last or first)


def _ports(host: Host) -> Verdict:
    wanted = list(_wanted(host))
    open_ones = [one for one in host.facts["sockets"] if not _LOOPBACK.match(one["address"])]

    def unknown() -> Iterator[Finding]:
        for one in open_ones:
            if not any(one["protocol"] == kind and first <= one["port"] <= last for kind, first, last in wanted):
                what = one["process"] or "something"
                yield (
                    f"{one['protocol']} {one['address']}:{one['port']}",
                    f"{what} listens, and the inventory names no such service",
                )

    shown = sorted({f"{one['protocol']} {one['port']} ({one['process']})" for one in open_ones})
    return judged(unknown(), ", ".join(shown) or "nothing listens on the network")


ITEMS: Table = (
    Item("packages_origin", "nginx and its modules are Debian's, signed", "1.2.1", _origins),
    Item("packages_current", "No newer version of nginx is waiting", "1.2.2", _current),
    Item("modules", "Only modules that are used are loaded", "2.1.1", _modules),
    Item("webdav", "Visitors cannot write files", "2.1.2", _dav),
    Item("compression", "Answers are not compressed", "2.1.3", _compression),
    Item("autoindex", "Folders are not listed", "2.1.4", _autoindex),
    Item("worker_account", "Workers have an account without rights", "2.2.1", _workers),
    Item("account_password", "Accounts of services have no password", "2.2.2", _locked),
    Item("account_shell", "Accounts of services have no shell", "2.2.3", _shells),
    Item("units", "Units may do what they need (systemd-analyze security)", "", _units),
    Item("ports", "Only what the inventory names listens on the network", "2.4.1", _ports),
)
