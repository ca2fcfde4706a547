// The steps of a start and how long each took. Each attempt begins anew.

export class StartSteps {
  #steps = []; // {step, began, ended, failed}

  /** How often the start was tried. */
  attempts = 0;

  /** @param now the clock, in milliseconds */
  constructor(now = () => performance.now()) {
    this.now = now;
  }

  /** Another attempt begins. */
  begin() {
    this.attempts += 1;
    this.#steps = [];
  }

  /** A step begins, and with that the one before it has ended. */
  enter(step) {
    this.end();
    this.#steps.push({ step, began: this.now(), ended: null, failed: false });
  }

  /** The last step has ended. */
  end(failed = false) {
    const last = this.#steps.at(-1);
    if (last && last.ended === null) Object.assign(last, { ended: this.now(), failed });
  }

  /** [{step, state: done, failed or running, seconds}] of this attempt. */
  get shown() {
    return this.#steps.map(({ step, began, ended, failed }) => ({
      step,
      state: ended === null ? "running" : failed ? "failed" : "done",
      seconds: Math.round((ended ?? this.now()) - began) / 1000,
    }));
  }
}
