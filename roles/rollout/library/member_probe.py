#!/usr/bin/python
"""Asks members of upstreams what a proxy would ask them, from the proxy and over the transport that it uses."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.gatehouse.core.plugins.module_utils import health
from ansible_collections.gatehouse.core.plugins.module_utils.deadline import limit
from ansible_collections.gatehouse.core.plugins.module_utils.text import visible_line

DOCUMENTATION = r"""
module: member_probe
short_description: Ask members of upstreams as the proxy does
description:
  - Runs on a proxy. Asks each endpoint for one page, over plain HTTP, or over TLS with the member's name and
    certificate checked, and with the proxy's own certificate where the transport is C(mtls).
  - Asks again, a second later, until the answer is the wanted one or O(tries) are over; then it fails, with what came.
  - With O(report), each endpoint is asked once, all at the same time, and none fails.
  - Changes nothing. Needs Python's standard library only.
options:
  endpoints:
    description:
      - "C({member, upstream, transport, address, port, tls_name, headers}); see P(member_endpoints#filter)."
      - "For a report, C(gate) says what is wanted of one, C({path, status, body})."
    type: list
    elements: dict
    required: true
  path: {description: The page., type: str, required: true}
  status: {description: The status that it must answer with., type: int, default: 200}
  body: {description: Text that the answer must have in it., type: str, default: ''}
  host:
    description: Name of the site that is asked for, in place of the endpoint's own; empty leaves that.
    type: str
    default: ''
  tries: {description: How often each endpoint is asked., type: int, default: 10}
  timeout: {description: "Seconds for one answer, from the connection to its last byte.", type: int, default: 5}
  ca: {description: File with the authorities of the members., type: path, default: ''}
  certificate: {description: File with the proxy's certificate and its chain., type: path, default: ''}
  key: {description: File with its key., type: path, default: ''}
  report: {description: "Whether to return what came, whatever it is.", type: bool, default: false}
author: Gatehouse
"""

EXAMPLES = r"""
- name: Ask a member
  member_probe:
    endpoints: "{{ proxy_upstreams | member_endpoints(['web1']) }}"
    path: /healthz
"""

RETURN = r"""
answers: {description: "What each endpoint answered, as text.", type: list, elements: str, returned: no report}
members:
  description: "C({member, upstream, address, port, status, ms, problem}) of each endpoint. C(status) is 0 where none
    came, C(problem) is empty for the wanted answer."
  type: list
  elements: dict
  returned: "with O(report)"
"""

BODY_LIMIT = 1 << 20  # bytes of an answer that are looked at
AT_ONCE = 16  # endpoints that are asked at the same time for a report
SERVER_ERROR = 500  # a status from here on is the server's own failure (RFC 9110, 15.6)


class Connection(http.client.HTTPConnection):
    """A connection to one endpoint: an address and port or a socket, with or without TLS."""

    def __init__(self, endpoint: dict[str, Any], trust: ssl.SSLContext | None, timeout: int) -> None:
        super().__init__(endpoint["address"], endpoint["port"] or 80, timeout=timeout)
        self.endpoint, self.trust = endpoint, trust

    def connect(self) -> None:
        address = self.endpoint["address"]
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(address.removeprefix("unix:"))
        else:
            super().connect()
        if self.trust:
            self.sock = self.trust.wrap_socket(self.sock, server_hostname=self.endpoint["tls_name"] or address)


def trust_of(endpoint: dict[str, Any], options: dict[str, Any]) -> ssl.SSLContext | None:
    """Return what an endpoint's transport verifies and shows; None for plain HTTP."""
    if endpoint["transport"] == "http":
        return None
    trust = ssl.create_default_context(cafile=endpoint.get("ca") or options["ca"])
    if endpoint["transport"] == "mtls":
        trust.load_cert_chain(options["certificate"], options["key"])
    return trust


def headers_of(endpoint: dict[str, Any], options: dict[str, Any]) -> dict[str, str]:
    """Return the headers by which the application knows its site and a visitor."""
    host = options["host"]
    named = health.visitor_headers(host, endpoint["headers"].get("X-Forwarded-Proto", "https"))
    return {**endpoint["headers"], **named}


class Answer(NamedTuple):
    """What came: an answer, or a problem instead of one; and how long it took, from the connection on."""

    status: int = 0
    text: str = ""
    location: str = ""
    problem: str = ""
    seconds: float = 0.0

    def refusal(self, status: int, body: str) -> str:
        """Return what is wrong with it; '' for the wanted one."""
        return self.problem or visible_line(health.refusal((status, body), self.status, self.text, self.location))


def request(endpoint: dict[str, Any], options: dict[str, Any], trust: ssl.SSLContext | None) -> Answer:
    """Make one request."""
    began = time.monotonic()
    connection = Connection(endpoint, trust, options["timeout"])
    limit(connection, began + options["timeout"])
    try:
        headers = {"User-Agent": "gatehouse-health", "Connection": "close", **headers_of(endpoint, options)}
        connection.request("GET", options["path"], headers=headers)
        answer = connection.getresponse()
        text = answer.read(BODY_LIMIT).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        problem = visible_line(re.sub(r"^\[Errno \d+\] ", "", str(error))) or type(error).__name__
        return Answer(problem=problem, seconds=time.monotonic() - began)
    finally:
        connection.close()
    return Answer(answer.status, text, answer.getheader("Location") or "", "", time.monotonic() - began)


def ask(endpoint: dict[str, Any], options: dict[str, Any]) -> str:
    """Make one request; '' for the answer that is wanted, otherwise what came instead."""
    try:
        trust = trust_of(endpoint, options)
    except OSError as error:
        return untrusted(options, error)
    return request(endpoint, options, trust).refusal(options["status"], options["body"])


def untrusted(options: dict[str, Any], error: OSError) -> str:
    """Say which files could not be used."""
    return f"no TLS with {options['ca']}, {options['certificate']} and {options['key']}: {error}"


def report(endpoints: list[dict[str, Any]], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask each endpoint once, and return `members` (see RETURN)."""
    trusts: dict[tuple[str, str], ssl.SSLContext | str | None] = {}
    for endpoint in endpoints:
        key = (endpoint["transport"], endpoint.get("ca", ""))
        if key not in trusts:  # it reads files, and is the same for most
            try:
                trusts[key] = trust_of(endpoint, options)
            except OSError as error:
                trusts[key] = untrusted(options, error)

    def entry(endpoint: dict[str, Any]) -> dict[str, Any]:
        trust, gate = trusts[(endpoint["transport"], endpoint.get("ca", ""))], endpoint.get("gate") or {}
        answer = Answer(problem=trust) if isinstance(trust, str) else request(endpoint, {**options, **gate}, trust)
        # Where nothing says what is wanted, any answer is good that is no failure of the server.
        problem = answer.problem or (f"status {answer.status}" if answer.status >= SERVER_ERROR else "")
        if gate:
            problem = answer.refusal(gate["status"], gate["body"])
        about = {key: endpoint[key] for key in ("member", "upstream", "address", "port")}
        return {**about, "status": answer.status, "ms": round(answer.seconds * 1000), "problem": problem}

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(entry, endpoints))


def probe(endpoint: dict[str, Any], options: dict[str, Any]) -> str:
    """Ask until the answer is the wanted one; '' or the last that was not."""
    problem = ""
    for attempt in range(options["tries"]):
        if attempt:
            time.sleep(1)
        problem = ask(endpoint, options)
        if not problem:
            break
    return problem


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoints": {"type": "list", "elements": "dict", "required": True},
            "path": {"type": "str", "required": True},
            "status": {"type": "int", "default": 200},
            "body": {"type": "str", "default": ""},
            "host": {"type": "str", "default": ""},
            "tries": {"type": "int", "default": 10},
            "timeout": {"type": "int", "default": 5},
            "ca": {"type": "path", "default": ""},
            "certificate": {"type": "path", "default": ""},
            "key": {"type": "path", "default": "", "no_log": False},
            "report": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    options = module.params
    if options["report"]:
        module.exit_json(changed=False, members=report(options["endpoints"], options))
    problems = []
    for endpoint in options["endpoints"]:
        if problem := probe(endpoint, options):
            scheme = "http" if endpoint["transport"] == "http" else "https"
            url = f"{scheme}://{endpoint['address']}:{endpoint['port']}{options['path']}"
            problems.append(
                f"{endpoint['member']} did not answer {options['status']} to this proxy at {url} "
                f"({endpoint['transport']}), asked {options['tries']} times: {problem}"
            )
            if known := health.hint(problem, "", headers_of(endpoint, options), options["path"]):
                problems.append(f"Hint: {known}")
    if problems:
        module.fail_json(msg="\n".join(problems))
    module.exit_json(changed=False, answers=[f"{one['member']}: {options['status']}" for one in options["endpoints"]])


if __name__ == "__main__":
    main()
