// One service: starts it with its environment and IPC channel, waits until it answers, restarts it when it ends.

import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

import { backoff } from "./backoff.mjs";
import { Failure } from "../failure.mjs";
import { sendMessage, serve } from "./ipc.mjs";
import { Lives } from "./lives.mjs";
import { endFirst } from "./memory.mjs";
import { complain, eachLine, passOn, say } from "../log.mjs";
import { probe } from "./probe.mjs";
import { START_SECRET } from "./start-secret.mjs";
import { Family } from "../processes.mjs";
import { CLOCK, SILENT_MS, silent } from "./watch.mjs";

const READY_MS = 60_000;
const PROBE_MS = 100;
const FORGET_MS = 2_000;
const LAST_LINES = 20;
const GRACE_MS = 1_500;
const SCAN_MS = 5_000; // between two scans for its processes, which must be seen before their parents end
const CALM_MS = 60_000; // after so long a run, earlier deaths no longer count

export class Service {
  /** The state that a 503 reports: {phase: "starting" | "failed" | "up", code, message}. */
  state = { phase: "starting", code: "starting", message: "It starts." };
  #stopping = false;
  #deaths = [];
  #lines = [];
  #child = null;
  #ending = null; // why its process is being ended, as {code, message}
  #wake = new AbortController();
  #scan;
  #exit = { code: null, signal: null }; // of the last process
  /** Its starts and ends, which outlast it where another service takes its place. */
  lives = new Lives();
  /** Its connections to the database {total, idle, waiting, most}; null where it does not tell. */
  pool = null;
  /** The programs that it has started: pid → {command, package}, as the preload describes them. */
  programs = new Map();

  /**
   * @param name backend or frontend: the mark of its log lines and the step in a 503
   * @param argv program and arguments
   * @param hold promise that its process waits for before it runs its own code; when it rejects, `stop` is expected
   * @param env function that returns its current environment
   * @param ports its port on 127.0.0.1, by name; checked again before a restart
   * @param ready path that answers below 500 when it is up
   * @param renew unpacks its files again, before a restart
   * @param answers functions for its questions over IPC; `secret` only until it is up
   * @param watched path that it must go on answering; without one it is only dead when it ends
   * @param clock of that, as watch.mjs has it
   */
  constructor({ name, argv, cwd, env, hold, ports, ready, renew, answers = {}, watched = null, clock = CLOCK }) {
    Object.assign(this, { name, argv, cwd, env, hold, ports, ready, renew, answers, watched, clock, family: new Family() });
  }

  get up() {
    return this.state.phase === "up";
  }

  get port() {
    return this.ports[this.name];
  }

  /** Called when its process has ended. */
  ended = () => {};

  /** Of its process; undefined while there is none. */
  get pid() {
    return this.#child?.pid;
  }

