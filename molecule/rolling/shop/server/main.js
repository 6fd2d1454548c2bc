// A shop that answers who it is, and whose versions fail in the way that their names say: 2.0.0-crash, -error, -hang,
// -proxies (well when asked from its own host, broken to everybody else).
//
//   GET /healthz            `well`
//   ?seconds=2              answers after a while
//   POST /orders/<id>       writes the id down: what was processed can be counted
//   WebSocket /live         sends back what it is sent
import { createHash } from "node:crypto";
import { appendFileSync } from "node:fs";
import http from "node:http";
import os from "node:os";

const release = process.env.APP_RELEASE;
const fails = (how) => release.includes(`-${how}-`);
const identity = JSON.stringify({ host: os.hostname(), release });
const live = new Set();

if (fails("crash")) {
  console.error("shop cannot start: it is set to crash");
  process.exit(1);
}

function answer(request, response) {
  const url = new URL(request.url, "http://shop");
  const stranger = !request.headers.host.startsWith(process.env.APP_ADDRESS);
  const status = fails("error") || (fails("proxies") && stranger) ? 500 : 200;
  response.writeHead(status);
  if (status === 500) console.error(`shop answers 500 to ${request.url}`);
  response.end(status === 500 ? "broken" : url.pathname === "/healthz" ? "well" : identity);
}

const server = http.createServer((request, response) => {
  if (fails("hang")) return;
  const url = new URL(request.url, "http://shop");
  request.resume().on("end", () => {
    if (request.method === "POST") {
      appendFileSync(`${process.env.STATE_DIRECTORY}/orders`, `${url.pathname.split("/").pop()}\n`);
    }
    setTimeout(answer, 1000 * Number(url.searchParams.get("seconds") || 0), request, response);
  });
});

// Frames of at most 125 bytes are all that the tests send (RFC 6455, 5.2).
const frame = (code, data) => Buffer.concat([Buffer.from([0x80 | code, data.length]), data]);

server.on("upgrade", (request, socket) => {
  const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + guid).digest("base64");
  const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
  socket.write([...lines, `Sec-WebSocket-Accept: ${accept}`, "", ""].join("\r\n"));
  live.add(socket);
  let waiting = Buffer.alloc(0);
  socket.on("data", (data) => {
    waiting = Buffer.concat([waiting, data]);
    while (waiting.length >= 6 && waiting.length >= 6 + (waiting[1] & 0x7f)) {
      const size = waiting[1] & 0x7f;
      const text = waiting.subarray(6, 6 + size).map((byte, index) => byte ^ waiting[2 + (index % 4)]);
      if ((waiting[0] & 0x0f) === 8) return socket.end();
      socket.write(frame(1, Buffer.from(text)));
      waiting = waiting.subarray(6 + size);
    }
  });
  socket.on("close", () => live.delete(socket));
  socket.on("error", () => live.delete(socket));
});

// As many applications do, it waits for nobody: what is under way when it has to end is lost, unless it was drained.
process.on("SIGTERM", () => {
  // 1001: going away. The client comes again, and finds another host.
  for (const socket of live) socket.write(frame(8, Buffer.from([0x03, 0xe9])));
  setTimeout(() => process.exit(0), 50);
});

// Longer than the proxy keeps an idle connection, so that the proxy is the one that closes it.
server.keepAliveTimeout = 75_000;
server.listen(Number(process.env.APP_PORT), process.env.APP_ADDRESS);
