// Whether a service answers.

import http from "node:http";

/** The HTTP status of its response; 0 without one in so many ms. */
export function probe(port, path, timeout = 5_000) {
  return new Promise((resolve) => {
    const request = http.get({ host: "127.0.0.1", port, path, agent: false, timeout }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve(0));
  });
}
