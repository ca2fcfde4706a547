// Runs in a service before its own code (node --import). It waits until the launcher lets the service start, fetches its
// secrets from the launcher, lets them stand in process.env while the service starts, and takes them out before the first
// client can reach it. It reports when the service listens and its detached children, sees to it that those end which the
// service tells to, keeps calls to the app's own URL inside, and ends the service when the launcher is gone.
//
// It is inert everywhere else: programs forked by the service, and worker threads, inherit --import but not the mark.

import channel from "node:diagnostics_channel";
import { randomUUID } from "node:crypto";
import path from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

import { seeToEnds } from "./termination.mjs";
import { Family } from "../processes.mjs";
import { keepInside } from "./loopback-fetch.mjs";

const ANSWER_MS = 20_000;
const HELD_MS = 5; // whoever may start by then has better to do
// Upstream asks at run time only whether this one is set (it offers single sign-on then), so something has to stand there.
const ASKED_FOR_LATER = new Map([["OIDC_CLIENT_SECRET", "held-by-the-launcher"]]);

const names = (process.env.METAMCP_SERVICE_SECRETS ?? "").split(",").filter(Boolean);
const marked = process.env.METAMCP_SERVICE_SECRETS !== undefined;
const childEnv = new Set((process.env.METAMCP_CHILD_ENV ?? "").split(",")); // MCP servers may be given these
const started = new Set(); // pids of children, for the case that the launcher is gone
delete process.env.METAMCP_SERVICE_SECRETS;

if (marked && process.send && process.channel) {
  process.on("disconnect", gone);
  process.on("message", onMessage);
  channel.channel("child_process").subscribe(report);
  seeToEnds(started);
  channel.channel("tracing:net.server.listen:asyncEnd").subscribe(listening);
  if (process.env.APP_URL && process.env.METAMCP_BACKEND_PORT) keepInside(process.env.APP_URL, process.env.METAMCP_BACKEND_PORT);
  const start = ask("start");
  const [values] = await Promise.all([Promise.all(names.map(secret)), start, prepare(start)]);
  names.forEach((name, index) => (process.env[name] = values[index]));
  process.chdir(path.dirname(process.argv[1])); // which may not have been there before
  process.channel.unref(); // a service that has nothing more to do may end
}

/** The launcher's answer. It has one in any case: when it is gone, so is this program. */
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

/** Loads the part of Node that takes longest to load, and every server needs, while the service is held. */
async function prepare(start) {
  const held = await Promise.race([start.then(() => false), sleep(HELD_MS, true)]);
  if (held) await import("node:http");
}

async function secret(name) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`the launcher did not answer about ${name}`)), ANSWER_MS).unref();
  });
  return Promise.race([ask("secret", name), late]);
}

function onMessage(message) {
  if (message?.event !== "ready") return;
  for (const name of names) {
    if (childEnv.has(name)) continue;
    if (ASKED_FOR_LATER.has(name)) process.env[name] = ASKED_FOR_LATER.get(name);
    else delete process.env[name];
  }
  process.send({ event: "forgotten" }, () => {});
}

function listening({ server }) {
  const { port } = server.address() ?? {};
  if (port && process.connected) process.send({ event: "listening", port }, () => {});
}

// Published when the object is made; the pid is there once the program runs.
function report({ process: child }) {
  child.once("spawn", () => {
    if (!child.pid) return;
    started.add(child.pid);
    child.once("exit", () => signalGroup(child.pid, 0) || started.delete(child.pid));
    if (process.connected) process.send({ event: "spawned", pid: child.pid }, () => {});
  });
}

// Only those that lead a group of their own are met; the others share this program's group, and that ends by itself.
function signalGroup(pid, signal) {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

// The launcher is gone: nobody else will end what was started here, whatever group or session it has moved to since.
async function gone() {
  const family = new Family();
  for (const pid of [process.pid, ...started]) family.leads(pid);
  await family.end(0).catch(() => {});
  process.exit(1);
}
