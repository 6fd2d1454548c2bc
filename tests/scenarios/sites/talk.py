"""Runs on the client: says bytes to a server at chosen moments, and writes down as JSON what comes back, and when.

Reads {address, port, name (of TLS; empty: in clear), say: [[seconds, base64]], until: seconds} from its argument.
"""

import base64
import json
import select
import socket
import ssl
import sys
import time
from typing import Any


def converse(address: str, port: int, name: str, say: list[Any], until: float) -> dict[str, Any]:
    """Return {closed: seconds or null, pieces: [[seconds, base64]]}."""
    connection: Any = socket.create_connection((address, port), timeout=5)
    if name:
        connection = ssl.create_default_context(cafile="/srv/ca.pem").wrap_socket(connection, server_hostname=name)
    connection.settimeout(0.1)
    start, pieces, closed = time.monotonic(), [], None
    pending = [(moment, base64.b64decode(text)) for moment, text in say]
    while (now := time.monotonic() - start) < until:
        try:
            if pending and pending[0][0] <= now:
                connection.sendall(pending.pop(0)[1])
                continue
            wait = min(until, pending[0][0] if pending else until) - now
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
        pieces.append([time.monotonic() - start, base64.b64encode(data).decode()])
    return {"closed": closed, "pieces": pieces}


print(json.dumps(converse(**json.loads(sys.argv[1]))))
