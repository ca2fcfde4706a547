// The launcher's calls to the workspace, as the app's principal.
// Source of paths and fields: the platform's REST reference (OAuth M2M, Lakebase credentials, Apps).

import { setTimeout as sleep } from "node:timers/promises";

import { Failure, causeOf, problem } from "../failure.mjs";
import { complain, conceal, letGo, say } from "../log.mjs";

const OPTIONAL_MS = 3_000; // for a call whose answer is not needed
const CALL_MS = 15_000;
const LOGGED_LENGTH = 300; // characters of an answer
const TOKEN_MARGIN_MS = 60_000;
const DEFAULT_TTL_MS = 3_600_000;

export class Workspace {
  #token = { value: "", from: 0, until: 0 };
  #pending = null; // a request for a token
  #tokenError = null; // why the last request for one failed

  /** `id` is the workspace's, which a host of several workspaces needs; `now` is a monotonic clock in milliseconds. */
  constructor({ host, id, clientId, clientSecret, now = () => performance.now() }) {
    Object.assign(this, { host, id, clientId, clientSecret, now });
  }

  /** Headers of a call as the app's principal. */
  async #signed() {
    return { authorization: `Bearer ${await this.token()}`, ...(this.id ? { "x-databricks-workspace-id": this.id } : {}) };
  }

  /** An OAuth token of the app's principal, cached until a minute before its end. */
  async token() {
    if (this.#token.until - TOKEN_MARGIN_MS > this.now()) return this.#token.value;
    this.#pending ??= this.#newToken().finally(() => (this.#pending = null));
    return this.#pending;
  }

  /** Of the OAuth token: {age_seconds, life_seconds, last_error}; the first two are null while there is none. */
  get tokenStatus() {
    const { value, from, until } = this.#token;
    const seconds = (milliseconds) => (value ? Math.round(milliseconds / 1000) : null);
    return { age_seconds: seconds(this.now() - from), life_seconds: seconds(until - from), last_error: this.#tokenError };
  }

  async #newToken() {
    try {
      const token = await this.#requestToken();
      this.#tokenError = null;
      return token;
    } catch (error) {
      this.#tokenError = problem(error);
      throw error;
    }
  }

  async #requestToken() {
    const missing = ["host", "clientId", "clientSecret"].filter((name) => !this[name]);
    if (missing.length) {
      complain(`Missing Databricks client credentials: ${missing.join(", ")}`);
      const names = "DATABRICKS_HOST, DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET";
      throw new Failure("token", "client_credentials_missing", `Missing Databricks client credentials: the platform sets ${names}.`);
    }
    say(`Requesting workspace token from ${this.host}/oidc/v1/token`);
    const started = this.now();
    const answer = await this.#call("token", "Failed to fetch workspace OAuth token", "/oidc/v1/token", {
      method: "POST",
      headers: {
        authorization: `Basic ${Buffer.from(`${this.clientId}:${this.clientSecret}`).toString("base64")}`,
        "content-type": "application/x-www-form-urlencoded",
      },
      body: "grant_type=client_credentials&scope=all-apis",
    });
    if (typeof answer.body.access_token !== "string" || !answer.body.access_token) {
      complain("Failed to fetch workspace OAuth token: the answer has no access_token");
      throw new Failure("token", "token_refused", "The workspace answered without an OAuth token.", { heals: true });
    }
    this.#forget();
    const life = Number(answer.body.expires_in) * 1000 || DEFAULT_TTL_MS;
    this.#token = { value: conceal(answer.body.access_token), from: started, until: started + life };
    return this.#token.value;
  }

  #forget() {
    letGo(this.#token.value);
    this.#token = { value: "", from: 0, until: 0 };
  }

  /** A database credential {token, ttl (ms)}; the request is {path, body}, as in databases/kinds.mjs. */
  async credential({ path, body }) {
    const headers = await this.#signed();
    const wanted = body.endpoint ? `endpoint ${body.endpoint}` : `instance ${body.instance_names?.join(", ")}`;
    say(`Requesting DB credential from ${this.host}${path} for ${wanted}`);
    const answer = await this.#call("credential", "Failed to generate database credential", path, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    // Each of the two APIs has its own name for the end.
    const { token, expire_time: expires = answer.body.expiration_time } = answer.body;
    if (typeof token !== "string" || !token) {
      complain("Database credential response missing token");
      throw new Failure("credential", "credential_missing", "The workspace answered without a database credential.", { heals: true });
    }
    conceal(token);
    say(`Obtained database credential token (length): ${token.length}`);
    // By the server's clock if the answer has a date: the container's clock may be wrong.
    const ttl = Date.parse(expires) - (Date.parse(answer.date) || Date.now());
    return { token, ttl: Number.isFinite(ttl) ? ttl : DEFAULT_TTL_MS };
  }

  /** The app's public URL, or "" when the workspace does not return it. */
  async appUrl(name) {
    const { url } = await this.#app(name);
    return typeof url === "string" ? url : "";
  }

  /** The app's resources, as the API describes them. */
  async resources(name) {
    return (await this.#app(name)).resources ?? [];
  }

  async #app(name) {
    const path = `/api/2.0/apps/${encodeURIComponent(name)}`;
    const answer = await this.#call("app-url", "Failed to read the app", path, { headers: await this.#signed() });
    return answer.body;
  }

  /** Whether the environment names a workspace and a login for it. */
  get isConfigured() {
    return Boolean(this.host && this.clientId && this.clientSecret);
  }

  /** Number of instances that an app may be scaled to; 1 without an answer (not every workspace lets an app read itself). */
  async instances(name) {
    return Promise.race([this.#instances(name), sleep(OPTIONAL_MS, 1, { ref: false })]);
  }

  async #instances(name) {
    try {
      const headers = await this.#signed();
      const url = `${this.host}/api/2.0/apps/${encodeURIComponent(name)}`;
      const response = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(CALL_MS) });
      const app = response.ok ? await response.json() : {};
      return Number(app.compute_max_instances) || 1; // the number that runs may be two while one replaces the other
    } catch {
      return 1;
    }
  }

  async #call(step, line, path, options) {
    let response, text;
    try {
      response = await fetch(this.host + path, { redirect: "manual", signal: AbortSignal.timeout(CALL_MS), ...options });
      text = await response.text();
    } catch (error) {
      const cause = causeOf(error);
      complain(`${step === "credential" ? "Error fetching database credential" : line}: ${cause} (${this.host}${path})`);
      const message = `The workspace cannot be reached (${step}).`;
      throw new Failure(step, "workspace_unreachable", message, { detail: cause, heals: true });
    }
    const body = parsed(text);
    if (response.status === 200 && body) return { body, date: response.headers.get("date") };
    const evidence = text.replace(/\s+/g, " ").slice(0, LOGGED_LENGTH);
    const ended = response.status === 401 || (response.status === 403 && /\bInvalid access token\b/i.test(evidence));
    if (ended) this.#forget(); // it was revoked before its end
    complain(`${line}: HTTP ${response.status} ${evidence}`);
    const away = response.status === 429 || response.status >= 500; // says nothing about the request
    const code = away ? "workspace_unreachable" : `${step.replace("-", "_")}_refused`;
    const verb = away ? "is not available" : "refused";
    const message = `The workspace ${verb}: HTTP ${response.status}${body?.error_code ? ` ${body.error_code}` : ""} (${step}).`;
    throw new Failure(step, code, message, { detail: evidence, heals: true });
  }
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
