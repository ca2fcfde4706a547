// Counts requests by class and status, and how long they took, since the start and by minute of the last hour.

import { CLASSES, routeClass } from "./route-class.mjs";

/** Upper bounds of the histogram, in seconds. */
export const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** How a request ended: without a response, or with one of a hundred. */
export const STATUSES = ["closed", "1xx", "2xx", "3xx", "4xx", "5xx"];
const MINUTES = 60;
const FAILED = STATUSES.indexOf("5xx");

/** Numbers of one class, or of one minute. */
function numbers() {
  return { statuses: new Float64Array(STATUSES.length), times: new Float64Array(BOUNDS.length + 1), seconds: 0 };
}

export class Counters {
  #classes = Object.fromEntries(CLASSES.map((name) => [name, numbers()]));
  #minutes = Array.from({ length: MINUTES }, () => ({ minute: -1, ...numbers() }));

  /** @param now the clock, in milliseconds */
  constructor(now = () => performance.now()) {
    this.now = now;
  }

  /** What `ended` takes as `began`. */
  began() {
    return this.now();
  }

  /**
   * A request has ended.
   *
   * @param response with its status, if it was sent
   * @param stream whether the response lasted as long as the client listened: its time says nothing
   */
  ended(request, response, began, stream) {
    const now = this.now();
    const status = response.headersSent ? Math.floor(response.statusCode / 100) : 0;
    const own = this.#classes[routeClass(request.url)];
    const minute = this.#minute(now);
    own.statuses[status] += 1;
    minute.statuses[status] += 1;
    if (stream && request.method === "GET") return;
    const seconds = (now - began) / 1000;
    let bound = 0;
    while (bound < BOUNDS.length && seconds > BOUNDS[bound]) bound += 1;
    own.times[bound] += 1;
    own.seconds += seconds;
    minute.times[bound] += 1;
  }

  #minute(now) {
    const minute = Math.floor(now / 60_000);
    const place = minute % MINUTES;
    if (this.#minutes[place].minute !== minute) this.#minutes[place] = { minute, ...numbers() };
    return this.#minutes[place];
  }

  /** Class → {statuses, times, seconds}, for classes that were asked for: lists in the order of STATUSES and BOUNDS. */
  get classes() {
    return Object.entries(this.#classes).filter(([, { statuses }]) => statuses.some(Boolean));
  }

  /** Class → {status: number}, without those that are 0. */
  get totals() {
    const shown = (counts) => Object.fromEntries(STATUSES.map((name, i) => [name, counts[i]]).filter(([, count]) => count));
    return Object.fromEntries(this.classes.map(([name, { statuses }]) => [name, shown(statuses)]));
  }

  /** The last hour, a number for each minute, the present one last: {requests, errors, median_seconds, slow_seconds (95 %)}. */
  get lastHour() {
    const present = Math.floor(this.now() / 60_000);
    const minutes = Array.from({ length: MINUTES }, (_, i) => {
      const minute = present - MINUTES + 1 + i;
      const found = minute < 0 ? null : this.#minutes[minute % MINUTES];
      return found?.minute === minute ? found : null;
    });
    return {
      requests: minutes.map((one) => one?.statuses.reduce((sum, count) => sum + count) ?? 0),
      errors: minutes.map((one) => one?.statuses[FAILED] ?? 0),
      median_seconds: minutes.map((one) => (one ? quantile(one.times, 0.5) : null)),
      slow_seconds: minutes.map((one) => (one ? quantile(one.times, 0.95) : null)),
    };
  }
}

/** The bound below which a part of the requests took; null without any. Of those beyond the last bound, that bound. */
function quantile(times, part) {
  const all = times.reduce((sum, count) => sum + count);
  if (!all) return null;
  let seen = 0;
  const place = times.findIndex((count) => (seen += count) >= all * part);
  return BOUNDS[Math.min(place, BOUNDS.length - 1)];
}
