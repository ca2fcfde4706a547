// Headers on the way through: hop-by-hop ones end here (RFC 9110, 7.6.1), the public origin is told onwards.

import { randomUUID } from "node:crypto";

const HOP_BY_HOP = new Set(
  "connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split(" "),
);
// A client may not have these taken away by naming them in Connection: they frame the body, or say who asks.
const KEPT = /^(content-length|host|x-forwarded-.*|x-real-ip|x-request-id)$/;
const HOST = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/;

/** Name-value pairs of a message's raw headers without those of this hop, order and repetition kept. */
function endToEnd(message) {
  const named = (message.headers.connection ?? "").toLowerCase().split(",").map((name) => name.trim());
  const dropped = new Set([...HOP_BY_HOP, ...named.filter((name) => !KEPT.test(name))]);
  const pairs = [];
  for (let i = 0; i < message.rawHeaders.length; i += 2) {
    if (!dropped.has(message.rawHeaders[i].toLowerCase())) pairs.push([message.rawHeaders[i], message.rawHeaders[i + 1]]);
  }
  return pairs;
}

/**
 * For a service's answer: the flat list that writeHead takes. A redirect to the service's own address, which nobody outside
 * can reach, becomes one to the path: Next's middleware takes `localhost:<port>` for its origin, whatever Host says.
 */
export function answerHeaders(message, port) {
  const inner = new RegExp(`^https?://(?:localhost|127\\.0\\.0\\.1|0\\.0\\.0\\.0|\\[::1?\\]):${port}(?=[/?#]|$)`, "i");
  return endToEnd(message).flatMap(([name, value]) => {
    if (name.toLowerCase() !== "location" || !inner.test(value)) return [name, value];
    const path = value.replace(inner, "");
    return [name, path.startsWith("/") ? path : `/${path}`];
  });
}

/** The request's id: the platform's, else a new one. */
export function requestId(request) {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[\x21-\x7e]{1,128}$/.test(given) ? given : randomUUID();
}

/**
 * Headers for a service, as an object of lists. Host and X-Forwarded-* name the public origin: what the platform's proxy
 * says, else what the client asked for. `publicProtocol` (http or https) is APP_URL's, for proxies that do not say it.
 */
export function forwardHeaders(request, id, publicProtocol) {
  const given = request.headers;
  const first = (text) => (text ?? "").split(",")[0].trim();
  const forwarded = first(given["x-forwarded-host"]);
  const host = HOST.test(forwarded) ? forwarded : (given.host ?? "localhost");
  const protocol = first(given["x-forwarded-proto"]).toLowerCase();
  const own = {
    host,
    "x-forwarded-host": host,
    "x-forwarded-proto": protocol === "http" || protocol === "https" ? protocol : publicProtocol,
    "x-forwarded-for": given["x-forwarded-for"] ?? request.socket.remoteAddress ?? "",
    "x-request-id": id,
  };
  const headers = Object.create(null); // a header may be called __proto__
  for (const [name, value] of endToEnd(request)) {
    if (Object.hasOwn(own, name.toLowerCase())) continue;
    const key = name.toLowerCase();
    if (key in headers) headers[key].push(value);
    else headers[key] = [value];
  }
  if (given["transfer-encoding"] !== undefined) headers["transfer-encoding"] = ["chunked"];
  return Object.assign(headers, own);
}

/** Headers for a body that is at hand. */
export function framed(headers, bytes) {
  delete headers["transfer-encoding"];
  headers["content-type"] = ["application/json"];
  headers["content-length"] = [String(bytes.length)];
}
