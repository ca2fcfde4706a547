// The order of a start, and the state that the launcher reports when a step fails. Each step is done by its own module.

import { setTimeout as sleep } from "node:timers/promises";

import { Access } from "./access/access.mjs";
import { bindAddress, describe, platformPort, requireSettings, workspaceHost } from "./environment.mjs";
import { failureReport } from "./failure-report.mjs";
import { Failure } from "./failure.mjs";
import { complain, conceal, say, unfold } from "./log.mjs";
import { accessRules } from "./proxy/access-rules.mjs";
import { callerCheck } from "./proxy/callers.mjs";
import { IdleSessions } from "./proxy/idle-sessions.mjs";
import { operators } from "./proxy/identity.mjs";
import { imageRule } from "./proxy/image-rule.mjs";
import { listenForServices } from "./proxy/inner-port.mjs";
import { Proxy } from "./proxy/proxy.mjs";
import { router } from "./proxy/routes.mjs";
import { sessionRules } from "./proxy/session-rules.mjs";
import { Sessions } from "./proxy/sessions.mjs";
import { nextKeys } from "./release/next-keys.mjs";
import { labelOf, readRelease } from "./release/release.mjs";
import { Unpacking } from "./release/unpacking.mjs";
import { retryDelay } from "./retry-delay.mjs";
import { available, MemoryWatch } from "./services/memory.mjs";
import { migrate } from "./services/migration.mjs";
import { Ports } from "./services/ports.mjs";
import { Programs } from "./services/programs.mjs";
import { Services } from "./services/services.mjs";
import { Counters } from "./status/counters.mjs";
import { StartSteps } from "./status/start-steps.mjs";
import { statusPages } from "./status/status-pages.mjs";

// Milliseconds after SIGTERM. The platform kills the app after 10 s, and ending the services takes up to 2.5 s.
const STREAMS_MS = 5_000; // streams are cut
const REQUESTS_MS = 6_500; // requests are cut
const DRAIN_MS = 6_800;
const STOP_MS = 9_700;

const STEP_MESSAGES = {
  release: "The release is read.",
  environment: "The environment is checked.",
  unpack: "The release is unpacked.",
  database: "The database's credentials are fetched.",
  migrate: "The database migrations run.",
  services: "MetaMCP's services start.",
};

const UP = { status: "up", step: null, code: "up", message: "MetaMCP serves." };

export class Launcher {
  #state = { status: "starting", step: "release", code: "starting", message: STEP_MESSAGES.release };
  #release = null;
  #route = null;
  #noImage = null;
  #sessions = new Sessions();
  #services = new Services();
  #memory;
  #unpacking = null; // of the release
  #lastFailure = null; // of the attempts so far
  #started = false; // both services have answered once
  #stop = new AbortController();
  #stopped = null; // promise, once `stop` was called
  #access;
  #ports = null;
  #innerPort = null; // for the services
  #environment = []; // the masked lines that were logged
  #label = null; // of the release
  #steps = new StartSteps();
  #counters = new Counters();

