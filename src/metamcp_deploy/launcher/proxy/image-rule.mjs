// Next's image route asks the front end itself for `url`, with the caller's cookies, and so reaches what it rewrites to other
// hosts. Only the front end's own files are images.

import { normalizedPath } from "./path-normalization.mjs";

const IMAGE = /^\/_next\/image\/?$/;

/**
 * Returns the function of a request's target that gives {away} for an image that a rewrite would fetch, else null.
 *
 * @param routes as in release.json
 */
export function imageRule(routes) {
  const prefixes = routes.flatMap(({ prefix }) => prefix?.toLowerCase() ?? []);
  const rewritten = (given) => {
    const url = given.replace(/[\s\0-\x1f]/g, ""); // which parsers of URLs leave out
    const path = normalizedPath(url.split(/[?#]/)[0]);
    if (path === null || !/^\/[^/\\]/.test(url)) return true;
    return prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
  };
  return (target) => {
    const [path, query = ""] = target.split(/\?(.*)/s, 2);
    if (!IMAGE.test(normalizedPath(path) ?? "")) return null;
    const urls = [...new URLSearchParams(query)].filter(([name]) => /url/i.test(name)).map(([, value]) => value);
    return urls.some(rewritten) ? { away: CLOSED } : null;
  };
}

const message = "Images are the app's own files: this address is none of them.";
const CLOSED = { http: 404, status: "refused", step: "access", code: "image_closed", message };
