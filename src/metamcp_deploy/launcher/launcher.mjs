// The order of a start, and what is said when a step fails. Everything else is in the module of that thing.

import { setTimeout as sleep } from "node:timers/promises";

import { Access } from "./access.mjs";
import { operators } from "./caller.mjs";
import { bindAddress, describe, requireSettings, workspaceHost } from "./environment.mjs";
import { evidenceOf } from "./evidence.mjs";
import { Failure } from "./failure.mjs";
import { gate } from "./gate.mjs";
import { keysFrom } from "./keys.mjs";
import { complain, conceal, say } from "./log.mjs";
import { migrate } from "./migration.mjs";
import { freePort, portOf } from "./ports.mjs";
import { Programs } from "./programs.mjs";
import { Proxy } from "./proxy.mjs";
import { readRelease, unpack } from "./release.mjs";
import { router } from "./routes.mjs";

const STREAMS_MS = 5_000; // after SIGTERM: streams are cut
const REQUESTS_MS = 6_500; // and requests; the services' own end takes up to 2.5 s, and 10 s is all there is
const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

const DOING = {
  release: "The release is read.",
  environment: "The environment is checked.",
  unpack: "The release is unpacked.",
  database: "The database's credentials are fetched.",
  migrate: "The database migrations run.",
  services: "MetaMCP's services start.",
};

export class Launcher {
  #state = { status: "starting", step: "release", code: "starting", message: DOING.release };
  #route = null;
  #services = {};
  #started = false; // both services have answered once
  #stop = new AbortController();
  #access;
  #ports = null;
  #environment = []; // as it was logged, masked

  constructor({ env, secrets, withheld, root }) {
    Object.assign(this, { env, secrets, withheld, root });
    Object.values(secrets).forEach(conceal);
    this.#access = new Access(env, secrets);
    const workspace = workspaceHost(env);
    const isOperator = operators(env);
    const tell = this.#telling(isOperator, env.METAMCP_CONTACT ?? "");
    this.proxy = new Proxy((target) => this.#find(target), { tell, workspace, judge: gate(env, isOperator) });
  }

  /** Holds the port and brings the app up, again and again while that can help. Throws only when it cannot bind. */
  async run() {
    const port = portOf(this.env);
    const host = bindAddress(this.env);
    await this.proxy.listen(port, host);
    say(`Listening on ${host}:${port} with Node ${process.version}`);
    this.#environment = describe(this.env, this.secrets, this.withheld);
    this.#environment.forEach((line) => say(line));
    for (let attempt = 0; !this.#stop.signal.aborted; attempt++) {
      const failure = await this.#attempt();
      if (!failure || this.#stop.signal.aborted) return;
      if (!failure.heals) return complain("Not tried again: this needs a change, and then a new deployment or start");
      const wait = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
      say(`Trying again in ${wait / 1000} s`);
      await sleep(wait, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** Ends everything within 10 s: requests finish, streams are cut, services and what they started end. */
  async stop(signal) {
    if (this.#stop.signal.aborted) return;
    say(`${signal}: stopping`);
    const began = performance.now();
    this.#stop.abort();
    this.#state = { status: "stopping", step: "stop", code: "stopping", message: "The app is being stopped." };
    await this.proxy.drain(STREAMS_MS, REQUESTS_MS);
    this.#access.stop();
    await Promise.all(Object.values(this.#services).map((service) => service.stop()));
    this.proxy.close();
    say(`Stopped after ${Math.round(performance.now() - began)} ms`);
  }

  /** Null when both services are up, else the failure. */
  async #attempt() {
    try {
      await this.#bringUp();
      return null;
    } catch (error) {
      const failure = Failure.from(error, this.#state.step);
      if (this.#stop.signal.aborted) return failure;
      const { step, code, message, detail, heals } = failure;
      complain(`Start failed at step ${step} (${code}): ${message}${detail ? ` ${detail}` : ""}`);
      this.#state = { status: "failed", step, code, message, detail, heals };
      return failure;
    }
  }

  /** What the launcher's own answers add: whom to ask, and for operators the evidence. */
  #telling(isOperator, contact) {
    return (request, away) => {
      const evidence = away.status === "failed" && isOperator(request) ? evidenceOf(away, this.#environment) : null;
      return { contact, evidence };
    };
  }

  async #bringUp() {
    this.#enter("release");
    const release = readRelease(this.root);
    this.#route = router(release.routes);
    this.#enter("environment");
    requireSettings(this.env, this.secrets);
    const database = later(this.#access.database());
    const url = later(this.#access.appUrl());
    this.#enter("unpack");
    const { folders, ready } = await unpack(this.root, release, keysFrom(this.secrets.BETTER_AUTH_SECRET));
    Object.values(ready).forEach(later);
    this.#ports ??= { backend: await freePort(), frontend: await freePort() };
    await ready.backend;
    const { env, secrets } = this;
    const programs = url.then((appUrl) => new Programs({ env, secrets, release, folders, ports: this.#ports, appUrl }));
    // The front end takes longest, and needs no database.
    const frontend = later(programs.then((known) => this.#run("frontend", (hold) => known.frontend(hold), ready.frontend)));
    await ready.migrations;
    this.#enter("database");
    const [known, target, appUrl] = await Promise.all([programs, database, url]);
    this.protocol = new URL(appUrl).protocol.slice(0, -1);
    this.#enter("migrate");
    const password = () => this.#access.password();
    const migrated = migrate({ ...known.migration(target, password), signal: this.#stop.signal });
    await this.#run("backend", (hold) => known.backend(target, password, hold), migrated);
    await frontend;
    this.#enter("services");
    await this.#bothUp();
  }

  /**
   * Starts a service, once: it looks after itself from then on, also over failed attempts. Its process waits before its
   * own first line until `hold` is done; when that fails it is ended.
   */
  async #run(name, make, hold) {
    if (!this.#services[name] && !this.#stop.signal.aborted) {
      this.#services[name] = make(hold);
      this.#services[name].run();
    }
    try {
      await hold;
    } catch (error) {
      await this.#services[name]?.stop();
      delete this.#services[name];
      throw error;
    }
  }

  #enter(step) {
    if (this.#stop.signal.aborted) throw new Failure(step, "stopping", "The app is being stopped.");
    this.#state = { status: "starting", step, code: "starting", message: DOING[step] };
  }

  async #bothUp() {
    while (!this.#stop.signal.aborted) {
      if (Object.values(this.#services).every((service) => service.up)) {
        this.#started = true;
        say(`MetaMCP is up, ${Math.round(performance.now())} ms after the launcher started`);
        return;
      }
      await sleep(10);
    }
  }

  /** Where a request goes, or why it cannot now. */
  #find(target) {
    if (this.#state.status === "stopping") return { away: this.#state };
    if (!this.#started) return { away: this.#awayWhileStarting() };
    const { service: name, path: onward } = this.#route(target);
    const service = this.#services[name];
    return service.up ? { port: service.port, path: onward, protocol: this.protocol } : { away: awayOf(service) };
  }

  #awayWhileStarting() {
    const { backend, frontend } = this.#services;
    return this.#state.step === "services" ? awayOf(backend.up ? frontend : backend) : this.#state;
  }
}

function awayOf(service) {
  const { phase, code, message } = service.state;
  return { status: phase === "failed" ? "failed" : "starting", step: service.name, code, message };
}

/** The promise, whose failure is told when it is waited for. */
function later(promise) {
  promise.catch(() => {});
  return promise;
}
