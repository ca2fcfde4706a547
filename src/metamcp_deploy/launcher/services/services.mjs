// The two services of a release: each is started once and looks after itself from then on, also over failed attempts to
// start the app.

const NAMES = ["backend", "frontend"];

export class Services {
  #kept = {}; // by name
  #all = new Set(); // with those that are being ended
  #stopping = false;

  /**
   * Starts a service unless it is there. Its process waits before its own first line until `hold` is done; when that
   * fails it is ended by the call that made it, and what `hold` failed with is thrown.
   */
  async run(name, make, hold) {
    const made = this.#kept[name] || this.#stopping ? null : this.#start(name, make(hold));
    try {
      await hold;
    } catch (error) {
      if (made) await this.#end(name, made);
      throw error;
    }
  }

  /** Whether both answer. */
  get up() {
    return NAMES.every((name) => this.#kept[name]?.up);
  }

  /** The port of a service that answers, else null. */
  portOf(name) {
    const service = this.#kept[name];
    return service?.up ? service.port : null;
  }

  /** What a 503 says about a service that does not answer; about whichever of the two when none is named. */
  away(name = NAMES.find((one) => !this.#kept[one]?.up) ?? "backend") {
    const { phase, code, message } = this.#kept[name]?.state ?? { code: "starting", message: "It starts." };
    return { status: phase === "failed" ? "failed" : "starting", step: name, code, message };
  }

  /** Ends them and all that they started; none starts any more. */
  async stop() {
    this.#stopping = true;
    await Promise.all(Array.from(this.#all, (service) => service.stop()));
  }

  #start(name, service) {
    this.#kept[name] = service;
    this.#all.add(service);
    // The front end is told where the backend is when it starts.
    if (name === "backend") service.moved = () => this.#kept.frontend?.restart();
    service.run();
    return service;
  }

  async #end(name, service) {
    delete this.#kept[name]; // at once: the next attempt makes its own
    await service.stop();
    this.#all.delete(service);
  }
}
