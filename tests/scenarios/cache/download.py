"""Downloads an entry of a cache slowly, while writing requests to its URL make the proxy forget it.

    python3 -m cache.download <address> <site> <path>

Prints {status, length, received, foreign, posted, after}: the bytes promised and received, how many of them are not the
entry's, what the writing requests got, and what the cache says to the next visitor.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys


def ask(address: str, site: str, method: str, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(method, path, headers={"Host": f"{site}.test"})
    return connection.getresponse()


def main(address: str, site: str, path: str) -> None:
    """Do so; a small buffer keeps the proxy from sending more than has been read."""
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    slow.settimeout(20)
    slow.connect((address, 80))
    slow.sendall(f"GET {path} HTTP/1.1\r\nHost: {site}.test\r\nConnection: close\r\n\r\n".encode())
    answer = http.client.HTTPResponse(slow)
    answer.begin()
    received, foreign, expected = 0, 0, int(answer.headers["Content-Length"])
    posted: list[int] = []
    while piece := answer.read1(1 << 20):
        received += len(piece)
        foreign += len(piece) - piece.count(b"x")
        if len(posted) < 3 and received > (len(posted) + 1) * expected // 10:
            posted.append(ask(address, site, "POST", path).status)
    after = ask(address, site, "HEAD", path).headers["X-Cache-Status"]
    reported = {
        "status": answer.headers["X-Cache-Status"],
        "length": expected,
        "received": received,
        "foreign": foreign,
    }
    print(json.dumps(reported | {"posted": posted, "after": after}))


if __name__ == "__main__":
    main(*sys.argv[1:])
