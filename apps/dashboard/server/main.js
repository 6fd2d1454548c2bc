// Serves the built page, says who it is, and pushes a tick over a WebSocket.
// Reads from its environment: APP_ADDRESS (default 127.0.0.1), APP_PORT (3000), APP_NAME, APP_RELEASE.
import { hostname } from "node:os";
import { createServer } from "node:http";
import express from "express";
import { WebSocketServer } from "ws";
import { staticFiles } from "./static.js";

const address = process.env.APP_ADDRESS ?? "127.0.0.1";
const port = Number(process.env.APP_PORT ?? 3000);
const identity = {
  app: process.env.APP_NAME ?? "dashboard",
  release: process.env.APP_RELEASE ?? "development",
  host: hostname(),
};
const TICK_MS = 1000;
const GRACE_MS = 10_000;
const LONGEST_WAIT_MS = 5_000;
const CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

const app = express();
app.disable("x-powered-by");
app.use((request, response, next) => {
  response.set({ "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin" });
  next();
});
app.get("/healthz", (request, response) => response.set("Cache-Control", "no-store").type("text/plain").send("ok\n"));
// `?wait=3000` answers after three seconds, so that a request can be under way while the unit stops.
app.get("/api/whoami", (request, response) => {
  const wait = Math.min(Number(request.query.wait) || 0, LONGEST_WAIT_MS);
  setTimeout(() => response.set("Cache-Control", "no-store").json(identity), wait);
});
app.use(staticFiles(new URL("../dist/", import.meta.url)));

const server = createServer(app);
// Longer than a proxy keeps an idle connection (nginx: 60 s), so that the proxy is the one that closes it.
server.keepAliveTimeout = 75_000;

const live = new WebSocketServer({ server, path: "/live", maxPayload: 1024 });
const tick = () =>
  JSON.stringify({ ...identity, uptime: Math.round(process.uptime()), clients: live.clients.size, at: Date.now() });
live.on("connection", (socket) => {
  socket.on("error", () => socket.terminate());
  socket.send(tick());
});
const ticking = setInterval(() => {
  const text = tick();
  for (const socket of live.clients) {
    if (socket.readyState === socket.OPEN) socket.send(text);
  }
}, TICK_MS);

function stop() {
  clearInterval(ticking);
  // 1012, "service restart": the page connects again, and the proxy sends it to another host.
  for (const socket of live.clients) socket.close(1012, "restarting");
  live.close();
  server.close(() => process.exit(0));
  // A connection that the proxy keeps is idle only when the request on it has ended.
  setInterval(() => server.closeIdleConnections(), 100);
  setTimeout(() => {
    for (const socket of live.clients) socket.terminate();
    server.closeAllConnections();
  }, GRACE_MS).unref();
}
process.once("SIGTERM", stop);
process.once("SIGINT", stop);

server.listen(port, address, () => console.log(`${identity.app} ${identity.release} listens on ${address} port ${port}`));
