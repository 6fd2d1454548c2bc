"""What an environment's proxies, sites and members are doing, as one document.

What was read of each host arrives in its variables, as the playbook `status.yml` registers it; a host that cannot be
reached has `unreachable` there, and is a row like the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.gatehouse.core.plugins.module_utils.answers import FOREIGN, MOMENT, shaped
from ansible_collections.gatehouse.core.plugins.module_utils.members import joined
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible_line

Part = dict[str, Any]

_UNIT = {
    **dict.fromkeys(("unit", "state", "substate", "result"), str), "restarts": int, "since": MOMENT, "next": MOMENT,
}  # fmt: skip
_CERTIFICATE = {
    **dict.fromkeys(("name", "end", "issuer"), str), "days_left": int,
    **dict.fromkeys(("revoked", "key_matches"), bool),
}  # fmt: skip
_GATE = {"path": str, "status": int, "body": str}
_PATH = re.compile(r"/[!-~]*")
_ANSWER = {
    **dict.fromkeys(("member", "upstream", "problem"), str), "status": int, "ms": int,
}  # fmt: skip
# What is read of a host, and the shape that it has.
_REGISTERED: dict[str, Any] = {
    "machine": str,
    "__app_status": {"release": str, "since": MOMENT, "gate": Mapping, "units": [_UNIT]},
    "__certificate_state": {"certificates": [_CERTIFICATE], "missing": [{"name": str, "reason": str}]},
    "__proxy_status": {
        **dict.fromkeys(("state", "version", "serves"), str), **dict.fromkeys(("started", "since"), MOMENT),
        "upstreams": {str: {str: str}},
    },
    "__rollout_report": {"members": [_ANSWER]},
}  # fmt: skip


def rollout_locks(folder: Any) -> list[Part]:
    """Return the changes of applications that are under way, [{app, what, owner, host, since}], by their locks.

    `folder`: of the environment, as `rollout_dir`. One that no run wrote is the next deployment's to refuse.
    """
    locks = []
    for file in sorted(Path(str(folder)).glob("deploys/*/lock")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            lock = json.loads(file.read_text())
            locks.append({key: str(lock[key]) for key in ("app", "what", "owner", "host", "since")})
    return locks


def gated_endpoints(endpoints: Any, apps: Mapping[str, Any], hostvars: Mapping[str, Any]) -> list[Part]:
    """Return what `member_endpoints` does, with `gate` at the members of applications, C({path, status, body}).

    It is what the release that runs on the member was found good by; of one that cannot be asked, that of another host
    of the application. `apps`: {application: its hosts}.
    """

    def gate(host: Any) -> Part:
        found = hostvars[host].get("__app_status")
        if _refusal(found) or not shaped(found, {"gate": _GATE}) or not _PATH.fullmatch(found["gate"]["path"]):
            return {}
        return {key: found["gate"][key] for key in _GATE}

    gates = {
        str(app): {str(host): found for host in hosts or () if (found := gate(host))} for app, hosts in apps.items()
    }
    return [
        {**endpoint, "gate": own.get(endpoint["member"]) or next(iter(own.values()), {})}
        for endpoint in endpoints
        for own in [gates.get(endpoint["upstream"], {})]
    ]


def _read(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> dict[str, Part]:
    """Return what was registered of hosts: Ansible puts a host's variables together anew for each look."""
    found: dict[str, Part] = {}
    for host in hosts:
        if host not in found and host in hostvars:
            variables = hostvars[host]
            said = {name: variables.get(name) for name in _REGISTERED if variables.get(name) is not None}
            found[host] = {
                name: one if name == "machine" or _refusal(one) or shaped(one, _REGISTERED[name])
                else {"failed": True, "msg": FOREIGN}
                for name, one in said.items()
            }  # fmt: skip
            answers = found[host].get("__rollout_report", {}).get("members", ())
            found[host]["answers"] = {(str(one["member"]), str(one["upstream"])): one for one in answers}
    return found


def _moment(seconds: Any) -> str:
    """Return a time of the epoch as ISO 8601 in UTC, '' for 0."""
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds") if seconds else ""


def _refusal(found: Any) -> str:
    """Say why nothing is known of a host; '' if something is."""
    if not found:
        return "it was not asked"
    if found.get("unreachable") or found.get("failed"):
        # Of what Ansible says of a connection, what ssh said: the rest is the same for each.
        said = " ".join(str(found.get("msg", "")).rpartition("over ssh: ")[2].split()).removeprefix("Task failed: ")
        return visible_line(said) or "it cannot be reached"
    return ""


