// Which service a request goes to, and under which path: Next's own order, from its manifests.

import { frontEndRefusal } from "./front-end.mjs";
import { normalizedPath } from "./path-normalization.mjs";

/**
 * `routes` as in release.json, in Next's order. Returns a function of a request's target and method: {service, path}, or
 * {away} for what the launcher answers: redirects of spellings, and what the front end must not get.
 *
 * Source of the order: resolve-routes.js of Next 15 (repeated slashes, redirects, middleware, beforeFiles, files, afterFiles,
 * dynamic pages, fallback).
 */
export function router(routes) {
  const table = routes.filter((route) => route.prefix !== undefined && !route.closed || route.front).map(prepared);
  const unslash = routes.filter((route) => route.unslash).map((route) => new RegExp(route.unslash, "i"));
  const outside = routes.filter((route) => route.closed).map((route) => ({ ...route, prefix: route.prefix.toLowerCase() }));
  const handlers = routes.filter((route) => route.handler).map((route) => new RegExp(route.handler, route.flags));
  return (target, method = "GET") => {
    const end = target.search(/[?#]/);
    const [path, rest] = end < 0 ? [target, ""] : [target.slice(0, end), target.slice(end)];
    const spelled = respelled(path, unslash);
    if (spelled !== path) return { away: moved(spelled + rest) };
    const found = table.find((route) => route.takes(path));
    const rewritten = found?.to === undefined ? null : found.to + path.slice(found.prefix.length);
    const route = outside.length ? outsideRoute(outside, rewritten ?? path) : undefined;
    if (route) return { away: closed(route) };
    if (rewritten !== null) return { service: "backend", path: rewritten + rest };
    const away = frontEndRefusal(method, path, rest, handlers);
    return away ? { away } : { service: "frontend", path: target };
  };
}

/** An entry with `takes`: whether it takes a path. Next compares prefixes without case, and patterns of paths decoded, too. */
function prepared({ front, flags, prefix, to, exact }) {
  if (front) {
    const pattern = new RegExp(front, flags);
    return { takes: (path) => pattern.test(path) || (path.includes("%") && pattern.test(decoded(path))) };
  }
  const lower = prefix.toLowerCase();
  const below = `${lower}/`;
  const takes = (path) => {
    const head = path.slice(0, below.length).toLowerCase();
    return head === lower || (!exact && head === below);
  };
  return { prefix, to, takes };
}

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The spelling of a path that Next redirects to; the path itself when it is right. */
function respelled(path, unslash) {
  if (/\\|\/\//.test(path)) return path.replace(/\\/g, "/").replace(/\/\/+/g, "/");
  return unslash.some((pattern) => pattern.test(path)) ? path.slice(0, -1) : path;
}

function outsideRoute(outside, path) {
  // Next rewrites a page's data, /_next/data/<build>/<page>.json, as it does the page.
  const plain = (normalizedPath(path) ?? "").replace(/^\/_next\/data\/[^/]*/, "").replace(/(\.json)?\/?$/, "");
  return outside.find(({ prefix, exact }) => plain === prefix || (!exact && plain.startsWith(`${prefix}/`)));
}

function closed({ prefix, closed: host }) {
  const message = `Closed here: ${prefix} is answered by ${host}, a service outside, which would be sent the caller's session.`;
  return { http: 404, status: "refused", step: "access", code: "outside_closed", message };
}

function moved(location) {
  return { http: 308, status: "refused", step: "proxy", code: "moved", message: `This is at ${location}.`, headers: { location } };
}
