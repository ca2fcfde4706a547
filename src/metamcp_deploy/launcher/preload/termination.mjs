// MCP servers that are asked to end, and do not. MetaMCP's transports send one SIGTERM and look no further, so a server
// that ignores it, or that leaves children behind, would stay until the service itself ends.

import { ChildProcess } from "node:child_process";
import process from "node:process";

import { Family } from "../processes.mjs";

const PATIENCE_MS = 5_000;
const ENDING = new Set([undefined, "SIGTERM", "SIGINT", "SIGKILL", 15, 2, 9]);

/**
 * From now on, whatever of `children` (a set of pids) this program tells to end is gone some seconds later, with all that
 * it started: who that is is looked up before the signal, for afterwards their parent may be gone.
 */
export function seeToEnds(children) {
  const asked = new Set();
  const look = (pid, signal) => {
    if (!ENDING.has(signal) || !children.has(pid) || asked.has(pid)) return;
    asked.add(pid);
    const family = familyOf(pid);
    setTimeout(() => {
      asked.delete(pid);
      family.end(0).catch(() => {});
    }, PATIENCE_MS).unref();
  };
  const { kill } = process;
  process.kill = (pid, signal) => {
    look(Math.abs(pid), signal);
    return kill.call(process, pid, signal);
  };
  const killChild = ChildProcess.prototype.kill;
  ChildProcess.prototype.kill = function (signal) {
    look(this.pid, signal);
    return killChild.call(this, signal);
  };
}

/** The process and what it started; what shares this program's session is only in it when it descends from there. */
function familyOf(pid) {
  const family = new Family({ apart: process.pid });
  family.holds(pid);
  family.members();
  return family;
}
