// The kinds of request that the launcher counts: few and fixed, whatever clients ask for.

const PARTS = /^\/([^/?#]*)(?:\/([^/?#]*)(?:\/([^/?#]*))?)?/;
const FIRST = new Map(
  Object.entries({ "mcp-proxy": "inspector", trpc: "trpc", oauth: "oauth", ".well-known": "oauth", health: "health", _next: "static" }),
);
const OF_ENDPOINT = new Map(
  Object.entries({ mcp: "mcp", sse: "sse", message: "sse", api: "openapi", "openapi.json": "openapi", oauth: "oauth" }),
);

export const CLASSES = ["mcp", "sse", "openapi", "inspector", "trpc", "auth", "oauth", "health", "static", "pages"];

/** The class of a request's target, one of CLASSES. */
export function routeClass(target) {
  const [, first, second, third] = PARTS.exec(target) ?? [];
  if (first === "metamcp") return OF_ENDPOINT.get(third) ?? (second === undefined || second === "health" ? "health" : "mcp");
  if (first === "api") return second === "auth" ? "auth" : "pages";
  return FIRST.get(first) ?? "pages";
}
