// How large a request's body may be, and that it comes as it is: MetaMCP inflates compressed bodies before it looks at who
// sends them, and a few small ones would fill its memory.

import { normalizedPath } from "./path-normalization.mjs";

const MB = 1024 ** 2;
const MCP = { paths: /^\/(metamcp|mcp-proxy)(\/|$)/, bytes: 4 * MB }; // the limit of the MCP SDK's own servers
const SIGN_IN = { paths: /^\/(api\/auth|oauth|\.well-known)(\/|$)/, bytes: MB };
const OTHERS = { paths: /^/, bytes: 50 * MB }; // MetaMCP's own limit

/**
 * Why a request is refused before its body is read, as {away}, else {bytes}: the most that its body may have.
 *
 * @param path of the request to the service
 */
export function bodyLimit({ headers }, path) {
  const encoding = (headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (encoding !== "identity") return { away: refused(415, "body_encoded", "Request bodies are taken as they are: send it without Content-Encoding.") };
  const plain = path.replace(/[?#].*/s, "");
  const normal = normalizedPath(plain) ?? plain;
  const { bytes } = [MCP, SIGN_IN, OTHERS].find(({ paths }) => paths.test(normal));
  return Number(headers["content-length"] ?? 0) > bytes ? { away: tooLarge(bytes) } : { bytes };
}

/** The refusal of a larger body. */
export function tooLarge(bytes) {
  return refused(413, "body_too_large", `The request's body is larger than the ${bytes / MB} MB that are taken at this address.`);
}

/** Pipes the body of a request to `onward`; calls `exceeded` instead when a body of unknown length has more bytes. */
export function pipeBody(request, onward, bytes, exceeded) {
  let left = bytes;
  const count = (chunk) => {
    left -= chunk.length;
    if (left >= 0) return;
    request.off("data", count);
    request.unpipe(onward);
    exceeded();
  };
  if (request.headers["content-length"] === undefined) request.on("data", count);
  request.pipe(onward);
}

function refused(http, code, message) {
  return { http, status: "refused", step: "access", code, message };
}
