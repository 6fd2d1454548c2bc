// Answers who it is, and on /healthz that it is well.
import http from "node:http";

http
  .createServer((request, response) => response.end(request.url === "/healthz" ? "well" : process.env.APP_RELEASE))
  .listen(Number(process.env.APP_PORT), process.env.APP_ADDRESS);
