// Forwards a service's response to the client. Changed are an endpoint's 401, which gets an explanation of what is
// missing, the first event of an SSE session, which keeps the key that was in the URL, and silent event streams.

import { Transform } from "node:stream";

import { explanation } from "./authorization.mjs";
import { answerHeaders } from "./headers.mjs";
import { pipeWithComments, takesComments } from "./stream-comments.mjs";

const LONGEST_REFUSAL = 64 * 1024;
const LONGEST_FIRST_EVENT = 8 * 1024;

/**
 * @param answer the response of the service at `port`
 * @param sorted the request's credentials, as authorization.mjs sorted them
 * @param entry of the open request; its `stream` is set for an event stream
 * @param lists whether a JSON response may list sessions, which the caller does not see
 */
export function relay(answer, response, { entry, port, sorted, lists }) {
  entry.stream = (answer.headers["content-type"] ?? "").startsWith("text/event-stream");
  const words = answer.statusCode === 401 && sorted.endpoint ? explanation(sorted) : "";
  if (words && isShortJson(answer)) return rewrite(answer, response, port, (given) => ({ ...given, message: words }));
  if (lists && isJson(answer)) return rewrite(answer, response, port, withoutLists);
  response.writeHead(answer.statusCode, answer.statusMessage, answerHeaders(answer, port));
  // A stream's headers must not wait for its first event; other responses fit headers and body into one packet.
  if (answer.headers["content-length"] === undefined) response.flushHeaders();
  const keyed = entry.stream && sorted.key && answer.statusCode === 200;
  const source = keyed ? answer.pipe(withKey(sorted.key)) : answer;
  if (takesComments(answer)) pipeWithComments(source, response);
  else source.pipe(response);
  answer.on("error", () => response.destroy()); // the client must see that the response is incomplete
}

function isJson({ headers }) {
  return (headers["content-type"] ?? "").startsWith("application/json") && !headers["content-encoding"];
}

function isShortJson(answer) {
  return isJson(answer) && Number(answer.headers["content-length"] ?? Infinity) <= LONGEST_REFUSAL;
}

/** MetaMCP's own object without its lists: ids of the sessions of all callers. */
function withoutLists(given) {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => !Array.isArray(value)));
}

/** Changes the object in MetaMCP's own body. */
function rewrite(answer, response, port, change) {
  const chunks = [];
  answer.on("data", (chunk) => chunks.push(chunk));
  answer.on("error", () => response.destroy());
  answer.on("end", () => {
    const given = Buffer.concat(chunks);
    const body = Buffer.from(changed(given, change));
    const headers = answerHeaders(answer, port);
    const framing = /^(content-length|etag)$/i;
    const flat = headers.flatMap((name, i) => (i % 2 || framing.test(name) ? [] : [name, headers[i + 1]]));
    response.writeHead(answer.statusCode, answer.statusMessage, [...flat, "content-length", String(body.length)]);
    response.end(body);
  });
}

function changed(given, change) {
  try {
    const said = JSON.parse(given.toString("utf8"));
    if (said && typeof said === "object" && !Array.isArray(said)) return JSON.stringify(change(said));
  } catch {
    // Not the JSON that its headers announce: forwarded unchanged.
  }
  return given;
}

/**
 * The first event of an SSE session is the address that the client posts to. Clients use it unchanged, so that a client
 * that knows only a URL would send its next request without the key.
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
