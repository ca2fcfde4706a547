// The reverse proxy that holds the app's port: HTTP, event streams and WebSocket, without buffering.

import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { sortCredentials } from "./authorization.mjs";
import { bodyLimit, pipeBody, tooLarge } from "./body-limits.mjs";
import { errorResponse, send, sendEarly, sendRaw } from "./error-response.mjs";
import { forwardHeaders, framed, requestId } from "./headers.mjs";
import { answerReadiness } from "./readiness.mjs";
import { relay } from "./relay.mjs";
import { startHeader } from "../services/start-secret.mjs";
import { tunnel } from "./tunnel.mjs";
import { removeHeaders } from "../request-headers.mjs";

const IDLE_SERVICE_MS = 3_000; // below the 5 s after which Node's servers close an idle connection
const MAX_HEADER = 64 * 1024; // the platform adds access tokens
const LIMITS = {
  requestTimeout: 0, // big bodies over slow lines
  headersTimeout: 60_000, // without it requestTimeout 0 would apply to headers, too
  keepAliveTimeout: 75_000, // above the usual 60 s of proxies in front, so that they close first
  maxHeaderSize: MAX_HEADER,
  noDelay: true,
};
const STATUS = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};
const BODY_UNREAD = new Set([413, 415]); // statuses that refuse a body before its end
const NO_WEBSOCKET = { http: 400, status: "refused", step: "access", code: "no_websocket", message: "This is no WebSocket." };
const CLOSING_MS = 250; // until cut connections are closed

export class Proxy {
  #agent = new http.Agent({ keepAlive: true, timeout: IDLE_SERVICE_MS, maxFreeSockets: 64, noDelay: true });
  #open = new Set(); // {stream: boolean, end(), onward: request to a service} for each open request and tunnel
  #idle = null;

