// The launcher's port for the services. Next's middleware asks here who is signed in: it runs where it could not keep a secret,
// so that question, which needs a session's cookie, is answered to everybody. The backend's requests to the app's own URL,
// which show the secret of this start, take the same way as requests from outside.

import http from "node:http";

import { isFromService, startHeader } from "../services/start-secret.mjs";

const QUESTION = /^\/api\/auth\/get-session\/?(\?|$)/;
const PASSED = ["cookie", "host", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "accept", "user-agent"];

/**
 * Listens on a free port of the loopback until the program ends; resolves with the port.
 *
 * @param backend function that returns the backend's port, null while it is away
 * @param take function of the backend's own request and its response
 */
export function listenForServices(backend, take) {
  const server = http.createServer((request, response) => {
    if (isFromService(request)) take(request, response);
    else if (request.method === "GET" && QUESTION.test(request.url)) lookUp(request, response, backend());
    else refuse(response, 403);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server.unref().address().port));
  });
}

function lookUp(request, response, port) {
  if (!port) return refuse(response, 503);
  const passed = PASSED.filter((name) => request.headers[name]).map((name) => [name, request.headers[name]]);
  const headers = { ...Object.fromEntries(passed), ...startHeader };
  const onward = http.get({ host: "127.0.0.1", port, path: request.url, headers, agent: false });
  response.once("close", () => onward.destroy());
  onward.on("error", () => (response.headersSent ? response.destroy() : refuse(response, 503)));
  return onward.on("response", (answer) => {
    response.writeHead(answer.statusCode, { "content-type": answer.headers["content-type"] ?? "application/json" });
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
}

function refuse(response, status) {
  response.writeHead(status, { connection: "close" }).end();
}
