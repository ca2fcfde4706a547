// Folds lines that a service repeats: MetaMCP prints the ids of all sessions several times for each request.

const PASSED = 20; // lines of one shape in a window
const WINDOW_MS = 60_000;
const SHAPES = 2_000; // so many are told apart in a window; lines beyond are not folded
const LONGEST_SHAPE = 200;
const VARYING = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{16,}\b|\d+(\.\d+)?/gi; // ids and numbers

export class Folding {
  #seen = new Map(); // source and shape → {count, write, line: the last one}
  #timer = null;

  /** Writes the line by `write`, or counts it when many of its source were alike, ids and numbers aside. */
  pass(source, line, write) {
    const shape = `${source} ${line.slice(0, LONGEST_SHAPE).replace(VARYING, "#")}`;
    const seen = this.#seen.get(shape) ?? { count: 0 };
    if (this.#seen.size < SHAPES) this.#seen.set(shape, seen);
    this.#timer ??= setTimeout(() => this.flush(), WINDOW_MS).unref();
    seen.count += 1;
    if (seen.count <= PASSED) write(line);
    else Object.assign(seen, { line, write });
  }

  /** Ends the window: one line for each shape that was folded. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const folded = [...this.#seen.values()].filter(({ count }) => count > PASSED);
    this.#seen.clear();
    for (const { count, line, write } of folded) write(`${line} (repeated ${count - PASSED} times, ids and numbers aside)`);
  }
}