def _certificate(host: str, found: Any, name: str) -> Part:
    """Return {host, ends, days_left, issuer, problem} of a host's certificate, as certificate_state returns it."""
    here = found if found and not _refusal(found) else {}
    for one in here.get("certificates", ()):
        if one["name"] == name:
            problem = "is revoked" if one["revoked"] else "" if one["key_matches"] else "has another key beside it"
            return {"host": host, "ends": str(one["end"]), "days_left": int(one["days_left"]),
                    "issuer": str(one["issuer"]), "problem": problem}  # fmt: skip
    reason = next((str(one["reason"]) for one in here.get("missing", ()) if one["name"] == name), "")
    return {"host": host, "ends": "", "days_left": None, "issuer": "", "problem": reason}


def _proxy(name: str, variables: Mapping[str, Any]) -> Part:
    found: Any = variables.get("__proxy_status")
    problem = _refusal(found)
    if problem:
        return {"name": name, "reachable": False, "problem": problem, "nginx": {}, "configuration": {}}
    if found["state"] != "active":
        problem = f"nginx is {found['state'] or 'not there'}"
    elif found["serves"] != found["version"]:
        problem = f"nginx serves {found['serves'] or 'no configuration of ours'}, and {found['version']} is linked"
    return {
        "name": name,
        "reachable": True,
        "problem": problem,
        "nginx": {"state": str(found["state"]), "since": _moment(found["started"])},
        "configuration": {"version": str(found["version"]), "since": _moment(found["since"])},
    }


def _site(site: Mapping[str, Any], read: Mapping[str, Any], proxies: Sequence[str]) -> Part:
    upstreams = [str(location["upstream"]) for location in site.get("locations") or () if location.get("upstream")]
    https = bool(site.get("https", True))
    return {
        "name": str(site["name"]),
        "server_names": [str(name) for name in site.get("server_names") or ()],
        "https": https,
        "upstreams": list(dict.fromkeys(upstreams)),
        "certificates": [
            _certificate(proxy, read[proxy].get("__certificate_state"), str(site["name"]))
            for proxy in proxies
            if https and not _refusal(read[proxy].get("__proxy_status"))
        ],
    }


def _seen(member: Mapping[str, Any], upstream: str, proxy: str, variables: Mapping[str, Any]) -> Part:
    """Return {proxy, state, status, ms, problem}: how one proxy has a member."""
    status: Any = variables.get("__proxy_status")
    seen: Part = {"proxy": proxy, "state": "unknown", "status": 0, "ms": None, "problem": ""}
    if problem := _refusal(status):
        return {**seen, "problem": f"{proxy} cannot be asked: {problem}"}
    servers = status["upstreams"].get(upstream, {})
    asked: Part = variables["answers"].get((str(member["name"]), upstream), {})
    # A proxy asks what is beside it in another way than the others do.
    address = joined(str(asked.get("address", member["address"])), asked.get("port", member.get("port")))
    answer: Part = {key: asked[key] for key in ("status", "ms", "problem") if key in asked}
    if address not in servers:
        return {**seen, **answer, "state": "missing", "problem": "not in its live configuration; run site.yml"}
    if "down" in servers[address].split():
        return {**seen, **answer, "state": "drained"}
    return {**seen, **answer, "state": "out" if answer.get("problem", "it was not asked") else "in"}


def _member(member: Mapping[str, Any], upstream: str, read: Mapping[str, Any], known: Mapping[str, Any]) -> Part:
    name = str(member["name"])
    variables = read.get(name, {})
    machine = str(variables.get("machine", name))
    found = variables.get("__app_status") if name in known["hosts"] else None
    problem = _refusal(found) if name in known["hosts"] else ""
    note = known["notes"].get(name)
    here = found if found and not problem else {}
    certificates = read.get(machine, {}).get("__certificate_state")
    return {
        "name": name,
        "host": machine,
        "backup": bool(member.get("backup", False)),
        "drained": dict(note) if note and note.get("kind") != "standby" else None,
        "drained_by_inventory": member.get("state", "up") == "drain",
        "standby_serves": bool(note and note.get("kind") == "standby"),
        "reachable": not problem,
        "problem": problem,
        "release": str(here.get("release", "")),
        "since": _moment(here.get("since", 0)),
        "units": [
            {**{key: one[key] for key in ("unit", "state", "substate", "result", "restarts")},
             "since": _moment(one["since"]), "next": _moment(one["next"])}
            for one in here.get("units", ())
        ],
        "certificate": _certificate(machine, certificates, "endpoint") if here and certificates else None,
        "proxies": [_seen(member, upstream, proxy, read[proxy]) for proxy in known["proxies"]],
    }  # fmt: skip


