// The program that app.yaml starts. It holds the app's port until it is stopped, and exits with another code than 0 only
// when it cannot bind that port.

import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { Launcher } from "./launcher.mjs";
import { complain } from "./log.mjs";
import { takeSecrets } from "./secrets.mjs";

const { secrets, withheld, kept } = takeSecrets(); // may restart the program without them in place of returning
const root = path.dirname(fileURLToPath(import.meta.url));
const launcher = new Launcher({ env: { ...process.env }, secrets, withheld, root });

process.title = "metamcp-launcher";
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => launcher.stop(signal).finally(() => process.exit(0)));
}
// A bug in one request must not take the port away from all others.
process.on("uncaughtException", (error) => complain(`Unexpected error: ${error?.stack ?? error}`));
process.on("unhandledRejection", (error) => complain(`Unexpected error: ${error?.stack ?? error}`));

if (kept) complain(`Secrets stay visible in /proc/${process.pid}/environ: ${kept}`);
launcher.run().catch((error) => {
  complain(`Cannot hold the port: ${error.message}`);
  process.exit(1);
});
