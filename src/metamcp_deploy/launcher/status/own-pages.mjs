// The launcher's own addresses for operators, below /.metamcp-deploy/: the status, metrics, a page, and acts.

const PREFIX = "/.metamcp-deploy";
const JSON_TYPE = "application/json; charset=utf-8";

/**
 * Returns the function that answers a request for one of these addresses and says whether it does:
 * (request, response, refuse(away)) → boolean.
 *
 * @param readers {mayRead(request), mayAct(request)} as readers.mjs makes them
 * @param pages path below the prefix → {type, headers, text()}, or {act(request)} of a POST, which returns {http, body} or {away}
 */
export function ownPages(readers, pages) {
  return (request, response, refuse) => {
    const [path] = request.url.split("?");
    if (!path.startsWith(PREFIX)) return false;
    const page = pages[path.slice(PREFIX.length) || "/"];
    if (!page) return false;
    const given = { request, response, refuse, ...readers };
    (page.act ? act(page, given) : answer(page, given)).catch(() => response.destroy());
    return true;
  };
}

async function answer({ type, headers = {}, text }, { request, response, refuse, mayRead }) {
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(methodRefused("GET and HEAD", "GET, HEAD"));
  const away = await mayRead(request);
  if (away) return refuse(away);
  return send(request, response, 200, { type, headers, body: text() });
}

async function act(page, { request, response, refuse, mayAct }) {
  if (request.method !== "POST") return refuse(methodRefused("POST", "POST"));
  const refused = await mayAct(request);
  if (refused) return refuse(refused);
  const { http, body, away } = page.act(request);
  if (away) return refuse(away);
  return send(request, response, http, { type: JSON_TYPE, body: `${JSON.stringify(body)}\n` });
}

function methodRefused(words, allow) {
  return { http: 405, status: "refused", step: "access", code: "method_refused", message: `This takes ${words} only.`, headers: { allow } };
}

function send(request, response, http, { type, headers = {}, body }) {
  const length = { "content-length": String(Buffer.byteLength(body)) };
  response.writeHead(http, { "content-type": type, "cache-control": "no-store", "x-content-type-options": "nosniff", ...length, ...headers });
  return response.end(request.method === "HEAD" ? "" : body);
}
