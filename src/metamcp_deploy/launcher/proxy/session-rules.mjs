// Which MCP sessions requests belong to, for the table of sessions.

import { normalizedPath } from "./path-normalization.mjs";

const ROUTERS = /^\/(metamcp|mcp-proxy)(\/|$)/;

/**
 * Returns the function that follows a request to a service: null for one that has nothing to do with MCP, else
 * {answered(answer), ended()}, called with the service's response and at the exchange's end.
 *
 * @param sessions the table, as sessions.mjs has it
 */
export function sessionRules(sessions) {
  return (request, path, headers) => {
    const [plain] = path.split(/\?(.*)/s, 1);
    if (!ROUTERS.test(normalizedPath(plain) ?? plain)) return null;
    const [id] = [headers["mcp-session-id"] ?? []].flat();
    return new Exchange(sessions, { method: request.method, path: plain, id });
  };
}

class Exchange {
  #done = () => {};

  constructor(sessions, about) {
    Object.assign(this, { sessions, ...about });
    if (this.id) this.#done = sessions.seen(this.id);
  }

  answered({ statusCode, headers }) {
    const opened = headers["mcp-session-id"];
    if (this.id) {
      if (this.method === "DELETE" && statusCode < 300) this.sessions.closed(this.id);
    } else if (statusCode < 300 && opened) {
      this.sessions.opened(opened, { path: this.path });
      this.#done = this.sessions.seen(opened);
    }
  }

  ended() {
    this.#done();
    this.#done = () => {};
  }
}
