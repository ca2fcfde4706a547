// How each program of a release is started: arguments, environment, and the answers that it gets over IPC.

import path from "node:path";
import process from "node:process";

import { SECRETS } from "../databases/kinds.mjs";
import { backendExtras, serviceEnvironment } from "../environment.mjs";
import { available, heapOptions } from "./memory.mjs";
import { Service } from "./service.mjs";

// Secrets that only the launcher has, with SECRETS: the backend asks for passwords, and calls no workspace.
const KEPT = /^(DATABRICKS_|METAMCP_DATABASE_|METAMCP_PROXY_|PG)/;

// `build` adds it. Next answers without rendering a page, whether or not there is such a file.
const STATIC = "/_next/static/health.js";

export class Programs {
  /**
   * @param env the launcher's own, without `secrets`
   * @param release the result of readRelease
   * @param unpacking of its parts
   * @param ports of the services
   * @param innerPort the launcher's port for the services
   * @param appUrl origin
   */
  constructor({ env, secrets, release, unpacking, ports, innerPort, appUrl }) {
    Object.assign(this, { env, secrets, release, unpacking, folders: unpacking.folders, ports, innerPort, appUrl });
    this.preload = path.join(this.folders.backend, "preload.mjs");
  }

  /** Options of `migrate`. `target` is the database, `password` a function that returns a valid one. */
  migration(target, password) {
    const { entry } = this.release.parts.migrations;
    const env = this.#environment({ ...this.#database(target), METAMCP_DB_SCHEMA: this.release.schema });
    return { folder: this.folders.migrations, entry, preload: this.preload, env, password };
  }

  /** The backend; its process waits for the promise `hold`. */
  backend(target, password, hold) {
    const names = Object.keys(this.secrets).filter((name) => !KEPT.test(name) && !SECRETS.includes(name));
    const extras = { ...backendExtras(this.env, this.secrets), METAMCP_INNER_PORT: String(this.innerPort) };
    return this.#service("backend", "/health", hold, {
      env: () => this.#environment({ ...this.#database(target), ...extras, METAMCP_SERVICE_SECRETS: names.join(",") }),
      answers: {
        "database-password": password,
        secret: (name) => {
          if (!names.includes(name)) throw new Error(`there is no secret ${JSON.stringify(name)}`);
          return this.secrets[name];
        },
      },
    });
  }

  frontend(hold) {
    const own = () => ({
      PORT: String(this.ports.frontend),
      HOSTNAME: "127.0.0.1",
      METAMCP_SERVICE_SECRETS: "",
      METAMCP_BACKEND_PORT: String(this.innerPort),
      NEXT_PUBLIC_APP_URL: this.appUrl, // before v2.4.0 no page renders without it, on the server or in the browser
    });
    return this.#service("frontend", "/", hold, { env: () => this.#environment(own()), watched: STATIC });
  }

  #service(name, ready, hold, more) {
    const entry = path.join(this.folders[name], this.release.parts[name].entry);
    const options = heapOptions(name, available(this.env));
    if (this.release.source_maps) options.push("--enable-source-maps");
    const argv = [process.execPath, ...options, "--import", this.preload, entry];
    // The preload changes to the entry's folder, which may not exist yet.
    const renew = () => this.unpacking.renew(name);
    return new Service({ name, argv, cwd: this.folders.backend, ports: this.ports, ready, hold, renew, ...more });
  }

  #environment(own) {
    const common = { APP_URL: this.appUrl, METAMCP_BACKEND_PORT: String(this.ports.backend) };
    return serviceEnvironment(this.env, this.secrets, { ...common, ...own });
  }

  #database({ PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE }) {
    const { PGAPPNAME, PGSSLROOTCERT } = this.env;
    const more = { ...(PGAPPNAME && { PGAPPNAME }), ...(PGSSLROOTCERT && { PGSSLROOTCERT }) };
    return { PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE, ...more };
  }
}
