// Closes what upstream leaves open: with upstream everybody can create an account, and the inspector starts any command.
// A request is checked by its normalized path, so that no other spelling of the path bypasses the rules.

import { emailOf } from "./identity.mjs";
import { oauthRule } from "./oauth-rule.mjs";
import { normalizedPath } from "./path-normalization.mjs";

const MAX_BODY = 16 * 1024; // a sign-up is some hundred bytes
const REMOTE = new Set(["SSE", "STREAMABLE_HTTP"]);
const SIGN_UP = /\/api\/auth\/(.*\/)?sign-up(\/|$)/;
const INSPECTOR = /\/mcp-proxy\/(.*\/)?server(\/|$)/;

/**
 * Returns the function that checks a request by its target and by what a rewrite makes of that: it gives null for an allowed
 * request, {away} for a refused one, {body: promise of {away} or {bytes}} when the body has to be read first, and
 * forwarded as `bytes`, or {path} when it goes on under that path.
 *
 * @param env METAMCP_SIGN_UP (closed, operators, users, open; operators when unset), METAMCP_INSPECTOR (closed, operators,
 *   open; closed when unset)
 * @param isOperator of a request
 */
export function accessRules(env, isOperator) {
  const signUp = env.METAMCP_SIGN_UP || "operators";
  const inspector = env.METAMCP_INSPECTOR || "closed";
  return (request, ...targets) => {
    // Express reads a target up to its #, which no client sends (RFC 9112, 3.2.1): the rules would judge another path.
    if (targets.some((target) => target.includes("#"))) return refused(400, "path_not_plain", "The path holds a #.");
    const asked = targets.map((target) => target.split(/\?(.*)/s, 2)).map(([path, query = ""]) => ({ plain: normalizedPath(path), query }));
    if (asked.some(({ plain }) => plain === null)) {
      return refused(400, "path_not_plain", "The path holds . or .. as a part, or is encoded many times over.");
    }
    const starts = asked.some(({ plain, query }) => INSPECTOR.test(plain) && startsCommand(plain, query));
    if (starts && !allowed(inspector, request, isOperator)) return inspectorClosed(inspector);
    if (!asked.some(({ plain }) => SIGN_UP.test(plain))) return oauthRule(request, targets.at(-1));
    if (signUp === "open" || request.method === "OPTIONS") return null;
    return checkSignUp(request, signUp, isOperator);
  };
}

function startsCommand(plain, query) {
  if (/\/stdio\/?$/.test(plain)) return true;
  // On three routes `transportType` decides what is started; a list or a second value must not hide it.
  return [...new URLSearchParams(query)].some(([name, value]) => /transporttype/i.test(name) && !REMOTE.has(value));
}

function allowed(setting, request, isOperator) {
  return setting === "open" || (setting === "operators" && isOperator(request));
}

function inspectorClosed(setting) {
  const who = setting === "operators" ? "app.operators may start commands from the inspector, and you are none of them" : "the inspector may not start commands";
  return refused(403, "inspector_closed", `Here ${who} (setting app.inspector). Inspect the server through a namespace instead.`);
}

function checkSignUp(request, setting, isOperator) {
  const email = emailOf(request);
  if (setting === "closed") return refused(403, "sign_up_closed", "Nobody can sign up here (setting app.sign_up). Ask an operator for an account.");
  if (!email) return refused(403, "sign_up_unknown", "Sign-up needs a person: the platform did not say who asks (X-Forwarded-Email).");
  if (setting === "operators" && !isOperator(request)) {
    return refused(403, "sign_up_operators", `Only the addresses in app.operators can sign up here, and ${email} is none of them (setting app.sign_up).`);
  }
  if (request.method !== "POST") return null; // creates no account
  return { body: signUpBody(request, email) };
}

/** The body is serialised anew, so that the backend cannot read another address in it. */
async function signUpBody(request, email) {
  const type = (request.headers["content-type"] ?? "").split(";")[0].trim().toLowerCase();
  const encoding = (request.headers["content-encoding"] ?? "identity").toLowerCase();
  if (type !== "application/json" || encoding !== "identity") {
    return refused(415, "sign_up_body", "Sign-up takes application/json, not compressed.");
  }
  const text = await textOf(request);
  if (text === null) return refused(413, "sign_up_body", `Sign-up takes at most ${MAX_BODY} bytes.`);
  let given;
  try {
    given = JSON.parse(text);
  } catch {
    given = null;
  }
  if (typeof given?.email !== "string") return refused(400, "sign_up_body", "Sign-up takes a JSON object with email, password and name.");
  if (given.email.trim().toLowerCase() !== email) {
    return refused(403, "sign_up_other", `You can sign up as ${email} only, the address that you are known by here.`);
  }
  return { bytes: Buffer.from(JSON.stringify({ ...given, email })) };
}

/** The body's text; null when it is too long. Rejects when the client disconnects. */
function textOf(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let length = 0;
    request.on("data", (chunk) => {
      length += chunk.length;
      if (length > MAX_BODY) resolve(null);
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
    request.on("error", reject);
    request.on("close", () => reject(new Error("the client went away")));
  });
}

function refused(http, code, message) {
  return { away: { http, status: "refused", step: "access", code, message } };
}
