"""Runs on the client: sends requests to one site, and writes down as JSON the status of each answer (0: none).

Reads {address, name, requests: [{method, path, headers, body (base64)}]} from its standard input.
"""

import base64
import http.client
import json
import socket
import ssl
import sys
from typing import Any


class Site(http.client.HTTPSConnection):
    """A connection to an address whose certificate is for the site's name."""

    def __init__(self, address: str, name: str) -> None:
        self.tls = ssl.create_default_context(cafile="/srv/ca.pem")
        super().__init__(name, timeout=90, context=self.tls)
        self.address = address

    def connect(self) -> None:
        plain = socket.create_connection((self.address, 443), timeout=90)
        self.sock = self.tls.wrap_socket(plain, server_hostname=self.host)


def send(site: Site, request: dict[str, Any]) -> int:
    """Return the status that a request is answered with."""
    headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept": "text/html,*/*", **request["headers"]}
    body = base64.b64decode(request["body"])
    try:
        site.putrequest(request["method"], request["path"], skip_accept_encoding=True)
        if body and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        for header, value in headers.items():
            site.putheader(header, value)
        site.endheaders(body or None)
        answer = site.getresponse()
        answer.read()
        if answer.will_close:
            site.close()
        return answer.status
    except (OSError, http.client.HTTPException, ValueError):
        site.close()
        return 0


def talk(site: Site, path: str) -> int:
    """Return 101 if what is said over a WebSocket comes back."""
    site.close()
    site.connect()
    key = base64.b64encode(bytes(16)).decode()
    head = [f"GET {path} HTTP/1.1", f"Host: {site.host}", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: */*"]
    head += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    site.sock.sendall("\r\n".join([*head, "", ""]).encode() + b"\x81\x85" + bytes(4) + b"hello")
    said = b""
    while piece := site.sock.recv(4096):
        said += piece
    site.close()
    return int(said.split()[1]) if said.endswith(b"\x81\x05hello") else 0


order = json.load(sys.stdin)
connection = Site(order["address"], order["name"])
print(
    json.dumps(
        [
            talk(connection, request["path"]) if request["method"] == "WEBSOCKET" else send(connection, request)
            for request in order["requests"]
        ]
    )
)
