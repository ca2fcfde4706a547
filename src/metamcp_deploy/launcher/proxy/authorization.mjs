// A client behind the platform's login has two credentials, and one Authorization header. Here they are told apart: the
// platform's token ends here, for MetaMCP would take it for a key of its own and hand it on to MCP servers; MetaMCP's key
// goes on as X-API-Key, wherever the client could put it.

// MetaMCP's own, at every tag: API keys, and the access tokens of an endpoint's OAuth.
const OWN = /^(sk_mt_|mcp_token_)/;
// Personal access tokens and the like, by their prefixes. Source: the platform's docs on token formats.
const PLATFORM = /^(dapi|dkea|dose|dsapi)[0-9a-f]/i;
const PLATFORM_HOST = /(^|\.)(databricks\.(com|us)|azuredatabricks\.(net|us|cn)|databricksapps\.com)$/i;
const PLATFORM_COOKIE = /^(__Host-|__Secure-)?_*databricks/i;
const ENDPOINT = /^\/metamcp\/[^/?#]+\/(mcp|sse|message|api)(?=[/?#]|$)/;

/**
 * Sorts the headers that go to a service (an object of lists and texts), in place.
 *
 * @param path that the service is asked for
 * @param workspace origin of the workspace, which issues the platform's tokens
 * @returns {path, endpoint, shown, key, dropped}: the path without a key; whether an MCP endpoint is asked; whether the
 *   request shows MetaMCP a credential at all; the key that stood in the path; whether a token of the platform was dropped
 */
export function sort(headers, path, workspace) {
  const access = [headers["x-forwarded-access-token"]].flat().filter(Boolean);
  const platform = (token) => access.includes(token) || isPlatforms(token, workspace);
  delete headers["x-forwarded-access-token"];
  withoutCookies(headers);
  const endpoint = ENDPOINT.test(path);
  const before = count(headers.authorization) + count(headers["x-api-key"]);
  keep(headers, "authorization", (value) => {
    const token = /^bearer\s+(.*)$/i.exec(value.trim())?.[1].trim();
    return token === undefined || (!platform(token) && (!endpoint || OWN.test(token)));
  });
  keep(headers, "x-api-key", (value) => value.trim() !== "" && !platform(value.trim()));
  const dropped = count(headers.authorization) + count(headers["x-api-key"]) < before;
  const shown = Boolean(headers.authorization || headers["x-api-key"]);
  if (!endpoint) return { path, endpoint, shown, key: "", dropped };
  const found = keyOf(path);
  const bad = platform(found.key);
  if (found.key && !bad && !shown) headers["x-api-key"] = found.key;
  return { path: found.path, endpoint, shown: shown || Boolean(found.key && !bad), key: bad ? "" : found.key, dropped: dropped || bad };
}

function count(value) {
  return value === undefined ? 0 : [value].flat().length;
}

function keep(headers, name, wanted) {
  if (headers[name] === undefined) return;
  const left = [headers[name]].flat().filter(wanted);
  if (left.length) headers[name] = left[0]; // the first counts, as Node has it
  else delete headers[name];
}

/** Whether a token is one of the platform's: by prefix, or a JWT that does not say it is somebody else's. */
function isPlatforms(token, workspace) {
  if (PLATFORM.test(token)) return true;
  const parts = token.split(".");
  if (parts.length !== 3 || !claims(parts[0])?.alg) return false;
  const issuer = claims(parts[1])?.iss;
  if (typeof issuer !== "string" || !URL.canParse(issuer)) return true;
  const { origin, hostname } = new URL(issuer);
  return origin === workspace || PLATFORM_HOST.test(hostname);
}

function claims(part) {
  try {
    return JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
  } catch {
    return null;
  }
}

/** The session of the platform's proxy is nothing that MetaMCP needs. */
function withoutCookies(headers) {
  if (headers.cookie === undefined) return;
  const all = [headers.cookie].flat().join("; ").split(";").map((cookie) => cookie.trim());
  const left = all.filter((cookie) => cookie && !PLATFORM_COOKIE.test(cookie));
  if (left.length) headers.cookie = left.join("; ");
  else delete headers.cookie;
}

/** The key in a path's query (`api_key`, else `apikey`), and the path without it, the rest as it was written. */
function keyOf(path) {
  const [before, query = ""] = path.split(/\?(.*)/s, 2);
  const found = {};
  const left = query.split("&").filter((pair) => {
    const [name, value = ""] = pair.split(/=(.*)/s, 2);
    if (name !== "api_key" && name !== "apikey") return true;
    found[name] ||= decoded(value);
    return false;
  });
  return { key: found.api_key || found.apikey || "", path: before + (left.join("&") ? `?${left.join("&")}` : "") };
}

function decoded(text) {
  const found = new URLSearchParams(`x=${text}`).get("x").trim();
  return /^[\x21-\x7e]+$/.test(found) ? found : ""; // nothing else fits into a header
}

/**
 * What a client is told beside an endpoint's 401 when it showed MetaMCP no credential, or one of the platform's.
 *
 * @param sorted as `sort` gave it
 */
export function explanation({ shown, dropped }) {
  if (shown) return "";
  const known = dropped ? "The Databricks token opens the app, and goes no further. MetaMCP asks for" : "MetaMCP asks for";
  return (
    `${known} an API key of its own: make one under API Keys in its UI, and send it as the header ` +
    "X-API-Key: sk_mt_..., or, where the client takes nothing but a URL, as ?api_key=sk_mt_... ."
  );
}
