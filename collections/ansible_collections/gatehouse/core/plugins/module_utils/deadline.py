"""One deadline for a whole HTTP answer.

The timeout of a socket holds for each `recv` alone (socket.settimeout), so who sends a byte a second is never done.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import time


class _Reader(io.RawIOBase):
    """Reads from a socket until a point of the monotonic clock, and raises TimeoutError from then on."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self.sock, self.ends = sock, ends
        # It keeps the socket open until the answer is closed, as http.client counts on.
        self.raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out before the answer was complete")
        self.sock.settimeout(left)
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer whose status line, headers and body have to arrive before one deadline."""

    def __init__(self, sock: socket.socket, *arguments: object, ends: float, **options: object) -> None:
        super().__init__(sock, *arguments, **options)  # type: ignore[arg-type]
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock, ends))


def limit(connection: http.client.HTTPConnection, ends: float) -> None:
    """Have the answers of a connection end before `ends` on the monotonic clock; later they are a TimeoutError."""
    connection.response_class = functools.partial(_Answer, ends=ends)  # type: ignore[assignment]
