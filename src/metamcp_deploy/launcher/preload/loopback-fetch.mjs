// Calls that MetaMCP makes to its own public URL (OAuth introspection; MCP servers made from its endpoints) stay inside.
// In front of that URL stands the platform's login, which knows nothing of MetaMCP's tokens and answers with a page.
//
// It is done at `fetch`, which all of them use at every tag: the URL of a server made from an endpoint stands in the
// database, so patching the places that name APP_URL would miss it.

const OWN_PATHS = /^\/(metamcp|oauth|\.well-known)(\/|$)/; // what programs call; the rest belongs to people behind the login

/** From now on `fetch` asks 127.0.0.1:`port` for the own paths of `appUrl`. */
export function keepInside(appUrl, port) {
  const { origin } = new URL(appUrl);
  const outward = globalThis.fetch;
  globalThis.fetch = function fetch(input, init) {
    const text = typeof input === "object" && "url" in input ? input.url : String(input);
    const url = text.startsWith(origin) && URL.canParse(text) ? new URL(text) : null;
    if (url?.origin !== origin || !OWN_PATHS.test(url.pathname)) return outward(input, init);
    const inside = `http://127.0.0.1:${port}${url.pathname}${url.search}`;
    return outward(input instanceof Request ? new Request(inside, input) : inside, init);
  };
}
