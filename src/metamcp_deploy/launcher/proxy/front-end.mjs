// What the front end never gets. Its framework had holes in code that MetaMCP does not use: a POST that names a server action
// runs or hangs Next, even where no page has one, and some headers and parameters are for Next's own processes.

const READS = new Set(["GET", "HEAD"]);
const ALLOW = { allow: "GET, HEAD" };
// Parameters in which Next hands the values of a dynamic route from one of its processes to another.
const INNER_PARAMETER = /^nxt[PI]/i;

// Where MetaMCP's pages lead after a sign-in: a path of this app, also for the parsers of URLs that leave tabs out.
const RETURN = /^callbackurl$/i;
const OWN_PATH = /^\/(?![/\\])[^\0-\x1f]*$/;

/** Headers that Next sends to itself. From a client, older versions believe them: some skip the middleware; a policy's nonce
 * gets into the page. */
export const INNER_HEADERS = /^(content-security-policy(-report-only)?|x-middleware-.*|x-matched-path|x-now-route-matches|x-nextjs-(postponed|prerender)|next-resume|x-next-(resume-state-length|revalidated-tags|revalidate-tag-token))$/;

/**
 * Why the front end does not get a request; null when it does.
 *
 * @param handlers patterns of the paths that take other methods than GET and HEAD
 */
export function frontEndRefusal(method, path, rest, handlers) {
  if (!READS.has(method) && !handlers.some((pattern) => pattern.test(path))) {
    return refused(405, "method_refused", `MetaMCP's pages take GET and HEAD only, not ${method}.`, ALLOW);
  }
  if (/nxt|%/i.test(rest) && [...new URLSearchParams(rest.slice(1)).keys()].some((name) => INNER_PARAMETER.test(name))) {
    return refused(400, "inner_parameter", "The query holds a parameter that only Next itself may set.");
  }
  if (/call|%/i.test(rest) && [...new URLSearchParams(rest.slice(1))].some(([name, value]) => RETURN.test(name) && !OWN_PATH.test(value))) {
    return refused(400, "callback_outside", "The parameter callbackUrl names no page of this app.");
  }
  return null;
}

function refused(http, code, message, headers = {}) {
  return { http, status: "refused", step: "access", code, message, headers };
}
