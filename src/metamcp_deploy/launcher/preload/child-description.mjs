// What may be said of a program that the service started. Its arguments may hold secrets, and are not looked at, but for the
// package that a runner of packages is asked for: the place where it stands takes nothing but a package's name.

import path from "node:path";

const RUNNERS = new Set(["npx", "bunx", "pnpx", "uvx"]);
const WITHOUT_VALUE = new Set(["-y", "--yes", "-q", "--quiet"]);
const PACKAGE = /^(@[a-z0-9][\w.-]{0,100}\/)?[a-z0-9][\w.-]{0,100}(@[\w.^~-]{1,40})?$/i;

/** {command, package} of a ChildProcess: the file's name, and the package (`npx -y @scope/server`) or null. */
export function described({ spawnfile, spawnargs = [] }) {
  const command = path.basename(String(spawnfile ?? ""));
  const first = spawnargs.slice(1).find((argument) => !WITHOUT_VALUE.has(argument)) ?? "";
  return { command, package: RUNNERS.has(command) && PACKAGE.test(first) ? first : null };
}
