// The two services of a release. Each is started once and then restarts by itself, also while attempts to start the app fail.

import { Lives } from "./lives.mjs";

export const NAMES = ["backend", "frontend"];

export class Services {
  #current = {}; // by name
  #all = new Set(); // with those that are stopping
  #stopping = false;
  #lives = Object.fromEntries(NAMES.map((name) => [name, new Lives()]));

  /** Called with the name of a service when its process has ended. */
  ended = () => {};

  /**
   * Starts a service unless it exists. Its process waits for `hold` before it runs its own code. When `hold` rejects, the
   * call that started the service stops it, and throws the same error.
   */
  async run(name, make, hold) {
    const made = this.#current[name] || this.#stopping ? null : this.#start(name, make(hold));
    try {
      await hold;
    } catch (error) {
      if (made) await this.#end(name, made);
      throw error;
    }
  }

  /** Whether both answer. */
  get up() {
    return NAMES.every((name) => this.#current[name]?.up);
  }

  /** The port of a service that answers, else null. */
  portOf(name) {
    const service = this.#current[name];
    return service?.up ? service.port : null;
  }

  /** For the status document: name → {up, since, restarts, deaths, pid}. */
  get status() {
    const shown = (name) => {
      const { restarts, since, deaths } = this.#lives[name];
      return [name, { up: Boolean(this.#current[name]?.up), since, restarts, deaths, pid: this.#current[name]?.pid ?? null }];
    };
    return Object.fromEntries(NAMES.map(shown));
  }

  /** The backend's connections to the database, as service.mjs has them. */
  get pool() {
    return this.#current.backend?.pool ?? null;
  }

  /** The services that have a process. */
  running() {
    return Object.values(this.#current).filter(({ pid }) => pid);
  }

  /** Ends the process of a service because somebody asked for it; it starts again at once. False where it has none. */
  restart(name) {
    const service = this.#current[name];
    if (!service?.pid) return false;
    service.restart({ code: "restarting", message: "It starts again, as somebody asked.", asked: true });
    return true;
  }

  /** Sends a message to a service's process, if it has one. */
  tell(name, message) {
    this.#current[name]?.tell(message);
  }

  /** The state for a 503 about a service that does not answer; without a name, about the first one that does not. */
  away(name = NAMES.find((one) => !this.#current[one]?.up) ?? "backend") {
    const { phase, code, message } = this.#current[name]?.state ?? { code: "starting", message: "It starts." };
    return { status: phase === "failed" ? "failed" : "starting", step: name, code, message };
  }

  /** Ends both and all processes that they started; no service starts afterwards. */
  async stop() {
    this.#stopping = true;
    await Promise.all(Array.from(this.#all, (service) => service.stop()));
  }

  #start(name, service) {
    this.#current[name] = service;
    this.#all.add(service);
    service.lives = this.#lives[name];
    service.ended = () => this.ended(name);
    service.run();
    return service;
  }

  async #end(name, service) {
    delete this.#current[name]; // at once: the next attempt creates its own
    await service.stop();
    this.#all.delete(service);
  }
}
