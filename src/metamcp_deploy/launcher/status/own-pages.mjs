// The launcher's own addresses for operators, below /.metamcp-deploy/: the status, metrics, and a page.

const PREFIX = "/.metamcp-deploy";

/**
 * Returns the function that answers a request for one of these addresses and says whether it does:
 * (request, response, refuse(away)) → boolean.
 *
 * @param mayRead as readers.mjs makes it
 * @param pages path below the prefix → {type, headers, text()}
 */
export function ownPages(mayRead, pages) {
  return (request, response, refuse) => {
    const [path] = request.url.split("?");
    if (!path.startsWith(PREFIX)) return false;
    const page = pages[path.slice(PREFIX.length) || "/"];
    if (!page) return false;
    answer(page, { request, response, refuse, mayRead }).catch(() => response.destroy());
    return true;
  };
}

async function answer({ type, headers = {}, text }, { request, response, refuse, mayRead }) {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return refuse({ http: 405, status: "refused", step: "access", code: "method_refused", message: "This takes GET and HEAD only.", headers: { allow: "GET, HEAD" } });
  }
  const away = await mayRead(request);
  if (away) return refuse(away);
  const body = text();
  const length = { "content-length": String(Buffer.byteLength(body)) };
  response.writeHead(200, { "content-type": type, "cache-control": "no-store", "x-content-type-options": "nosniff", ...length, ...headers });
  return response.end(request.method === "HEAD" ? "" : body);
}
