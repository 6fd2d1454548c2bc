"""An application whose normal use looks like attacks: rich text, SQL in a search, notes in JSON, files, WebSocket.

It answers each request with what it understood of it, so that a test sees whether that arrived whole.
"""

import base64
import hashlib
import json
import socket
import sys
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# RFC 6455 1.3
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Server(ThreadingHTTPServer):
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.websocket()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        kind = self.headers.get_content_type()
        said: dict[str, object] = {"method": self.command, "path": url.path, "size": len(body)}
        said["query"] = parse_qs(url.query)
        if kind == "application/x-www-form-urlencoded":
            said["form"] = parse_qs(body.decode(errors="replace"))
        elif kind == "application/json" and body:
            said["json"] = json.loads(body)
        elif kind == "multipart/form-data":
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parts = BytesParser().parsebytes(head + body).get_payload()
            said["files"] = {part.get_filename() or "": len(part.get_payload(decode=True) or b"") for part in parts}
        text = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_PROPFIND = answer  # noqa: N815

    def websocket(self) -> None:
        """Echo one short frame of text and close."""
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + GUID).encode()).digest()).decode()  # noqa: S324
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        _, length = self.rfile.read(2)
        mask = self.rfile.read(4)
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self.rfile.read(length & 127)))
        self.connection.sendall(bytes([0x81, len(text)]) + text)
        self.connection.shutdown(socket.SHUT_WR)
        self.close_connection = True


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
