// What the app needs from outside its container: the database, its password, and the app's public URL.

import { credentialsFor, NOT_FETCHED } from "./credentials.mjs";
import { Workspace } from "./workspace.mjs";
import { databaseTarget, FROM_RESOURCES, isIncomplete, settingsFrom } from "../databases/kinds.mjs";
import { workspaceHost } from "../environment.mjs";
import { Failure } from "../failure.mjs";
import { complain, say } from "../log.mjs";

export class Access {
  #workspace;
  #credentialIssuer; // the workspace, as the principal that logs in to the database
  #credentials = null;

  constructor(env, secrets) {
    Object.assign(this, { env, secrets });
    const place = { host: workspaceHost(env), id: env.DATABRICKS_WORKSPACE_ID };
    this.#workspace = new Workspace({
      ...place,
      clientId: env.DATABRICKS_CLIENT_ID,
      clientSecret: secrets.DATABRICKS_CLIENT_SECRET,
    });
    // With `database.principal` another service principal logs in to the database, and requests the password itself.
    const id = env.METAMCP_DATABASE_CLIENT_ID;
    const other = { clientId: id, clientSecret: secrets.METAMCP_DATABASE_CLIENT_SECRET };
    this.#credentialIssuer = id ? new Workspace({ ...place, ...other }) : this.#workspace;
  }

  /** The database's target (see `databaseTarget` in databases/kinds.mjs), once a password for it is available. */
  async database() {
    const target = await this.#target();
    this.#credentials = this.#credentialsFor(target);
    await this.#credentials.settle(); // the database may have refused the credential of the previous attempt
    say(`Derived DATABASE_URL for host ${target.PGHOST}:${target.PGPORT}, database ${target.PGDATABASE}, user ${target.PGUSER} (${target.kind})`);
    const instances = await this.#instances();
    if (instances > 1) throw manyInstances(instances);
    return target;
  }

  /** For the status document: {token, credential}. */
  get status() {
    const credential = { kind: this.#credentials?.kind ?? null, ...(this.#credentials?.status ?? NOT_FETCHED) };
    return { token: this.#credentialIssuer.tokenStatus, credential };
  }

  /** A password that is valid now. */
  password() {
    return this.#credentials.password();
  }

  /** Origin of the app's public URL. */
  async appUrl() {
    let url = this.env.APP_URL;
    if (!url) {
      say("APP_URL not set; asking the workspace for the app's URL");
      url = await this.#workspace.appUrl(this.env.DATABRICKS_APP_NAME ?? "").catch(withoutAnswer(""));
    }
    if (/^https?:\/\//.test(url) && URL.canParse(url)) return new URL(url).origin;
    const why = url ? `APP_URL is ${JSON.stringify(url)}, not an http(s) URL` : "APP_URL not set, and the workspace does not tell the app's URL";
    throw new Failure("app-url", "app_url_missing", `${why}: deploy with metamcp-deploy, which sends it.`);
  }

  /** Stops renewing passwords. */
  stop() {
    this.#credentials?.stop();
  }

  /** The credentials of the previous attempt if the database is the same, else new ones. */
  #credentialsFor(target) {
    const name = JSON.stringify(target);
    if (this.#credentials?.name === name) return this.#credentials;
    this.stop();
    return Object.assign(credentialsFor(target, this.#credentialIssuer), { name, kind: target.kind });
  }

  async #target() {
    try {
      return databaseTarget({ ...this.env, ...(await this.#attachedDatabase()) }, this.secrets);
    } catch (error) {
      complain(error.message);
      throw error;
    }
  }

  /** For a deployment started by hand in the workspace, which sends no such settings. */
  async #attachedDatabase() {
    if (!isIncomplete(this.env, this.secrets)) return {};
    say(`Neither ${FROM_RESOURCES.join(" nor ")} set; asking the workspace for the app's database resource`);
    const resources = await this.#workspace.resources(this.env.DATABRICKS_APP_NAME ?? "").catch(withoutAnswer([]));
    return settingsFrom(resources);
  }

  /** Number of instances that the app is scaled to; 1 when the workspace does not answer. */
  #instances() {
    if (!this.#workspace.isConfigured || this.env.METAMCP_ALLOW_INSTANCES) return 1;
    return this.#workspace.instances(this.env.DATABRICKS_APP_NAME ?? "");
  }
}

/** Handler that replaces a refused answer by `value`; an unreachable workspace stays an error, because it may answer later. */
function withoutAnswer(value) {
  return (error) => {
    if (error.code === "workspace_unreachable") throw error;
    return value;
  };
}

function manyInstances(count) {
  const why = "MetaMCP keeps its sessions in the memory of one instance, so that a client's next request may meet one that does not know it";
  const fix = "Scale the app to one instance, or set app.allow_instances and deploy again.";
  return new Failure("environment", "many_instances", `The app is scaled to ${count} instances: ${why}. ${fix}`, { heals: true });
}
