// Whether a service that is up goes on answering: a program can hang at full load and never end.

import { setTimeout as sleep } from "node:timers/promises";

const EVERY_MS = 10_000;
export const SILENT_MS = 60_000;

/** What `silent` measures time by; `patience` is how long one answer is waited for, in ms. */
export const CLOCK = { now: () => performance.now(), sleep: (ms) => sleep(ms, undefined, { ref: false }), patience: 5_000 };

/**
 * Resolves when a service has not answered for 60 s.
 *
 * @param ask asks it once: function of the patience in ms, whose promise is false without an answer
 * @param over whether it no longer runs: nothing resolves then
 */
export async function silent(ask, over, clock = CLOCK) {
  let answered = clock.now();
  while (clock.now() - answered < SILENT_MS) {
    await clock.sleep(EVERY_MS);
    if (over()) return new Promise(() => {});
    if (await ask(clock.patience)) answered = clock.now();
  }
}
