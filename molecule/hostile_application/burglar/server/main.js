// An application that has been taken over: it runs what is posted to it with `sh`, as itself and inside its sandbox.
//
//   GET /healthz   `well`; a byte a second and without end while there is a file `endless` in the state folder
//   POST /         runs the body, and answers {status, output}; what it starts in the background goes on
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import http from "node:http";

const { APP_ADDRESS, APP_PORT, STATE_DIRECTORY } = process.env;

const server = http.createServer((request, response) => {
  if (request.method !== "POST") {
    if (!existsSync(`${STATE_DIRECTORY}/endless`)) return response.end("well");
    response.writeHead(200, { "Content-Length": 1 << 20 });
    const dripping = setInterval(() => response.write("w"), 1000);
    return response.on("close", () => clearInterval(dripping));
  }
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const options = { timeout: 20_000, maxBuffer: 1 << 22 };
    execFile("/bin/sh", ["-c", Buffer.concat(pieces).toString()], options, (error, out, err) => {
      response.end(JSON.stringify({ status: error ? (error.code ?? 1) : 0, output: out + err }));
    });
  });
});

server.listen(Number(APP_PORT), APP_ADDRESS);
