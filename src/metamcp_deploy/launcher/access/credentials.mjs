// The database password for new connections. Lakebase checks it at login only, and it is valid for at most one hour.

import { credentialRequest } from "../databases/kinds.mjs";
import { Failure, problem } from "../failure.mjs";
import { complain, conceal, letGo } from "../log.mjs";
import { retryDelay } from "../retry-delay.mjs";

const RENEW_AT = 0.6; // of its validity; the rest is for a workspace that is unavailable
const JITTER = 0.1; // many apps must not ask in the same second
const MARGIN = 0.1; // of its validity: with less left it is not used for a login, which may take a while
const MAX_MARGIN_MS = 30_000;
const SETTLED_MS = 30_000; // a credential that is younger may be refused: not every server knows it yet

/** The status of a password that is not fetched, or not yet. */
export const NOT_FETCHED = { age_seconds: null, expires_in_seconds: null, renewals: 0, failures: 0, last_error: null };

export class Credentials {
  #current = null;
  #previous = null; // used for new connections until the current one is settled
  #pending = null;
  #timer = null;
  #failures = 0;
  #refusal = null; // why the last renewal failed, while the next try is due
  #counts = { renewals: 0, failures: 0, last_error: null }; // since the start; the error until a try succeeds
  #stopped = false;

  /** `fetchOne` gives {token, ttl (ms)}; `now` is a monotonic clock in milliseconds. */
  constructor(fetchOne, { now = () => performance.now(), random = Math.random } = {}) {
    Object.assign(this, { fetchOne, now, random });
  }

  /** A valid password. Waits for a renewal that is under way; rejects while none is valid and the next try is not due. */
  async password() {
    const usable = (one) => one && one.usableUntil > this.now();
    if (usable(this.#previous) && !this.#isSettled()) return this.#previous.token;
    if (usable(this.#current)) return this.#current.token;
    if (this.#refusal && !this.#pending) throw this.#refusal; // each connection must not send a request of its own
    return (await this.renew()).token;
  }

  #isSettled() {
    return this.now() - this.#current.asked >= SETTLED_MS;
  }

  /** For another attempt to log in: keeps one that was refused while it was fresh, which a new one would be again. */
  async settle() {
    if (!this.#current || this.#isSettled() || this.#current.usableUntil <= this.now()) await this.renew();
  }

  /** Fetches a new one now; concurrent calls share one request. */
  renew() {
    this.#pending ??= this.#fetch().finally(() => (this.#pending = null));
    return this.#pending;
  }

  /** {age_seconds, expires_in_seconds, renewals, failures, last_error}; the first two are null while there is none. */
  get status() {
    const one = this.#current;
    const seconds = (milliseconds) => (one ? Math.round(milliseconds / 1000) : null);
    return { age_seconds: seconds(this.now() - one?.asked), expires_in_seconds: seconds(one?.until - this.now()), ...this.#counts };
  }

  /** Stops renewing. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    letGo(this.#current?.token);
    letGo(this.#previous?.token);
  }

  async #fetch() {
    const asked = this.now();
    try {
      const { token, ttl } = await this.fetchOne();
      if (!(ttl > 0)) {
        letGo(token);
        throw new Failure("credential", "credential_expired", "The workspace gave a credential that has already ended.", { heals: true });
      }
      letGo(this.#previous?.token);
      this.#previous = this.#current;
      if (this.#previous) this.#counts.renewals += 1;
      this.#counts.last_error = null;
      const until = asked + ttl;
      this.#current = { token, asked, until, usableUntil: until - Math.min(MAX_MARGIN_MS, ttl * MARGIN) };
      this.#failures = 0;
      this.#refusal = null;
      this.#schedule(ttl * (RENEW_AT - JITTER * this.random()));
      return this.#current;
    } catch (error) {
      this.#counts.failures += 1;
      this.#counts.last_error = problem(error);
      // Before the first credential the start sequence retries.
      if (this.#current) {
        const wait = retryDelay(this.#failures++);
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

/** The source of passwords for a target: its fixed password, or credentials that are renewed. */
export function credentialsFor(target, workspace) {
  if (target.password !== undefined) {
    conceal(target.password);
    return { password: async () => target.password, settle: async () => {}, stop() {}, status: NOT_FETCHED };
  }
  return new Credentials(() => workspace.credential(credentialRequest(target)));
}
