// Which variables the settings of MCP servers may name as ${NAME}: those that METAMCP_CHILD_ENV lists, and no others.
//
// Anybody who may sign in can write server settings, and a server can tell what it was given.

const names = new Set(
  (process.env.METAMCP_CHILD_ENV ?? "").split(",").filter(Boolean),
);

/** The variable's value, or undefined when it is not there or not for MCP servers. */
export function childVariable(name: string): string | undefined {
  return names.has(name) ? process.env[name] : undefined;
}
