// The launcher's own responses: a page for people, JSON for programs. Everybody who may open the app gets the step, the code
// and the contact; the failure report is for operators only, because it may reveal internals.

import http from "node:http";

import { PAGE_POLICY, render } from "./error-page.mjs";

const AFTER_STARTING_S = 2;
const AFTER_FAILED_S = 10;
const AFTER_GIVEN_UP_S = 60; // a person has to act, and frequent requests do not help
const LINGER_MS = 2_000; // for a body that nobody wants
const HEALING = "MetaMCP is not available at the moment. It goes on trying by itself.";
const GIVEN_UP = "MetaMCP could not be started and does not try again: somebody has to look after it.";

/**
 * The response for `away` {status, step, code, message, detail?, heals?, last?, http?, headers?, form?}: {http, headers, body}.
 *
 * @param request whose Accept header says whether the page is wanted
 * @param id of the request
 * @param contact for help, or ""
 * @param report for operators, as failure-report.mjs gives it; null for others
 * @param steps of a start that goes on, for the page
 */
export function errorResponse(request, away, { id, contact, report, steps }) {
  const { status, step, code } = away;
  const message = status === "failed" && !report ? (away.heals === false ? GIVEN_UP : HEALING) : away.message;
  const last = away.last && { last_failure: { step: away.last.step, code: away.last.code } };
  const facts = { status, step, code, message, ...last, request_id: id, ...(contact && { contact }) };
  const wait = away.http ? 0 : seconds(away);
  const page = wantsPage(request);
  const body = page ? render(facts, { report, steps, refresh: away.heals === false ? 0 : wait, form: away.form }) : `${JSON.stringify({ ...facts, ...report })}\n`;
  const headers = {
    "content-type": `${page ? "text/html" : "application/json"}; charset=utf-8`,
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": "no-store",
    vary: "accept",
    "x-request-id": id,
    ...(page && { "content-security-policy": PAGE_POLICY }),
    ...(wait && { "retry-after": String(wait) }),
    ...(status === "stopping" && { connection: "close" }),
    ...away.headers,
  };
  return { http: away.http ?? 503, headers, body };
}

function seconds({ status, heals }) {
  if (status !== "failed") return AFTER_STARTING_S;
  return heals === false ? AFTER_GIVEN_UP_S : AFTER_FAILED_S;
}

/** Whether Accept names HTML and does not prefer JSON. Programs accept JSON, or anything. */
function wantsPage(request) {
  const weights = new Map();
  for (const part of (request.headers.accept ?? "").toLowerCase().split(",")) {
    const [type, ...parameters] = part.split(";").map((text) => text.trim());
    const q = parameters.find((text) => text.startsWith("q="));
    weights.set(type, q ? Number(q.slice(2)) || 0 : 1);
  }
  return (weights.get("text/html") ?? 0) > (weights.get("application/json") ?? 0);
}

/** Sends it as an ordinary response. */
export function send(response, answer) {
  response.writeHead(answer.http, answer.headers);
  response.end(answer.body);
}

/**
 * Sends it while the client may still send its body, and ends the connection when the client has stopped, or soon: one closed
 * at once, with bytes that nobody read, could take the response with it.
 */
export function sendEarly(request, response, answer) {
  response.writeHead(answer.http, { ...answer.headers, connection: "close" });
  response.write(answer.body);
  const end = () => response.end();
  const late = setTimeout(end, LINGER_MS).unref();
  response.once("close", () => clearTimeout(late));
  if (request.complete) end();
  else request.once("end", end).resume();
}

/** Sends it on the socket of an upgrade request, and closes the connection. */
export function sendRaw(socket, answer) {
  if (!socket.writable) return socket.destroy();
  const lines = Object.entries({ ...answer.headers, connection: "close" }).map(([name, value]) => `${name}: ${value}`);
  return socket.end(`HTTP/1.1 ${answer.http} ${http.STATUS_CODES[answer.http]}\r\n${lines.join("\r\n")}\r\n\r\n${answer.body}`);
}
