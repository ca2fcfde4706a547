// A client behind the platform's login has two credentials and one Authorization header. The platform's token is removed
// here: MetaMCP would take it for a key of its own and forward it to MCP servers. MetaMCP's key is forwarded as X-API-Key,
// wherever the client put it.

// MetaMCP's own credentials, at every tag: API keys, and the access tokens of an endpoint's OAuth.
const OWN = /^(sk_mt_|mcp_token_)/;
// Personal access tokens and the like, by their prefixes. Source: the platform's docs on token formats.
const PLATFORM = /^(dapi|dkea|dose|dsapi)[0-9a-f]/i;
const PLATFORM_HOST = /(^|\.)(databricks\.(com|us)|azuredatabricks\.(net|us|cn)|databricksapps\.com)$/i;
const PLATFORM_COOKIE = /^(__Host-|__Secure-)?_*databricks/i;
const ENDPOINT = /^\/metamcp\/[^/?#]+\/(mcp|sse|message|api)(?=[/?#]|$)/;

/**
 * Sorts the credentials in the headers that go to a service (an object of lists and texts), in place.
 *
 * @param path of the request to the service
 * @param workspace origin of the workspace, which issues the platform's tokens
 * @returns {path, endpoint, shown, key, dropped}: the path without a key; whether it is that of an MCP endpoint; whether
 *   the request has a credential of MetaMCP's; the key that was in the path; whether a token of the platform was dropped
 */
export function sortCredentials(headers, path, workspace) {
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
  const query = keyOf(path);
  const bad = platform(query.key);
  const key = bad ? "" : query.key;
  if (key && !shown) headers["x-api-key"] = key;
  return { path: query.path, endpoint, shown: shown || Boolean(key), key, dropped: dropped || bad };
}

function count(value) {
  return value === undefined ? 0 : [value].flat().length;
}

function keep(headers, name, wanted) {
  if (headers[name] === undefined) return;
  const left = [headers[name]].flat().filter(wanted);
  if (left.length) headers[name] = left[0]; // the first counts, as in Node
  else delete headers[name];
}

/** Whether the platform issued a token: by its prefix, or a JWT without another issuer. */
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

/** MetaMCP does not need the session of the platform's proxy. */
function withoutCookies(headers) {
  if (headers.cookie === undefined) return;
  const all = [headers.cookie].flat().join("; ").split(";").map((cookie) => cookie.trim());
  const left = all.filter((cookie) => cookie && !PLATFORM_COOKIE.test(cookie));
  if (left.length) headers.cookie = left.join("; ");
  else delete headers.cookie;
}

/** The key in a path's query (`api_key`, else `apikey`), and the path without it, otherwise unchanged. */
function keyOf(path) {
  const [before, query = ""] = path.split(/\?(.*)/s, 2);
  const keys = {};
  const left = query.split("&").filter((pair) => {
    const [name, value = ""] = pair.split(/=(.*)/s, 2);
    if (name !== "api_key" && name !== "apikey") return true;
    keys[name] ||= decoded(value);
    return false;
  });
  return { key: keys.api_key || keys.apikey || "", path: before + (left.join("&") ? `?${left.join("&")}` : "") };
}

function decoded(text) {
  const plain = new URLSearchParams(`x=${text}`).get("x").trim();
  return /^[\x21-\x7e]+$/.test(plain) ? plain : ""; // a header takes nothing else
}

/**
 * The explanation added to an endpoint's 401 when the request had no credential of MetaMCP's; "" otherwise.
 *
 * @param sorted the result of `sortCredentials`
 */
export function explanation({ shown, dropped }) {
  if (shown) return "";
  const known = dropped ? "The Databricks token opens the app, and goes no further. MetaMCP asks for" : "MetaMCP asks for";
  return (
    `${known} an API key of its own: make one under API Keys in its UI, and send it as the header ` +
    "X-API-Key: sk_mt_..., or, where the client takes nothing but a URL, as ?api_key=sk_mt_... ."
  );
}
