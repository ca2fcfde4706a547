// Free ports for the services.

import net from "node:net";

/** The services' ports on 127.0.0.1. They are chosen before the services start, so another program may take one. */
export class Ports {
  /** Two that nobody listens on. */
  static async choose() {
    const probes = await Promise.all([listen(0), listen(0)]); // both are open until both are known: they differ
    const [backend, frontend] = probes.map((probe) => probe.address().port);
    await Promise.all(probes.map(closed));
    return Object.assign(new Ports(), { backend, frontend });
  }

  /** Chooses again when another program listens on the port of a service that does not run. True when it did. */
  async renew(name) {
    const kept = await listen(this[name]).catch(() => null);
    if (kept) await closed(kept);
    else this[name] = (await Ports.choose())[name];
    return !kept;
  }
}

function listen(port) {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

function closed(server) {
  return new Promise((resolve) => server.close(resolve));
}
