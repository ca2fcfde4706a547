// The order of a start, and what is said when a step fails. Everything else is in the module of that thing.

import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

import { operators } from "./caller.mjs";
import { credentialsFor } from "./credentials.mjs";
import { Workspace } from "./databricks.mjs";
import * as environment from "./environment.mjs";
import { evidenceOf } from "./evidence.mjs";
import { Failure } from "./failure.mjs";
import { gate } from "./gate.mjs";
import { keysFrom } from "./keys.mjs";
import { complain, conceal, say } from "./log.mjs";
import { available, heapOptions } from "./memory.mjs";
import { migrate } from "./migration.mjs";
import { freePort, portOf } from "./ports.mjs";
import { Proxy } from "./proxy.mjs";
import { readRelease, unpack } from "./release.mjs";
import { router } from "./routes.mjs";
import { Service } from "./service.mjs";

const STREAMS_MS = 5_000; // after SIGTERM: streams are cut
const REQUESTS_MS = 6_500; // and requests; the services' own end takes up to 2.5 s, and 10 s is all there is
const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

const DOING = {
  release: "The release is read.",
  environment: "The environment is checked.",
  unpack: "The release is unpacked.",
  database: "The database's credentials are fetched.",
  migrate: "The database migrations run.",
};

export class Launcher {
  #state = { status: "starting", step: "release", code: "starting", message: DOING.release };
  #route = null;
  #services = {};
  #started = false; // both services have answered once
  #stop = new AbortController();
  #credentials = null;
  #workspace = null;
  #ports = null;
  #environment = []; // as it was logged, masked

