// Which router of the backend holds an MCP session.

import { normalizedPath } from "./path-normalization.mjs";

// By the path that opened it; the patch `session-ends` uses the same names.
const ROUTERS = [
  [/^\/metamcp\/[^/]+\/mcp$/, "public-metamcp/streamable-http"],
  [/^\/metamcp\/[^/]+\/sse$/, "public-metamcp/sse"],
  [/^\/mcp-proxy\/metamcp(\/|$)/, "mcp-proxy/metamcp"],
  [/^\/mcp-proxy\/server(\/|$)/, "mcp-proxy/server"],
];

/** The router that holds a session, and the name of its endpoint. */
export function holder(path) {
  const plain = (normalizedPath(path) ?? path).replace(/\/$/, "");
  const [, router] = ROUTERS.find(([form]) => form.test(plain)) ?? [];
  const name = path.split("/")[2] ?? "";
  try {
    return { router, endpoint: decodeURIComponent(name) };
  } catch {
    return { router, endpoint: name };
  }
}
