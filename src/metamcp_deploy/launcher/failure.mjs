// The one type of expected failure: the step that failed, a code for programs, a message for people.

/**
 * Everybody who may open the app can read `message`: one sentence that names the thing and what should have set it, without
 * internals. `detail` (an API's response, a cause) goes to the log only. `heals` says whether a retry can help.
 */
export class Failure extends Error {
  constructor(step, code, message, { detail = "", heals = false } = {}) {
    super(message);
    this.step = step;
    this.code = code;
    this.detail = detail;
    this.heals = heals;
  }

  /** Any thrown value as a Failure of the given step; a bug does not heal. */
  static from(error, step) {
    if (error instanceof Failure) return error;
    return new Failure(step, "launcher_bug", "The launcher itself failed; its log has the details.", {
      detail: error?.stack ?? String(error),
    });
  }
}

/** What the status document says of a try that failed: {code, message, time}. */
export function problem(error) {
  const { code, message, detail } = Failure.from(error, "");
  return { code, message: [message, detail].filter(Boolean).join(" "), time: new Date().toISOString() };
}

/** The innermost cause of a network error in a few words ("ECONNREFUSED", "timed out after 15 s"). */
export function causeOf(error) {
  let inner = error;
  while (inner?.cause) inner = inner.cause;
  if (inner?.name === "TimeoutError") return "timed out";
  return inner?.code ?? inner?.message ?? String(inner);
}
