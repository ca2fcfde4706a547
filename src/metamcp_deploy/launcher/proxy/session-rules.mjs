// MCP sessions have owners. MetaMCP finds a session by its id alone, so that every caller of any endpoint could use or end
// another's, and its answers list the ids of all. Here a session answers only the endpoint and the credential that opened it.

import { createHmac, randomBytes } from "node:crypto";

import { normalizedPath } from "./path-normalization.mjs";
import { holder } from "./session-router.mjs";

const ROUTERS = /^\/(metamcp|mcp-proxy)(\/|$)/;
const LIST = /\/health\/sessions\/?$/;
const COOKIE = /session_token=([^;]*)/;
const FIRST_EVENT = /^event: ?endpoint\r?\ndata: ?[^\r\n]*[?&]sessionId=([^&\s]+)/;
const OPENS = /\/(mcp|sse|stdio)\/?$/;
const AGAIN_S = 30;
const LONGEST_FIRST_EVENT = 8 * 1024;
const key = randomBytes(32);

/**
 * Returns the function that judges a request to a service: null for one that has nothing to do with MCP, {away} for a refused
 * one, else {answered(answer), ended(), lists}: called with the service's response and at the exchange's end, and whether a
 * JSON response may list sessions.
 *
 * @param sessions the table, as sessions.mjs has it
 * @param full function: whether there is no memory for another session
 */
export function sessionRules(sessions, full = () => false) {
  return (request, path, headers) => {
    const [plain, query = ""] = path.split(/\?(.*)/s, 2);
    const normal = normalizedPath(plain) ?? plain;
    if (!ROUTERS.test(normal)) return null;
    if (LIST.test(normal)) return { away: refused("sessions_closed", "The list of sessions is closed here.") };
    const owner = ownerOf(plain, headers, request);
    const ids = [headers["mcp-session-id"] ?? [], idsInQuery(query)].flat(2).filter(Boolean);
    if (!ids.every((id) => sessions.belongsTo(id, owner))) {
      return { away: refused("session_unknown", "Session not found: it has ended, or another endpoint or credential opened it.") };
    }
    if (!ids.length && OPENS.test(normal) && holder(normal).router && full()) return { away: NO_ROOM };
    return new Exchange(sessions, { method: request.method, path: plain, owner, id: ids[0] });
  };
}

const NO_ROOM = {
  ...{ http: 503, status: "refused", step: "access", code: "memory_full" },
  message: "The app's memory is nearly full: it opens no new MCP session until others have ended.",
  headers: { "retry-after": String(AGAIN_S) },
};

class Exchange {
  #done = () => {};

  constructor(sessions, about) {
    Object.assign(this, { sessions, ...about });
    if (this.id) this.#done = sessions.seen(this.id);
  }

  answered(answer) {
    const { statusCode, headers } = answer;
    this.lists = this.id !== undefined && (this.method === "DELETE" || statusCode >= 400);
    if (this.id) {
      // A 404 may also mean that the endpoint has another name now: the session is there yet.
      if (this.method === "DELETE" && statusCode < 300) this.sessions.closed(this.id);
    } else if (statusCode < 300 && headers["mcp-session-id"]) {
      this.#opened(headers["mcp-session-id"]);
    } else if (statusCode === 200 && (headers["content-type"] ?? "").startsWith("text/event-stream")) {
      this.#readId(answer);
    }
  }

  ended() {
    this.#done();
    this.#done = () => {};
  }

  #opened(id) {
    const { path, owner } = this;
    this.sessions.opened(id, { path, owner });
    this.#done = this.sessions.seen(id);
  }

  /** The first event of a stream names the session that lives as long as the stream. */
  #readId(answer) {
    let text = "";
    const read = (chunk) => {
      text += chunk.toString("latin1");
      const [, id] = FIRST_EVENT.exec(text.includes("\n\n") || text.includes("\r\n\r\n") ? text : "") ?? [];
      if (!id && text.length < LONGEST_FIRST_EVENT) return;
      answer.off("data", read);
      if (!id) return;
      this.#opened(decodeURIComponent(id));
      answer.once("close", () => this.sessions.closed(decodeURIComponent(id)));
    };
    answer.on("data", read);
  }
}

/** Values of every parameter that some parser may read as `sessionId`. */
function idsInQuery(query) {
  return [...new URLSearchParams(query)].filter(([name]) => /sessionid/i.test(name)).map(([, value]) => value);
}

/** A digest of the endpoint, or the router's part, and the credential that MetaMCP looks at there. */
function ownerOf(path, headers, request) {
  const parts = path.replace(/\/+$/, "").split("/").slice(0, -1);
  const cookie = COOKIE.exec([headers.cookie ?? ""].flat().join("; "))?.[1];
  const given = parts[1] === "mcp-proxy" ? cookie : [headers["x-api-key"] ?? headers.authorization ?? ""].flat()[0];
  // An endpoint that asks for no key: the caller, as the platform names them.
  const shown = given || `of ${request.headers["x-forwarded-user"] ?? request.headers["x-forwarded-email"] ?? ""}`;
  return createHmac("sha256", key).update(JSON.stringify([parts.map(decoded), shown])).digest("base64");
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function refused(code, message) {
  return { http: 404, status: "refused", step: "access", code, message };
}