  constructor({ env, secrets, withheld, root }) {
    Object.assign(this, { env, secrets, withheld, root });
    Object.values(secrets).forEach(conceal);
    this.#access = new Access(env, secrets);
    this.#memory = new MemoryWatch(available(env), this.#services);
    const workspace = workspaceHost(env);
    const isOperator = operators(env);
    const details = this.#responseDetails(isOperator, env.METAMCP_CONTACT ?? "");
    const rules = accessRules(env, isOperator);
    const callers = callerCheck(secrets.METAMCP_PROXY_SECRET, env.APP_URL);
    const ready = () => this.#started && this.#services.up && this.#state.status !== "stopping";
    const own = statusPages(env, isOperator, () => this.#known());
    const given = { details, workspace, rules, callers, ready, own, counters: this.#counters, sessions: sessionRules(this.#sessions, () => this.#memory.full) };
    this.proxy = new Proxy((target, method) => this.#find(target, method), given);
  }

  /** Binds the port and starts the app; retries failures that can heal. Throws only when it cannot bind. */
  async run() {
    const port = platformPort(this.env);
    const host = bindAddress(this.env);
    await this.proxy.listen(port, host);
    say(`Listening on ${host}:${port} with Node ${process.version}`);
    this.#environment = describe(this.env, this.secrets, this.withheld);
    this.#environment.forEach((line) => say(line));
    for (let attempt = 0; !this.#stop.signal.aborted; attempt++) {
      const failure = await this.#attempt();
      if (!failure || this.#stop.signal.aborted) return;
      if (!failure.heals) return complain("Not tried again: this needs a change, and then a new deployment or start");
      const wait = retryDelay(attempt);
      say(`Trying again in ${wait / 1000} s`);
      await sleep(wait, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** Stops within 10 s: requests finish, streams are cut, services and their child processes end. */
  stop(signal) {
    return (this.#stopped ??= within(STOP_MS, this.#end(signal)));
  }

  async #end(signal) {
    say(`${signal}: stopping`);
    const began = performance.now();
    this.#stop.abort();
    this.#state = { status: "stopping", step: "stop", code: "stopping", message: "The app is being stopped." };
    await within(DRAIN_MS, this.proxy.drain(STREAMS_MS, REQUESTS_MS));
    this.#access.stop();
    await this.#services.stop();
    this.proxy.close();
    unfold();
    say(`Stopped after ${Math.round(performance.now() - began)} ms`);
  }

  /** Null when both services are up, else the failure. */
  async #attempt() {
    this.#steps.begin();
    try {
      await this.#bringUp();
      this.#steps.end();
      return null;
    } catch (error) {
      const failure = Failure.from(error, this.#state.step);
      if (this.#stop.signal.aborted) return failure;
      const { step, code, message, detail, heals } = failure;
      complain(`Start failed at step ${step} (${code}): ${message}${detail ? ` ${detail}` : ""}`);
      this.#steps.end(true);
      this.#lastFailure = { step, code, message, detail };
      this.#state = { status: "failed", ...this.#lastFailure, heals };
      return failure;
    }
  }

  /** What the launcher's own responses add: the contact, and for operators the failure report. */
  #responseDetails(isOperator, contact) {
    return (request, away) => {
      const failed = away.status === "failed" ? away : away.last;
      const report = failed && isOperator(request) ? failureReport(failed, this.#environment) : null;
      const steps = away.http || this.#started ? [] : this.#steps.shown;
      return { contact, report, steps };
    };
  }

  /** What the status document is made from. */
  #known() {
    return {
      state: this.#started && this.#services.up && this.#state.status !== "stopping" ? UP : this.#awayNow(),
      ...{ steps: this.#steps, release: (this.#label ??= labelOf(this.root)), environment: this.#environment },
      ...{ services: this.#services, access: this.#access, sessions: this.#sessions },
      ...{ memory: this.#memory, counters: this.#counters },
    };
  }

  async #bringUp() {
    this.#enter("release");
    const release = (this.#release ??= readRelease(this.root));
    this.#route = router(release.routes);
    this.#noImage = imageRule(release.routes);
    this.#enter("environment");
    requireSettings(this.env, this.secrets);
    const database = later(this.#access.database());
    const url = later(this.#access.appUrl());
    this.#enter("unpack");
    this.#unpacking ??= new Unpacking(this.root, release, nextKeys(this.secrets.BETTER_AUTH_SECRET));
    const ready = await this.#unpacking.start();
    this.#ports ??= await Ports.choose();
    this.#innerPort ??= await listenForServices(
      () => this.#services.portOf("backend"),
      (request, response) => this.proxy.handle(request, response),
    );
    await ready.backend;
    const { env, secrets } = this;
    const known = { env, secrets, release, unpacking: this.#unpacking, ports: this.#ports, innerPort: this.#innerPort };
    const programs = url.then((appUrl) => new Programs({ ...known, appUrl }));
    // The front end takes longest to start, and needs no database.
    const frontend = later(programs.then((made) => this.#services.run("frontend", (hold) => made.frontend(hold), ready.frontend)));
    await ready.migrations;
    this.#enter("database");
    const [made, target, appUrl] = await Promise.all([programs, database, url]);
    this.protocol = new URL(appUrl).protocol.slice(0, -1);
    this.#enter("migrate");
    const password = () => this.#access.password();
    const migrated = migrate({ ...made.migration(target, password), signal: this.#stop.signal });
    await this.#services.run("backend", (hold) => made.backend(target, password, hold), migrated);
    await frontend;
    this.#enter("services");
    await this.#bothUp();
  }

  #enter(step) {
    if (this.#stop.signal.aborted) throw new Failure(step, "stopping", "The app is being stopped.");
    this.#steps.enter(step);
    this.#state = { status: "starting", step, code: "starting", message: STEP_MESSAGES[step], last: this.#lastFailure };
  }

  async #bothUp() {
    while (!this.#stop.signal.aborted) {
      if (this.#services.up) {
        this.#started = true;
        say(`MetaMCP is up, ${Math.round(performance.now())} ms after the launcher started`);
        this.#watch();
        this.#unpacking.tidy();
        return;
      }
      await sleep(10);
    }
  }

  #watch() {
    this.#memory.start();
    this.#services.ended = (name) => name === "backend" && this.#sessions.clear(); // it held them
    const end = (session) => this.#services.tell("backend", { event: "end-session", ...session });
    const seconds = this.env.METAMCP_SESSION_IDLE ?? "";
    new IdleSessions({ sessions: this.#sessions, seconds, end, scarce: () => this.#memory.scarce }).start();
  }

  /** The service and path for a request, or {away}: why there is none now. */
  #find(target, method) {
    if (this.#state.status === "stopping" || !this.#started) return { away: this.#awayNow() };
    const { service, path, away } = this.#noImage(target) ?? this.#route(target, method);
    if (away) return { away };
    const port = this.#services.portOf(service);
    return port ? { port, path, protocol: this.protocol } : { away: this.#services.away(service) };
  }

  /** Why no request is served. */
  #awayNow() {
    if (this.#started && this.#state.status !== "stopping") return this.#services.away();
    return this.#state.step === "services" ? { ...this.#services.away(), last: this.#lastFailure } : this.#state;
  }
}

/** The promise itself; a rejection before somebody awaits it does not count as unhandled. */
function later(promise) {
  promise.catch(() => {});
  return promise;
}

/** Settles with the promise, at the latest after so many milliseconds. */
function within(milliseconds, promise) {
  return Promise.race([promise, sleep(milliseconds, undefined, { ref: false })]);
}
