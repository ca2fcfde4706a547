// Who may call the app's port, and whose word about the caller counts. An embedded workspace gives its proxy a secret, because
// every user of the machine can call a port of the loopback. The platform's proxy has none: there, what a program of the
// container says about the caller (X-Forwarded-*) does not count.

import { isInside } from "./peers.mjs";
import { isSame, removeHeaders } from "../request-headers.mjs";

const HEADER = "x-metamcp-proxy-secret";
const ABOUT_THE_CALLER = /^(x[-_]forwarded[-_].*|x[-_]real[-_]ip|forwarded)$/;
const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;

/**
 * Returns the function that checks a request before anything else: it gives null for one that may go on, else {away}'s value.
 *
 * @param secret of the embedded workspace's proxy; undefined without one
 * @param appUrl the app's public URL, if it is known
 */
export function callerCheck(secret, appUrl = "") {
  const known = new WeakMap(); // socket → whether a program of this container holds its other end
  const inside = (socket) => {
    if (!known.has(socket)) known.set(socket, isInside(socket));
    return known.get(socket);
  };
  const publicHost = URL.canParse(appUrl) ? new URL(appUrl).host : "";
  const required = (request) => {
    const given = request.headers[HEADER];
    removeHeaders(request, (name) => name === HEADER);
    if (given === undefined || !isSame(given, secret)) {
      return refused("caller_unknown", `This port answers the proxy of its embedded workspace only. Use ${appUrl || "the app's URL"}.`);
    }
    const host = (request.headers.host ?? "").toLowerCase();
    return LOOPBACK.test(host) || host === publicHost ? null : refused("host_unknown", "The request names a host that is not this app's.");
  };
  const believed = (request) => {
    const says = Object.keys(request.headers).some((name) => ABOUT_THE_CALLER.test(name));
    if (says && inside(request.socket)) removeHeaders(request, (name) => ABOUT_THE_CALLER.test(name));
    return null;
  };
  return secret ? required : believed;
}

function refused(code, message) {
  return { http: 403, status: "refused", step: "access", code, message };
}