  /**
   * @param find function of a request's target and method: {port, path, protocol} of the service for it, or
   *   {away: {status, step, code, message, detail?, heals?, http?, headers?}} when there is none
   * @param details function of a request and its `away`: {contact, report}, as error-response.mjs takes them
   * @param workspace origin of the workspace, whose tokens are not forwarded
   * @param rules function of a request, its target and the path it is rewritten to, as access-rules.mjs makes it
   * @param callers function of a request, as callers.mjs makes it
   * @param sessions function of a request, its path and headers, as session-rules.mjs makes it
   * @param ready function that says whether requests are served
   * @param own function that answers the launcher's own addresses, as own-pages.mjs makes it
   * @param counters of requests, as counters.mjs has them; without them nothing is counted
   * @param limits of Node's server that differ from LIMITS
   */
  constructor(find, { details, workspace, rules, callers, sessions, ready = () => false, own = () => false, counters = null, limits = {} }) {
    Object.assign(this, { find, details, workspace, rules, callers, sessions, ready, own, counters });
    this.server = http.createServer({ ...LIMITS, ...limits });
    this.server.on("connection", (socket) => socket.setMaxListeners(0)); // each open request on it has one
    this.server.on("request", (request, response) => this.#receive(request, response, false));
    this.server.on("checkContinue", (request, response) => this.#receive(request, response, true));
    this.server.on("checkExpectation", (request, response) => this.#receive(request, response, false));
    this.server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.server.on("clientError", (error, socket) => this.#clientError(error, socket));
  }

  /** Resolves when the port is bound. */
  listen(port, host) {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, host, 1024, resolve);
    });
  }

  /** Resolves when no request is open; streams are cut after `streams` ms, everything after `all` ms. */
  async drain(streams, all) {
    const cut = setTimeout(() => this.#cut((one) => one.stream), streams);
    const end = setTimeout(() => this.#cut(() => true), all);
    const idle = new Promise((resolve) => (this.#idle = resolve));
    if (this.#open.size) await Promise.race([idle, sleep(all + CLOSING_MS, undefined, { ref: false })]);
    clearTimeout(cut);
    clearTimeout(end);
  }

  /** Releases the port. */
  close() {
    this.server.close();
    this.server.closeAllConnections();
    this.#agent.destroy();
  }

  #cut(which) {
    for (const one of [...this.#open]) if (which(one)) one.end();
  }

  #track(entry) {
    this.#open.add(entry);
    return () => {
      this.#open.delete(entry);
      entry.onward?.destroy();
      entry.session?.ended();
      if (!this.#open.size) this.#idle?.();
    };
  }

  /** An exchange ends with its response or its connection: a response queued behind another never closes by itself. */
  #exchange(request, response) {
    const { socket } = request;
    const entry = { stream: false, onward: null, end: () => socket.destroy() };
    const release = this.#track(entry);
    const began = this.counters?.began();
    const over = () => {
      response.off("close", over);
      socket.off("close", over);
      this.counters?.ended(request, response, began, entry.stream);
      release();
    };
    response.once("close", over);
    socket.once("close", over);
    return entry;
  }

  #receive(request, response, waiting) {
    if (answerReadiness(request, response, this.ready())) return;
    const away = this.callers(request) ?? noTarget(request);
    if (away) return this.#refuse(request, response, away, requestId(request));
    if (this.own(request, response, (why) => this.#refuse(request, response, why, requestId(request)))) return;
    return this.handle(request, response, waiting);
  }

  /** Handles a request of a caller that has been checked. */
  handle(request, response, waiting = false) {
    const id = requestId(request);
    const entry = this.#exchange(request, response);
    const service = this.find(targetOf(request), request.method);
    if (service.away) return this.#refuse(request, response, service.away, id);
    const body = bodyLimit(request, service.path);
    if (body.away) return this.#refuse(request, response, body.away, id);
    const checked = this.rules(request, targetOf(request), service.path);
    if (checked?.away) return this.#refuse(request, response, checked.away, id);
    if (checked?.path) service.path = checked.path;
    if (checked?.body) return this.#sendRead(request, response, { service, id, waiting, entry, most: body.bytes, read: checked.body });
    this.#send(request, response, { service, id, waiting, entry, most: body.bytes });
  }

  /** For a request whose body decides whether it is allowed; it is forwarded with the bytes that were read. */
  async #sendRead(request, response, { read, ...exchange }) {
    if (exchange.waiting) response.writeContinue();
    const { away, bytes } = await read.catch(() => ({ away: brokenOff() }));
    if (response.destroyed) return;
    if (away) this.#refuse(request, response, away, exchange.id);
    else this.#send(request, response, { ...exchange, waiting: false, bytes });
  }

  #send(request, response, exchange) {
    const { service, id, waiting, entry, bytes, most } = exchange;
    const headers = forwardHeaders(request, id, service.protocol);
    const sorted = sortCredentials(headers, service.path, this.workspace);
    const session = this.sessions(request, sorted.path, headers);
    if (session?.away) return this.#refuse(request, response, session.away, id);
    entry.session?.ended();
    entry.session = session;
    Object.assign(headers, startHeader);
    if (!waiting) delete headers.expect;
    if (bytes) framed(headers, bytes);
    const withBody = hasBody(request);
    const onward = http.request({
      host: "127.0.0.1",
      port: service.port,
      method: request.method,
      path: sorted.path,
      headers,
      agent: this.#agent,
      maxHeaderSize: MAX_HEADER,
    });
    entry.onward = onward;
    onward.on("response", (answer) => {
      session?.answered(answer);
      relay(answer, response, { entry, port: service.port, sorted, lists: session?.lists });
    });
    onward.on("error", () => {
      entry.onward = null;
      request.unpipe(onward);
      if (response.destroyed || exchange.refused) return;
      if (response.headersSent) return response.destroy();
      // The service closed an idle connection just when it was reused: the request can be repeated.
      if (onward.reusedSocket && !withBody && (request.method === "GET" || request.method === "HEAD")) {
        return this.#send(request, response, exchange);
      }
      request.resume();
      const away = this.find(targetOf(request), request.method).away ?? brokenOff();
      this.#refuse(request, response, away, id);
    });
    onward.on("close", () => {
      request.unpipe(onward);
      request.resume(); // the response came before the end of the body: the rest is read and dropped
    });
    if (bytes) return onward.end(bytes);
    if (!withBody) return onward.end();
    const forward = () => pipeBody(request, onward, most, () => {
      exchange.refused = true;
      onward.destroy();
      if (response.headersSent) response.destroy();
      else this.#refuse(request, response, tooLarge(most), id);
    });
    if (!waiting) return forward();
    onward.flushHeaders();
    onward.once("continue", () => {
      response.writeContinue();
      forward();
    });
  }

  #upgrade(request, socket, head) {
    socket.on("error", () => socket.destroy());
    const id = requestId(request);
    if (!isWebSocket(request)) return this.#notUpgraded(request, socket, head);
    const service = this.find(targetOf(request), "UPGRADE"); // Next forwards one to any host, the backend has its own
    const away = this.callers(request) ?? service.away ?? this.#noUpgrade(request, service.path);
    if (away) return this.#refuseRaw(request, socket, away, id);
    const headers = forwardHeaders(request, id, service.protocol);
    const { path } = sortCredentials(headers, service.path, this.workspace);
    if (this.sessions(request, path, headers)) return this.#refuseRaw(request, socket, NO_WEBSOCKET, id);
    Object.assign(headers, startHeader, { connection: "Upgrade", upgrade: "websocket" });
    const onward = http.request({ host: "127.0.0.1", port: service.port, method: request.method, path, headers, agent: false });
    socket.once("close", this.#track({ stream: true, onward, end: () => socket.destroy() }));
    const refuse = () => this.#refuseRaw(request, socket, this.find(targetOf(request), "UPGRADE").away ?? brokenOff(), id);
    tunnel(onward, { socket, head, port: service.port, refuse });
    onward.end();
  }

  /** Why an upgrade is refused, or nothing: a request whose body or parameters have to be checked cannot be a WebSocket. */
  #noUpgrade(request, rewritten) {
    const checked = this.rules(request, targetOf(request), rewritten);
    checked?.body?.catch(() => {});
    return checked?.body || checked?.path ? NO_WEBSOCKET : checked?.away;
  }

  /** The offer of another protocol (curl's h2c) is ignored (RFC 9110, 7.8): read again as a request without it. */
  #notUpgraded(request, socket, head) {
    const named = (request.headers.connection ?? "").replace(/\b(upgrade|keep-alive)\b/gi, "");
    removeHeaders(request, (name) => name === "upgrade" || name === "connection");
    const raw = [...request.rawHeaders, "Connection", `close,${named}`];
    const lines = raw.flatMap((name, i) => (i % 2 ? [] : [`${name}: ${raw[i + 1]}\r\n`]));
    const text = `${request.method} ${request.url} HTTP/1.1\r\n${lines.join("")}\r\n`;
    socket.unshift(Buffer.concat([Buffer.from(text, "latin1"), head]));
    this.server.emit("connection", socket);
  }

  #refuse(request, response, away, id) {
    const answer = errorResponse(request, away, { id, ...this.details(request, away) });
    if (BODY_UNREAD.has(answer.http)) sendEarly(request, response, answer);
    else send(response, answer);
  }

  #refuseRaw(request, socket, away, id) {
    sendRaw(socket, errorResponse(request, away, { id, ...this.details(request, away) }));
  }

  #clientError(error, socket) {
    if (!socket.writable || socket.bytesWritten) return socket.destroy();
    const status = STATUS[error.code] ?? "400 Bad Request";
    return socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
}

/** A WebSocket begins with a GET without a body; other offers of a protocol may be ignored. */
function isWebSocket(request) {
  return (request.headers.upgrade ?? "").toLowerCase() === "websocket" && request.method === "GET" && !hasBody(request);
}

/** A request for the server as a whole (`OPTIONS *`), or for something that is no path; null for others. */
function noTarget({ url }) {
  if (/^(\/|https?:\/\/)/i.test(url)) return null;
  return { http: 400, status: "refused", step: "proxy", code: "no_path", message: "The request names no path." };
}

function hasBody({ headers }) {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"]) > 0;
}

/** Origin form of a request's target; proxies may send the absolute form. */
function targetOf(request) {
  const absolute = /^https?:\/\/[^/?#]*/i.exec(request.url);
  const target = absolute ? request.url.slice(absolute[0].length) : request.url;
  return target.startsWith("/") ? target : `/${target}`;
}

function brokenOff() {
  const message = "The service ended the connection before it answered.";
  return { status: "failed", step: "proxy", code: "service_broke_off", message };
}
