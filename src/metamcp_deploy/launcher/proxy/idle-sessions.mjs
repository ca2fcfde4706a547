// Ends MCP sessions that nobody uses. MetaMCP keeps a session, and a process for each of its servers, until the client sends
// DELETE; clients that crash, or are closed, never do.

import { say } from "../log.mjs";
import { holder } from "./session-router.mjs";

const DEFAULT_S = 4 * 3600;
const SCARCE_S = 30 * 60; // while memory is scarce
const SWEEP_MS = 60_000;

export class IdleSessions {
  /**
   * @param sessions the table, as sessions.mjs has it
   * @param seconds METAMCP_SESSION_IDLE: 0 for never, "" for the default
   * @param end function of {id, router, endpoint}, which lets the backend end a session
   * @param scarce function: whether memory is scarce
   */
  constructor({ sessions, seconds, end, scarce }) {
    Object.assign(this, { sessions, end, scarce, seconds: Number(seconds || DEFAULT_S) });
    if (seconds === "0") this.seconds = Infinity;
  }

  start() {
    if (this.seconds === Infinity) return;
    this.timer = setInterval(() => this.sweep(), Math.min(SWEEP_MS, this.seconds * 250)).unref();
  }

  /** Ends what has been idle for too long. */
  sweep() {
    if (this.seconds === Infinity || !this.sessions.size) return;
    const seconds = this.scarce() ? Math.min(this.seconds, SCARCE_S) : this.seconds;
    const now = this.sessions.now();
    const idle = this.sessions.idle().filter(({ since }) => now - since >= seconds * 1000);
    for (const { id, path } of idle) {
      this.sessions.closed(id); // from now on the launcher answers 404
      this.end({ id, ...holder(path) });
    }
    if (idle.length) say(`Ended MCP sessions without a request or an open stream for ${spoken(seconds)}: ${idle.length}`);
  }
}

function spoken(seconds) {
  if (seconds % 3600 === 0) return `${seconds / 3600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}
