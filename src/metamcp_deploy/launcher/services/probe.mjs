// Whether a service answers.

import http from "node:http";

import { startHeader } from "./start-secret.mjs";

/** The HTTP status of its response; 0 without one in so many ms. */
export function probe(port, path, timeout = 5_000) {
  return new Promise((resolve) => {
    const options = { host: "127.0.0.1", port, path, headers: startHeader, agent: false, timeout };
    const request = http.get(options, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(0));
  });
}
