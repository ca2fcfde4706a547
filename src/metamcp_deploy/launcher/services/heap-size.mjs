// Limits of the services' heaps: V8 derives its default from the machine, which is larger than the platform's container.

import fs from "node:fs";
import os from "node:os";

const GB = 1024 ** 3;
// Source: the platform's sizes of an app's container.
const SIZES = { MEDIUM: 6 * GB, LARGE: 12 * GB };
// The rest is for memory outside V8's heap (buffers, code), the launcher, and MCP servers.
const SHARES = { backend: 0.4, frontend: 0.1 };
const LEAST_MB = 128;
const YOUNG_MB = 8; // the young generation: V8's default of 16 keeps up to 70 MB of garbage, 4 costs a tenth of the speed
const MOST_MB = 4096; // V8's own default on large machines; a longer heap means longer pauses

/** The container's memory in bytes: the smallest of the deployment's size, the kernel's limits, and the machine's memory. */
export function available(env, read = (file) => fs.readFileSync(file, "utf8"), total = os.totalmem()) {
  const limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].map((file) => {
    try {
      return Number(read(file)); // "max" is no limit, and no number
    } catch {
      return NaN;
    }
  });
  return Math.min(total, ...[SIZES[env.METAMCP_COMPUTE_SIZE], ...limits].filter((limit) => limit > 0));
}

/** Node's options for a service's heap, e.g. --max-old-space-size=2457. */
export function heapOptions(service, bytes) {
  const share = Math.floor((bytes * SHARES[service]) / 1024 ** 2);
  return [`--max-old-space-size=${Math.max(LEAST_MB, Math.min(share, MOST_MB))}`, `--max-semi-space-size=${YOUNG_MB}`];
}
