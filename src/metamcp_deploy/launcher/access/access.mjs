// How the app gets at what is outside its container: the database and its password, and the URL it is known by.

import { credentialsFor } from "./credentials.mjs";
import { Workspace } from "./workspace.mjs";
import { databaseTarget, FROM_RESOURCES, isIncomplete, settingsFrom } from "../databases/kinds.mjs";
import { workspaceHost } from "../environment.mjs";
import { Failure } from "../failure.mjs";
import { complain, say } from "../log.mjs";

export class Access {
  #workspace;
  #grantor; // of database credentials
  #credentials = null;

  constructor(env, secrets) {
    Object.assign(this, { env, secrets });
    this.#workspace = new Workspace({
      host: workspaceHost(env),
      clientId: env.DATABRICKS_CLIENT_ID,
      clientSecret: secrets.DATABRICKS_CLIENT_SECRET,
    });
    // Where another service principal logs in to the database (`database.principal`), its password is asked for as it.
    const id = env.METAMCP_DATABASE_CLIENT_ID;
    const other = { clientId: id, clientSecret: secrets.METAMCP_DATABASE_CLIENT_SECRET };
    this.#grantor = id ? new Workspace({ host: workspaceHost(env), ...other }) : this.#workspace;
  }

  /** Where the database is (see `databaseTarget` in databases/kinds.mjs), with a password for it at hand. */
  async database() {
    const target = await this.#target();
    this.#credentials = this.#credentialsFor(target);
    await this.#credentials.renew(); // what an attempt before got may be what the database refused
    say(`Derived DATABASE_URL for host ${target.PGHOST}:${target.PGPORT}, database ${target.PGDATABASE}, user ${target.PGUSER} (${target.kind})`);
    const instances = await this.#instances();
    if (instances > 1) throw manyInstances(instances);
    return target;
  }

  /** One that is valid now. */
  password() {
    return this.#credentials.password();
  }

  /** Origin of the URL that people and clients know the app by. */
  async appUrl() {
    let found = this.env.APP_URL;
    if (!found) {
      say("APP_URL not set; asking the workspace for the app's URL");
      found = await this.#workspace.appUrl(this.env.DATABRICKS_APP_NAME ?? "").catch(untold(""));
    }
    if (/^https?:\/\//.test(found) && URL.canParse(found)) return new URL(found).origin;
    const why = found ? `APP_URL is ${JSON.stringify(found)}, not an http(s) URL` : "APP_URL not set, and the workspace does not tell the app's URL";
    throw new Failure("app-url", "app_url_missing", `${why}: deploy with metamcp-deploy, which sends it.`);
  }

  /** Renews no more passwords. */
  stop() {
    this.#credentials?.stop();
  }

  /** Those of the attempt before, where the database is the same. */
  #credentialsFor(target) {
    const name = JSON.stringify(target);
    if (this.#credentials?.name === name) return this.#credentials;
    this.stop();
    return Object.assign(credentialsFor(target, this.#grantor), { name });
  }

  async #target() {
    try {
      return databaseTarget({ ...this.env, ...(await this.#attachedDatabase()) }, this.secrets);
    } catch (error) {
      complain(error.message);
      throw error;
    }
  }

  /** For a deployment started by hand in the workspace, where nobody sent it. */
  async #attachedDatabase() {
    if (!isIncomplete(this.env, this.secrets)) return {};
    say(`Neither ${FROM_RESOURCES.join(" nor ")} set; asking the workspace for the app's database resource`);
    const resources = await this.#workspace.resources(this.env.DATABRICKS_APP_NAME ?? "").catch(untold([]));
    return settingsFrom(resources);
  }

  /** To how many instances the app is scaled, where the workspace can be asked, and tells. */
  #instances() {
    if (!this.#workspace.known || this.env.METAMCP_ALLOW_INSTANCES) return 1;
    return this.#workspace.instances(this.env.DATABRICKS_APP_NAME ?? "");
  }
}

/** What stands for an answer that the workspace does not give; one that is away may give it later. */
function untold(value) {
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
