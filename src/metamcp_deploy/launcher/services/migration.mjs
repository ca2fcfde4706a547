// Runs the release's migrate.mjs once, as a program of its own, and reads its result. All SQL is in that program.

import { spawn } from "node:child_process";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

import { Failure } from "../failure.mjs";
import { serve } from "./ipc.mjs";
import { eachLine, passOn, say, sayPlainly } from "../log.mjs";
import { Family } from "../processes.mjs";

const GRACE_MS = 1_500;
const DEADLINE_MS = 15 * 60_000; // longer than any real migration; a silently broken connection would wait for ever

/**
 * Its last line of output is {"migrate": {ok, applied: [names], seconds} or {ok: false, code, message, detail, heals}}.
 * `signal` (of an AbortController) ends it, and so does `deadline` (ms).
 */
export async function migrate({ signal, deadline = DEADLINE_MS, ...program }) {
  say("Applying database migrations");
  const family = new Family();
  const result = await Promise.race([outcome(start(program, family)), aborted(signal), late(deadline)]);
  await family.end(GRACE_MS);
  if (result.ok) {
    const names = result.applied.length ? `: ${result.applied.join(", ")}` : "";
    return say(`Database migrations: ${result.applied.length} applied in ${result.seconds} s${names}`);
  }
  sayPlainly(`Failed to apply database migrations: ${result.message}${result.detail ? ` (${result.detail})` : ""}`);
  throw new Failure("migrate", result.code, result.message, { detail: result.detail, heals: result.heals });
}

/** The running program, or the error of starting it. */
function start({ folder, entry, preload, env, password }, family) {
  try {
    const child = spawn(process.execPath, ["--import", preload, path.join(folder, entry)], {
      cwd: folder,
      env: { ...env, METAMCP_SERVICE_SECRETS: "" },
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    if (child.pid) family.leads(child.pid);
    serve(child, { "database-password": password, start: () => {} }, () => {});
    return child;
  } catch (error) {
    return error;
  }
}

function outcome(child) {
  const failed = (message) => ({ ok: false, code: "migrate_died", message, heals: true });
  if (child instanceof Error) return failed(`The migrator cannot be started: ${child.code ?? child.message}.`);
  return new Promise((resolve) => {
    let result = null;
    child.once("error", (error) => resolve(failed(`The migrator cannot be started: ${error.code}.`)));
    if (!child.pid) return; // not started: no pipes
    eachLine(child.stdout, (line) => {
      result = resultOf(line) ?? result;
      if (!resultOf(line)) passOn("migrate", line);
    });
    eachLine(child.stderr, (line) => passOn("migrate", line, process.stderr));
    child.once("close", (code, signal) => resolve(result ?? failed(`The migrator ended without a result (${signal ?? `exit code ${code}`}).`)));
  });
}

async function late(deadline) {
  await sleep(deadline, undefined, { ref: false });
  const message = `The migrations did not end within ${Math.round(deadline / 1000)} s.`;
  return { ok: false, code: "migrate_silent", message, heals: true };
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
