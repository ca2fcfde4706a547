// The reverse proxy that holds the app's port for life: HTTP, event streams and WebSocket, nothing buffered.

import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { answerOf, send, sendRaw } from "./error-response.mjs";
import { sort } from "./authorization.mjs";
import { forwardHeaders, framed, requestId } from "./headers.mjs";
import { relay } from "./relay.mjs";
import { tunnel } from "./tunnel.mjs";

const IDLE_SERVICE_MS = 3_000; // below the 5 s after which Node's servers close an idle connection
const MAX_HEADER = 64 * 1024; // the platform adds access tokens
const LIMITS = {
  requestTimeout: 0, // big bodies over slow lines
  headersTimeout: 60_000, // without it, no timeout of requests means none of their heads either
  keepAliveTimeout: 75_000, // above what proxies in front usually keep (60 s), so that they close first
  maxHeaderSize: MAX_HEADER,
  noDelay: true,
};
const STATUS = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};
const CLOSING_MS = 250; // for connections that were cut to be gone

export class Proxy {
  #agent = new http.Agent({ keepAlive: true, timeout: IDLE_SERVICE_MS, maxFreeSockets: 64, noDelay: true });
  #open = new Set(); // {stream: boolean, end(), onward: request to a service} for each request and tunnel under way
  #idle = null;

