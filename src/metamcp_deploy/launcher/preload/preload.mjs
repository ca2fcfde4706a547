// Runs in a service before its own code (node --import). It waits until the launcher lets the service start, gets its
// secrets from the launcher, keeps them in process.env while the service starts, and removes them before the first client
// can reach it. It reports when the service listens, which child processes it starts and how many database connections it has, enforces the end of those that
// the service terminates, ends MCP sessions when the launcher asks, sends requests for the app's own URL to the loopback, and
// ends the service after the launcher.
//
// It does nothing elsewhere: programs forked by the service, and worker threads, inherit --import but not the mark.

import channel from "node:diagnostics_channel";
import { randomUUID } from "node:crypto";
import path from "node:path";
import process from "node:process";

import { described } from "./child-description.mjs";
import { enforceTermination } from "./termination.mjs";
import { Family } from "../processes.mjs";
import { guardServers } from "./guard.mjs";
import { fetchOverLoopback } from "./loopback-fetch.mjs";
import { reportPool } from "./pool-counts.mjs";
import { takeSessionEnds } from "./session-ends.mjs";

const ANSWER_MS = 20_000;
// Upstream checks at run time only whether this one is set (to offer single sign-on), so it needs some value.
const PLACEHOLDERS = new Map([["OIDC_CLIENT_SECRET", "held-by-the-launcher"]]);

const names = (process.env.METAMCP_SERVICE_SECRETS ?? "").split(",").filter(Boolean);
const marked = process.env.METAMCP_SERVICE_SECRETS !== undefined;
const childEnv = new Set((process.env.METAMCP_CHILD_ENV ?? "").split(",")); // MCP servers may be given these
const started = new Set(); // pids of child processes
const endSession = takeSessionEnds();
delete process.env.METAMCP_SERVICE_SECRETS;

if (marked && process.send && process.channel) {
  process.on("disconnect", gone);
  process.on("message", onMessage);
  channel.channel("child_process").subscribe(report);
  enforceTermination(started);
  channel.channel("tracing:net.server.listen:asyncEnd").subscribe(listening);
  const start = ask("start");
  const [values, startSecret] = await Promise.all([Promise.all(names.map(secret)), start]);
  if (startSecret) guardServers(startSecret);
  const { APP_URL, METAMCP_INNER_PORT } = process.env;
  if (APP_URL && METAMCP_INNER_PORT) fetchOverLoopback(APP_URL, METAMCP_INNER_PORT, startSecret);
  names.forEach((name, index) => (process.env[name] = values[index]));
  process.chdir(path.dirname(process.argv[1])); // which may not have existed before
  reportPool((counts) => process.connected && process.send(counts, () => {}));
  process.channel.unref(); // a service without further work may end
}

/** The launcher's answer. There is always one: this program ends with the launcher. */
function ask(want, name) {
  return new Promise((resolve, reject) => {
    const id = randomUUID();
    const answered = (message) => {
      if (message?.id !== id) return;
      process.off("message", answered);
      if (message.error === undefined) resolve(message.value);
      else reject(new Error(`the launcher did not hand out ${name ?? want}: ${message.error}`));
    };
    process.on("message", answered);
    process.send({ id, want, name });
  });
}

async function secret(name) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`the launcher did not answer about ${name}`)), ANSWER_MS).unref();
  });
  return Promise.race([ask("secret", name), late]);
}

function onMessage(message) {
  if (message?.event === "end-session") return void endSession(message);
  if (message?.event !== "ready") return;
  for (const name of names) {
    if (childEnv.has(name)) continue;
    if (PLACEHOLDERS.has(name)) process.env[name] = PLACEHOLDERS.get(name);
    else delete process.env[name];
  }
  process.send({ event: "forgotten" }, () => {});
}

function listening({ server }) {
  const { port } = server.address() ?? {};
  if (port && process.connected) process.send({ event: "listening", port }, () => {});
}

// Published when the object is created; the pid exists once the program runs.
function report({ process: child }) {
  child.once("spawn", () => {
    if (!child.pid) return;
    started.add(child.pid);
    child.once("exit", () => signalGroup(child.pid, 0) || started.delete(child.pid));
    if (process.connected) process.send({ event: "spawned", pid: child.pid, ...described(child) }, () => {});
  });
}

// Reaches only leaders of a group; the others share this program's group, which ends with it.
function signalGroup(pid, signal) {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

// The launcher has ended: only this program can end what was started here, whatever group or session it is in by now.
async function gone() {
  const family = new Family();
  for (const pid of [process.pid, ...started]) family.leads(pid);
  await family.end(0).catch(() => {});
  process.exit(1);
}
