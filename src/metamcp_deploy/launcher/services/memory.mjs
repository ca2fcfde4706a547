// Memory of the services: limits of their heaps (V8 derives its default from the machine, which is larger than the platform's
// container), and a watch on what they really use: buffers lie outside of V8's heap, and outside of its limit.

import fs from "node:fs";
import os from "node:os";

import { complain, say } from "../log.mjs";

const GB = 1024 ** 3;
const MB = 1024 ** 2;
// Source: the platform's sizes of an app's container.
const SIZES = { MEDIUM: 6 * GB, LARGE: 12 * GB };
// Parts of the container's memory; the rest is for the launcher and MCP servers. A whole process needs more than its heap.
const SHARES = { backend: { heap: 0.4, process: 0.5 }, frontend: { heap: 0.1, process: 0.15 } };
const LEAST_MB = 128;
const YOUNG_MB = 8; // the young generation: V8's default of 16 keeps up to 70 MB of garbage, 4 costs a tenth of the speed
const MOST_MB = 4096; // V8's own default on large machines; a longer heap means longer pauses
const OUTSIDE_MB = 128; // code and buffers of a process with a full heap
const REPORTED = 0.7; // of a share
const RESTARTED = 0.9;
// Parts of the container: above the one no new session is opened, until the other. The kernel counts more than private memory.
const FULL = 0.85;
const FREE = 0.75;
const MEASURED_MS = 250;
const END_FIRST = "500"; // of 1000, added to what the kernel's choice goes by. Source: proc(5), oom_score_adj
const WATCH_MS = 1_000;

const readFile = (file) => fs.readFileSync(file, "utf8");

/** The container's memory in bytes: the smallest of the deployment's size, the kernel's limits, and the machine's memory. */
export function available(env, read = readFile, total = os.totalmem()) {
  const limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].map((file) => {
    try {
      return Number(read(file)); // "max" is no limit, and no number
    } catch {
      return NaN;
    }
  });
  return Math.min(total, ...[SIZES[env.METAMCP_COMPUTE_SIZE], ...limits].filter((limit) => limit > 0));
}

function heapMegabytes(service, bytes) {
  return Math.max(LEAST_MB, Math.min(Math.floor((bytes * SHARES[service].heap) / MB), MOST_MB));
}

/** Node's options for a service's heap, e.g. --max-old-space-size=2457. */
export function heapOptions(service, bytes) {
  return [`--max-old-space-size=${heapMegabytes(service, bytes)}`, `--max-semi-space-size=${YOUNG_MB}`];
}

/** A service's share of the container's `bytes`; a full heap alone does not lead to a restart. */
export function shareOf(service, bytes) {
  return Math.max(bytes * SHARES[service].process, ((heapMegabytes(service, bytes) + OUTSIDE_MB) * MB) / RESTARTED);
}

/** A value of /proc/<pid>/status in bytes (VmRSS, RssAnon); 0 when the process has ended, and where there is no /proc. */
export function used(pid, name = "VmRSS", read = readFile) {
  try {
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(read(`/proc/${pid}/status`))[1]) * 1024;
  } catch {
    return 0;
  }
}

/** Lets the kernel end this process, and what it starts, before the services: one session is lost then, and not all. */
export function endFirst(pid) {
  try {
    fs.writeFileSync(`/proc/${pid}/oom_score_adj`, END_FIRST);
  } catch {
    // it has ended, or the system has no such file
  }
}

export class MemoryWatch {
  #reported = new Set(); // names of services above the first mark
  #full = false;
  #measured = -Infinity;

  /**
   * @param bytes of the container
   * @param services {running(): [{name, pid, restart(failure), family}]}
   * @param usedBy function like `used`
   * @param now clock in ms
   */
  constructor(bytes, services, usedBy = used, now = () => performance.now()) {
    Object.assign(this, { bytes, services, usedBy, now });
  }

  start() {
    this.timer = setInterval(() => this.check(), WATCH_MS).unref();
  }

  /** Reports services that use much of their share, and restarts those that use nearly all of it. */
  check() {
    for (const service of this.services.running()) {
      const [mine, share] = [this.usedBy(service.pid), shareOf(service.name, this.bytes)];
      const text = `The ${service.name} uses ${rounded(mine)} of memory, of a share of ${rounded(share)}`;
      if (mine > share * RESTARTED) {
        this.#reported.delete(service.name);
        service.restart({ code: `${service.name}_memory`, message: `${text}, and was restarted.` });
      } else if (mine > share * REPORTED) {
        if (!this.#reported.has(service.name)) complain(`${text}: at ${RESTARTED * 100} % it is restarted`);
        this.#reported.add(service.name);
      } else if (mine < share * (REPORTED - 0.1)) {
        this.#reported.delete(service.name);
      }
    }
  }

  /** Whether memory is scarce: a service has been reported, or all processes of the app together use as much of the container. */
  get scarce() {
    return this.#reported.size > 0 || this.isScarce(this.#all());
  }

  /** Whether a new session might be the one at which the kernel ends a process. Reports when that begins. */
  get full() {
    if (this.now() - this.#measured < MEASURED_MS) return this.#full;
    const all = this.#all();
    const before = this.#full;
    this.#full = all > this.bytes * (before ? FREE : FULL);
    this.#measured = this.now();
    const text = `All processes of the app use ${rounded(all)} of its ${rounded(this.bytes)} of memory`;
    if (this.#full && !before) complain(`${text}: no new MCP session is opened until others end`);
    if (before && !this.#full) say(`${text}: new MCP sessions are opened again`);
    return this.#full;
  }

  #all() {
    return this.sum(this.services.running().flatMap(({ family }) => family.members().map(({ pid }) => pid)));
  }

  /** As `scarce`, where `bytes` is what all processes of the app use. */
  isScarce(bytes) {
    return this.#reported.size > 0 || bytes > this.bytes * REPORTED;
  }

  /** What these processes and the launcher use together, without what they share. */
  sum(pids) {
    return [process.pid, ...pids].reduce((sum, pid) => sum + this.usedBy(pid, "RssAnon"), 0);
  }
}

function rounded(bytes) {
  return bytes < GB ? `${Math.round(bytes / MB)} MB` : `${(bytes / GB).toFixed(1)} GB`;
}
