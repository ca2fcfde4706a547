// Whether the owner of a token manages the app. The workspace is asked with that token, which is kept and logged nowhere.
//
// Unsure is who may read an app's access list: those who manage it, or everybody on it. So the list has to name the owner.
// Source: the platform's REST reference (permissions of apps; SCIM, Me).

import { createHash } from "node:crypto";

import { refused } from "./readers.mjs";

const ANSWER_MS = 4_000;
const YES_MS = 60_000;
const NO_MS = 15_000;
const MOST_KNOWN = 200;
const WINDOW_MS = 60_000;
const MOST_CHECKS = 60; // a minute
const MOST_OF_ONE = 10; // of one caller, so that nobody else's are used up
const MANAGES = new Set(["CAN_MANAGE", "IS_OWNER"]);

export class Managers {
  #known = new Map(); // digest of a token → {verdict: promise, until}
  #checks = []; // {at, caller} of the last minute

  /**
   * @param host origin of the workspace; "" without one
   * @param id of the workspace, which a host of several needs
   * @param app its name
   * @param now the clock, in milliseconds
   */
  constructor({ host, id, app, now = () => performance.now() }) {
    Object.assign(this, { host, id, app, now });
  }

  /** Null when the token's owner manages the app, else why not, as the launcher refuses it. `caller` is who is counted. */
  async check(token, caller) {
    if (!this.host || !this.app) return refused(403, "operators_only", "This app knows no workspace that could tell whose the token is.");
    const name = createHash("sha256").update(token).digest("base64");
    const found = this.#known.get(name);
    if (found && found.until > this.now()) return found.verdict;
    if (!this.#mayAsk(caller)) return refused(429, "too_many_checks", "Too many tokens were checked within a minute: try again later.", 30);
    const entry = { verdict: this.#ask(token), until: this.now() + YES_MS };
    this.#known.delete(name); // the newest is the last
    this.#known.set(name, entry);
    if (this.#known.size > MOST_KNOWN) this.#known.delete(this.#known.keys().next().value);
    const verdict = await entry.verdict;
    if (verdict) entry.until = verdict.http === 503 ? 0 : this.now() + NO_MS;
    return verdict;
  }

  #mayAsk(caller) {
    const now = this.now();
    this.#checks = this.#checks.filter(({ at }) => now - at < WINDOW_MS);
    if (this.#checks.length >= MOST_CHECKS || this.#checks.filter((one) => one.caller === caller).length >= MOST_OF_ONE) return false;
    this.#checks.push({ at: now, caller });
    return true;
  }

  async #ask(token) {
    const paths = [`/api/2.0/permissions/apps/${encodeURIComponent(this.app)}`, "/api/2.0/preview/scim/v2/Me"];
    const [list, me] = await Promise.all(paths.map((path) => this.#get(path, token)));
    if ([list, me].some(({ status }) => status === 0 || status === 429 || status >= 500)) {
      return refused(503, "token_unchecked", "The workspace does not tell at the moment whose the token is. Operators can read this without one.", 5);
    }
    if (list.status === 401 || me.status === 401 || list.ended) {
      return refused(401, "token_refused", "The workspace does not accept the token: it has ended, or is of another workspace.");
    }
    if (list.status === 200 && me.status === 200 && manages(list.body, me.body)) return null;
    return refused(403, "not_a_manager", `This is for operators and for who has CAN_MANAGE on the app ${this.app}: the token's owner has not.`);
  }

  /** {status, body, ended}: status 0 without an answer. */
  async #get(path, token) {
    const headers = { authorization: `Bearer ${token}`, ...(this.id && { "x-databricks-workspace-id": this.id }) };
    try {
      const response = await fetch(this.host + path, { headers, redirect: "manual", signal: AbortSignal.timeout(ANSWER_MS) });
      const text = await response.text();
      if (response.status !== 200) return { status: response.status, ended: response.status === 403 && /\bInvalid access token\b/i.test(text) };
      return { status: 200, body: JSON.parse(text) };
    } catch {
      return { status: 0 };
    }
  }
}

/** Whether an access list gives CAN_MANAGE to whom SCIM describes, or to one of their groups. */
function manages(list, me) {
  const groups = new Set([me?.groups ?? []].flat().map((group) => group?.display));
  if (groups.has("admins")) return true; // administrators manage all apps
  const same = (one, other) => typeof one === "string" && one !== "" && one.toLowerCase() === String(other).toLowerCase();
  const isOwner = (entry) =>
    same(entry?.user_name, me?.userName) || same(entry?.service_principal_name, me?.userName) || groups.has(entry?.group_name);
  const grants = (entry) => [entry?.all_permissions ?? []].flat().some((one) => MANAGES.has(one?.permission_level));
  return [list?.access_control_list ?? []].flat().some((entry) => isOwner(entry) && grants(entry));
}
