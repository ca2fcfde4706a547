// The port the platform gives, and free ones for the services.

import net from "node:net";

/** DATABRICKS_APP_PORT; 8000 is the platform's default. */
export function portOf(env) {
  const text = env.DATABRICKS_APP_PORT || "8000";
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`DATABRICKS_APP_PORT is ${JSON.stringify(text)}, not a port`);
  return port;
}

/** A port of 127.0.0.1 that nobody listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
