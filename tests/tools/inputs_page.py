"""Write docs/inputs.md from the roles' specs: every input that an operator may set, and those of the project apart.

make docs
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "inputs.md"
EXAMPLES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("input_examples.yml").read_text())
# What the wiring, a playbook or a runtime sets, and an operator may set all the same.
PUBLIC = {
    "app_address", "app_fastcgi_script", "app_migrate_command", "app_web_server_user", "base_held_units",
    "base_packages", "certificate_acme_directory", "certificate_requests", "firewall_admin_sources",
    "firewall_services", "firewall_ssh_port", "internal_ca_common_name", "internal_ca_passphrase",
    "internal_ca_permitted_dns", "internal_ca_permitted_ip", "lab_vault_example", "nginx_open_files",
    "nginx_take_over", "proxy_session_ticket_seed", "proxy_trace_sources", "proxy_upstream_ca",
    "proxy_upstream_crl", "rollout_strategy", "tls_endpoint_app_port", "tls_endpoint_ca",
    "tls_endpoint_clients", "tls_endpoint_crl", "tls_endpoint_port", "verify_ca_file", "verify_proxies",
    "verify_sites",
}  # fmt: skip
# What nobody sets in an inventory: how roles are called by each other and by the tests.
INTERNAL = {
    "app_build_host", "app_name", "app_state", "certificate_acme_home", "certificate_acme_packages",
    "certificate_acme_served_at", "certificate_acme_webroot", "certificate_no_log", "certificate_packages",
    "certificate_reload_units", "lab_acme", "lab_dir", "lab_hosts", "preflight_playbooks",
    "proxy_acme_webroot", "proxy_certificate_dir", "proxy_drain_last", "proxy_endpoints",
    "proxy_session_tickets", "proxy_upstream_certificate", "rollout_asked", "rollout_staged",
    "tls_endpoint_certificate",
}  # fmt: skip
# How an entry of `applications` names the inputs of a role, and in which order the roles come.
ENTRY = {"app": "", "rollout": "rollout.", "tls_endpoint": "tls_endpoint."}
RUNTIMES = sorted(path.parts[-3] for path in ROOT.glob("roles/*_app/meta/argument_specs.yml"))
ENTRY |= {role: f"{role.removesuffix('_app')}." for role in RUNTIMES}
ORDER = [
    "app", *RUNTIMES, "rollout", "tls_endpoint", "proxy", "certificate", "internal_ca", "firewall", "base", "verify",
    "audit", "preflight", "nginx", "lab",
]  # fmt: skip
HEAD = """# Inputs

Every input that an environment may set, with its default and an example. `make docs` writes this page from the roles'
specs; `ansible-doc -t role -r roles <role>` shows the same with every word. What is in `inventories/wiring.yml` is a
default too. Inputs that only the project's own roles and playbooks set are [at the end](#internal-inputs).

An input can be written for all hosts (`group_vars/all/`), for a group (`group_vars/proxies/`,
`group_vars/<application>/`) or beside a host in `hosts.yml`. One that has a key is written into the application's entry
of `group_vars/all/applications.yml` by that key; `python.target` is `python: {target: ...}`.

```yaml
# group_vars/all/environment.yml: an input of the role proxy, for all proxies
proxy_client_max_body_size: 50m
```

## The environment

