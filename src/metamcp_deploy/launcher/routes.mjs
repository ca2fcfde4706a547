// Which service a request goes to, and under which path.

/** `routes` as in release.json, in order. Returns a function of a request target: {service, path}. */
export function router(routes) {
  const table = routes.map(({ prefix, to, exact }) => ({ prefix, to, exact: Boolean(exact) }));
  return (target) => {
    const end = target.search(/[?#]/);
    const path = end < 0 ? target : target.slice(0, end);
    for (const { prefix, to, exact } of table) {
      if (path === prefix) return { service: "backend", path: to + target.slice(prefix.length) };
      if (!exact && path.startsWith(`${prefix}/`)) return { service: "backend", path: to + target.slice(prefix.length) };
    }
    return { service: "frontend", path: target };
  };
}
