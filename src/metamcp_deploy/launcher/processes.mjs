// The processes that a service started, and their end. MCP servers run detached, each in a session of its own: signals to
// the service's group do not reach them, and after the service's end only the session identifies them.
// Source: proc(5), fields 3 (state), 4 (ppid), 6 (session), 22 (starttime) of /proc/<pid>/stat.

import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 30;

/** All processes: Map pid → {pid, ppid, sid, born}. Zombies are left out. Empty where there is no /proc. */
export function table() {
  const found = new Map();
  let entries = [];
  try {
    entries = fs.readdirSync("/proc");
  } catch {
    return found;
  }
  for (const entry of entries) {
    const one = /^\d+$/.test(entry) ? read(Number(entry)) : null;
    if (one) found.set(one.pid, one);
  }
  return found;
}

function read(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" "); // the name before it may hold anything
    if (fields[0] === "Z" || fields[0] === "X") return null;
    return { pid, ppid: Number(fields[1]), sid: Number(fields[3]), born: fields[19] };
  } catch {
    return null;
  }
}

/** The start time of a process, as text that identifies it beside its pid; "" when it has ended. */
export function bornAt(pid) {
  if (fs.existsSync("/proc/self/stat")) return read(pid)?.born ?? "";
  return send({ pid }, 0) ? "running" : "";
}

/**
 * The processes of one service: its known descendants, and the sessions that they lead. A process once seen stays known
 * after its parent's end, so `members` should be called regularly.
 */
export class Family {
  #sessions = new Map(); // number → when its leader was born; null when that was not seen
  #seen = new Map(); // pid → when it was born
  #apart;

  /** @param apart a session that is not the family's, although members may be in it */
  constructor({ apart } = {}) {
    this.#apart = apart;
  }

  /** Adds the leader of a session: a service that was started detached, or an MCP server that it reported. */
  leads(pid) {
    const one = read(pid);
    if (!one || one.sid === pid) this.#sessions.set(pid, one?.born ?? null);
  }

  /** Adds a member, whatever its session. */
  holds(pid) {
    const one = read(pid);
    if (one) this.#seen.set(pid, one.born);
  }

  /** The members that are alive. Records them and their sessions, and forgets ended ones. `all` are all processes. */
  members(all = table()) {
    if (!all.size) return this.#groups();
    const found = new Map();
    const add = (one) => {
      if (one.pid === process.pid || found.has(one.pid)) return;
      found.set(one.pid, one);
      this.#remember(one.sid, all);
      for (const child of all.values()) if (child.ppid === one.pid) add(child);
    };
    for (const [pid, born] of this.#seen) if (all.get(pid)?.born === born) add(all.get(pid));
    for (const [sid, born] of [...this.#sessions]) {
      // The kernel reuses a session's number only after its last member's end: another leader means another session.
      const inside = all.has(sid) && all.get(sid).born !== born ? [] : [...all.values()].filter((one) => one.sid === sid);
      if (!inside.length) this.#sessions.delete(sid);
      inside.forEach(add);
    }
    this.#seen = new Map(Array.from(found.values(), ({ pid, born }) => [pid, born]));
    return [...found.values()];
  }

  #remember(sid, all) {
    if (sid !== this.#apart && !this.#sessions.has(sid)) this.#sessions.set(sid, all.get(sid)?.born ?? null);
  }

  /** Where there is no /proc: the process groups of the known sessions, as far as they are alive. */
  #groups() {
    for (const sid of [...this.#sessions.keys()]) if (!send({ pid: -sid }, 0)) this.#sessions.delete(sid);
    return Array.from(this.#sessions.keys(), (sid) => ({ pid: -sid }));
  }

  /** Sends SIGTERM, and SIGKILL to what is left after `grace` ms. Returns the number of killed processes. */
  async end(grace) {
    const termed = new Set();
    const deadline = performance.now() + grace;
    for (let left = this.members(); left.length && performance.now() < deadline; left = this.members()) {
      for (const one of left) {
        if (!termed.has(`${one.pid} ${one.born}`)) send(one, "SIGTERM");
        termed.add(`${one.pid} ${one.born}`);
      }
      await sleep(POLL_MS);
    }
    const killed = new Set();
    for (let left = this.members(), i = 0; left.length && i < 30; left = this.members(), i++) {
      for (const one of left) {
        send(one, "SIGKILL");
        killed.add(one.pid);
      }
      await sleep(POLL_MS);
    }
    return killed.size;
  }
}

/** False when it has ended, or another program has its pid. */
function send(one, signal) {
  if (one.born && read(one.pid)?.born !== one.born) return false;
  try {
    return process.kill(one.pid, signal);
  } catch {
    return false;
  }
}
