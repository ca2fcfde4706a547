import process from "node:process";

const inherited = ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];

/** What every MCP server gets of this program's environment. */
export function getDefaultEnvironment(): Record<string, string> {
  const found = inherited.map((name) => [name, process.env[name]]);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined));
}

/** Server settings may say "${NAME}" for a value that is not to stand in them. */
export function resolveEnvVariables(env: Record<string, string>): Record<string, string> {
  const resolved: Record<string, string> = {};
  for (const [key, value] of Object.entries(env)) {
    const varName = /^\$\{(.+)\}$/.exec(value)?.[1];
    if (varName && process.env[varName]) {
      resolved[key] = process.env[varName];
    } else {
      resolved[key] = value;
    }
  }
  return resolved;
}
