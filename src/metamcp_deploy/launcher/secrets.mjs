// Removes the secrets from the environment, so that no process of the app can read them in /proc/<pid>/environ.
//
// Deleting a name from process.env is not enough: the kernel still shows the environment that the program was started
// with, from the program's own memory. So the launcher overwrites it there, and checks that the kernel shows the result.
// Where that fails (a sandbox without a writable /proc/self/mem), the launcher replaces itself (execve, same pid) with a
// clean environment and passes the secrets in a file without a name: opened as descriptor 0, which survives an execve,
// unlinked before it is written, and emptied by the reader. All this happens before any other program of the app runs.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";

import { SECRETS } from "./databases/kinds.mjs";
import { isKnown } from "./environment.mjs";

export const HANDED_OVER = "--secrets-on-stdin";
const ENV_START = 50; // field of /proc/<pid>/stat: the address of the environment. Source: proc(5)
const ALWAYS = ["BETTER_AUTH_SECRET", "DATABRICKS_CLIENT_SECRET", "METAMCP_PROXY_SECRET", ...SECRETS];

/** Names of the variables that are secrets: the fixed ones and those that the deploy call lists. */
export function secretNames(env) {
  const listed = (env.METAMCP_SECRET_ENV ?? "").split(",").map((name) => name.trim());
  return [...new Set([...ALWAYS, ...listed])].filter(Boolean);
}

/**
 * Returns {secrets, withheld, kept} and removes from `process.env` the secrets (by name) and the variables that nothing
 * needs (`withheld`: names only). If the memory cannot be written, the first call does not return: the program is restarted.
 * `kept` says why the environment still shows the secrets, if it does (Node before 22.15, no scratch space).
 */
export function takeSecrets() {
  if (process.argv[2] === HANDED_OVER) return { ...readHandedOver(), kept: "" };
  const taken = { secrets: {}, withheld: [] };
  const secret = new Set(secretNames(process.env));
  const known = { ...process.env };
  for (const [name, value] of Object.entries(known)) {
    if (secret.has(name)) taken.secrets[name] = value;
    else if (isKnown(name, known)) continue;
    else taken.withheld.push(name);
    delete process.env[name];
  }
  const names = [...Object.keys(taken.secrets), ...taken.withheld];
  return { ...taken, kept: overwritten(names) ? "" : startOver(taken) };
}

/** Overwrites variables in the program's memory; returns whether the kernel no longer shows any of them. */
function overwritten(names) {
  const taken = ({ name }) => names.includes(name);
  try {
    const stat = fs.readFileSync("/proc/self/stat", "latin1");
    // The second field, in parentheses, may hold anything; the third comes after them.
    const start = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[ENV_START - 3]);
    const memory = fs.openSync("/proc/self/mem", "r+");
    try {
      for (const { at, length } of shown().filter(taken)) fs.writeSync(memory, Buffer.alloc(length), 0, length, start + at);
    } finally {
      fs.closeSync(memory);
    }
    return !shown().some(taken);
  } catch {
    return false;
  }
}

/** The variables that the kernel shows: {name, at, length}, in bytes from the start of the environment. */
function shown() {
  const entries = fs.readFileSync("/proc/self/environ", "latin1").split("\0");
  let at = 0;
  return entries.map((entry) => {
    const one = { name: entry.slice(0, Math.max(0, entry.indexOf("="))), at, length: entry.length };
    at += entry.length + 1;
    return one;
  });
}

function readHandedOver() {
  const text = fs.readFileSync(0, "utf8");
  fs.ftruncateSync(0, 0);
  return JSON.parse(text);
}

function startOver(taken) {
  if (typeof process.execve !== "function") return `Node ${process.version} has no process.execve`;
  try {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "launcher-"));
    const file = path.join(folder, "handover");
    fs.closeSync(0); // the next descriptor opened gets the lowest free number
    const fd = fs.openSync(file, "wx+", 0o600);
    fs.rmSync(folder, { recursive: true });
    if (fd !== 0) return "descriptor 0 is in use";
    fs.writeSync(fd, JSON.stringify(taken), 0);
    const argv = [process.execPath, ...process.execArgv, process.argv[1], HANDED_OVER];
    process.execve(process.execPath, argv, process.env);
  } catch (error) {
    return error.message;
  }
  return "execve returned";
}
