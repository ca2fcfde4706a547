// How many processes there are and what they use, by service and by the program that MetaMCP started as an MCP server.

import fs from "node:fs";
import path from "node:path";
import process from "node:process";

import { table } from "../processes.mjs";
import { used } from "../services/memory.mjs";

const TICKS = 100; // a second, of the start times in /proc. Source: proc(5), sysconf(_SC_CLK_TCK)

/**
 * {memory: {limit_bytes, used_bytes, scarce}, processes: {count, memory_bytes, by_server}, services: name → memory_bytes}.
 *
 * @param watch the MemoryWatch
 * @param services with running()
 */
export function memoryUse(watch, services) {
  const all = table();
  const running = services.running().map((service) => ({ service, members: service.family.members(all) }));
  const backend = running.find(({ service }) => service.name === "backend");
  const own = new Map(running.flatMap(({ members }) => members.map(({ pid }) => [pid, used(pid, "RssAnon")])));
  const usedBytes = [...own.values()].reduce((sum, one) => sum + one, used(process.pid, "RssAnon"));
  return {
    memory: { limit_bytes: watch.bytes, used_bytes: usedBytes, scarce: watch.isScarce(usedBytes) },
    processes: backend ? descendants(backend, all, own) : { count: 0, memory_bytes: 0, by_server: [] },
    services: Object.fromEntries(running.map(({ service }) => [service.name, used(service.pid)])),
  };
}

function descendants({ service, members }, all, own) {
  const started = service.programs;
  const below = members.filter(({ pid }) => pid !== service.pid);
  forget(started, below);
  const age = ageBy(all);
  const groups = new Map();
  for (const one of below) {
    const root = rootOf(one, all, started);
    const { command, package: name } = started.get(root) ?? { command: programOf(one.pid), package: null };
    const key = JSON.stringify([command, name]);
    const group = groups.get(key) ?? { command, package: name, servers: 0, count: 0, memory_bytes: 0, oldest_seconds: 0 };
    groups.set(key, group);
    group.count += 1;
    if (root === one.pid) group.servers += 1;
    group.memory_bytes += own.get(one.pid) ?? 0;
    group.oldest_seconds = Math.max(group.oldest_seconds, age(one));
  }
  const servers = [...groups.values()].sort((one, other) => other.memory_bytes - one.memory_bytes);
  return { count: below.length, memory_bytes: servers.reduce((sum, one) => sum + one.memory_bytes, 0), by_server: servers };
}

/** The pid of the program that MetaMCP started and that a process descends from, or shares the session of. */
function rootOf({ pid, sid }, all, started) {
  let one = all.get(pid);
  for (let steps = 0; one && steps < 100; steps++) {
    if (started.has(one.pid)) return one.pid;
    one = all.get(one.ppid);
  }
  return started.has(sid) ? sid : undefined;
}

function forget(started, below) {
  const alive = new Set(below.flatMap(({ pid, sid }) => [pid, sid]));
  for (const pid of started.keys()) if (!alive.has(pid)) started.delete(pid);
}

/** By the launcher's own age: a container may show another time since boot than the one that start times count from. */
function ageBy(all) {
  const mine = Number(all.get(process.pid)?.born);
  return ({ born }) => Math.max(0, Math.round(process.uptime() + (mine - Number(born)) / TICKS)) || 0;
}

function programOf(pid) {
  try {
    return path.basename(fs.readlinkSync(`/proc/${pid}/exe`));
  } catch {
    return "unknown";
  }
}
