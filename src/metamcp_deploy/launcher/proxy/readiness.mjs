// The path that a platform asks whether a new deployment serves. It needs no secret, and says nothing but yes or no.

const PATH = "/.metamcp-deploy/ready";

/** Answers a request for that path: 200 when `ready`, else 503. False for every other request. */
export function answerReadiness(request, response, ready) {
  if (request.url.split("?")[0] !== PATH) return false;
  const reads = request.method === "GET" || request.method === "HEAD";
  const headers = { "content-type": "text/plain", "cache-control": "no-store", ...(!reads && { allow: "GET, HEAD" }) };
  response.writeHead(reads ? (ready ? 200 : 503) : 405, headers);
  response.end(reads ? (ready ? "ready\n" : "not ready\n") : "");
  return true;
}
