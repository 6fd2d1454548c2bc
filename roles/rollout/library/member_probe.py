#!/usr/bin/python
"""Asks members of upstreams what a proxy would ask them, from the proxy and over the transport that it uses."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from typing import Any

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
  - Changes nothing. Needs Python's standard library only.
options:
  endpoints:
    description: "C({member, upstream, transport, address, port, tls_name, headers}); see P(member_endpoints#filter)."
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
author: Gatehouse
"""

EXAMPLES = r"""
- name: Ask a member
  member_probe:
    endpoints: "{{ proxy_upstreams | member_endpoints(['web1']) }}"
    path: /healthz
"""

RETURN = r"""
answers: {description: "What each endpoint answered, as text.", type: list, elements: str, returned: always}
"""

BODY_LIMIT = 1 << 20  # bytes of an answer that are looked at


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


def ask(endpoint: dict[str, Any], options: dict[str, Any]) -> str:
    """Make one request; '' for the answer that is wanted, otherwise what came instead."""
    ends = time.monotonic() + options["timeout"]
    try:
        connection = Connection(endpoint, trust_of(endpoint, options), options["timeout"])
        limit(connection, ends)
    except OSError as error:
        return f"no TLS with {options['ca']}, {options['certificate']} and {options['key']}: {error}"
    try:
        headers = {"User-Agent": "gatehouse-health", "Connection": "close", **headers_of(endpoint, options)}
        connection.request("GET", options["path"], headers=headers)
        answer = connection.getresponse()
        text = answer.read(BODY_LIMIT).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return visible_line(str(error)) or type(error).__name__
    finally:
        connection.close()
    wanted, location = (options["status"], options["body"]), answer.getheader("Location") or ""
    return visible_line(health.refusal(wanted, answer.status, text, location))


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
        },
        supports_check_mode=True,
    )
    options = module.params
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
