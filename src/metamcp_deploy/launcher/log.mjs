// The app's log: all that the launcher prints. The platform keeps stdout and stderr only.

import { StringDecoder } from "node:string_decoder";

import { Folding } from "./log-folding.mjs";

const PREFIX = "[MetaMCP][Databricks] ";
const SHORTEST_SECRET = 6; // shorter values occur in ordinary words
const LONGEST_LINE = 64 * 1024;
const RECENT_LINES = 40;
const LONGEST_RECENT = 2_000; // characters of a line
const LET_GO_MS = 120_000;
const concealed = new Map(); // form of a secret → number of `conceal` calls without `reveal`
let longestFirst = [];
const last = new Map(); // source → its last lines
let remembered = 0; // lines so far
const folding = new Folding();

// The reader of the log may have exited: that must neither end the launcher nor be reported on the same broken pipe.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

/**
 * Masks the value from now on wherever it occurs, whole or line by line, also URL-encoded or as JSON. `reveal` undoes one
 * call, for tokens that were replaced.
 */
export function conceal(value) {
  count(value, 1);
  return value;
}

export function reveal(value) {
  count(value, -1);
}

/** Calls `reveal` after a while: errors may still contain a token that was just replaced. */
export function letGo(value) {
  setTimeout(reveal, LET_GO_MS, value).unref();
}

function count(value, more) {
  for (const form of formsOf(value)) {
    const times = (concealed.get(form) ?? 0) + more;
    if (times > 0) concealed.set(form, times);
    else concealed.delete(form);
  }
  // One may be part of another, of which nothing may stay.
  longestFirst = [...concealed.keys()].sort((one, other) => other.length - one.length);
}

function formsOf(value) {
  if (typeof value !== "string") return [];
  const parts = [value, ...value.split(/[\r\n]+/).map((line) => line.trim())].filter((part) => part.length >= SHORTEST_SECRET);
  return new Set(parts.flatMap((part) => [part, encodeURIComponent(part.toWellFormed()), JSON.stringify(part).slice(1, -1)]));
}

export function redact(text) {
  let clean = text;
  for (const value of longestFirst) if (clean.includes(value)) clean = clean.replaceAll(value, "********");
  return clean;
}

/** The last lines of the launcher and of each service, by source. */
export function recent() {
  // Masked again: a value may have become a secret after it was printed.
  return Object.fromEntries([...last].map(([source, lines]) => [source, lines.map(({ line }) => redact(line))]));
}

/** The same lines in the order of their time, as {source, time (ms), line}; an object stays the same for each call. */
export function recentInOrder() {
  return [...last.values()].flat().sort((one, other) => one.number - other.number);
}

function remember(source, clean) {
  if (!last.has(source)) last.set(source, []);
  const lines = last.get(source);
  lines.push({ source, time: Date.now(), number: ++remembered, line: clean.slice(0, LONGEST_RECENT) });
  if (lines.length > RECENT_LINES) lines.shift();
}

/** Logs a line of the launcher. The predecessor's runbook greps for the prefix and several of the texts. */
export function say(text, stream = process.stdout) {
  const clean = redact(text);
  remember("launcher", clean);
  stream.write(`${PREFIX}${clean}\n`);
}

export function complain(text) {
  say(text, process.stderr);
}

/** Logs a failure without the prefix, for a line that the predecessor's runbook greps for at a line's start. */
export function sayPlainly(text) {
  const clean = redact(text);
  remember("launcher", clean);
  process.stderr.write(`${clean}\n`);
}

/** Logs a line of a service, marked with its name. Lines that repeat are folded. */
export function passOn(name, line, stream = process.stdout) {
  const clean = redact(line);
  remember(name, clean);
  folding.pass(name, clean, (text) => stream.write(`[${name}] ${text}\n`));
}

/** Logs how often the folded lines were repeated, before the program ends. */
export function unfold() {
  folding.flush();
}

/** Calls `onLine` for each line of a stream, also for a last one without line end; very long lines are split. */
export function eachLine(stream, onLine) {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  stream.on("data", (chunk) => {
    const lines = (rest + decoder.write(chunk)).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) onLine(line);
    if (rest.length > LONGEST_LINE) {
      onLine(rest);
      rest = "";
    }
  });
  stream.on("end", () => {
    rest += decoder.end();
    if (rest) onLine(rest);
    rest = "";
  });
  stream.on("error", () => {});
}
