// The database password for each new connection. Lakebase checks it at login only, and it lives for one hour at most.

import { credentialRequest } from "../databases/kinds.mjs";
import { Failure } from "../failure.mjs";
import { complain, conceal, letGo } from "../log.mjs";

const RENEW_AT = 0.6; // of its life; the rest is for a workspace that is away
const JITTER = 0.1; // so that many apps do not ask in the same second
const MARGIN = 0.1; // of its life: what has less left is not offered to a login that may take a while
const MAX_MARGIN_MS = 30_000;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 20_000, 30_000];

export class Credentials {
  #current = null;
  #pending = null;
  #timer = null;
  #failures = 0;
  #refusal = null; // why there is no new one, while a later try is due
  #stopped = false;

  /** `fetchOne` gives {token, ttl (ms)}; `now` is a monotonic clock in milliseconds. */
  constructor(fetchOne, { now = () => performance.now(), random = Math.random } = {}) {
    Object.assign(this, { fetchOne, now, random });
  }

  /** A password that is never one that ran out: without one it waits for what is asked for, and fails between two tries. */
  async password() {
    if (this.#current && this.#current.usableUntil > this.now()) return this.#current.token;
    if (this.#refusal && !this.#pending) throw this.#refusal; // many connections must not ask each for itself
    return (await this.renew()).token;
  }

  /** Fetches one now; calls at the same time share one request. */
  renew() {
    this.#pending ??= this.#fetch().finally(() => (this.#pending = null));
    return this.#pending;
  }

  /** Renews no more. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    letGo(this.#current?.token);
  }

  async #fetch() {
    const asked = this.now();
    try {
      const { token, ttl } = await this.fetchOne();
      if (!(ttl > 0)) {
        letGo(token);
        throw new Failure("credential", "credential_expired", "The workspace gave a credential that has already ended.", { heals: true });
      }
      letGo(this.#current?.token);
      this.#current = { token, usableUntil: asked + ttl - Math.min(MAX_MARGIN_MS, ttl * MARGIN) };
      this.#failures = 0;
      this.#refusal = null;
      this.#schedule(ttl * (RENEW_AT - JITTER * this.random()));
      return this.#current;
    } catch (error) {
      // Before the first one the start sequence itself tries again.
      if (this.#current) {
        const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
        complain(`The database credential was not renewed (${error.message}); trying again in ${wait / 1000} s`);
        this.#schedule(wait);
        this.#refusal = error;
      }
      throw error;
    }
  }

  #schedule(wait) {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.renew().catch(() => {}), wait);
    this.#timer.unref();
  }
}

/** The source for a target: a fixed password (external database, or one kept in a secret), or renewed credentials. */
export function credentialsFor(target, workspace) {
  if (target.password !== undefined) {
    conceal(target.password);
    return { password: async () => target.password, renew: async () => {}, stop() {} };
  }
  return new Credentials(() => workspace.credential(credentialRequest(target)));
}
