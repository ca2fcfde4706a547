// A service listens on the loopback, where other programs of the container and other users of the machine can call it. It
// answers only requests that show the secret of this start, which the launcher adds to each request that it forwards.

import http from "node:http";

import { isSame, removeHeaders } from "../request-headers.mjs";

export const START_HEADER = "x-metamcp-start-secret";
const REQUESTS = new Set(["request", "checkContinue", "checkExpectation", "upgrade", "connect"]);
const BODY = '{"code":"caller_unknown","message":"Only the launcher may call this port."}\n';
const HEAD = `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n`;

/** From now on, the HTTP servers of this program refuse requests without the secret, and do not see the header. */
export function guardServers(secret) {
  const { emit } = http.Server.prototype;
  http.Server.prototype.emit = function (event, request, ...rest) {
    if (REQUESTS.has(event) && !isShown(request, secret)) return request.socket.end(`${HEAD}${BODY}`);
    return emit.call(this, event, request, ...rest);
  };
}

function isShown(request, secret) {
  const given = request.headers[START_HEADER];
  if (given === undefined) return false;
  removeHeaders(request, (name) => name === START_HEADER);
  return isSame(given, secret);
}
