// The status document: what the launcher knows about the app, for operators and for commands that diagnose it.
// docs/launcher.md lists its fields. It holds no secret: all texts are masked once more at the end.

import { explain } from "../diagnoses.mjs";
import { failureReport, fixOf } from "../failure-report.mjs";
import { recentInOrder, redact } from "../log.mjs";
import { memoryUse } from "./memory-use.mjs";

export const FORMAT = 1;
const FRESH_MS = 1_000; // /proc is not read more often
const LOG_LINES = 100;
const explained = new WeakMap(); // line of the log → its explanation

export class StatusDocument {
  #use = { at: -Infinity, value: null };

  /**
   * @param look function that returns what is known now: {state, steps, release, environment, services, access, sessions,
   *   memory (the MemoryWatch), counters}
   */
  constructor(look) {
    this.look = look;
  }

  /** The document as an object; texts are not masked yet. */
  get facts() {
    const { state, steps, release, environment, services, access, sessions, memory, counters } = this.look();
    const use = this.#memoryUse(memory, services);
    const { status, step, code, message } = state;
    return {
      format: FORMAT,
      ...{ status, step, code, message, ...whatFailed(state) },
      steps: steps.shown,
      attempts: steps.attempts,
      started: new Date(performance.timeOrigin).toISOString(),
      uptime_seconds: Math.round(performance.now()) / 1000,
      release,
      node: process.version,
      environment,
      services: Object.fromEntries(
        Object.entries(services.status).map(([name, one]) => [name, { ...one, memory_bytes: use.services[name] ?? 0 }]),
      ),
      ...access.status,
      memory: use.memory,
      sessions: sessions.status,
      processes: use.processes,
      database_pool: services.pool,
      requests: counters.totals,
      last_hour: counters.lastHour,
      log: logLines(),
    };
  }

  /** As JSON text, masked. */
  get text() {
    return `${JSON.stringify(this.facts, (_, value) => (typeof value === "string" ? redact(value) : value))}\n`;
  }

  #memoryUse(memory, services) {
    const now = performance.now();
    if (now - this.#use.at > FRESH_MS) this.#use = { at: now, value: memoryUse(memory, services) };
    return this.#use.value;
  }
}

/** {error, cause, fix, failed_step, failed_code}, as in the failure report; null where nothing has failed. */
function whatFailed(state) {
  const failed = state.status === "failed" ? state : state.last;
  const { error = null, cause = null, fix = null } = failed ? failureReport(failed, []) : {};
  return { error, cause, fix, failed_step: failed?.step ?? null, failed_code: failed?.code ?? null };
}

/** The last lines: {source, time, line, known: null or {id, cause, fix}}. */
function logLines() {
  return recentInOrder().slice(-LOG_LINES).map((entry) => {
    if (!explained.has(entry)) explained.set(entry, explain(entry.line));
    const known = explained.get(entry);
    const { source, time, line } = entry;
    return { source, time: new Date(time).toISOString(), line, known: known && { id: known.id, cause: known.cause, fix: fixOf(known) } };
  });
}