  constructor({ env, secrets, withheld, root }) {
    Object.assign(this, { env, secrets, withheld, root });
    Object.values(secrets).forEach(conceal);
    const workspace = environment.workspaceHost(env);
    const isOperator = operators(env);
    const tell = this.#telling(isOperator, env.METAMCP_CONTACT ?? "");
    this.proxy = new Proxy((target) => this.#find(target), { tell, workspace, judge: gate(env, isOperator) });
  }

  /** Holds the port and brings the app up, again and again while that can help. Throws only when it cannot bind. */
  async run() {
    const port = portOf(this.env);
    const host = environment.bindAddress(this.env);
    await this.proxy.listen(port, host);
    say(`Listening on ${host}:${port} with Node ${process.version}`);
    this.#environment = environment.describe(this.env, this.secrets, this.withheld);
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
    this.#credentials?.stop();
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
    environment.requireSettings(this.env, this.secrets);
    const access = this.#databaseAccess();
    access.catch(() => {}); // told when it is waited for
    this.#enter("unpack");
    const { folders, ready } = await unpack(this.root, release, keysFrom(this.secrets.BETTER_AUTH_SECRET));
    for (const part of Object.values(ready)) part.catch(() => {}); // told when it is waited for
    await Promise.all([ready.backend, ready.migrations]);
    this.#enter("database");
    const { target, appUrl } = await access;
    this.protocol = new URL(appUrl).protocol.slice(0, -1);
    this.#ports ??= { backend: await freePort(), frontend: await freePort() };
    const plan = { release, folders, target, appUrl, ports: this.#ports };
    // The front end needs no database: it is unpacked and starts beside the migrations.
    const frontend = ready.frontend.then(() => this.#run("frontend", () => this.#frontend(plan)));
    frontend.catch(() => {});
    this.#enter("migrate");
    await migrate(this.#migration(plan));
    this.#run("backend", () => this.#backend(plan));
    await frontend;
    await this.#bothUp();
  }

  /** Once: a service looks after itself from then on, also over failed attempts. */
  #run(name, make) {
    if (this.#services[name] || this.#stop.signal.aborted) return;
    this.#services[name] = make();
    this.#services[name].run();
  }

  #enter(step) {
    if (this.#stop.signal.aborted) throw new Failure(step, "stopping", "The app is being stopped.");
    this.#state = { status: "starting", step, code: "starting", message: DOING[step] };
  }

  async #databaseAccess() {
    this.#workspace ??= new Workspace({
      host: environment.workspaceHost(this.env),
      clientId: this.env.DATABRICKS_CLIENT_ID,
      clientSecret: this.secrets.DATABRICKS_CLIENT_SECRET,
    });
    const target = await this.#target();
    this.#credentials?.stop();
    this.#credentials = credentialsFor(target, this.#workspace);
    await this.#credentials.password();
    say(`Derived DATABASE_URL for host ${target.PGHOST}:${target.PGPORT}, database ${target.PGDATABASE}, user ${target.PGUSER} (${target.kind})`);
    const [appUrl, instances] = await Promise.all([this.#appUrl(), this.#instances(target)]);
    if (instances > 1) throw manyInstances(instances);
    return { target, appUrl };
  }

  /** To how many instances the app is scaled, where the workspace is asked for credentials anyway, and tells. */
  #instances({ password }) {
    if (password !== undefined || this.env.METAMCP_ALLOW_INSTANCES) return 1;
    return this.#workspace.instances(this.env.DATABRICKS_APP_NAME ?? "");
  }

  async #target() {
    try {
      return environment.database({ ...this.env, ...(await this.#attachedDatabase()) }, this.secrets);
    } catch (error) {
      complain(error.message);
      throw error;
    }
  }

  /** For a deployment started by hand in the workspace, where nobody sent it. */
  async #attachedDatabase() {
    if (!environment.needsLakebase(this.env, this.secrets)) return {};
    say("Neither LAKEBASE_ENDPOINT nor LAKEBASE_INSTANCE_NAME set; asking the workspace for the app's database resource");
    return this.#workspace.attachedDatabase(this.env.DATABRICKS_APP_NAME ?? "").catch(() => ({}));
  }

  async #appUrl() {
    let found = this.env.APP_URL;
    if (!found) {
      say("APP_URL not set; asking the workspace for the app's URL");
      found = await this.#workspace.appUrl(this.env.DATABRICKS_APP_NAME ?? "").catch(() => "");
    }
    if (/^https?:\/\//.test(found) && URL.canParse(found)) return new URL(found).origin;
    const why = found ? `APP_URL is ${JSON.stringify(found)}, not an http(s) URL` : "APP_URL not set, and the workspace does not tell the app's URL";
    throw new Failure("app-url", "app_url_missing", `${why}: deploy with metamcp-deploy, which sends it.`);
  }

  #serviceEnvironment({ target, appUrl, ports }, own) {
    const { PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE } = target;
    const database = { PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE };
    if (this.env.PGSSLROOTCERT) database.PGSSLROOTCERT = this.env.PGSSLROOTCERT;
    const common = { APP_URL: appUrl, METAMCP_BACKEND_PORT: String(ports.backend) };
    return environment.serviceEnvironment(this.env, this.secrets, { ...common, ...own(database) });
  }

  #migration(plan) {
    return {
      folder: plan.folders.migrations,
      entry: plan.release.parts.migrations.entry,
      preload: this.#preload(plan),
      env: this.#serviceEnvironment(plan, (database) => ({ ...database, METAMCP_DB_SCHEMA: plan.release.schema })),
      password: () => this.#credentials.password(),
      signal: this.#stop.signal,
    };
  }

  #backend(plan) {
    const names = Object.keys(this.secrets).filter((name) => !/^(DATABRICKS_|PG|DATABASE_URL$)/.test(name));
    const extras = environment.backendExtras(this.env, this.secrets);
    return this.#service(plan, "backend", "/health", {
      env: this.#serviceEnvironment(plan, (database) => ({ ...database, ...extras, METAMCP_SERVICE_SECRETS: names.join(",") })),
      answers: {
        "database-password": () => this.#credentials.password(),
        secret: (name) => {
          if (!names.includes(name)) throw new Error(`there is no secret ${JSON.stringify(name)}`);
          return this.secrets[name];
        },
      },
    });
  }

  #frontend(plan) {
    const own = {
      PORT: String(plan.ports.frontend),
      HOSTNAME: "127.0.0.1",
      METAMCP_SERVICE_SECRETS: "",
      NEXT_PUBLIC_APP_URL: plan.appUrl, // before v2.4.0 no page renders without it, on the server or in the browser
    };
    return this.#service(plan, "frontend", "/", { env: this.#serviceEnvironment(plan, () => own) });
  }

  #service(plan, name, ready, more) {
    const folder = plan.folders[name];
    const entry = path.join(folder, plan.release.parts[name].entry);
    const options = heapOptions(name, available(this.env));
    if (plan.release.source_maps) options.push("--enable-source-maps");
    const argv = [process.execPath, ...options, "--import", this.#preload(plan), entry];
    return new Service({ name, argv, cwd: path.dirname(entry), port: plan.ports[name], ready, ...more });
  }

  #preload({ folders }) {
    return path.join(folders.backend, "preload.mjs");
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
    if (this.#state.status === "failed" || !backend || !frontend) return this.#state;
    return awayOf(backend.up ? frontend : backend);
  }
}

function manyInstances(count) {
  const why = "MetaMCP keeps its sessions in the memory of one instance, so that a client's next request may meet one that does not know it";
  const fix = "Scale the app to one instance, or set app.allow_instances and deploy again.";
  return new Failure("environment", "many_instances", `The app is scaled to ${count} instances: ${why}. ${fix}`, { heals: true });
}

function awayOf(service) {
  const { phase, code, message } = service.state;
  return { status: phase === "failed" ? "failed" : "starting", step: service.name, code, message };
}
