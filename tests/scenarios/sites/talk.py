"""Runs on the client: says bytes to a server at chosen moments, and writes down as JSON what comes back, and when.

Reads {address, port, name (of TLS; empty: in plaintext), say: [[seconds, base64]], until: seconds, quiet: seconds} from
its argument. It ends when the server closes, at `until`, or when the server has answered and was then silent for
`quiet`.
"""

import base64
import json
import select
import socket
import ssl
import sys
import time
from typing import Any


def converse(address: str, port: int, name: str, say: list[Any], until: float, quiet: float) -> dict[str, Any]:
    """Return {closed: seconds or null, pieces: [[seconds, base64]]}."""
    connection: Any = socket.create_connection((address, port), timeout=5)
    if name:
        connection = ssl.create_default_context(cafile="/srv/ca.pem").wrap_socket(connection, server_hostname=name)
    connection.settimeout(0.1)
    start, closed = time.monotonic(), None
    pieces: list[tuple[float, str]] = []
    pending = [(moment, base64.b64decode(text)) for moment, text in say]
    while (now := time.monotonic() - start) < until and not (pieces and now - pieces[-1][0] > quiet):
        try:
            if pending and pending[0][0] <= now:
                connection.sendall(pending.pop(0)[1])
                continue
            wait = min(until, pending[0][0] if pending else until, now + quiet) - now
            if not (name and connection.pending()) and not select.select([connection], [], [], max(wait, 0))[0]:
                continue
            data = connection.recv(65536)
        except TimeoutError:  # readable, but only with what TLS says to itself
            continue
        except OSError:
            data = b""
        if not data:
            closed = time.monotonic() - start
            break
        pieces.append((time.monotonic() - start, base64.b64encode(data).decode()))
    return {"closed": closed, "pieces": pieces}


print(json.dumps(converse(**json.loads(sys.argv[1]))))
