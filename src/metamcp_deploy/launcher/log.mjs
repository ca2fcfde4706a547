// Everything the launcher prints. The platform keeps stdout and stderr only, so this is the app's whole log.

import { StringDecoder } from "node:string_decoder";

const PREFIX = "[MetaMCP][Databricks] ";
const SHORTEST_SECRET = 6; // shorter values occur by chance in ordinary words
const LONGEST_LINE = 64 * 1024;
const RECENT_LINES = 40;
const LONGEST_RECENT = 2_000; // characters of a line
const concealed = new Set();
const last = new Map(); // source → its last lines

// Whoever read the log may be gone; that is no reason to end, nor one to complain about on the same broken pipe.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

/** From now on the value prints as stars wherever it occurs. Tokens that were renewed are let go with `reveal`. */
export function conceal(value) {
  if (typeof value === "string" && value.length >= SHORTEST_SECRET) concealed.add(value);
  return value;
}

export function reveal(value) {
  concealed.delete(value);
}

export function redact(text) {
  let clean = text;
  for (const value of concealed) if (clean.includes(value)) clean = clean.replaceAll(value, "********");
  return clean;
}

/** The last lines of the launcher and of each service, by source. */
export function recent() {
  // Once more: what was no secret when it was printed may have become one since.
  return Object.fromEntries([...last].map(([source, lines]) => [source, lines.map(redact)]));
}

function remember(source, line) {
  if (!last.has(source)) last.set(source, []);
  const lines = last.get(source);
  lines.push(redact(line.slice(0, LONGEST_RECENT)));
  if (lines.length > RECENT_LINES) lines.shift();
}

/** A line of the launcher's own. The old runbook greps for the prefix and for several of the texts. */
export function say(text, stream = process.stdout) {
  remember("launcher", text);
  stream.write(redact(`${PREFIX}${text}\n`));
}

export function complain(text) {
  say(text, process.stderr);
}

/** A line of a service, marked with its name. */
export function passOn(name, line, stream = process.stdout) {
  remember(name, line);
  stream.write(redact(`[${name}] ${line}\n`));
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