  /**
   * @param find function of a request target: {port, path, protocol} of the service to ask, or
   *   {away: {status, step, code, message, detail?, heals?}} when it cannot be asked now
   * @param tell function of a request and what is away: {contact, evidence}, as error-response.mjs takes them
   * @param workspace origin of the workspace, whose tokens go no further
   * @param judge function of a request and its target, as access-rules.mjs makes it
   * @param limits of Node's server that differ from LIMITS
   */
  constructor(find, { tell, workspace, judge, limits = {} }) {
    Object.assign(this, { find, tell, workspace, judge });
    this.server = http.createServer({ ...LIMITS, ...limits });
    this.server.on("connection", (socket) => socket.setMaxListeners(0)); // each request under way on it has one
    this.server.on("request", (request, response) => this.#handle(request, response, false));
    this.server.on("checkContinue", (request, response) => this.#handle(request, response, true));
    this.server.on("checkExpectation", (request, response) => this.#handle(request, response, false));
    this.server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.server.on("clientError", (error, socket) => this.#clientError(error, socket));
  }

  /** Resolves when the port is held. */
  listen(port, host) {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, host, 1024, resolve);
    });
  }

  /** Resolves when nothing is under way; streams are cut after `streams` ms, everything after `all` ms. */
  async drain(streams, all) {
    const cut = setTimeout(() => this.#cut((one) => one.stream), streams);
    const end = setTimeout(() => this.#cut(() => true), all);
    const idle = new Promise((resolve) => (this.#idle = resolve));
    if (this.#open.size) await Promise.race([idle, sleep(all + CLOSING_MS, undefined, { ref: false })]);
    clearTimeout(cut);
    clearTimeout(end);
  }

  /** Gives up the port. */
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
      if (!this.#open.size) this.#idle?.();
    };
  }

  /** An exchange is over when its answer is, or its connection: answers queued behind another never close by themselves. */
  #exchange(request, response) {
    const { socket } = request;
    const entry = { stream: false, onward: null, end: () => socket.destroy() };
    const release = this.#track(entry);
    const over = () => {
      response.off("close", over);
      socket.off("close", over);
      release();
    };
    response.once("close", over);
    socket.once("close", over);
    return entry;
  }

  #handle(request, response, waiting) {
    const id = requestId(request);
    const found = this.find(targetOf(request));
    if (found.away) return this.#refuse(request, response, found.away, id);
    const judged = this.judge(request, targetOf(request));
    if (judged?.away) return this.#refuse(request, response, judged.away, id);
    const entry = this.#exchange(request, response);
    if (judged?.body) return this.#sendRead(request, response, { found, id, waiting, entry, read: judged.body });
    this.#send(request, response, { found, id, waiting, entry });
  }

  /** For a request whose body decides whether it may go on, and goes on as it was read. */
  async #sendRead(request, response, { read, ...exchange }) {
    if (exchange.waiting) response.writeContinue();
    const { away, bytes } = await read.catch(() => ({ away: brokenOff() }));
    if (response.destroyed) return;
    if (away) this.#refuse(request, response, away, exchange.id);
    else this.#send(request, response, { ...exchange, waiting: false, bytes });
  }

  #send(request, response, exchange) {
    const { found, id, waiting, entry, bytes } = exchange;
    const headers = forwardHeaders(request, id, found.protocol);
    const sorted = sort(headers, found.path, this.workspace);
    if (!waiting) delete headers.expect;
    if (bytes) framed(headers, bytes);
    const hasBody = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"]) > 0;
    const onward = http.request({
      host: "127.0.0.1",
      port: found.port,
      method: request.method,
      path: sorted.path,
      headers,
      agent: this.#agent,
      maxHeaderSize: MAX_HEADER,
    });
    entry.onward = onward;
    onward.on("response", (answer) => relay(answer, response, { entry, port: found.port, sorted }));
    onward.on("error", () => {
      entry.onward = null;
      request.unpipe(onward);
      if (response.destroyed) return;
      if (response.headersSent) return response.destroy();
      // The service closed an idle connection at the moment it was used again: nothing of the request was lost.
      if (onward.reusedSocket && !hasBody && (request.method === "GET" || request.method === "HEAD")) {
        return this.#send(request, response, exchange);
      }
      request.resume();
      const away = this.find(targetOf(request)).away ?? brokenOff();
      this.#refuse(request, response, away, id);
    });
    onward.on("close", () => {
      request.unpipe(onward);
      request.resume(); // an answer before the end of the body: the rest is read and dropped
    });
    if (bytes) return onward.end(bytes);
    if (!hasBody) return onward.end();
    if (!waiting) return request.pipe(onward);
    onward.flushHeaders();
    onward.once("continue", () => {
      response.writeContinue();
      request.pipe(onward);
    });
  }

  #upgrade(request, socket, head) {
    socket.on("error", () => socket.destroy());
    const id = requestId(request);
    if ((request.headers.upgrade ?? "").toLowerCase() !== "websocket") return this.#notUpgraded(request, socket);
    const found = this.find(targetOf(request));
    const away = found.away ?? this.#noUpgrade(request);
    if (away) return this.#refuseRaw(request, socket, away, id);
    const headers = forwardHeaders(request, id, found.protocol);
    const { path } = sort(headers, found.path, this.workspace);
    Object.assign(headers, { connection: "Upgrade", upgrade: "websocket" });
    const onward = http.request({ host: "127.0.0.1", port: found.port, method: request.method, path, headers, agent: false });
    socket.once("close", this.#track({ stream: true, onward, end: () => socket.destroy() }));
    const refuse = () => this.#refuseRaw(request, socket, this.find(targetOf(request)).away ?? brokenOff(), id);
    tunnel(onward, { socket, head, port: found.port, refuse });
    onward.end();
  }

  /** Why a request may not become a tunnel: what has a body to be read is no WebSocket either. */
  #noUpgrade(request) {
    const judged = this.judge(request, targetOf(request));
    judged?.body?.catch(() => {});
    return judged?.body ? { http: 400, status: "refused", step: "access", code: "no_websocket", message: "This is no WebSocket." } : judged?.away;
  }

  /** An offer of another protocol (curl's h2c) may be ignored (RFC 9110, 7.8): served as an ordinary request. */
  #notUpgraded(request, socket) {
    const response = new http.ServerResponse(request);
    response.assignSocket(socket);
    response.shouldKeepAlive = false;
    response.on("finish", () => socket.end());
    const body = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"]) > 0;
    if (!body) return this.#handle(request, response, false);
    const away = { http: 501, status: "refused", step: "proxy", code: "upgrade_with_body", message: "Send the body without Upgrade." };
    return this.#refuse(request, response, away, requestId(request));
  }

  #refuse(request, response, away, id) {
    send(response, answerOf(request, away, { id, ...this.tell(request, away) }));
  }

  #refuseRaw(request, socket, away, id) {
    sendRaw(socket, answerOf(request, away, { id, ...this.tell(request, away) }));
  }

  #clientError(error, socket) {
    if (!socket.writable || socket.bytesWritten) return socket.destroy();
    const status = STATUS[error.code] ?? "400 Bad Request";
    return socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }
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