  /** Sends a message to its process, if there is one. */
  tell(message) {
    if (this.#child) sendMessage(this.#child, message);
  }

  /** Ends the running process; `run` starts another. `why` is what its state and the log say: {code, message, asked}.
   * With `asked` somebody wanted it: that is no death, and nothing is waited for. */
  async restart(why = null) {
    if (this.#ending) return;
    this.#ending = why;
    await this.family.end(GRACE_MS);
  }

  /** Runs it, and restarts it until `stop`. */
  async run() {
    this.#scan = setInterval(() => this.family.members(), SCAN_MS).unref();
    for (let again = false; !this.#stopping; again = true) {
      const began = performance.now();
      if (again) this.lives.restarts += 1;
      const failure = await this.#life(again);
      this.lives.since = null;
      this.pool = null;
      this.ended();
      if (this.#stopping) return;
      if (this.#ending?.asked) {
        this.state = { phase: "starting", code: this.#ending.code, message: this.#ending.message };
        await this.family.end(GRACE_MS);
        continue;
      }
      const now = performance.now();
      if (now - began > CALM_MS) this.#deaths = [];
      this.#deaths.push(now);
      const wait = backoff(this.#deaths, now);
      this.state = { phase: "failed", code: failure.code, message: failure.message };
      this.lives.died(failure, this.#exit, this.#lines);
      complain(`${this.name}: ${failure.message} Its last lines:`);
      for (const line of this.#lines) complain(`${this.name} | ${line}`);
      await this.family.end(GRACE_MS);
      say(`Starting ${this.name} again in ${wait / 1000} s`);
      await sleep(wait, undefined, { signal: this.#wake.signal }).catch(() => {});
    }
  }

  /** Ends it and all processes that it started. */
  async stop() {
    this.#stopping = true;
    this.#wake.abort();
    clearInterval(this.#scan);
    await this.family.end(GRACE_MS);
  }

  /** One start until its end, returned as a Failure; a failed start counts as an end. */
  async #life(again) {
    this.#lines = [];
    this.#exit = { code: null, signal: null };
    try {
      if (again) await this.#prepare();
      return this.#stopping ? null : await this.#once();
    } catch (error) {
      return error instanceof Failure ? error : this.#notStarted(error);
    }
  }

  async #prepare() {
    await this.renew();
    if (await this.ports.renew(this.name)) say(`Another program has taken the port of the ${this.name}: it gets another`);
  }

  async #once() {
    say(`Starting ${this.name}`);
    this.#ending = null;
    const child = (this.#child = this.#spawn());
    const ended = new Promise((resolve) => {
      child.once("error", (error) => resolve(this.#notStarted(error)));
      // "close" comes after its last lines; "exit" is for child processes that keep its pipes open.
      child.once("close", (code, signal) => resolve(this.#death(code, signal)));
      child.once("exit", (code, signal) => setTimeout(() => resolve(this.#death(code, signal)), 500).unref());
    });
    ended.then(() => {
      if (this.#child === child) this.#child = null;
    });
    const began = this.hold.then(() => performance.now(), never);
    const answered = await Promise.race([ended, began.then((since) => this.#answers(child, since))]);
    if (answered !== true) return answered;
    await Promise.race([ended, this.#forget(child)]);
    if (child.exitCode === null && child.signalCode === null) {
      this.state = { phase: "up", code: "up", message: "" };
      this.lives.since = new Date().toISOString();
      say(`${this.name} is up after ${Math.round(performance.now() - (await began))} ms`);
    }
    return this.watched ? Promise.race([ended, this.#hung(child)]) : ended;
  }

  /** The failure of a service that runs and answers nothing. */
  async #hung(child) {
    const over = () => child.exitCode !== null || child.signalCode !== null;
    await silent((patience) => probe(this.port, this.watched, patience), over, this.clock);
    return new Failure(this.name, `${this.name}_hung`, `The ${this.name} has not answered for ${SILENT_MS / 1000} s.`);
  }

  #spawn() {
    const [program, ...args] = this.argv;
    const child = spawn(program, args, {
      cwd: this.cwd,
      env: this.env(),
      detached: true, // a session of its own identifies the processes that it leaves behind
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    if (!child.pid) return child; // not started: no pipes
    this.family.leads(child.pid);
    const sinks = [[child.stdout, process.stdout], [child.stderr, process.stderr]];
    for (const [stream, sink] of sinks) {
      eachLine(stream, (line) => {
        this.#lines.push(line);
        if (this.#lines.length > LAST_LINES) this.#lines.shift();
        passOn(this.name, line, sink);
      });
    }
    const whileStarting = (answer) => (name) => {
      if (this.up) throw new Error("secrets are handed out while the service starts, not later");
      return answer(name);
    };
    const { secret, ...others } = this.answers;
    const start = () => this.hold.then(() => START_SECRET, never);
    serve(child, { ...others, start, ...(secret && { secret: whileStarting(secret) }) }, (message) => {
      if (message.event === "spawned") this.#spawned(message);
      if (message.event === "pool") this.pool = poolOf(message);
      if (message.event === "forgotten") child.emit("forgotten");
      if (message.event === "listening" && message.port === this.port) child.emit("listening");
    });
    return child;
  }

  #spawned({ pid, command, package: name }) {
    this.family.leads(pid);
    endFirst(pid);
    this.programs.set(pid, { command: String(command ?? ""), package: name ?? null });
  }

  #notStarted(error) {
    return new Failure(this.name, `${this.name}_died`, `The ${this.name} cannot be started: ${error.code ?? error.message}.`);
  }

  #death(code, signal) {
    this.#exit = { code, signal };
    if (this.#ending) return new Failure(this.name, this.#ending.code, this.#ending.message);
    const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
    return new Failure(this.name, `${this.name}_died`, `The ${this.name} ${how}.`);
  }

  /** True when it answers; a Failure when it runs without listening, as upstream does after a failed start. */
  async #answers(child, since) {
    let reported = false; // it reports when it listens, and is probed as well in case it cannot
    const listening = new Promise((resolve) => child.once("listening", () => resolve((reported = true))));
    while (child.pid && child.exitCode === null && child.signalCode === null && !this.#stopping) {
      const status = await probe(this.port, this.ready);
      if (status && status < 500) return true;
      const waited = performance.now() - since;
      if (waited > READY_MS) {
        const message = `The ${this.name} did not answer within ${READY_MS / 1000} s.`;
        return new Failure(this.name, `${this.name}_silent`, message);
      }
      await Promise.race(reported ? [sleep(PROBE_MS)] : [listening, sleep(PROBE_MS)]);
    }
    return never(); // it ended: the other promise settles
  }

  /** Makes it remove the secrets from its environment before the first client's request reaches it. */
  async #forget(child) {
    if (!this.answers.secret) return;
    const forgotten = new Promise((resolve) => child.once("forgotten", resolve));
    sendMessage(child, { event: "ready" });
    const late = Symbol("late");
    if ((await Promise.race([forgotten, sleep(FORGET_MS, late, { ref: false })])) === late) {
      complain(`${this.name} did not confirm that its environment is without secrets`);
    }
  }
}

function poolOf({ total, idle, waiting, most }) {
  return { total: Number(total), idle: Number(idle), waiting: Number(waiting), most: Number(most) };
}

function never() {
  return new Promise(() => {});
}
