// What the launcher itself answers: to people a page, to programs JSON. Whoever may open the app learns which step, which
// code and whom to ask; what went wrong in particular is for operators, because it may tell about the inside.

import http from "node:http";

import { render } from "./error-page.mjs";

const AFTER_STARTING_S = 2;
const AFTER_FAILED_S = 10;
const AFTER_GIVEN_UP_S = 60; // needs a person: nobody gains by asking more often
const HEALING = "MetaMCP is not available at the moment. It goes on trying by itself.";
const GIVEN_UP = "MetaMCP could not be started and does not try again: somebody has to look after it.";

/**
 * The answer for `away` {status, step, code, message, detail?, heals?, last?, http?}: {http, headers, body}.
 *
 * @param request whose Accept header says whether a person asks
 * @param id of the request
 * @param contact whom to ask, or ""
 * @param evidence for operators: {error, cause, fix, environment: [lines], log: {source: [lines]}}; null for others
 */
export function answerOf(request, away, { id, contact, evidence }) {
  const { status, step, code } = away;
  const message = status === "failed" && !evidence ? (away.heals === false ? GIVEN_UP : HEALING) : away.message;
  const last = away.last && { last_failure: { step: away.last.step, code: away.last.code } };
  const facts = { status, step, code, message, ...last, request_id: id, ...(contact && { contact }) };
  const wait = away.http ? 0 : seconds(away);
  const page = wantsPage(request);
  const body = page ? render(facts, { evidence, refresh: away.heals === false ? 0 : wait }) : `${JSON.stringify({ ...facts, ...evidence })}\n`;
  const headers = {
    "content-type": `${page ? "text/html" : "application/json"}; charset=utf-8`,
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": "no-store",
    vary: "accept",
    "x-request-id": id,
    ...(page && { "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'" }),
    ...(wait && { "retry-after": String(wait) }),
    ...(status === "stopping" && { connection: "close" }),
  };
  return { http: away.http ?? 503, headers, body };
}

function seconds({ status, heals }) {
  if (status !== "failed") return AFTER_STARTING_S;
  return heals === false ? AFTER_GIVEN_UP_S : AFTER_FAILED_S;
}

/** Whether HTML is named in Accept, and JSON is not preferred to it. Programs ask for JSON, or for anything. */
function wantsPage(request) {
  const weights = new Map();
  for (const part of (request.headers.accept ?? "").toLowerCase().split(",")) {
    const [type, ...parameters] = part.split(";").map((text) => text.trim());
    const q = parameters.find((text) => text.startsWith("q="));
    weights.set(type, q ? Number(q.slice(2)) || 0 : 1);
  }
  return (weights.get("text/html") ?? 0) > (weights.get("application/json") ?? 0);
}

/** Sends it as an ordinary answer. */
export function send(response, answer) {
  response.writeHead(answer.http, answer.headers);
  response.end(answer.body);
}

/** Sends it on a bare socket, of a request to upgrade, and ends the connection. */
export function sendRaw(socket, answer) {
  if (!socket.writable) return socket.destroy();
  const lines = Object.entries({ ...answer.headers, connection: "close" }).map(([name, value]) => `${name}: ${value}`);
  return socket.end(`HTTP/1.1 ${answer.http} ${http.STATUS_CODES[answer.http]}\r\n${lines.join("\r\n")}\r\n\r\n${answer.body}`);
}
