// OAuth of MetaMCP's endpoints. Upstream gives a code for whoever is signed in to every client that a link names, without a
// question, and its callback gives one to any address. Here a person confirms each client, and only the authorization
// endpoint, which knows the addresses of its clients, gives codes.

import { createHmac, randomBytes } from "node:crypto";

import { emailOf } from "./identity.mjs";
import { normalizedPath } from "./path-normalization.mjs";
import { isSame } from "../request-headers.mjs";

const AUTHORIZE = "/oauth/authorize";
const CALLBACK = "/oauth/callback"; // where upstream's sign-in page leads back to
const CONFIRMED = "metamcp_confirmed";
const SESSION = /session_token=([^;]*)/g;
const FIELDS = ["client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"];
const key = randomBytes(32);

/**
 * Checks a request by its path to the service: null for one that has nothing to do with this, {away} for what the launcher
 * answers (the question, the way from the callback to the authorization endpoint, a refusal), {path} for one that goes on.
 */
export function oauthRule(request, target) {
  const [path, query = ""] = target.split(/\?(.*)/s, 2);
  const plain = (normalizedPath(path) ?? "").replace(/\/$/, "");
  if (request.method === "OPTIONS" || (plain !== AUTHORIZE && plain !== CALLBACK)) return null;
  const given = new URLSearchParams(query);
  if (new Set(given.keys()).size !== given.size) return refused("oauth_request", "A parameter of the request is there twice.");
  return plain === CALLBACK ? fromCallback(given.get("params")) : authorize(request, given);
}

function authorize(request, given) {
  const shown = given.get(CONFIRMED) ?? "";
  given.delete(CONFIRMED);
  const path = `${AUTHORIZE}?${given}`;
  const sessions = Array.from((request.headers.cookie ?? "").matchAll(SESSION), ([, value]) => value);
  if (!sessions.length) return { path }; // leads to the sign-in page, and gives no code
  const confirmed = createHmac("sha256", key).update(JSON.stringify([path, sessions, emailOf(request)])).digest("base64url");
  if (isSame(shown, confirmed)) return { path };
  return question(given, [...given, [CONFIRMED, confirmed]]);
}

function question(given, fields) {
  const address = given.get("redirect_uri") ?? "";
  const who = URL.canParse(address) ? new URL(address).host : address;
  const message = `A program at ${who || "no address"} asks for access to MetaMCP in your name. Allow it only if you started this just now.`;
  const form = { action: AUTHORIZE, fields, button: `Allow ${who}` };
  return { away: { http: 403, status: "asks", step: "access", code: "confirmation_needed", message, form } };
}

/** The request that the sign-in page interrupted. */
function fromCallback(params) {
  const asked = decoded(params ?? "");
  if (typeof asked?.client_id !== "string") {
    return refused("oauth_request", "This address only goes on with a sign-in. Begin again with the program that asked for access.");
  }
  const fields = FIELDS.filter((name) => typeof asked[name] === "string").map((name) => [name, asked[name]]);
  const location = `${AUTHORIZE}?${new URLSearchParams([["response_type", "code"], ...fields])}`;
  const headers = { location, "cache-control": "no-store" };
  return { away: { http: 302, status: "refused", step: "access", code: "moved", message: `This is at ${AUTHORIZE}.`, headers } };
}

function decoded(params) {
  try {
    return JSON.parse(Buffer.from(params, "base64url").toString("utf8"));
  } catch {
    return null;
  }
}

function refused(code, message) {
  return { away: { http: 400, status: "refused", step: "access", code, message } };
}