def environment_status(upstreams: Any, sites: Any, hostvars: Mapping[str, Any], about: Mapping[str, Any]) -> Part:
    """Return the document of `status.yml`: {environment, time, proxies, sites, upstreams, changes, problems}.

    `about`: {environment, app ('' for all), apps: {application: its hosts}, proxies, notes (the filter drain_notes),
    locks (the filter rollout_locks), min_days}. `hostvars`: Ansible's, with what the roles' `status.yml` and
    `report.yml` registered.
    """
    app = str(about["app"])
    hosts = {str(host) for members in about["apps"].values() for host in members}
    known = {"hosts": hosts, "notes": about["notes"], "proxies": [str(name) for name in about["proxies"]]}
    names = [str(member["name"]) for upstream in upstreams for member in upstream["members"]]
    read = _read(hostvars, [*known["proxies"], *names])
    read |= _read(hostvars, {str(one["machine"]) for one in read.values() if "machine" in one} - read.keys())
    document = {
        "environment": str(about["environment"]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "proxies": [_proxy(name, read[name]) for name in known["proxies"]],
        "sites": [
            _site(site, read, known["proxies"])
            for site in sites
            if not app or any(location.get("upstream") == app for location in site.get("locations") or ())
        ],
        "upstreams": [
            {
                "name": str(upstream["name"]),
                "application": str(upstream["name"]) if upstream["name"] in about["apps"] else "",
                "members": [_member(one, str(upstream["name"]), read, known) for one in upstream["members"]],
            }
            for upstream in upstreams
            if app in ("", upstream["name"])
        ],
        "changes": [lock for lock in about["locks"] if app in ("", lock["app"])],
    }
    return {**document, "problems": list(_problems(document, int(about["min_days"])))}


def certificate_problem(one: Mapping[str, Any], least: int) -> str:
    """Say what is wrong with a certificate, or that it ends in fewer than `least` days; else ''."""
    if one["problem"]:
        return str(one["problem"])
    if one["days_left"] is None:
        return ""  # of another source than this project's, or not read
    return f"ends in {one['days_left']} days" if one["days_left"] < least else ""


def unit_problem(unit: Mapping[str, Any], application: str) -> str:
    """Say what is wrong with a unit; '' for one that runs, or that has nothing to do."""
    idle = unit["state"] == "inactive" and unit["result"] in ("success", "")
    standby = unit["unit"] == f"{application}-standby.service"
    main = unit["unit"] == f"{application}.service"
    if unit["state"] in ("active", "reloading") or (idle and not main) or (standby and idle):
        return ""
    result = f" ({unit['result']})" if unit["result"] not in ("success", "") else ""
    again = f", started again {unit['restarts']} times" if unit["restarts"] else ""
    substate = f" {unit['substate']}" if unit["substate"] not in ("", unit["state"], "dead") else ""
    return f"{unit['unit']} is {unit['state']}{substate}{result}{again}"


def _problems(document: Part, least: int) -> Iterator[str]:
    """Yield a sentence for everything that somebody should look at; what is drained on purpose is none."""
    for proxy in document["proxies"]:
        if proxy["problem"]:
            yield f"{proxy['name']}: {proxy['problem']}"
    for site in document["sites"]:
        for one in site["certificates"]:
            if problem := certificate_problem(one, least):
                yield f"{one['host']}: the certificate of {site['name']} {problem}"
    for upstream in document["upstreams"]:
        for member in upstream["members"]:
            for seen in member["proxies"]:
                if seen["state"] in ("out", "missing"):
                    yield f"{member['name']} is {seen['state']} on {seen['proxy']}: {seen['problem']}"
            if member["problem"]:
                yield f"{member['name']}: {member['problem']}"
            for unit in member["units"]:
                if problem := unit_problem(unit, upstream["name"]):
                    yield f"{member['name']}: {problem}"
            if member["certificate"] and (problem := certificate_problem(member["certificate"], least)):
                yield f"{member['certificate']['host']}: the certificate of its endpoint {problem}"
