// Ends MCP servers that ignore SIGTERM. MetaMCP's transports send it once and do not check the result: a server that
// ignores it, or leaves child processes behind, would run until the service ends.

import { ChildProcess } from "node:child_process";
import process from "node:process";

import { Family } from "../processes.mjs";

const PATIENCE_MS = 5_000;
const ENDING = new Set([undefined, "SIGTERM", "SIGINT", "SIGKILL", 15, 2, 9]);

/**
 * From now on, every process of `children` (a set of pids) that this program signals to end is killed some seconds later,
 * with all processes that it started. Those are looked up before the signal, because their parent may be gone after it.
 */
export function enforceTermination(children) {
  const ending = new Set();
  const watch = (pid, signal) => {
    if (!ENDING.has(signal) || !children.has(pid) || ending.has(pid)) return;
    ending.add(pid);
    const family = familyOf(pid);
    setTimeout(() => {
      ending.delete(pid);
      family.end(0).catch(() => {});
    }, PATIENCE_MS).unref();
  };
  const { kill } = process;
  process.kill = (pid, signal) => {
    watch(Math.abs(pid), signal);
    return kill.call(process, pid, signal);
  };
  const killChild = ChildProcess.prototype.kill;
  ChildProcess.prototype.kill = function (signal) {
    watch(this.pid, signal);
    return killChild.call(this, signal);
  };
}

/** The process and its descendants; others in this program's session are not part of it. */
function familyOf(pid) {
  const family = new Family({ apart: process.pid });
  family.holds(pid);
  family.members();
  return family;
}