| variable | is |
| --- | --- |
| `environment_name` | its name: that of its folder below `inventories`, and of its state folder |
| `domains` | public domains; the first one is the parent of `internal_domain` |
| `internal_domain` | the domain of the hosts' own names, `internal.<first domain>` unless written |
| `private_network`, `edge_network` | the networks (CIDR) of the hosts and of the proxies' public side |
| `controller_address` | the controller's address as the hosts see it |
| `controller_edge_address` | the same as the proxies' public side sees it |
| `environment_passphrase` | what other secrets follow from; `vault_passphrase` unless written |
| `state_dir` | the controller's folder with the CA and more ([operations.md](operations.md#where-things-are)) |
| `applications`, `extra_upstreams` | [applications.md](applications.md), [upstreams.md](upstreams.md) |
| `extra_services` | what else a host lets in ([operations.md](operations.md#another-service-on-a-host)) |
| `ansible_user`, `ansible_host`, `ansible_port` | how Ansible reaches a host |
| `private_address` | beside a host: its address for the others, if not `ansible_host` |
| `public_address` | beside a proxy: its address for the public |
| `member` | beside a host: what is special about it in its pool ([upstreams.md](upstreams.md#members)) |
"""
TAIL = """
## Internal inputs

Not to be set in an inventory: the wiring, the playbooks and the runtimes set these. They are described in the specs for
whoever changes the project.

"""


def specs() -> dict[str, dict[str, Any]]:
    """Return the entry points of each role."""
    paths = ROOT.glob("roles/*/meta/argument_specs.yml")
    return {path.parts[-3]: yaml.safe_load(path.read_text())["argument_specs"] for path in paths}


def set_by_the_project() -> set[str]:
    """Return what the wiring sets, and what is in `vars` of a playbook or of a runtime's role."""
    wiring = yaml.safe_load((ROOT / "inventories" / "wiring.yml").read_text())
    found = set(itertools.chain.from_iterable(group for group in wiring.values() if isinstance(group, dict)))
    files = [*ROOT.glob("playbooks/**/*.yml"), *ROOT.glob("roles/*_app/tasks/*.yml"), ROOT / "site.yml"]
    for path in files:
        found |= set(_variables(yaml.safe_load(path.read_text())))
    return found


def _variables(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        yield from content.get("vars") or {}
        content = list(content.values())
    for child in content if isinstance(content, list) else ():
        yield from _variables(child)


def inputs() -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Return (the public inputs of each role, by name, with their options; the names of the internal ones by role)."""
    wired = set_by_the_project()
    public: dict[str, dict[str, Any]] = {}
    internal: dict[str, list[str]] = {}
    for role, points in specs().items():
        options = {name: option for point in points.values() for name, option in (point.get("options") or {}).items()}
        every, main = set(options), set(points.get("main", {}).get("options") or {})
        own = ((main - wired - INTERNAL) | PUBLIC) & every
        public[role] = {name: option for name, option in options.items() if name in own}
        internal[role] = sorted(every - own)
    return public, internal


def text_of(description: str | list[str]) -> str:
    """Return a description as Markdown for a cell, without the lines that are for preflight alone."""
    parts = [description] if isinstance(description, str) else description
    kept = [part for part in parts if not re.match(r"(Format|Range): ", part)]
    text = " ".join(" ".join(kept).split())
    return re.sub(r"\b[CVOIBM]\(([^)]*)\)", r"`\1`", text).replace("|", "\\|")


def type_of(option: Mapping[str, Any]) -> str:
    """Return the type with what it may be: `int, 1 to 100`, `list of dict`, `one of a, b`."""
    if choices := option.get("choices"):
        return "one of " + ", ".join(f"`{choice}`" if choice else '`""`' for choice in choices)
    kind = str(option.get("type", "str"))
    kind = f"list of {option['elements']}" if option.get("elements") else kind
    parts = option.get("description") or ""
    limits = re.findall(r"Range: ([^.]+)\.", " ".join([parts] if isinstance(parts, str) else parts))
    return f"{kind}, {limits[0]}" if limits else kind


def default_of(option: Mapping[str, Any]) -> str:
    """Return the default as it is written in YAML."""
    if option.get("required"):
        return "**required**"
    if "default" not in option:
        return ""
    return f"`{json.dumps(option['default'], ensure_ascii=False)}`".replace("|", "\\|")


def example_of(name: str, key: str, option: Mapping[str, Any]) -> str:
    """Return the example of a public input as it is written: in an application's entry by its key."""
    if name not in EXAMPLES and option.get("type") != "bool":
        raise SystemExit(f"{name} has no example: write one to tests/tools/input_examples.yml")
    value = EXAMPLES[name] if name in EXAMPLES else not option["default"]
    for part in reversed((key or name).split(".")):
        value = {part: value}
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True)
    return f"`{text.strip()[1:-1]}`".replace("|", "\\|")


def rows(path: str, key: str | None, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a row for each option, and after it those within it.

    `path`: what is before its name. `key`: its key in an entry, '' within another option; None for no such column.
    """
    for name, option in options.items():
        cells = [f"`{path}{name}`", *([] if key is None else [key and f"`{key}`"]), type_of(option), default_of(option)]
        cells.append("" if path else example_of(name, key or "", option))
        yield f"| {' | '.join([*cells, text_of(option.get('description') or '')])} |"
        below = f"{path}{name}[]." if option.get("elements") == "dict" else f"{path}{name}."
        yield from rows(below, None if key is None else "", option.get("options") or {})


def section(role: str, options: Mapping[str, Any], title: str) -> str:
    """Return the section of a role."""
    begin = ENTRY.get(role)
    columns = ["input", *([] if begin is None else ["key in its entry"]), "type", "default", "example", "is"]
    lines = [f"## `{role}`", "", f"{title}.", "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for name, option in options.items():
        key = None if begin is None else begin + name.removeprefix(f"{role}_")
        lines += rows("", key, {name: option})
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the whole page."""
    public, internal = inputs()
    titles = {role: next(iter(points.values()))["short_description"].rstrip(".") for role, points in specs().items()}
    parts = [section(role, public[role], titles[role]) for role in ORDER if public[role]]
    rest = [f"- `{role}`: {', '.join(f'`{name}`' for name in internal[role])}" for role in ORDER if internal[role]]
    return HEAD + "\n" + "\n".join(parts) + TAIL + "\n".join(rest) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
