"""One request over FastCGI, as a web server would make it: how an application without HTTP is asked for its health.

Source: the FastCGI specification, version 1 (https://fastcgi-archives.github.io/FastCGI_Specification.html).
"""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
import time
from collections.abc import Mapping

VERSION = 1
BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
RESPONDER = 1
REQUEST = 1
LIMIT = 1 << 22  # bytes of an answer
# Version, type, request, length of the content, length of the padding, reserved.
HEADER = struct.Struct(">BBHHBx")
STATUS = re.compile(rb"^Status:\s*(\d{3})\b", re.IGNORECASE | re.MULTILINE)
LOCATION = re.compile(rb"^Location:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)


class FastCgiError(Exception):
    """The other side did not speak FastCGI; the text says what came instead."""


def record(kind: int, content: bytes) -> bytes:
    """Give one record of the request; an empty one ends its stream."""
    return HEADER.pack(VERSION, kind, REQUEST, len(content), 0) + content


def pairs(parameters: Mapping[str, str]) -> bytes:
    """Give names and values, each behind its length in four bytes."""
    packed = b""
    for name, value in parameters.items():
        words = (name.encode(), value.encode())
        packed += struct.pack(">II", *(len(word) | 1 << 31 for word in words)) + b"".join(words)
    return packed


def request(address: str, parameters: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """Make one request without a body at a unix socket; give the answer's status, text and header Location.

    What goes wrong is an OSError or a FastCgiError.
    """
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connect(connection, address)
        asked = record(BEGIN_REQUEST, struct.pack(">HB5x", RESPONDER, 0))
        asked += record(PARAMS, pairs(parameters)) + record(PARAMS, b"") + record(STDIN, b"")
        connection.sendall(asked)
        answer = b""
        while True:
            version, kind, _, length, padding = HEADER.unpack(exactly(connection, HEADER.size, deadline))
            if version != VERSION:
                raise FastCgiError("the answer is not FastCGI")
            content = exactly(connection, length + padding, deadline)[:length]
            if kind == STDOUT:
                answer += content
                if len(answer) > LIMIT:
                    raise FastCgiError(f"the answer has more than {LIMIT} bytes")
            elif kind == END_REQUEST:
                break
    head, _, text = answer.partition(b"\r\n\r\n")
    found = STATUS.search(head)
    # A CGI answer without a status is a good one (RFC 3875 6.3.3), but an empty one is none.
    if not head:
        raise FastCgiError("the answer is empty")
    target = LOCATION.search(head)
    location = target[1].decode(errors="replace") if target else ""
    return int(found[1]) if found else 200, text.decode(errors="replace"), location


def connect(connection: socket.socket, address: str) -> None:
    """Connect to a unix socket in a folder of the application's; FastCgiError if what is there is none, as a link."""
    handle = os.open(address, os.O_PATH | os.O_NOFOLLOW)
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise FastCgiError(f"{address} is not a socket")
        connection.connect(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def exactly(connection: socket.socket, count: int, deadline: float) -> bytes:
    """Read that many bytes by a deadline of the monotonic clock."""
    content = b""
    while len(content) < count:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        piece = connection.recv(count - len(content))
        if not piece:
            raise FastCgiError("the connection was closed before the answer ended")
        content += piece
    return content
