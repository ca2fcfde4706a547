// The one kind of expected failure: where a start stopped, what a program may branch on, what a person reads.

/**
 * `message` is shown to everybody who may open the app: one sentence that names the thing and what should have set it,
 * never evidence. `detail` (an API's answer, a cause) goes to the log only. `heals` says whether trying again can help.
 */
export class Failure extends Error {
  constructor(step, code, message, { detail = "", heals = false } = {}) {
    super(message);
    this.step = step;
    this.code = code;
    this.detail = detail;
    this.heals = heals;
  }

  /** Whatever was thrown, as a Failure of the given step; a bug counts as one that does not heal. */
  static from(error, step) {
    if (error instanceof Failure) return error;
    return new Failure(step, "launcher_bug", "The launcher itself failed; its log has the details.", {
      detail: error?.stack ?? String(error),
    });
  }
}

/** The innermost cause of a network error in a few words ("ECONNREFUSED", "timed out after 15 s"). */
export function causeOf(error) {
  let inner = error;
  while (inner?.cause) inner = inner.cause;
  if (inner?.name === "TimeoutError") return "timed out";
  return inner?.code ?? inner?.message ?? String(inner);
}
