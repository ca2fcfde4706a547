// Runs the release's migrate.mjs once, as a program of its own: SQL is its business, the launcher reads the result.

import { spawn } from "node:child_process";
import path from "node:path";
import process from "node:process";

import { Failure } from "./failure.mjs";
import { serve } from "./ipc.mjs";
import { complain, eachLine, passOn, say } from "./log.mjs";
import { Family } from "./processes.mjs";

const GRACE_MS = 1_500;

/**
 * Its last line of output is {"migrate": {ok, applied: [names], seconds} or {ok: false, code, message, detail, heals}}.
 * `signal` (of an AbortController) ends it.
 */
export async function migrate({ folder, entry, preload, env, password, signal }) {
  say("Applying database migrations");
  const child = spawn(process.execPath, ["--import", preload, path.join(folder, entry)], {
    cwd: folder,
    env: { ...env, METAMCP_SERVICE_SECRETS: "" },
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const family = new Family();
  if (child.pid) family.leads(child.pid);
  serve(child, { "database-password": password, start: () => {} }, () => {});
  const result = await Promise.race([outcome(child), aborted(signal)]);
  await family.end(GRACE_MS);
  if (result.ok) {
    const names = result.applied.length ? `: ${result.applied.join(", ")}` : "";
    return say(`Database migrations: ${result.applied.length} applied in ${result.seconds} s${names}`);
  }
  complain(`Failed to apply database migrations: ${result.message}${result.detail ? ` (${result.detail})` : ""}`);
  throw new Failure("migrate", result.code, result.message, { detail: result.detail, heals: result.heals });
}

function outcome(child) {
  return new Promise((resolve) => {
    let result = null;
    eachLine(child.stdout, (line) => {
      result = resultOf(line) ?? result;
      if (!resultOf(line)) passOn("migrate", line);
    });
    eachLine(child.stderr, (line) => passOn("migrate", line, process.stderr));
    const failed = (message) => ({ ok: false, code: "migrate_died", message, heals: true });
    child.once("error", (error) => resolve(failed(`The migrator cannot be started: ${error.code}.`)));
    child.once("close", (code, signal) => resolve(result ?? failed(`The migrator ended without a result (${signal ?? `exit code ${code}`}).`)));
  });
}

function aborted(signal) {
  return new Promise((resolve) => {
    const stopped = { ok: false, code: "stopping", message: "The app is being stopped.", heals: false };
    signal.addEventListener("abort", () => resolve(stopped), { once: true });
  });
}

function resultOf(line) {
  if (!line.startsWith('{"migrate":')) return null;
  try {
    return JSON.parse(line).migrate;
  } catch {
    return null;
  }
}
