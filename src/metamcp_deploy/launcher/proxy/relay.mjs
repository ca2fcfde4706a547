// A service's answer on its way to the client. It goes through as it is, in two cases with a word of the launcher's:
// an endpoint's 401 says what is missing, and the first event of an SSE session keeps the key that came in the URL.

import { Transform } from "node:stream";

import { explanation } from "./authorization.mjs";
import { answerHeaders } from "./headers.mjs";

const LONGEST_REFUSAL = 64 * 1024;
const LONGEST_FIRST_EVENT = 8 * 1024;

/**
 * @param answer of the service, whose port is `port`
 * @param sorted the request's credentials, as authorization.mjs sorted them
 * @param entry of the request under way; its `stream` is set when this is an event stream
 */
export function relay(answer, response, { entry, port, sorted }) {
  entry.stream = (answer.headers["content-type"] ?? "").startsWith("text/event-stream");
  const words = answer.statusCode === 401 && sorted.endpoint ? explanation(sorted) : "";
  if (words && isShortJson(answer)) return explain(answer, response, port, words);
  response.writeHead(answer.statusCode, answer.statusMessage, answerHeaders(answer, port));
  // A stream's head must not wait for its first event; of other answers the body follows, and one packet is enough.
  if (answer.headers["content-length"] === undefined) response.flushHeaders();
  const keyed = entry.stream && sorted.key && answer.statusCode === 200;
  (keyed ? answer.pipe(withKey(sorted.key)) : answer).pipe(response);
  answer.on("error", () => response.destroy()); // cut off: the client must see that, not a short answer
}

function isShortJson({ headers }) {
  const json = (headers["content-type"] ?? "").startsWith("application/json") && !headers["content-encoding"];
  return json && Number(headers["content-length"] ?? Infinity) <= LONGEST_REFUSAL;
}

/** Adds `message` to the body; what MetaMCP said stays. */
function explain(answer, response, port, words) {
  const chunks = [];
  answer.on("data", (chunk) => chunks.push(chunk));
  answer.on("error", () => response.destroy());
  answer.on("end", () => {
    const given = Buffer.concat(chunks);
    const body = Buffer.from(worded(given, words));
    const headers = answerHeaders(answer, port);
    const framing = /^(content-length|etag)$/i;
    const flat = headers.flatMap((name, i) => (i % 2 || framing.test(name) ? [] : [name, headers[i + 1]]));
    response.writeHead(answer.statusCode, answer.statusMessage, [...flat, "content-length", String(body.length)]);
    response.end(body);
  });
}

function worded(given, words) {
  try {
    const said = JSON.parse(given.toString("utf8"));
    if (said && typeof said === "object" && !Array.isArray(said)) return JSON.stringify({ ...said, message: words });
  } catch {
    // Not what its head says: it goes on as it is.
  }
  return given;
}

/**
 * An SSE session begins with the address that the client posts to. Clients take it as it is, and one that was given nothing
 * but a URL would come back without its key.
 */
function withKey(key) {
  let held = Buffer.alloc(0);
  let passed = false;
  return new Transform({
    transform(chunk, _, done) {
      if (passed) return done(null, chunk);
      held = Buffer.concat([held, chunk]);
      const text = held.toString("latin1");
      const end = text.search(/\r?\n\r?\n/);
      if (end < 0 && held.length < LONGEST_FIRST_EVENT) return done();
      passed = true;
      const event = /^(event: ?endpoint\r?\ndata: ?[^\r\n]*)/;
      const keyed = text.replace(event, (head) => `${head}${head.includes("?") ? "&" : "?"}api_key=${encodeURIComponent(key)}`);
      return done(null, Buffer.from(keyed, "latin1"));
    },
    flush(done) {
      done(null, passed ? undefined : held);
    },
  });
}
