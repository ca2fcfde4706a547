// Which service a request goes to, and under which path.

import { normalizedPath } from "./path-normalization.mjs";

/**
 * `routes` as in release.json, in order. Returns a function of a request target: {service, path}, or {away} where the front
 * end would forward it, cookies included, to a host outside.
 */
export function router(routes) {
  const table = routes.filter((route) => !route.closed).map(({ prefix, to, exact }) => ({ prefix, to, exact: Boolean(exact) }));
  const outside = routes.filter((route) => route.closed).map((route) => ({ ...route, prefix: route.prefix.toLowerCase() }));
  return (target) => {
    const end = target.search(/[?#]/);
    const path = end < 0 ? target : target.slice(0, end);
    for (const { prefix, to, exact } of table) {
      if (path === prefix) return { service: "backend", path: to + target.slice(prefix.length) };
      if (!exact && path.startsWith(`${prefix}/`)) return { service: "backend", path: to + target.slice(prefix.length) };
    }
    const route = outside.length ? outsideRoute(outside, path) : undefined;
    return route ? { away: closed(route) } : { service: "frontend", path: target };
  };
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
