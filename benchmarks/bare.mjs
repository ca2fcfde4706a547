// The two services as somebody would start them by hand: node bare.mjs BACKEND FRONTEND, ports and PG* in the
// environment. It hands the backend what the launcher would: its password, over IPC.

import { fork } from "node:child_process";
import path from "node:path";
import process from "node:process";

const [backend, frontend] = process.argv.slice(2);
const { PGPASSWORD, ...env } = process.env;
const services = [
  fork(backend, { env, cwd: path.dirname(backend), stdio: "inherit" }),
  fork(frontend, { env: { ...env, BETTER_AUTH_SECRET: "" }, cwd: path.dirname(frontend), stdio: "inherit" }),
];
services[0].on("message", ({ id }) => id && services[0].send({ id, value: PGPASSWORD }));
process.on("SIGTERM", () => {
  for (const service of services) service.kill("SIGKILL");
  process.exit(0);
});
