// Headers of forwarded requests and responses: hop-by-hop ones are removed (RFC 9110, 7.6.1), the public origin is added.

import { randomUUID } from "node:crypto";

import { INNER_HEADERS } from "./front-end.mjs";
import { TOKEN_HEADER } from "../request-headers.mjs";

const HOP_BY_HOP = new Set(
  "connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade".split(" "),
);
// A client cannot remove these by naming them in Connection: they frame the body, or identify the sender.
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
 * A service's response headers, as the flat list that writeHead takes. A redirect to the service's own address, which is not
 * reachable from outside, becomes one to the path: Next's middleware uses `localhost:<port>` as origin, whatever Host says.
 */
export function answerHeaders(message, port) {
  const inner = new RegExp(`^https?://(?:localhost|127\\.0\\.0\\.1|0\\.0\\.0\\.0|\\[::1?\\]):${port}(?=[/?#]|$)`, "i");
  return endToEnd(message).flatMap(([name, value]) => {
    if (name.toLowerCase() !== "location" || !inner.test(value)) return [name, value];
    const path = value.replace(inner, "");
    return [name, path.startsWith("/") ? path : `/${path}`];
  });
}

/** The request's id: that of the platform, else a new one. */
export function requestId(request) {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && /^[\x21-\x7e]{1,128}$/.test(given) ? given : randomUUID();
}

/**
 * Headers for a service, as an object of lists. Host and X-Forwarded-* name the public origin: that of the platform's
 * proxy, else that of the client's request. `publicProtocol` (http or https) is APP_URL's, for proxies that send none.
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
    const key = name.toLowerCase();
    if (Object.hasOwn(own, key) || INNER_HEADERS.test(key) || key === TOKEN_HEADER) continue;
    if (key in headers) headers[key].push(value);
    else headers[key] = [value];
  }
  if (given["transfer-encoding"] !== undefined) headers["transfer-encoding"] = ["chunked"];
  return Object.assign(headers, own);
}

/** Sets the headers of a JSON body of known length. */
export function framed(headers, bytes) {
  delete headers["transfer-encoding"];
  headers["content-type"] = ["application/json"];
  headers["content-length"] = [String(bytes.length)];
}
