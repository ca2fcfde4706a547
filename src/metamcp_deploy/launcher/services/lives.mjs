// What became of a service since the launcher started: since when it is up, and how its processes ended.

import { redact } from "../log.mjs";

const KEPT = 5; // deaths

export class Lives {
  /** Starts after the first. */
  restarts = 0;
  /** When it began to answer (RFC 3339); null while it does not. */
  since = null;
  #deaths = [];

  /** Records an end that nobody asked for: why, the exit's {code, signal}, and what it printed last. */
  died({ code, message }, exit, lines) {
    const time = new Date().toISOString();
    this.#deaths.push({ time, code, message, exit_code: exit.code, signal: exit.signal, lines: [...lines] });
    if (this.#deaths.length > KEPT) this.#deaths.shift();
  }

  /** The last ones, masked, the newest last. */
  get deaths() {
    return this.#deaths.map((one) => ({ ...one, lines: one.lines.map(redact) }));
  }
}
