// Everything the launcher prints. The platform keeps stdout and stderr only, so this is the app's whole log.

import { StringDecoder } from "node:string_decoder";

const PREFIX = "[MetaMCP][Databricks] ";
const SHORTEST_SECRET = 6; // shorter values occur by chance in ordinary words
const LONGEST_LINE = 64 * 1024;
const RECENT_LINES = 40;
const LONGEST_RECENT = 2_000; // characters of a line
const LET_GO_MS = 120_000;
const concealed = new Map(); // form of a secret → how often it was concealed
let longestFirst = [];
const last = new Map(); // source → its last lines

// Whoever read the log may be gone; that is no reason to end, nor one to complain about on the same broken pipe.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

/**
 * From now on the value prints as stars wherever it occurs, each of its lines too, also in the forms that URLs and JSON give
 * them. Tokens that were renewed are let go with `reveal`, as often as they were concealed.
 */
export function conceal(value) {
  count(value, 1);
  return value;
}

export function reveal(value) {
  count(value, -1);
}

/** `reveal`, after a while: errors may still carry what was just renewed. */
export function letGo(value) {
  setTimeout(reveal, LET_GO_MS, value).unref();
}

function count(value, more) {
  for (const form of formsOf(value)) {
    const times = (concealed.get(form) ?? 0) + more;
    if (times > 0) concealed.set(form, times);
    else concealed.delete(form);
  }
  // One may be a part of another, whose rest must not stay.
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
  // Once more: what was no secret when it was printed may have become one since.
  return Object.fromEntries([...last].map(([source, lines]) => [source, lines.map(redact)]));
}

function remember(source, clean) {
  if (!last.has(source)) last.set(source, []);
  const lines = last.get(source);
  lines.push(clean.slice(0, LONGEST_RECENT));
  if (lines.length > RECENT_LINES) lines.shift();
}

/** A line of the launcher's own. The old runbook greps for the prefix and for several of the texts. */
export function say(text, stream = process.stdout) {
  const clean = redact(text);
  remember("launcher", clean);
  stream.write(`${PREFIX}${clean}\n`);
}

export function complain(text) {
  say(text, process.stderr);
}

/** A line of a service, marked with its name. */
export function passOn(name, line, stream = process.stdout) {
  const clean = redact(line);
  remember(name, clean);
  stream.write(`[${name}] ${clean}\n`);
}

/** Calls `onLine` for each line of a stream, the last one too when it has no line end; endless lines are cut. */
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
