// The table of MCP sessions: who opened each one, and since when it is idle. MetaMCP itself finds a session by its id alone.
// Only sessions that the launcher saw opening are here. Times are milliseconds of the given clock.

import { holder } from "./session-router.mjs";

export class Sessions {
  #all = new Map(); // id → {owner, path, requests: number of open ones, since: end of the last one}

  /** @param now the clock */
  constructor(now = () => performance.now()) {
    this.now = now;
  }

  get size() {
    return this.#all.size;
  }

  /**
   * Adds a session.
   *
   * @param owner digest of the endpoint and the credential that opened it
   * @param path to the service, which says which of its routers holds the session (/metamcp/<endpoint>/mcp)
   */
  opened(id, { owner, path }) {
    // An id that is known keeps its owner.
    if (!this.#all.has(id)) this.#all.set(id, { owner, path, requests: 0, since: this.now() });
  }

  /** Whether the session exists and this owner opened it. */
  belongsTo(id, owner) {
    return this.#all.has(id) && this.#all.get(id).owner === owner;
  }

  /** A request or stream of the session begins; returns the function to call once when it has ended. */
  seen(id) {
    const session = this.#all.get(id);
    if (!session) return () => {};
    session.requests += 1;
    return () => {
      session.requests -= 1;
      session.since = this.now();
    };
  }

  /** Removes a session that has ended. */
  closed(id) {
    this.#all.delete(id);
  }

  /** Removes all: the service that held them has ended. */
  clear() {
    this.#all.clear();
  }

  /** For the status document: {open, by_endpoint: [{route, endpoint, open}], oldest_idle_seconds}. */
  get status() {
    const groups = new Map();
    for (const { path } of this.#all.values()) {
      const { router: route = null, endpoint } = holder(path);
      const key = JSON.stringify([route, endpoint]);
      if (!groups.has(key)) groups.set(key, { route, endpoint, open: 0 });
      groups.get(key).open += 1;
    }
    const now = this.now();
    const idle = this.idle().map(({ since }) => (now - since) / 1000);
    return { open: this.size, by_endpoint: [...groups.values()], oldest_idle_seconds: idle.length ? Math.round(Math.max(...idle)) : null };
  }

  /** Sessions without an open request or stream, as {id, path, since}: the time of their last request's end. */
  idle() {
    return Array.from(this.#all, ([id, session]) => ({ id, ...session }))
      .filter(({ requests }) => requests === 0)
      .map(({ id, path, since }) => ({ id, path, since }));
  }
}
