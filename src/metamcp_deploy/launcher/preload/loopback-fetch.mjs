// Sends MetaMCP's requests to its own public URL (OAuth introspection; MCP servers made from its endpoints) to the loopback.
// The platform's login in front of that URL does not accept MetaMCP's tokens and answers with a page.
//
// `fetch` is replaced, which all of these requests use at every tag: the URL of a server made from an endpoint is in the
// database, so that a patch of the places that name APP_URL would miss it.

import { START_HEADER } from "./guard.mjs";

const OWN_PATHS = /^\/(metamcp|oauth|\.well-known)(\/|$)/; // called by programs; the rest is for people, behind the login

/** From now on `fetch` sends requests for these paths of `appUrl` to 127.0.0.1:`port`, with the secret of this start. */
export function fetchOverLoopback(appUrl, port, secret) {
  const { origin } = new URL(appUrl);
  const outward = globalThis.fetch;
  globalThis.fetch = function fetch(input, init) {
    const text = typeof input === "object" && "url" in input ? input.url : String(input);
    const url = text.startsWith(origin) && URL.canParse(text) ? new URL(text) : null;
    if (url?.origin !== origin || !OWN_PATHS.test(url.pathname)) return outward(input, init);
    const inside = `http://127.0.0.1:${port}${url.pathname}${url.search}`;
    const request = new Request(input instanceof Request ? new Request(inside, input) : inside, init);
    request.headers.set(START_HEADER, secret);
    // A redirect (of /oauth/authorize, to any address) is not followed: it would take the secret with it.
    return outward(request, { redirect: "manual" });
  };
}
