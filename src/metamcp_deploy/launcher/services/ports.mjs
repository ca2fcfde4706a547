// Free ports for the services.

import net from "node:net";

/** The services' ports on 127.0.0.1, chosen before the services start: another program may take one in between. */
export class Ports {
  /** Two free ports. */
  static async choose() {
    const probes = await Promise.all([listen(0), listen(0)]); // open at the same time, so that they differ
    const [backend, frontend] = probes.map((probe) => probe.address().port);
    await Promise.all(probes.map(closed));
    return Object.assign(new Ports(), { backend, frontend });
  }

  /** Chooses another port when another program listens on that of a stopped service. Returns whether it did. */
  async renew(name) {
    const probe = await listen(this[name]).catch(() => null);
    if (probe) await closed(probe);
    else this[name] = (await Ports.choose())[name];
    return !probe;
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
